"""What a compressed frame says about itself, read from its header without decoding.

Decoders trust the codestream and allocate what it declares, so it is read before they are. What is broken
has no header: the answer is None, never an error, and no more is read than the header.
ITU-T T.81 B.2.2 (JPEG), T.87 C.2 (JPEG-LS), T.800 A (JPEG 2000), T.814 A (HTJ2K), PS3.5 G.5 (RLE).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

from ponte import jpeg2000, jpegxl
from ponte.frameheader import Codestream

__all__ = ["Codestream", "is_cut", "read_codestream", "read_rle_offsets"]

_SOF_PROGRESSIVE, _SOS, _EOI = 0xC2, 0xDA, 0xD9
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_KINDS: Final = {
    0xC0: "JPEG baseline",
    0xC1: "JPEG extended",
    _SOF_PROGRESSIVE: "JPEG progressive",
    0xC3: "JPEG lossless",
    0xF7: "JPEG-LS",
}
_WITHOUT_TRANSFORM = frozenset({"JPEG lossless", "JPEG-LS"})
_LSE, _LSE_SIZE = 0xF8, 4
_ADOBE, _JFIF = 0xEE, 0xE0
_ADOBE_LENGTH = 14  # real files have markers that are cut; those say nothing
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_TAIL = 32  # where the end marker stands; what follows is padding
_MARKERS = 1000  # markers and fill bytes of a header; a real one has about ten
_SCANS = 64  # of a progressive JPEG: an encoder makes ten, and each is a pass over the whole image

_RLE_HEADER = struct.Struct("<16L")


def read_codestream(data: bytes) -> Codestream | None:
    """The header of a JPEG, JPEG-LS, JPEG 2000, HTJ2K or JPEG XL frame; None where it is neither, or broken.

    JPEG 2000 and JPEG XL are read bare and in their file formats.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        if jpegxl.looks_like(data):
            return jpegxl.read_header(data)
        return jpeg2000.read_header(data)
    except (IndexError, struct.error):
        return None


def is_cut(data: bytes) -> bool:
    """True for a JPEG or JPEG-LS without its end: decoders fill in gray, and say nothing (T.81 B.2.1).

    Likewise for HTJ2K that lacks bytes anywhere.
    """
    if data[:2] != b"\xff\xd8":
        return jpeg2000.is_cut(data)
    if _END_OF_IMAGE in data[-_TAIL:]:
        return False
    return data.rfind(_END_OF_IMAGE) <= data.rfind(_SCAN)


def read_rle_offsets(data: bytes, length: int | None = None) -> tuple[int, ...] | None:
    """Where the segments of a frame start, 15 at most; None where they cannot be there. PS3.5 G.5.

    The first stands behind the header, each behind the one before, the last before the end: that of `data`,
    or `length` where `data` is only the start of the frame.
    """
    if len(data) < _RLE_HEADER.size:
        return None
    count, *offsets = _RLE_HEADER.unpack_from(data)
    used = tuple(offsets[:count])
    if (
        not 1 <= count <= len(offsets)
        or used[0] != _RLE_HEADER.size
        or used[-1] >= (len(data) if length is None else length)
    ):
        return None
    return used if all(a < b for a, b in pairwise(used)) else None


def _jpeg(data: bytes) -> Codestream | None:
    """One start of frame before the first scan; JPEG-LS may give a large size behind it (T.87 C.2.4.1)."""
    header: Codestream | None = None
    adobe: int | None = None
    jfif = named_rgb = False
    for marker, start, length in _segments(data):
        if marker in _START_OF_FRAME:
            if header is not None:
                return None
            header = _start_of_frame(data, marker, start)
            named_rgb = header.samples == 3 and data[start + 6 : start + 15 : 3] == b"RGB"
        elif marker == _ADOBE and length >= _ADOBE_LENGTH and data[start : start + 5] == b"Adobe":
            adobe = data[start + 11]
        elif marker == _JFIF:
            jfif = data[start : start + 4] == b"JFIF"
        elif marker == _LSE and header is not None and data[start] == _LSE_SIZE:
            rows, columns = _oversize(data, start)
            header = replace(header, rows=header.rows or rows, columns=header.columns or columns)
    if header is None or not (header.rows and header.columns and header.samples):
        return None
    transform = (
        "" if header.kind in _WITHOUT_TRANSFORM else _transform(header.samples, adobe, jfif, named_rgb)
    )
    return replace(header, adobe_transform=adobe, transform=transform)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start of its parameters and the length that it declares, up to the first scan."""
    offset = 2
    for _ in range(_MARKERS):
        if offset + 4 > len(data) or data[offset] != 0xFF:
            return
        marker = data[offset + 1]
        if marker == 0xFF:
            offset += 1
            continue
        if marker in (_SOS, _EOI):
            return
        length = 0 if marker in _WITHOUT_LENGTH else struct.unpack_from(">H", data, offset + 2)[0]
        yield marker, offset + 4, length
        offset += 2 + length


def _start_of_frame(data: bytes, marker: int, start: int) -> Codestream:
    precision, rows, columns, samples = struct.unpack_from(">BHHB", data, start)
    many_scans = marker == _SOF_PROGRESSIVE and data.count(b"\xff\xda") > _SCANS
    return Codestream(rows, columns, samples, precision, kind=_KINDS.get(marker, "JPEG"), unusual=many_scans)


def _oversize(data: bytes, start: int) -> tuple[int, int]:
    """Rows and columns of a JPEG-LS image of more than 65,535: 2, 3 or 4 bytes each."""
    width = data[start + 1]
    if not 2 <= width <= 4 or start + 2 + 2 * width > len(data):
        return 0, 0
    rows = int.from_bytes(data[start + 2 : start + 2 + width], "big")
    return rows, int.from_bytes(data[start + 2 + width : start + 2 + 2 * width], "big")


def _transform(samples: int, adobe: int | None, jfif: bool, named_rgb: bool) -> str:
    """The order in which decoders believe what a JPEG says of its colours."""
    if samples != 3:
        return ""
    if jfif:
        return "YCBCR"
    if adobe is not None:
        return "YCBCR" if adobe else "RGB"
    return "RGB" if named_rgb else ""
