"""The header of a JPEG XL codestream, bare or in its container. ISO/IEC 18181-1 and 18181-2."""

from __future__ import annotations

import struct
from typing import Final

from ponte.frameheader import Codestream

_BARE: Final = b"\xff\x0a"
_CONTAINER: Final = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_BOXES = 64
_ENOUGH = 64  # bytes: the header is shorter
_GRAY = 1
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}

# Each of four choices is (number of bits that follow, what is added to them)
_Choices = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
_SIZE: Final[_Choices] = ((9, 1), (13, 1), (18, 1), (30, 1))
_INTEGER_BITS: Final[_Choices] = ((0, 8), (0, 10), (0, 12), (6, 1))
_FLOAT_BITS: Final[_Choices] = ((0, 32), (0, 16), (0, 24), (6, 1))
_EXTRA_CHANNELS: Final[_Choices] = ((0, 0), (0, 1), (4, 2), (12, 1))
_ENUM: Final[_Choices] = ((0, 0), (0, 1), (4, 2), (6, 18))


class _Bits:
    """Bits of a codestream, the lowest of each byte first. Raises `IndexError` behind the end."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "little")
        self._left = len(data) * 8

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        return value

    def choose(self, choices: _Choices) -> int:
        bits, base = choices[self.take(2)]
        return base + self.take(bits)


def looks_like(data: bytes) -> bool:
    """True for the signature of either form."""
    return data[:2] == _BARE or data[:12] == _CONTAINER


def read_header(data: bytes) -> Codestream | None:
    """Size, samples and bits; None for what a frame of DICOM has not: previews, animation, extra channels.

    Raises `IndexError`, `struct.error`.
    """
    start = data[:_ENOUGH] if data[:2] == _BARE else _from_container(data)
    if start[:2] != _BARE:
        return None
    bits = _Bits(start[2:])
    rows, columns = _size(bits)
    if bits.take(1):  # all by default
        return _header(rows, columns, 3, 8, xyb=True)
    if bits.take(1):
        turned = bits.take(3) >= 4
        if turned:
            rows, columns = columns, rows
        if bits.take(1):
            _size(bits)
        if bits.take(2):  # preview, animation
            return None
    precision = _precision(bits)
    bits.take(1)
    if bits.choose(_EXTRA_CHANNELS):
        return None
    xyb = bool(bits.take(1))
    gray = not bits.take(1) and not bits.take(1) and bits.choose(_ENUM) == _GRAY
    return _header(rows, columns, 1 if gray else 3, precision, xyb=xyb)


def _header(rows: int, columns: int, samples: int, precision: int, *, xyb: bool) -> Codestream:
    transform = "XYB" if xyb else "RGB" if samples > 1 else ""
    return Codestream(rows, columns, samples, precision, kind="JPEG XL", transform=transform)


def _precision(bits: _Bits) -> int:
    if not bits.take(1):
        return bits.choose(_INTEGER_BITS)
    precision = bits.choose(_FLOAT_BITS)
    bits.take(4)
    return precision


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    rows = (bits.take(5) + 1) * 8 if small else bits.choose(_SIZE)
    ratio = bits.take(3)
    if ratio:
        numerator, denominator = _RATIOS[ratio]
        return rows, rows * numerator // denominator
    return rows, (bits.take(5) + 1) * 8 if small else bits.choose(_SIZE)


def _from_container(data: bytes) -> bytes:
    """The first bytes of the codestream, which may stand in parts."""
    offset, found = 0, b""
    for _ in range(_BOXES):
        if offset + 8 > len(data) or len(found) >= _ENOUGH:
            break
        length, kind = struct.unpack_from(">L4s", data, offset)
        header = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, offset + 8)
            header = 16
        end = offset + length if length else len(data)
        if end < offset + header:
            break
        if kind in (b"jxlc", b"jxlp"):
            begin = offset + header + (4 if kind == b"jxlp" else 0)
            found += data[begin : min(end, begin + _ENOUGH)]
        offset = end
    return found
