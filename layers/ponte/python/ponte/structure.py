"""The skeleton of a DICOM stream: elements and where they end, without decoding a value.

pydicom ends in silence where the bytes end. This walk says whether every length fits, so that an instance
with missing bytes is never taken for a whole one. PS3.5 7, PS3.10 7.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ponte.errors import NotDicom

PREAMBLE = 128
MAX_DEPTH = 32
PIXEL_DATA = 0x7FE00010
TRANSFER_SYNTAX_UID = 0x00020010

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)

Bytes = bytes | memoryview


class Element(NamedTuple):
    """One element of the top level. `length` is what the value takes in the stream, delimiters included.

    `delimited` says that the stream does not say so, but has a delimiter at the value's end.
    """

    tag: int
    vr: bytes
    start: int
    length: int
    delimited: bool = False


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a dataset is written (PS3.5 A)."""

    implicit: bool
    little_endian: bool = True

    @property
    def order(self) -> str:
        return "<" if self.little_endian else ">"


EXPLICIT_LITTLE = Encoding(implicit=False)
IMPLICIT_LITTLE = Encoding(implicit=True)


def has_preamble(data: Bytes) -> bool:
    """True for 128 bytes and `DICM`."""
    return bytes(data[PREAMBLE : PREAMBLE + 4]) == b"DICM"


def looks_explicit(data: Bytes, offset: int) -> bool:
    """True where the element at `offset` holds a value representation: real files lie about it."""
    vr = bytes(data[offset + 4 : offset + 6])
    return len(vr) == 2 and vr.isalpha() and vr.isupper()


def meta_elements(data: Bytes, offset: int) -> tuple[list[Element], int]:
    """The elements of group 0002 from `offset` on, and where the dataset starts. Raises `NotDicom`."""
    found = []
    walker = _Walker(data, EXPLICIT_LITTLE)
    while bytes(data[offset : offset + 2]) == b"\x02\x00":
        element = walker.element(offset, 0)
        found.append(element)
        offset = element.start + element.length
    return found, offset


def walk(data: Bytes, offset: int, encoding: Encoding) -> Iterator[Element]:
    """Yield the elements of the top level in turn; ends without an error only on a whole dataset.

    Trailing zeros are taken as padding. Raises `NotDicom` with code TRUNCATED, BAD_LENGTH or TOO_DEEP.
    """
    walker = _Walker(data, encoding)
    while offset < len(data):
        if len(data) - offset < 8 and not any(data[offset:]):
            return
        element = walker.element(offset, 0)
        if element.tag == 0 and not any(data[offset:]):
            return
        yield element
        offset = element.start + element.length


class _Walker:
    def __init__(self, data: Bytes, encoding: Encoding) -> None:
        self._data = data
        self._end = len(data)
        self._implicit = encoding.implicit
        self._tag = struct.Struct(encoding.order + "HH").unpack_from
        self._short = struct.Struct(encoding.order + "H").unpack_from
        self._long = struct.Struct(encoding.order + "L").unpack_from

    def element(self, offset: int, depth: int) -> Element:
        """The element at `offset`, with all that is below it walked."""
        tag, vr, start, length = self._header(offset)
        if tag >> 16 == 0xFFFE:
            raise NotDicom("A delimiter stands where an element is expected", code="BAD_LENGTH")
        if length != _UNDEFINED:
            if start + length > self._end:
                raise _cut(tag)
            return Element(tag, vr, start, length)
        if tag == PIXEL_DATA or vr in (b"OB", b"OW"):
            end = self._fragments(tag, start)
        elif vr == b"UN" and not self._implicit:
            # CP-246: what an unknown sequence of undefined length holds is implicit little endian
            end = _Walker(self._data, IMPLICIT_LITTLE).sequence(tag, start, depth + 1)
        else:
            end = self.sequence(tag, start, depth + 1)
        return Element(tag, vr, start, end - start, delimited=True)

    def _header(self, offset: int) -> tuple[int, bytes, int, int]:
        """Tag, VR, start of the value and its length."""
        if offset + 8 > self._end:
            raise _cut(None)
        group, number = self._tag(self._data, offset)
        tag = group << 16 | number
        vr = bytes(self._data[offset + 4 : offset + 6])
        if self._implicit or group == 0xFFFE or not (vr.isalpha() and vr.isupper()):
            return tag, b"", offset + 8, self._long(self._data, offset + 4)[0]
        if vr not in _LONG_VRS:
            return tag, vr, offset + 8, self._short(self._data, offset + 6)[0]
        if offset + 12 > self._end:
            raise _cut(tag)
        return tag, vr, offset + 12, self._long(self._data, offset + 8)[0]

    def _fragments(self, tag: int, offset: int) -> int:
        """Walk the fragments of encapsulated pixel data (PS3.5 A.4); answers where they end."""
        while True:
            item, _, start, length = self._header(offset)
            if item == _SEQUENCE_END:
                return start
            if item != _ITEM or length == _UNDEFINED:
                raise _wrong(tag)
            offset = start + length
            if offset > self._end:
                raise _cut(tag)

    def sequence(self, tag: int, offset: int, depth: int) -> int:
        """Walk the items of a sequence of undefined length (PS3.5 7.5); answers where it ends."""
        if depth > MAX_DEPTH:
            raise NotDicom(f"Sequences are nested deeper than {MAX_DEPTH}", code="TOO_DEEP")
        while True:
            item, _, start, length = self._header(offset)
            if item == _SEQUENCE_END:
                return start
            if item != _ITEM:
                raise _wrong(tag)
            offset = self._item(start, depth) if length == _UNDEFINED else start + length
            if offset > self._end:
                raise _cut(tag)

    def _item(self, offset: int, depth: int) -> int:
        """Walk an item of undefined length; answers where it ends."""
        while True:
            tag, _, start, _ = self._header(offset)
            if tag == _ITEM_END:
                return start
            element = self.element(offset, depth)
            offset = element.start + element.length


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _cut(tag: int | None) -> NotDicom:
    where = "between two elements" if tag is None else f"within {_name(tag)}"
    return NotDicom(f"The instance ends {where}; bytes are missing", code="TRUNCATED")


def _wrong(tag: int) -> NotDicom:
    return NotDicom(f"{_name(tag)} holds something else than items", code="BAD_LENGTH")
