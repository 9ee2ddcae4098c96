"""Sequence headers of MPEG-2 (H.262 6.2.2), H.264 (7.3.2.1.1) and HEVC (7.3.2.2): what is read of them.

Each reader answers None for what makes no sense; one that runs out of bits raises `IndexError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MOST_SIDE = 16384  # pixels; the largest level of HEVC has 8,444


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """`profile` and `level` are "" where they are not among those that have a name.

    `rate` is in frames a second, None where the header does not say.
    """

    codec: str
    profile: str
    level: str
    columns: int
    rows: int
    rate: float | None = None


class _Bits:
    """Reads a header bit by bit, the most significant first. Raises `IndexError` at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def skip(self, count: int) -> None:
        self._at += count

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number (H.264 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise IndexError
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _payload(unit: bytes) -> bytes:
    """A NAL unit without the bytes that keep start codes from occurring in it (H.264 7.4.1.1)."""
    return unit.replace(b"\0\0\3", b"\0\0")


def _sized(header: SequenceHeader) -> SequenceHeader | None:
    return header if 0 < header.columns <= _MOST_SIDE and 0 < header.rows <= _MOST_SIDE else None


_MPEG2_RATES: Final = {
    1: 24000 / 1001, 2: 24.0, 3: 25.0, 4: 30000 / 1001, 5: 30.0, 6: 50.0, 7: 60000 / 1001, 8: 60.0
}  # fmt: skip
_MPEG2_PROFILES: Final = {5: "Simple", 4: "Main", 3: "SNR Scalable", 2: "Spatially Scalable", 1: "High"}
_MPEG2_LEVELS: Final = {10: "Low", 8: "Main", 6: "High 1440", 4: "High"}
_EXTENSION: Final = b"\0\0\1\xb5"


def mpeg2(unit: bytes) -> SequenceHeader | None:
    """From behind the start code prefix: the sequence header and its extension; without one it is MPEG-1."""
    bits = _Bits(unit[1:])
    columns, rows = bits.take(12), bits.take(12)
    bits.skip(4)
    rate = _MPEG2_RATES.get(bits.take(4))
    place = unit.find(_EXTENSION)
    if place < 0 or unit[place + 4] >> 4 != 1:
        return _sized(SequenceHeader("MPEG-1", "", "", columns, rows, rate))
    bits = _Bits(unit[place + 4 :])
    bits.skip(5)  # identifier, escape
    profile, level = bits.take(3), bits.take(4)
    bits.skip(3)  # progressive, chroma format
    columns, rows = columns | bits.take(2) << 12, rows | bits.take(2) << 12
    bits.skip(12 + 1 + 8 + 1)  # bit rate, marker, buffer size, low delay
    numerator, denominator = bits.take(2) + 1, bits.take(5) + 1
    rate = rate * numerator / denominator if rate else None
    names = _MPEG2_PROFILES.get(profile, ""), _MPEG2_LEVELS.get(level, "")
    return _sized(SequenceHeader("MPEG-2", *names, columns, rows, rate))


_H264_PROFILES: Final = {
    66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10", 118: "Multiview High",
    122: "High 4:2:2", 128: "Stereo High", 244: "High 4:4:4 Predictive",
}  # fmt: skip
_H264_WITH_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_LEVEL_1B = 9
_EXTENDED_ASPECT = 255


def h264(unit: bytes) -> SequenceHeader | None:
    """A sequence parameter set."""
    bits = _Bits(_payload(unit)[1:])
    profile, constraints, level = bits.take(8), bits.take(8), bits.take(8)
    bits.golomb()
    chroma = 1
    if profile in _H264_WITH_CHROMA:
        chroma = _h264_chroma(bits)
    _h264_orders(bits)
    width, height = bits.golomb() + 1, bits.golomb() + 1
    frame_only = bits.take(1)
    if not frame_only:
        bits.take(1)
    bits.take(1)
    height *= 2 - frame_only
    left, right, top, bottom = [bits.golomb() for _ in range(4)] if bits.take(1) else (0, 0, 0, 0)
    across, down = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1) * (2 - frame_only)
    name = "Constrained Baseline" if profile == 66 and constraints & 0x40 else _H264_PROFILES.get(profile, "")
    one_b = level == _LEVEL_1B or (level == 11 and constraints & 0x10 and profile in (66, 77, 88))
    return _sized(
        SequenceHeader(
            "H.264",
            name,
            "1b" if one_b else f"{level / 10:g}",
            width * 16 - across * (left + right),
            height * 16 - down * (top + bottom),
            _h264_rate(bits) if bits.take(1) else None,
        )
    )


def _h264_chroma(bits: _Bits) -> int:
    """The chroma format; bit depths and scaling lists are passed over."""
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    bits.golomb()
    bits.golomb()
    bits.take(1)
    if bits.take(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.take(1):
                _h264_scaling(bits, 16 if number < 6 else 64)
    return chroma


def _h264_scaling(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_golomb()) & 0xFF
        last = following or last


def _h264_orders(bits: _Bits) -> None:
    """Frame numbers, picture order and reference frames: passed over."""
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(min(bits.golomb(), 255)):
            bits.golomb()
    bits.golomb()
    bits.take(1)


def _h264_rate(bits: _Bits) -> float | None:
    """Frames a second by the usability information (H.264 E.1.1); a frame has two ticks."""
    if bits.take(1) and bits.take(8) == _EXTENDED_ASPECT:
        bits.skip(32)
    if bits.take(1):
        bits.take(1)
    if bits.take(1):
        bits.skip(4)
        if bits.take(1):
            bits.skip(24)
    if bits.take(1):
        bits.golomb()
        bits.golomb()
    if not bits.take(1):
        return None
    units, scale = bits.take(32), bits.take(32)
    return scale / units / 2 if units and scale else None


_HEVC_PROFILES: Final = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range Extensions"}


def hevc(unit: bytes) -> SequenceHeader | None:
    """A sequence parameter set, as far as the size; the rate stands beyond what is worth reading."""
    bits = _Bits(_payload(unit)[2:])
    bits.skip(4)
    layers = bits.take(3)
    bits.skip(1 + 2 + 1)
    profile = bits.take(5)
    bits.skip(32 + 48)
    level = bits.take(8)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.skip(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in present:
        bits.skip(88 * has_profile + 8 * has_level)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    columns, rows = bits.golomb(), bits.golomb()
    if bits.take(1):
        left, right, top, bottom = [bits.golomb() for _ in range(4)]
        columns -= (2 if chroma in (1, 2) else 1) * (left + right)
        rows -= (2 if chroma == 1 else 1) * (top + bottom)
    return _sized(SequenceHeader("HEVC", _HEVC_PROFILES.get(profile, ""), f"{level / 30:g}", columns, rows))
