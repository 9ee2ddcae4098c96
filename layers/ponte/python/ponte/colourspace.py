"""The colour space and the sign that a code stream has, whatever the dataset says: files mislabel theirs.

ITU-T T.81 B.2.2 and B.2.4.6, T.871 (JFIF), T.872 (Adobe), T.800 A.6.1 (JPEG 2000).
"""

from __future__ import annotations

import struct
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

JpegColour = Literal["RGB", "YCBCR"]

_LOSSY_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_COD: Final = 0x52
_LAST: Final = frozenset({_COD, *range(0xC0, 0xC4), *range(0xC5, 0xC8), 0xD9, 0xDA, 0xF7})
_IMAGE: Final = b"\xff\x4f\xff\x51"
_JFIF, _ADOBE = (0xE0, b"JFIF\0"), (0xEE, b"Adobe")
_ADOBE_LENGTH: Final = 14  # real files have markers that are cut; those say nothing
PARTIAL: Final = frozenset({"YBR_PARTIAL_422", "YBR_PARTIAL_420"})
TRANSFORMED: Final = frozenset({"YBR_ICT", "YBR_RCT"})
_FROM_PARTIAL: Final = np.array([[1.1644, 1.1644, 1.1644], [0.0, -0.3917, 2.0173], [1.5960, -0.8129, 0.0]])
_PRECISION: Final = 42  # of the first component: its place in the code stream
_SEARCHED: Final = 4096  # bytes in front of a code stream that is wrapped in a file format


def jpeg_colour(data: bytes) -> JpegColour | None:
    """What a lossy JPEG of three components is coded in; None where it does not say.

    The Adobe marker says it, JFIF is always YCbCr, components named R, G and B are those, and nobody who
    keeps RGB halves the resolution of two of the colours.
    """
    found: JpegColour | None = None
    adobe: JpegColour | None = None
    for marker, segment in _segments(data, 2):
        if marker == _ADOBE[0] and segment.startswith(_ADOBE[1]) and len(segment) >= _ADOBE_LENGTH - 2:
            adobe = "YCBCR" if segment[11] else "RGB"
        if marker == _JFIF[0] and segment.startswith(_JFIF[1]):
            found = "YCBCR"
        if marker in _LOSSY_FRAMES:
            return adobe or found or _of_components(segment)
    return None


def is_transformed(data: bytes) -> bool:
    """True where a JPEG 2000 decoder undoes a colour transform on its own: what it answers is RGB then."""
    start = data.find(_IMAGE, 0, _SEARCHED)
    segments = _segments(data, start + 2) if start >= 0 else []
    coding = [segment for marker, segment in segments if marker == _COD]
    return bool(coding) and coding[0][4:5] == b"\x01"


def has_signed_samples(data: bytes) -> bool:
    """True for JPEG 2000 whose samples are signed (T.800 A.5.1): datasets that deny it are wrong."""
    start = data.find(_IMAGE, 0, _SEARCHED)
    return start >= 0 and data[start + _PRECISION : start + _PRECISION + 1] >= b"\x80"


def contradicts(data: bytes, photometric: str) -> bool:
    """True where the code stream says another colour space than the dataset; decoders follow the former."""
    if data.startswith(b"\xff\xd8"):
        coded = jpeg_colour(data)
        return coded is not None and (coded == "RGB") != (photometric == "RGB")
    if data.find(_IMAGE, 0, _SEARCHED) >= 0:
        return is_transformed(data) != (photometric in TRANSFORMED) and photometric != "RGB"
    return False


def from_partial(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colour of studio range to RGB: Y from 16 to 235, CB and CR from 16 to 240 (PS3.3 C.7.6.3.1.2)."""
    shifted = values.astype(np.float64) - (16, 128, 128)
    colours: npt.NDArray[np.float64] = np.floor(shifted @ _FROM_PARTIAL + 0.5)
    return np.clip(colours, 0, 255).astype(np.uint8)


def _segments(data: bytes, offset: int) -> list[tuple[int, bytes]]:
    """The marker segments up to the frame header or the coding style; fewer where the stream is broken."""
    found: list[tuple[int, bytes]] = []
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, offset + 1)
        if marker == 0xFF:
            offset += 1
            continue
        found.append((marker, data[offset + 4 : offset + 2 + length]))
        if marker in _LAST:
            break
        offset += 2 + length
    return found


def _of_components(frame: bytes) -> JpegColour | None:
    names, sampling = frame[6::3], frame[7::3]
    if names[:3] == b"RGB":
        return "RGB"
    return "YCBCR" if len(set(sampling)) > 1 else None
