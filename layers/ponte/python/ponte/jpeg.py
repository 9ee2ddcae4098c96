"""A baseline JPEG frame as it may stand in another file, without decoding it."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

_SOF0, _DHT, _SOS, _DQT, _DRI, _COM = 0xC0, 0xC4, 0xDA, 0xDB, 0xDD, 0xFE
_NEEDED: Final = frozenset({_SOF0, _DHT, _DQT})
_KEPT: Final = _NEEDED | {_DRI}
_DROPPED: Final = frozenset({*range(0xE0, 0xF0), _COM})
_RESTART, _RESTART_BITS = 0xD0, 0xF8  # RST0 to RST7
_MARKER: Final = 0xFF
_SOI: Final = b"\xff\xd8"
_EOI: Final = b"\xff\xd9"
_ADOBE: Final = struct.pack(">BBH5sHHH", 0xFF, 0xEE, 14, b"Adobe", 100, 0, 0)


def bare_baseline(data: bytes, samples: int, *, rgb: bool) -> bytes | None:
    """The same picture with what readers need and nothing else; None for what they might not show alike.

    That is: Huffman-coded, sequential, 8 bits, one scan, whole to its end. Comments and application segments
    go, because people and devices write names into them; an Adobe marker comes instead, that says for sure
    whether three components are RGB or YCbCr. ITU-T T.81 B.
    """
    parts, seen, offset = [_SOI, _ADOBE + bytes([not rgb and samples == 3])], set[int](), len(_SOI)
    while data[:2] == _SOI and offset + 5 <= len(data) and data[offset] == 0xFF:
        marker, length = data[offset + 1], int.from_bytes(data[offset + 2 : offset + 4])
        if marker == 0xFF:
            offset += 1
            continue
        if marker == _SOS:
            end = _end_of_scan(data, offset + 2 + length)
            whole = end is not None and data[offset + 4] == samples and seen >= _NEEDED
            return b"".join([*parts, data[offset:end]]) if whole else None
        if marker in _KEPT:
            parts.append(data[offset : offset + 2 + length])
            seen.add(marker)
        elif marker not in _DROPPED:
            return None
        offset += 2 + length
    return None


def _end_of_scan(data: bytes, offset: int) -> int | None:
    """Where the image ends, if it does with this scan; fragments are padded to even length."""
    end = data.rfind(_EOI)
    if end < offset or data[end + len(_EOI) :].strip(b"\0"):
        return None
    scan = np.frombuffer(data, np.uint8, end - offset, offset)
    following = scan[1:][scan[:-1] == _MARKER]
    markers = following[following != 0]
    restarts = ((markers & _RESTART_BITS) == _RESTART).all()  # of nothing at all it is true
    return end + len(_EOI) if restarts else None
