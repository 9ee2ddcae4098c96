"""Whether two instances say the same, however each is written.

A system that takes instances apart and writes them anew changes group lengths, the lengths of sequences,
padding, and what the transfer syntax changes; nothing else may differ.
"""

from __future__ import annotations

from io import BytesIO
from typing import Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, parse_basic_offsets
from pydicom.tag import BaseTag

from ponte.errors import PonteError
from ponte.instance import open_instance
from ponte.quiet import BROKEN_INPUT, quiet
from ponte.structure import PIXEL_DATA

_TRAILING_PADDING: Final = 0xFFFCFFFC  # Data Set Trailing Padding, PS3.10 7.2
_PADS = (b"\0", b" ")


def same_dataset(one: bytes, other: bytes) -> bool:
    """True where both are instances whose datasets have the same elements with the same values.

    Preamble and file meta do not count (PS3.10 7.1), group lengths and trailing padding neither. What cannot
    be read is the same as nothing.
    """
    with quiet():
        try:
            return _same(open_instance(one), open_instance(other))
        except (PonteError, *BROKEN_INPUT):
            return False


def _same(one: Dataset, other: Dataset) -> bool:
    tags = _tags(one)
    return tags == _tags(other) and all(_same_element(one, other, tag) for tag in tags)


def _tags(dataset: Dataset) -> list[BaseTag]:
    return [tag for tag in sorted(dataset.keys()) if tag.element and tag != _TRAILING_PADDING]


def _same_element(one: Dataset, other: Dataset, tag: BaseTag) -> bool:
    """By their bytes where those are the same, else by what they mean."""
    first, second = one.get_item(tag), other.get_item(tag)
    if _is_plain(first, second) and _same_bytes(first.value, second.value):
        return True
    left, right = one[tag], other[tag]
    if left.VR == "SQ" or right.VR == "SQ":
        return (
            left.VR == right.VR
            and len(left.value) == len(right.value)
            and all(map(_same, left.value, right.value))
        )
    if tag == PIXEL_DATA and left.is_undefined_length and right.is_undefined_length:
        return _fragments(left.value) == _fragments(right.value)
    return bool(left.value == right.value)


def _is_plain(*items: RawDataElement | DataElement) -> bool:
    """Bytes as they came, in one byte order."""
    return (
        all(isinstance(item, RawDataElement) and isinstance(item.value, bytes) for item in items)
        and len({item.is_little_endian for item in items if isinstance(item, RawDataElement)}) == 1
    )


def _same_bytes(one: bytes, other: bytes) -> bool:
    """But for the byte that makes a length even (PS3.5 6.2), which one of them may lack."""
    short, long = sorted((one, other), key=len)
    return short == long or (len(short) % 2 == 1 and any(short + pad == long for pad in _PADS))


def _fragments(value: bytes) -> list[bytes]:
    """Of encapsulated pixel data, without the offsets in front of them (PS3.5 A.4)."""
    stream = BytesIO(value)
    parse_basic_offsets(stream)
    return list(generate_fragments(stream))
