"""Stored values, one frame at a time (PS3.3 C.7.6.3, PS3.5 8)."""

from __future__ import annotations

import struct
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, JPEGBaseline8Bit

from ponte import attributes
from ponte.codecs import DECODERS, HALVING, coded_colour, decode, decoder_of, most_halvings
from ponte.description import PixelDescription, pixel_value
from ponte.errors import CannotDecode, LimitExceeded
from ponte.frames import FrameIndex
from ponte.jpeg import bare_baseline
from ponte.limits import check_frame, check_frame_count
from ponte.native import Frame, native_frame
from ponte.quiet import BROKEN_INPUT, quiet

Values = npt.NDArray[Any]


class PixelReader:
    """Decodes frames of one instance; safe to use from several threads."""

    def __init__(self, dataset: Dataset, description: PixelDescription) -> None:
        with quiet():
            self._value = pixel_value(dataset, description.keyword)
            self._swapped = _is_swapped(dataset, description)
            self._extended = _extended_offsets(dataset)
        self.description = description
        self._beyond_limits: LimitExceeded | None = None
        if description.transfer_syntax_uid in DECODERS:
            check_frame_count(description.frames, self._frames.fragment_count)

    def code_stream(self, index: int) -> bytes:
        """A frame as it is compressed; nothing where it is not."""
        return self._frames.frame(index) if self.description.transfer_syntax_uid.is_encapsulated else b""

    def baseline_jpeg(self, index: int) -> bytes | None:
        """The frame as a JPEG that shows its stored values anywhere, or None. Raises `CannotDecode`."""
        d = self.description
        if d.transfer_syntax_uid != JPEGBaseline8Bit or (d.bits_allocated, d.bits_stored) != (8, 8):
            return None
        data = self._frames.frame(index)
        if check_frame(data, d, index):
            return None
        return bare_baseline(data, d.samples, rgb=coded_colour(data, d.photometric) == "RGB")

    def most_halvings(self, index: int) -> int:
        """How often rows and columns of this frame may be halved in decoding. Raises `CannotDecode`."""
        d = self.description
        return most_halvings(self._frames.frame(index), d) if d.transfer_syntax_uid in HALVING else 0

    def frame(self, index: int, halvings: int = 0) -> Frame:
        """One frame as it is stored, and its photometric interpretation; see `codecs.decode`.

        Raises `CannotDecode`, `LimitExceeded` (MEMORY, TIME), `UnsupportedTransferSyntax`.
        """
        if not self.description.transfer_syntax_uid.is_encapsulated:
            return self._native(index)
        decoder_of(self.description.transfer_syntax_uid)
        data = self._frames.frame(index)
        if check_frame(data, self.description, index):
            return self._decode_apart(data, halvings)
        return decode(data, self.description, halvings)

    def _native(self, index: int) -> Frame:
        try:
            return native_frame(self._value, self.description, index, swapped=self._swapped)
        except BROKEN_INPUT as error:
            raise CannotDecode("The frame does not fit its header") from error

    def _decode_apart(self, data: bytes, halvings: int) -> Frame:
        """In a process of its own; after one frame that went beyond the limits no other is tried."""
        from ponte import guard

        if self._beyond_limits is not None:
            raise LimitExceeded(self._beyond_limits.detail, code=self._beyond_limits.code)
        try:
            return guard.decode(data, self.description, halvings)
        except LimitExceeded as error:
            self._beyond_limits = error
            raise

    @cached_property
    def _frames(self) -> FrameIndex:
        return FrameIndex(self._value, self.description.frames, self._extended)


def _is_swapped(dataset: Dataset, d: PixelDescription) -> bool:
    """8-bit samples in words of big endian: the two of a word have changed places (PS3.5 A.3, 8.1.1)."""
    big = d.transfer_syntax_uid == ExplicitVRBigEndian and d.bits_allocated == 8
    return big and str(dataset[d.keyword].VR) == "OW"


def _extended_offsets(dataset: Dataset) -> tuple[int, ...]:
    """The Extended Offset Table (7FE0,0001), PS3.3 C.7.6.3.1.8."""
    raw = attributes.first(dataset, "ExtendedOffsetTable")
    if not isinstance(raw, bytes):
        return ()
    return struct.unpack_from(f"<{len(raw) // 8}Q", raw)


def native_endian(values: Values) -> Values:
    """The same values in this machine's byte order."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def unsigned(values: Values) -> Values:
    """The same bit patterns as unsigned integers of this machine."""
    values = native_endian(values)
    return values.view(f"u{values.dtype.itemsize}")


def to_rgb(values: Values, photometric: str) -> npt.NDArray[np.uint8]:
    """8-bit colour of any supported photometric interpretation to RGB (PS3.3 C.7.6.3.1.2)."""
    if photometric == "RGB":
        return np.ascontiguousarray(values, dtype=np.uint8)
    if photometric not in ("YBR_FULL", "YBR_FULL_422"):
        raise CannotDecode(f"Colour came out of the decoder as {photometric}; expected RGB or YBR_FULL")
    from PIL import Image as PillowImage

    rows, columns = values.shape[:2]
    picture = PillowImage.frombuffer("YCbCr", (columns, rows), np.ascontiguousarray(values, dtype=np.uint8))
    return np.asarray(picture.convert("RGB"))
