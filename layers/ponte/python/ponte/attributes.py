"""Attributes read with suspicion: a broken value is never an exception of pydicom's.

Callers read within `ponte.quiet.quiet()`, once for each dataset.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final

from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from ponte.errors import InvalidAttribute, MissingAttribute
from ponte.quiet import BROKEN_INPUT

_SHOWN = 24  # characters of a wrong value that an error text quotes

_PLAIN_VRS: Final = frozenset({"CS", "DS", "IS", "UI", "UL", "US"})
"""What these mean depends on nothing else in the dataset; none of them holds what people wrote."""

_PLAIN_LENGTH = 256


def describe(keyword: str) -> str:
    """`Bits Allocated (0028,0100)`, as error texts name an attribute."""
    tag = keyword_dict.get(keyword, 0)
    words = "".join(" " + c if c.isupper() and i else c for i, c in enumerate(keyword))
    return f"{words} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def values(dataset: Dataset, keyword: str) -> tuple[Any, ...]:
    """All values of the attribute; none where it is absent, empty or unreadable."""
    tag, vr = _tag_and_vr(keyword)
    try:
        element = dataset._dict.get(tag)  # noqa: SLF001  (`get_item` costs twice as much, 60 times an image)
        if element is None:
            return ()
        if isinstance(element, RawDataElement) and _is_plain(element, vr):
            return _converted(keyword, element.value, element.is_little_endian)
        return _tuple(dataset.get(keyword))
    except BROKEN_INPUT:
        return ()


def _is_plain(raw: RawDataElement, vr: str) -> bool:
    """True where the element can be converted by itself."""
    return vr in _PLAIN_VRS and raw.VR in (vr, None) and 0 < raw.length <= _PLAIN_LENGTH


@lru_cache(maxsize=2048)
def _converted(keyword: str, value: bytes, little_endian: bool) -> tuple[Any, ...]:
    """pydicom's conversion, once for all the instances of a series that say the same."""
    tag, vr = _tag_and_vr(keyword)
    raw = RawDataElement(tag, vr, len(value), value, 0, False, little_endian)
    return _tuple(convert_raw_data_element(raw).value)


@cache
def _tag_and_vr(keyword: str) -> tuple[BaseTag, str]:
    number = keyword_dict[keyword]
    return tag_of(number), dictionary_VR(number)


@lru_cache(maxsize=4096)
def tag_of(number: int) -> BaseTag:
    """The tag of a number, the same object each time: tags that are one need not be compared."""
    return BaseTag(number)


Excerpt = tuple[tuple[BaseTag, str | None, bytes | None, bool, bool], ...]
"""Some elements of a dataset as they stand there: equal for datasets that say the same of them."""


def excerpt(dataset: Dataset, keywords: Sequence[str]) -> Excerpt | None:
    """What the dataset says under these keywords; None where that is a sequence, or long."""
    found = []
    for keyword in keywords:
        tag, vr = _tag_and_vr(keyword)
        element = dataset._dict.get(tag)  # noqa: SLF001  (as above)
        if element is None:
            continue
        if not isinstance(element, RawDataElement) or element.length > _PLAIN_LENGTH:
            return None
        if vr == "SQ" and element.length:
            return None
        found.append((tag, element.VR, element.value, element.is_implicit_VR, element.is_little_endian))
    return tuple(found)


def dataset_of(said: Excerpt) -> Dataset:
    """A dataset of these elements alone: what is read from it depends on nothing else."""
    return Dataset(
        {
            tag: RawDataElement(tag, vr, len(value or b""), value, 0, implicit, little_endian)
            for tag, vr, value, implicit, little_endian in said
        }
    )


@lru_cache(maxsize=256)
def uid_of(value: str) -> UID:
    """The UID of a class or a syntax: pydicom checks each anew, and there are few."""
    return UID(value)


def _tuple(value: Any) -> tuple[Any, ...]:
    if value is None or (isinstance(value, str) and not value):
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(value)
    return (value,)


def first(dataset: Dataset, keyword: str) -> Any:
    """The first value of the attribute, or None."""
    found = values(dataset, keyword)
    return found[0] if found else None


def text(dataset: Dataset, keyword: str) -> str:
    """The first value as text without padding, "" where there is none."""
    value = first(dataset, keyword)
    if isinstance(value, bytes):  # text written as UN
        value = value.decode("ascii", "replace")
    return "" if value is None else str(value).strip(" \0")


def to_float(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def to_int(value: Any) -> int | None:
    """A whole number, or None."""
    number = to_float(value)
    return int(number) if number is not None and number == int(number) else None


def floats(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """All values as finite numbers; none at all where one of them is not."""
    numbers = tuple(number for value in values(dataset, keyword) if (number := to_float(value)) is not None)
    return numbers if len(numbers) == len(values(dataset, keyword)) else ()


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence; none where it is absent, empty or not a sequence."""
    return tuple(item for item in values(dataset, keyword) if isinstance(item, Dataset))


def required_int(dataset: Dataset, keyword: str, least: int, most: int) -> int:
    """A whole number in `least..most`. Raises `MissingAttribute`, `InvalidAttribute`."""
    raw = first(dataset, keyword)
    if raw is None:
        if keyword in dataset and not is_empty(dataset, keyword):
            raise InvalidAttribute(f"{describe(keyword)} cannot be read; expected {least} to {most}")
        raise MissingAttribute(f"{describe(keyword)} is absent; expected {least} to {most}")
    number = to_int(raw)
    if number is None or not least <= number <= most or len(values(dataset, keyword)) > 1:
        raise InvalidAttribute(f"{describe(keyword)} is {str(raw)[:_SHOWN]!r}; expected {least} to {most}")
    return number


def optional_int(dataset: Dataset, keyword: str, default: int, least: int, most: int) -> int:
    """As `required_int`, with a default where the attribute is absent or empty. Raises `InvalidAttribute`."""
    if keyword not in dataset or is_empty(dataset, keyword):
        return default
    return required_int(dataset, keyword, least, most)


def is_empty(dataset: Dataset, keyword: str) -> bool:
    """True where the element is there with a zero length."""
    try:
        return not dataset.get_item(keyword).value
    except BROKEN_INPUT:
        return False
