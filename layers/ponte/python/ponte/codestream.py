"""What a JPEG or JPEG 2000 codestream says about itself, read from its header without decoding.

Decoders trust the codestream and allocate what it declares, so it is read before they are.
ITU-T T.81 B.2.2 (JPEG), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 (JPEG 2000).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SOI, _SOS, _EOI = 0xD8, 0xDA, 0xD9
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_ADOBE = 0xEE
_ADOBE_LENGTH = 14  # real files have markers that are cut; those say nothing
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})


@dataclass(frozen=True, slots=True)
class Codestream:
    """`adobe_transform` is what the Adobe marker says of the colour space: 0 RGB, 1 YCbCr."""

    rows: int
    columns: int
    samples: int
    precision: int
    adobe_transform: int | None = None


def read_codestream(data: bytes) -> Codestream | None:
    """The header of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame; None where it is neither, or is broken."""
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg(data)
        start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
        return _jpeg2000(data, start) if start >= 0 else None
    except (IndexError, struct.error):
        return None


def _jpeg(data: bytes) -> Codestream | None:
    offset, adobe = 2, None
    while data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:
            offset += 1
            continue
        if marker in _START_OF_FRAME:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", data, offset + 4)
            return Codestream(rows, columns, samples, precision, adobe)
        if marker in (_SOS, _EOI):
            return None
        length = 0 if marker in _WITHOUT_LENGTH else struct.unpack_from(">H", data, offset + 2)[0]
        if marker == _ADOBE and length >= _ADOBE_LENGTH and data[offset + 4 : offset + 9] == b"Adobe":
            adobe = data[offset + 15]
        offset += 2 + length
    return None


def _jpeg2000(data: bytes, start: int) -> Codestream:
    _, width, height, left, top = struct.unpack_from(">HLLLL", data, start + 6)
    samples, precision = struct.unpack_from(">HB", data, start + 40)
    return Codestream(height - top, width - left, samples, (precision & 0x7F) + 1)
