"""The main header of a JPEG 2000 or HTJ2K codestream, bare or within JP2 boxes.

ITU-T T.800 A.5.1 (SIZ), A.6.1 (COD), A.4.2 (SOT), I.4 (boxes); T.814 (HTJ2K).
"""

from __future__ import annotations

import struct
from typing import Final

from ponte.frameheader import Codestream

_START: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_BOXES = 64
_MARKERS = 16_500  # as many as there can be components, and then some
_CAP, _COD, _COC, _SOT, _SOD = 0xFF50, 0xFF52, 0xFF53, 0xFF90, 0xFF93

_TILES = 1024
_TILE_PARTS = 4096
_LEVELS = 8
_LAYERS = 256
_SMALL_BLOCK = 4  # exponents of width and height less two, summed: 16 by 16 samples
_SMALL_PRECINCT = 5  # exponent: 32 samples
_HIGH_THROUGHPUT = 0x4000  # in Rsiz
_END: Final = b"\xff\xd9"


def read_header(data: bytes) -> Codestream | None:
    """Size, samples, bits and transform; None where there is no codestream.

    Raises `struct.error`, `IndexError`.
    """
    if data[:4] == _START:
        return _main_header(data, 0, unusual=False)
    if data[:12] != _JP2:
        return None
    offset = 0
    for _ in range(_BOXES):
        length, kind = struct.unpack_from(">L4s", data, offset)
        header = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, offset + 8)
            header = 16
        if kind == b"jp2c":
            if data[offset + header : offset + header + 4] != _START:
                return None
            return _main_header(data, offset + header, unusual=b"pclr" in data[:offset])
        if length < header:
            return None
        offset += length
    return None


def is_cut(data: bytes) -> bool:
    """True for a bare HTJ2K code stream that lacks bytes: its decoder makes a picture of what is left.

    Each tile-part says how long it is (T.800 A.4.2), and behind the last one stands the end marker.
    """
    if data[:4] != _START or not int.from_bytes(data[6:8]) & _HIGH_THROUGHPUT:
        return False
    offset = len(_START) - 2
    try:
        while data[offset : offset + 2] != _END:
            marker, length = struct.unpack_from(">HH", data, offset)
            if marker == _SOT:
                (length,) = struct.unpack_from(">L", data, offset + 6)
                if length == 0:  # the last: to the end
                    return not data.rstrip(b"\0").endswith(_END)
                length -= 2
            offset += 2 + max(length, 2)
    except struct.error:
        return True
    return False


def least_length(start: bytes) -> int:
    """Bytes that a bare code stream must have by its first bytes: to the end of the tile-parts in them."""
    if start[:4] != _START:
        return 0
    offset = len(_START) - 2
    try:
        while start[offset : offset + 2] != _END:
            marker, length = struct.unpack_from(">HH", start, offset)
            if marker == _SOT:
                (length,) = struct.unpack_from(">L", start, offset + 6)
                if length == 0:  # to the end, wherever that is
                    break
                length -= 2
            offset += 2 + max(length, 2)
    except struct.error:
        pass
    return offset


def _main_header(data: bytes, start: int, *, unusual: bool) -> Codestream | None:
    (width, height, left, top, tile_width, tile_height, tile_left, tile_top, samples) = struct.unpack_from(
        ">8LH", data, start + 8
    )
    parts = data[start + 42 : start + 42 + 3 * samples]
    if not samples or len(parts) < 3 * samples or not tile_width or not tile_height:
        return None
    if left >= width or top >= height:
        return None
    tiles = -(-(width - tile_left) // tile_width) * -(-(height - tile_top) // tile_height)
    bits = max(part & 0x7F for part in parts[::3]) + 1
    (length,) = struct.unpack_from(">H", data, start + 4)
    kind, transform, levels, costly = _coding(data, start + 4 + length)
    subsampled = any(step != 1 for step in parts[1::3] + parts[2::3])
    return Codestream(
        height - top,
        width - left,
        samples,
        bits,
        kind=kind,
        signed=bool(parts[0] & 0x80),
        transform=transform if samples > 1 else "",
        levels=0 if costly or subsampled else levels,
        unusual=unusual or costly or subsampled or tiles > _TILES or len(set(parts[::3])) > 1,
    )


def _coding(data: bytes, offset: int) -> tuple[str, str, int, bool]:
    """Kind, colour transform, wavelet levels, and whether decoding may cost more than the size says."""
    kind, transform, levels, costly = "JPEG 2000", "", 0, True
    for _ in range(_MARKERS):
        if offset + 4 > len(data):
            break
        marker, length = struct.unpack_from(">HH", data, offset)
        if marker == _SOT:
            return kind, transform, levels, costly or _tile_parts_differ(data, offset)
        if marker == _CAP:
            kind = "HTJ2K"
        elif marker == _COD:
            multiple, costly = data[offset + 8], _is_costly(data[offset + 4 : offset + 2 + length])
            levels, reversible = data[offset + 9], data[offset + 13]
            transform = ("RCT" if reversible else "ICT") if multiple else ""
        elif marker == _COC:
            costly = True
        offset += 2 + length
    return kind, transform, levels, True


def _is_costly(style: bytes) -> bool:
    """True where COD asks for many layers, levels, blocks or precincts."""
    layers = int.from_bytes(style[2:4], "big")
    levels, block_width, block_height = style[5], style[6], style[7]
    if layers > _LAYERS or levels > _LEVELS or block_width + block_height < _SMALL_BLOCK:
        return True
    # The first precinct is that of the lowest resolution, which is small anyhow
    return any(min(size & 15, size >> 4) < _SMALL_PRECINCT for size in style[11:]) if style[0] & 1 else False


def _tile_parts_differ(data: bytes, offset: int) -> bool:
    """True where a tile may overrule the main header, or there are very many parts."""
    for _ in range(_TILE_PARTS):
        if data[offset : offset + 2] != b"\xff\x90":
            return False
        (length,) = struct.unpack_from(">L", data, offset + 6)
        following = offset + 12
        while data[following : following + 2] not in (b"\xff\x93", b""):
            marker, size = struct.unpack_from(">HH", data, following)
            if marker in (_COD, _COC) or size < 2:
                return True
            following += 2 + size
        if length == 0:
            return False
        offset += max(length, 12)
    return True
