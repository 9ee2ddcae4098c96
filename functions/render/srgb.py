"""The colour space that a document's colours are meant in: an ICC profile of sRGB, from its definition.

ICC.1:2004-10 (version 4.2, the newest that PDF 1.7 knows); primaries, white and curve of IEC 61966-2-1.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

NAME: Final = "sRGB IEC61966-2.1"

_PRIMARIES: Final = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_WHITE: Final = (0.3127, 0.3290)  # D65
_CONNECTION: Final = np.array([0.9642, 1.0, 0.8249])  # D50, in which profiles meet
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_CURVE: Final = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_HEADER: Final = 128

Matrix = npt.NDArray[np.float64]


@cache
def profile() -> bytes:
    """The profile."""
    adaptation = _adaptation()
    red, green, blue = (adaptation @ _colorants()).T
    curve = b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _numbers(_CURVE)
    tags = [
        (b"desc", _text(NAME)),
        (b"cprt", _text("No copyright, use freely")),
        (b"wtpt", _xyz(_CONNECTION)),
        (b"chad", b"sf32" + bytes(4) + _numbers(adaptation.ravel())),
        (b"rXYZ", _xyz(red)),
        (b"gXYZ", _xyz(green)),
        (b"bXYZ", _xyz(blue)),
        (b"rTRC", curve),
        (b"gTRC", curve),
        (b"bTRC", curve),
    ]
    return _assembled(tags)


def _colorants() -> Matrix:
    """XYZ of the primaries, in columns, so that they sum up to the white."""
    columns = np.array([_to_xyz(*primary) for primary in _PRIMARIES]).T
    return columns * np.linalg.solve(columns, _to_xyz(*_WHITE))


def _adaptation() -> Matrix:
    """From the white of sRGB to that of the connection space (ICC.1 annex E)."""
    gains = (_BRADFORD @ _CONNECTION) / (_BRADFORD @ _to_xyz(*_WHITE))
    adaptation: Matrix = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD
    return adaptation


def _to_xyz(x: float, y: float) -> Matrix:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _assembled(tags: list[tuple[bytes, bytes]]) -> bytes:
    """Header, table and tags; equal tags are held once."""
    table, data = b"", b""
    start = _HEADER + 4 + 12 * len(tags)
    places = dict[bytes, int]()
    for signature, content in tags:
        if content not in places:
            places[content] = start + len(data)
            data += content + bytes(-len(content) % 4)
        table += signature + struct.pack(">II", places[content], len(content))
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(">I4xI", _HEADER + len(body), 0x04200000) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _numbers(_CONNECTION)
    return header + bytes(_HEADER - len(header)) + body


def _text(text: str) -> bytes:
    """A multi-localised string (ICC.1 10.13)."""
    encoded = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xII2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _xyz(value: Matrix) -> bytes:
    return b"XYZ " + bytes(4) + _numbers(value)


def _numbers(values: Matrix | tuple[float, ...]) -> bytes:
    """s15Fixed16 numbers."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)
