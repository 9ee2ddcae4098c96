"""Attributes read with suspicion: a broken value is never an exception of pydicom's.

Callers read within `ponte.quiet.quiet()`, once for each dataset.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.datadict import keyword_dict
from pydicom.dataset import Dataset

from ponte.errors import InvalidAttribute, MissingAttribute
from ponte.quiet import BROKEN_INPUT

_SHOWN = 24  # characters of a wrong value that an error text quotes


def describe(keyword: str) -> str:
    """`Bits Allocated (0028,0100)`, as error texts name an attribute."""
    tag = keyword_dict.get(keyword, 0)
    words = "".join(" " + c if c.isupper() and i else c for i, c in enumerate(keyword))
    return f"{words} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def values(dataset: Dataset, keyword: str) -> tuple[Any, ...]:
    """All values of the attribute; none where it is absent, empty or unreadable."""
    try:
        value = dataset.get(keyword)
    except BROKEN_INPUT:
        return ()
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


def functional_group(dataset: Dataset, frame_index: int, keyword: str) -> Iterator[Dataset]:
    """The places that may describe a frame, the most specific first (PS3.3 C.7.6.16.1).

    First the frame's own functional group, then the shared one, then the dataset itself.
    """
    frames = values(dataset, "PerFrameFunctionalGroupsSequence")
    if frame_index < len(frames) and isinstance(frames[frame_index], Dataset):
        yield from items(frames[frame_index], keyword)[:1]
    for shared in items(dataset, "SharedFunctionalGroupsSequence")[:1]:
        yield from items(shared, keyword)[:1]
    yield dataset
