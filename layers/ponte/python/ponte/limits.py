"""What a frame may cost: checked by its header, before a decoder allocates what that says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Protocol

from pydicom.uid import RLELossless

from ponte.codestream import Codestream, is_cut, read_codestream, read_rle_offsets
from ponte.errors import CannotDecode, InvalidAttribute, LimitExceeded
from ponte.syntaxes import DEFLATED_FRAMES

if TYPE_CHECKING:
    from ponte.description import PixelDescription

PIXEL_BUDGET: Final = 256 << 20
"""Pixels a frame, rows by columns."""
FRAME_BYTES: Final = 1 << 30
"""Bytes of a frame as it is stored natively."""
MISSING_FRAMES: Final = 1000
"""Frames that the header names and the pixel data lack; each has a page that says so."""
ORDINARY_SAMPLES: Final = 64 << 20
"""Samples of a frame up to which a decoder works in this process; four times the largest mammogram."""

_RLE_RATIO = 64  # two bytes stand for 128 at most (PS3.5 G.3.1)
_RLE_LONGEST, _RLE_PADDING = 2, 1024  # a pixel in a run of its own takes two bytes
_DEFLATE_RATIO = 1032  # two bits for 258 (RFC 1951)


class FrameShape(Protocol):
    """What the dataset says of each of its frames."""

    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def bits_allocated(self) -> int: ...
    @property
    def frame_bits(self) -> int:
        """Bits of one native frame."""
        ...


def check_budget(d: FrameShape) -> None:
    """Raise `LimitExceeded` (PIXEL_BUDGET) for a frame that is too large to be shown."""
    pixels, size = d.rows * d.columns, (d.frame_bits + 7) // 8
    if pixels > PIXEL_BUDGET:
        raise LimitExceeded(f"A frame has {pixels} pixels; the limit is {PIXEL_BUDGET}", code="PIXEL_BUDGET")
    if size > FRAME_BYTES:
        raise LimitExceeded(f"A frame has {size} bytes; the limit is {FRAME_BYTES}", code="PIXEL_BUDGET")


def check_frame_count(frames: int, fragments: int) -> None:
    """Raise `InvalidAttribute` (PIXEL_LENGTH) where nothing, or next to nothing, of the frames is there.

    A frame takes a fragment at least (PS3.5 A.4). Few missing frames are named one by one instead.
    """
    if frames - fragments > MISSING_FRAMES or not fragments:
        raise InvalidAttribute(
            f"Pixel Data (7FE0,0010) has {fragments} fragments; expected one at least for each of {frames}"
            " frames",
            code="PIXEL_LENGTH",
        )


def check_frame(data: bytes, d: PixelDescription, index: int) -> bool:
    """Compare an encoded frame with the dataset; True where decoding it may hurt.

    Raises `CannotDecode`: PIXEL_HEADER_MISMATCH where a decoder would allocate something else than the
    dataset says, PIXEL_LENGTH where so few bytes, or the end of them missing, cannot be the whole frame.
    """
    if d.transfer_syntax_uid == RLELossless:
        check_rle(read_rle_offsets(data), len(data), d, index)
        return False
    if d.transfer_syntax_uid == DEFLATED_FRAMES:
        check_deflated(len(data), d, index)
        return False
    header = read_codestream(data)
    if header is None:
        return True
    check_codestream(header, d, index)
    if is_cut(data):
        raise short_frame(index)
    return header.unusual or header.rows * header.columns * header.samples > ORDINARY_SAMPLES


def check_deflated(length: int, d: FrameShape, index: int) -> None:
    """Raise `CannotDecode` (PIXEL_LENGTH) where so few deflated bytes cannot be a frame (RFC 1951)."""
    if length * _DEFLATE_RATIO < d.frame_bits // 8:
        raise short_frame(index)


def check_rle(offsets: Sequence[int] | None, length: int, d: FrameShape, index: int) -> None:
    """One segment for each byte of a pixel, each where the header says (PS3.5 G.2, G.5).

    `offsets` are those of the frame's header, `length` is that of the whole frame. Raises as `check_frame`.
    """
    expected = d.samples * ((d.bits_allocated + 7) // 8)
    if offsets is None or len(offsets) != expected:
        found = "no RLE header that can be" if offsets is None else f"{len(offsets)} RLE segments"
        raise CannotDecode(
            f"Frame {index + 1} has {found}; expected {expected}", code="PIXEL_HEADER_MISMATCH"
        )
    size = (d.rows * d.columns * min(d.bits_allocated, 8) + 7) // 8  # bytes a segment: bits are packed
    lengths = [end - start for start, end in pairwise((*offsets, length))]
    if min(lengths) < size // _RLE_RATIO:
        raise short_frame(index)
    if max(lengths) > _RLE_LONGEST * size + _RLE_PADDING:
        raise CannotDecode(
            f"Frame {index + 1} has an RLE segment of {max(lengths)} bytes for {size}",
            code="PIXEL_HEADER_MISMATCH",
        )


def short_frame(index: int) -> CannotDecode:
    """The error for a frame whose end is missing."""
    return CannotDecode(
        f"Pixel Data (7FE0,0010) ends within frame {index + 1}; bytes are missing", code="PIXEL_LENGTH"
    )


def check_codestream(header: Codestream, d: FrameShape, index: int) -> None:
    """Raise `CannotDecode` (PIXEL_HEADER_MISMATCH) where the frame's header contradicts the dataset."""
    if (header.rows, header.columns, header.samples) != (d.rows, d.columns, d.samples):
        raise CannotDecode(
            f"Frame {index + 1} is {header.columns}x{header.rows} of {header.samples} samples; expected "
            f"{d.columns}x{d.rows} of {d.samples}",
            code="PIXEL_HEADER_MISMATCH",
        )
    if header.precision > d.bits_allocated:
        raise CannotDecode(
            f"Frame {index + 1} has {header.precision} bits a sample; expected {d.bits_allocated} at most",
            code="PIXEL_HEADER_MISMATCH",
        )
