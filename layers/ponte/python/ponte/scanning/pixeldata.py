"""Pixel data against the image attributes: are they all there, and are they what the attributes say?

PS3.3 C.7.6.3, PS3.5 8 and A.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.uid import UID

from ponte.errors import InvalidAttribute, MissingAttribute
from ponte.limits import check_budget
from ponte.scanning.frame import OPAQUE, SIGNATURE_BYTES, CodestreamFrame, Frame, begins_frame, frame_class
from ponte.scanning.walker import DOUBLE_FLOAT_PIXEL_DATA, FLOAT_PIXEL_DATA, PixelWatch
from ponte.structure import PIXEL_DATA, tag_name

SAMPLES, PHOTOMETRIC, FRAMES = 0x00280002, 0x00280004, 0x00280008
ROWS, COLUMNS, BITS = 0x00280010, 0x00280011, 0x00280100
IMAGE_TAGS: Final = frozenset({SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, BITS})

_FLOAT_BITS = {FLOAT_PIXEL_DATA: 32, DOUBLE_FLOAT_PIXEL_DATA: 64}
_BITS = frozenset({1, 12, *range(8, 65, 8)})  # 12 packed: the time before DICOM
_HALVED = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})
_PADDING = b" \0"
_COUNT = re.compile(rb"\+?[0-9]{1,10}")

Values = Mapping[int, bytes | None]


@dataclass(frozen=True, slots=True)
class ImageShape:
    """What the attributes say of the pixel data."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    photometric: bytes

    @property
    def frame_bits(self) -> int:
        """Bits of one native frame; frames of one bit a pixel are packed without a gap."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        return bits // 3 * 2 if self.photometric in _HALVED else bits

    @property
    def length(self) -> int:
        """Bytes of all frames, natively."""
        return (self.frame_bits * self.frames + 7) // 8


def image_shape(values: Values, little_endian: bool, tag: int) -> ImageShape:
    """Read the attributes that go with the pixel data of `tag`.

    Raises `InvalidAttribute` (PIXEL_LENGTH): without them nobody can tell how long the pixel data should be.
    """
    return ImageShape(
        rows=_short(values, ROWS, little_endian),
        columns=_short(values, COLUMNS, little_endian),
        frames=_frames(values.get(FRAMES, b"")),
        samples=_short(values, SAMPLES, little_endian),
        bits_allocated=_FLOAT_BITS.get(tag) or _bits(values, little_endian),
        photometric=(values.get(PHOTOMETRIC) or b"").strip(_PADDING),
    )


def _bits(values: Values, little_endian: bool) -> int:
    bits = _short(values, BITS, little_endian)
    if bits not in _BITS:
        raise _unusable(BITS, "1 or a multiple of 8")
    return bits


def _short(values: Values, tag: int, little_endian: bool) -> int:
    value = values.get(tag)
    number = int.from_bytes(value, "little" if little_endian else "big") if value else 0
    if value is None or len(value) != 2 or not number:
        raise _unusable(tag, "1 to 65535")
    return number


def _frames(value: bytes | None) -> int:
    """Number of Frames: an integer as text; 1 where it is absent or empty."""
    text = value.strip(_PADDING) if value is not None else b"?"
    if text and not (_COUNT.fullmatch(text) and int(text)):
        raise _unusable(FRAMES, "1 or more")
    return int(text or b"1")


def _unusable(tag: int, expected: str) -> InvalidAttribute:
    return InvalidAttribute(
        f"{tag_name(tag)} does not describe the pixel data; expected {expected}", code="PIXEL_LENGTH"
    )


class PixelCheck(PixelWatch):
    """Compares the pixel data that go by with the attributes before them, which are in `values` by then.

    `seen` is True once there were any. Raises `InvalidAttribute` (PIXEL_LENGTH), `MissingAttribute`
    (NO_PIXEL_DATA), `LimitExceeded` (PIXEL_BUDGET), `CannotDecode` (PIXEL_LENGTH, PIXEL_HEADER_MISMATCH).
    """

    def __init__(self, syntax: UID, *, little_endian: bool) -> None:
        self.values: Values = {}
        self.seen = False
        self.excess = False
        self._syntax = syntax
        self._little_endian = little_endian
        self._frame_class = frame_class(syntax)
        self._shape: ImageShape | None = None
        self._frame: Frame | None = None
        self._frames = 0
        self._length = 0  # of the fragment
        self._opening: bytes | None = None  # its first bytes, until they tell whether a frame begins

    def native(self, tag: int, length: int) -> None:
        if not length:
            raise MissingAttribute(f"{tag_name(tag)} is empty", code="NO_PIXEL_DATA")
        if self._syntax.is_encapsulated and tag == PIXEL_DATA:
            raise InvalidAttribute(f"{tag_name(tag)} is not encapsulated", code="PIXEL_LENGTH")
        shape = image_shape(self.values, self._little_endian, tag)
        if length < shape.length:
            raise InvalidAttribute(
                f"{tag_name(tag)} has {length} bytes; expected {shape.length}", code="PIXEL_LENGTH"
            )
        check_budget(shape)
        self.seen = True
        self.excess = length > shape.length + shape.length % 2

    def fragment(self, length: int) -> None:
        if self._shape is None:
            self._shape = self._begin()  # this item is the offset table
            return
        self._settle()
        self._length = length
        if issubclass(self._frame_class, CodestreamFrame):
            self._opening, self.wants_bytes = b"", True
        else:
            joined = self._shape.frames == 1 or self._syntax in OPAQUE
            self._place(self._shape, begins=self._frame is None or not joined)

    def piece(self, data: bytes) -> None:
        if self._opening is not None:
            self._opening += data
            if len(self._opening) >= SIGNATURE_BYTES:
                self._settle()
        elif self._frame is not None:
            self._frame.piece(data)
            self.wants_bytes = self._frame.wants_bytes

    def end(self) -> None:
        if self._shape is None:
            raise MissingAttribute(f"{tag_name(PIXEL_DATA)} has no items", code="NO_PIXEL_DATA")
        self._settle()
        self._finish_frame()
        expected = 1 if self._syntax in OPAQUE else self._shape.frames
        if self._frames < expected:
            raise InvalidAttribute(
                f"{tag_name(PIXEL_DATA)} has {self._frames} frames; expected {expected}", code="PIXEL_LENGTH"
            )
        self.seen = True

    def _begin(self) -> ImageShape:
        if not self._syntax.is_encapsulated:
            raise InvalidAttribute(
                f"{tag_name(PIXEL_DATA)} is encapsulated; Transfer Syntax UID (0002,0010) says it is not",
                code="PIXEL_LENGTH",
            )
        shape = image_shape(self.values, self._little_endian, PIXEL_DATA)
        check_budget(shape)
        return shape

    def _settle(self) -> None:
        """Decide whether the fragment begins a frame or goes on with one."""
        if self._shape is None or self._opening is None:
            return
        opening, self._opening = self._opening, None
        self._place(self._shape, begins=self._frame is None or begins_frame(opening))
        if self._frame is not None and opening:
            self._frame.piece(opening)
            self.wants_bytes = self._frame.wants_bytes

    def _place(self, shape: ImageShape, *, begins: bool) -> None:
        """The fragment belongs to the frame before it, to a new one, or to none that the header names."""
        if begins:
            self._finish_frame()
            self._frames += 1
            if self._frames > shape.frames:
                self.excess = True
            else:
                self._frame = self._frame_class(shape, self._frames - 1)
        self.wants_bytes = self._frame is not None and self._frame.wants_bytes
        if self._frame is not None:
            self._frame.add(self._length)

    def _finish_frame(self) -> None:
        if self._frame is not None:
            self._frame.finish()
            self._frame = None
