"""The ICC profile that a colour image comes with, checked before anybody else has to read it."""

from __future__ import annotations

import struct
from typing import Any, Final

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.errors import InvalidAttribute

MAX_BYTES: Final = 4 * 1024 * 1024
_HEADER: Final = 132  # with the number of tags
_TAG: Final = 12
_MAX_TAGS: Final = 100
_CLASSES: Final = frozenset({b"scnr", b"mntr", b"prtr", b"spac"})  # that PDF 32000-1, 8.6.5.5 allows
_CONNECTIONS: Final = frozenset({b"XYZ ", b"Lab "})
_SPACES: Final = {1: b"GRAY", 3: b"RGB "}
_NEWEST: Final = 4


def profile_of(dataset: Dataset, samples: int) -> bytes | None:
    """ICC Profile (0028,2000) of a picture of so many samples a pixel, or of its first optical path.

    None where there is none. Raises `InvalidAttribute` for one that is no profile of such pictures, is not
    whole, or is above `MAX_BYTES`. PS3.3 C.11.15; ICC.1:2004-10, 7.
    """
    for holder in (dataset, *attributes.items(dataset, "OpticalPathSequence")[:1]):
        found: Any = attributes.first(holder, "ICCProfile")
        if isinstance(found, bytes) and found:
            return _checked(found, samples)
    return None


def _checked(data: bytes, samples: int) -> bytes:
    if not _HEADER <= len(data) <= MAX_BYTES:
        raise InvalidAttribute(f"ICC Profile (0028,2000) is {len(data)} bytes; expected up to {MAX_BYTES}")
    size, version, kind, space, connection, signature, tags = struct.unpack(
        ">I4xB3x4s4s4s12x4s88xI", data[:_HEADER]
    )
    sound = (
        _HEADER + _TAG * tags <= size <= len(data)
        and version <= _NEWEST
        and kind in _CLASSES
        and space == _SPACES.get(samples)
        and connection in _CONNECTIONS
        and signature == b"acsp"
        and 0 < tags <= _MAX_TAGS
        and _tags_lie_within(data, tags, size)
    )
    if not sound:
        raise InvalidAttribute(f"ICC Profile (0028,2000) is none of pictures with {samples} samples a pixel")
    return data[:size]  # DICOM pads to even length


def _tags_lie_within(data: bytes, tags: int, size: int) -> bool:
    table = struct.iter_unpack(">4sII", data[_HEADER : _HEADER + _TAG * tags])
    return all(offset + length <= size for _, offset, length in table)
