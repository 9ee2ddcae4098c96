"""Frames that are not compressed (PS3.5 8.1, 8.2; PS3.3 C.7.6.3)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.uid import ExplicitVRBigEndian

from ponte.description import HALVED, PixelDescription
from ponte.errors import CannotDecode

Bytes = bytes | memoryview
Values = npt.NDArray[Any]

_BYTE: Final = 8


class Frame(NamedTuple):
    """Values of (rows, columns) or (rows, columns, 3), and the photometric interpretation they are in."""

    values: Values
    photometric: str


def native_frame(data: Bytes, d: PixelDescription, index: int, *, swapped: bool = False) -> Frame:
    """Frame `index`, from 0, of pixel data that is long enough; a view of `data` wherever one will do.

    Integers are unsigned, whatever their sign: the display knows what they mean. `swapped` says that bytes
    stand in words of big endian (8-bit samples under VR OW). Raises `CannotDecode`.
    """
    if d.bits_allocated == 1:
        return Frame(_bits(data, d, index).reshape(_shape(d)), d.photometric)
    size = d.frame_bits // _BYTE
    raw = _words(data, index * size, size) if swapped else memoryview(data)[index * size : (index + 1) * size]
    samples = np.frombuffer(raw, _container(d))
    if d.photometric in HALVED:
        return Frame(_doubled(samples).reshape(d.rows, d.columns, 3), d.photometric.removesuffix("_422"))
    return Frame(arranged(samples, d, d.planar), d.photometric)


def arranged(samples: Values, d: PixelDescription, planar: int) -> Values:
    """A row of samples as (rows, columns) or (rows, columns, samples) (PS3.3 C.7.6.3.1.3).

    Raises `CannotDecode` for another number of them.
    """
    if samples.size != d.rows * d.columns * d.samples:
        raise CannotDecode("The frame has another number of samples than the header says")
    if d.samples > 1 and planar:
        return samples.reshape(d.samples, d.rows, d.columns).transpose(1, 2, 0)
    return samples.reshape(_shape(d))


def _shape(d: PixelDescription) -> tuple[int, ...]:
    return (d.rows, d.columns) if d.samples == 1 else (d.rows, d.columns, d.samples)


def _container(d: PixelDescription) -> np.dtype[Any]:
    order = ">" if d.transfer_syntax_uid == ExplicitVRBigEndian else "<"
    return np.dtype(f"{order}{'f' if d.is_float else 'u'}{d.bits_allocated // _BYTE}")


def _bits(data: Bytes, d: PixelDescription, index: int) -> npt.NDArray[np.uint8]:
    """Frames of one bit a pixel follow each other without a gap, the lowest bit first (PS3.5 8.1.1)."""
    start, count = index * d.frame_bits, d.frame_bits
    packed = np.frombuffer(data, np.uint8)[start // _BYTE : (start + count + _BYTE - 1) // _BYTE]
    skipped = start % _BYTE
    return np.unpackbits(packed, bitorder="little", count=skipped + count)[skipped:]


def _words(data: Bytes, start: int, size: int) -> bytes:
    """Bytes of which each two have changed places, from any offset on."""
    first, end = start & ~1, (start + size + 1) & ~1
    words = np.frombuffer(memoryview(data)[first:end], "u2").byteswap()
    return words.tobytes()[start - first : start - first + size]


def _doubled(samples: Values) -> Values:
    """Y1 Y2 CB CR to two pixels of three samples (PS3.3 C.7.6.3.1.2, YBR_FULL_422)."""
    pairs = samples.reshape(-1, 4)
    return pairs[:, (0, 2, 3, 1, 2, 3)]
