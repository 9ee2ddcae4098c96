"""Overlay planes: graphics of one bit a pixel, in groups 6000 to 60FE (PS3.3 C.9.2).

The plane has its own data, or, in files of before 2004, a bit of the pixel data that is not stored in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ponte import attributes
from ponte.description import PixelDescription
from ponte.pixels import unsigned
from ponte.quiet import BROKEN_INPUT

Plane = npt.NDArray[np.bool_]

_GROUPS: Final = range(0x6000, 0x6100, 2)
_ROWS, _COLUMNS, _FRAMES, _ORIGIN = 0x0010, 0x0011, 0x0015, 0x0050
_FRAME_ORIGIN, _BIT_POSITION, _DATA = 0x0051, 0x0102, 0x3000
_WHITE: Final = 255
_MOST: Final = 65535


@dataclass(frozen=True, slots=True)
class Overlay:
    """One group. `top` and `left` are counted from 0 and may lie outside the image.

    `first_frame` is the frame of the image that the first of `frames` lies over, None where the only one lies
    over all. Without `data` the plane is bit `bit` of the pixel data.
    """

    rows: int
    columns: int
    top: int
    left: int
    first_frame: int | None
    frames: int
    data: bytes
    bit: int

    def plane(self, frame_index: int, containers: npt.NDArray[Any]) -> Plane | None:
        """The plane over this frame; None where it has none. `containers` are pixels with all their bits."""
        index = 0 if self.first_frame is None else frame_index - self.first_frame
        if not 0 <= index < self.frames:
            return None
        if not self.data:
            return np.asarray(unsigned(containers) >> self.bit & 1, bool)
        size = self.rows * self.columns
        first, past = index * size, (index + 1) * size
        packed = np.frombuffer(self.data, np.uint8)[first // 8 : (past + 7) // 8]
        bits = np.unpackbits(packed, bitorder="little")[first % 8 :]
        return bits[:size].reshape(self.rows, self.columns).astype(bool) if len(bits) >= size else None


def overlays_of(dataset: Dataset, description: PixelDescription) -> tuple[Overlay, ...]:
    """The overlays of the dataset; broken ones are left out."""
    d = description
    within = range(d.bits_allocated) if d.samples == 1 and not d.is_float else range(0)
    unused = frozenset(within) - frozenset(range(d.high_bit + 1 - d.bits_stored, d.high_bit + 1))
    found = (_overlay(dataset, group << 16, unused) for group in _GROUPS)
    return tuple(overlay for overlay in found if overlay is not None)


def draw(
    pixels: npt.NDArray[np.uint8],
    overlays: tuple[Overlay, ...],
    frame_index: int,
    containers: npt.NDArray[Any],
) -> npt.NDArray[np.uint8]:
    """A copy of the picture with the overlays in white; what lies outside the image is cut off."""
    picture = pixels.copy()
    for overlay in overlays:
        plane = overlay.plane(frame_index, containers)
        if plane is not None:
            top, left = max(overlay.top, 0), max(overlay.left, 0)
            part = plane[max(-overlay.top, 0) :, max(-overlay.left, 0) :]
            under = picture[top : top + part.shape[0], left : left + part.shape[1]]
            under[part[: under.shape[0], : under.shape[1]]] = _WHITE
    return picture


def _overlay(dataset: Dataset, group: int, unused: frozenset[int]) -> Overlay | None:
    if group | _ROWS not in dataset:
        return None
    data = _data(dataset, group)
    bit = _number(dataset, group | _BIT_POSITION, 0)
    if not data:  # a bit of the pixels themselves: wherever they are, it is
        return Overlay(0, 0, 0, 0, None, 1, b"", bit) if bit in unused else None
    rows, columns = _number(dataset, group | _ROWS, 0), _number(dataset, group | _COLUMNS, 0)
    frames, first = _number(dataset, group | _FRAMES, 0), _number(dataset, group | _FRAME_ORIGIN, 0)
    if not (0 < rows <= _MOST and 0 < columns <= _MOST) or frames < 0:
        return None
    top, left = _origin(dataset, group)
    first_frame = max(first - 1, 0) if frames or first else None
    return Overlay(rows, columns, top, left, first_frame, max(frames, 1), data, 0)


def _number(dataset: Dataset, tag: int, default: int) -> int:
    number = attributes.to_int(next(iter(_values(dataset, tag)), None))
    return default if number is None else number


def _values(dataset: Dataset, tag: int) -> tuple[Any, ...]:
    try:
        value = dataset[tag].value if tag in dataset else None
    except BROKEN_INPUT:
        return ()
    if value is None or isinstance(value, str | bytes | int):
        return () if value is None else (value,)
    return tuple(value)


def _origin(dataset: Dataset, group: int) -> tuple[int, int]:
    """Overlay Origin counts from 1: 1\\1 is the corner of the image."""
    numbers = [attributes.to_int(value) for value in _values(dataset, group | _ORIGIN)]
    row, column = numbers if len(numbers) == 2 else (1, 1)
    return (1 if row is None else row) - 1, (1 if column is None else column) - 1


def _data(dataset: Dataset, group: int) -> bytes:
    """Overlay Data in the order of bits: OW of big endian has its bytes swapped (PS3.5 8.1.2)."""
    raw = next(iter(_values(dataset, group | _DATA)), b"")
    if not isinstance(raw, bytes):
        return b""
    if dataset.original_encoding[1] is False and dataset[group | _DATA].VR == "OW":
        return np.frombuffer(raw, ">u2", len(raw) // 2).astype("<u2").tobytes()
    return raw
