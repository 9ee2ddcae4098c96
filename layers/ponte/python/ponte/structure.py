"""The skeleton of a DICOM stream: elements and where they end, without decoding a value.

pydicom ends in silence where the bytes end. This walk says whether every length fits, so that an instance
with missing bytes is never taken for a whole one. It also counts: what a reader would have to keep of a
header is bounded before one is asked to. PS3.5 7, PS3.10 7.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydicom._dicom_dict import DicomDictionary
from pydicom.valuerep import VR

from ponte.errors import NotDicom

PREAMBLE = 128
MAX_DEPTH = 32
MAX_ELEMENTS = 100_000
MAX_ITEMS = 100_000
MAX_FRAME_ELEMENTS = 1_000_000
MAX_FRAME_ITEMS = 400_000
"""Those of the functional groups of frames, about 35 and 10 a frame: they are read one frame at a time."""
MAX_HEADER_BYTES = 64 << 20
PIXEL_DATA = 0x7FE00010
FRAME_GROUPS = 0x52009230
TRANSFER_SYNTAX_UID = 0x00020010

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
_DELIMITER = 8  # bytes of one
LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_VRS = frozenset(vr.encode("ascii") for vr in VR if len(vr) == 2)
_BULK_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN"})
_MAYBE_SEQUENCE = frozenset({b"SQ", b"UN", b""})
_LIMITS = frozenset({"TOO_DEEP", "TOO_MANY"})
_SMALL = 512  # elements are limited in number: short values need not be added up
_BULK_GROUP = 0x7FE0
_ENCAPSULATED_DOCUMENT = 0x00420011

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

    Trailing zeros are taken as padding. Raises `NotDicom` with code TRUNCATED, BAD_LENGTH, TOO_DEEP,
    TOO_MANY or HEADER_TOO_LARGE.
    """
    walker = _Walker(data, encoding)
    header = 0
    end = len(data)
    while offset < end:
        if end - offset < 8 and not any(data[offset:]):
            return
        element = walker.element(offset, 0)
        if element.tag == 0 and not any(data[offset:]):
            return
        if element.length > _SMALL and not is_bulk(element.tag, element.vr):
            header += element.length
            if header > MAX_HEADER_BYTES:
                raise NotDicom(f"The header exceeds {MAX_HEADER_BYTES} bytes", code="HEADER_TOO_LARGE")
        yield element
        offset = element.start + element.length


def sequence_items(value: Bytes, encoding: Encoding) -> list[tuple[int, int]]:
    """Start and end of each item of a sequence, given the sequence's value. Raises `NotDicom`."""
    return list(_Walker(value, encoding, of_frames=True).items())


def is_bulk(tag: int, vr: bytes) -> bool:
    """True for what is no header: pixels, waveforms, documents."""
    return vr in _BULK_VRS or tag >> 16 == _BULK_GROUP or tag == _ENCAPSULATED_DOCUMENT


class _Walker:
    def __init__(self, data: Bytes, encoding: Encoding, *, of_frames: bool = False) -> None:
        self._data = data
        self._end = len(data)
        self._encoding = encoding
        self._of_frames = of_frames
        self._frames: _Walker | None = None
        self._most_elements = MAX_FRAME_ELEMENTS if of_frames else MAX_ELEMENTS
        self._most_items = MAX_FRAME_ITEMS if of_frames else MAX_ITEMS
        self._implicit = encoding.implicit
        self._head = struct.Struct(encoding.order + "HH2sH").unpack_from
        self._long = struct.Struct(encoding.order + "L").unpack_from
        self._item_start = struct.pack(encoding.order + "HH", ITEM >> 16, ITEM & 0xFFFF)
        self._elements = self._items = 0

    def element(self, offset: int, depth: int) -> Element:
        """The element at `offset`, with all that is below it walked."""
        tag, vr, start, length = self._header(offset)
        self._elements += 1
        if self._elements > self._most_elements:
            raise too_many("elements", self._most_elements)
        if tag >> 16 == 0xFFFE:
            raise NotDicom("A delimiter stands where an element is expected", code="BAD_LENGTH")
        if tag == FRAME_GROUPS and depth == 0 and not self._of_frames:
            return self._frame_groups(offset)
        if length != UNDEFINED:
            if start + length > self._end:
                raise cut(tag)
            if length >= 8 and vr in _MAYBE_SEQUENCE:
                self._defined(tag, vr, start, length, depth + 1)
            return Element(tag, vr, start, length)
        if tag == PIXEL_DATA or vr in (b"OB", b"OW"):
            end = self._fragments(tag, start)
        elif vr == b"UN" and not self._implicit:
            end = self._unknown(tag, start, depth + 1)
        else:
            end = self.sequence(tag, start, depth + 1)
        return Element(tag, vr, start, end - start, delimited=True)

    def _frame_groups(self, offset: int) -> Element:
        """The functional groups of the frames, which have limits of their own, however often they come."""
        if self._frames is None:
            self._frames = _Walker(self._data, self._encoding, of_frames=True)
        return self._frames.element(offset, 0)

    def items(self) -> Iterator[tuple[int, int]]:
        """Start and end of each item from the beginning on, to the end or a delimiter."""
        offset = 0
        while offset < self._end:
            item, _, start, length = self._header(offset)
            if item == SEQUENCE_END:
                return
            if item != ITEM:
                raise not_items(FRAME_GROUPS)
            self._count_item()
            offset = self._item(start, 1) if length == UNDEFINED else start + length
            yield start, offset - (_DELIMITER if length == UNDEFINED else 0)

    def _header(self, offset: int) -> tuple[int, bytes, int, int]:
        """Tag, VR, start of the value and its length."""
        if offset + 8 > self._end:
            raise cut(None)
        group, number, vr, length = self._head(self._data, offset)
        tag = group << 16 | number
        if self._implicit or group == 0xFFFE or not (vr in _VRS or (vr.isalpha() and vr.isupper())):
            return tag, b"", offset + 8, self._long(self._data, offset + 4)[0]
        if vr not in LONG_VRS:
            return tag, vr, offset + 8, length
        if offset + 12 > self._end:
            raise cut(tag)
        return tag, vr, offset + 12, self._long(self._data, offset + 8)[0]

    def _count_item(self) -> None:
        self._items += 1
        if self._items > self._most_items:
            raise too_many("items", self._most_items)

    def _fragments(self, tag: int, offset: int) -> int:
        """Walk the fragments of encapsulated pixel data (PS3.5 A.4); answers where they end."""
        while True:
            item, _, start, length = self._header(offset)
            if item == SEQUENCE_END:
                return start
            if item != ITEM or length == UNDEFINED:
                raise not_items(tag)
            self._count_item()
            offset = start + length
            if offset > self._end:
                raise cut(tag)

    def _unknown(self, tag: int, offset: int, depth: int) -> int:
        """CP-246: what an unknown sequence of undefined length holds is implicit little endian."""
        walker = _Walker(self._data, IMPLICIT_LITTLE)
        walker._end, walker._elements, walker._items = self._end, self._elements, self._items
        end = walker.sequence(tag, offset, depth)
        self._elements, self._items = walker._elements, walker._items
        return end

    def _defined(self, tag: int, vr: bytes, start: int, length: int, depth: int) -> None:
        """Walk a value that is, or may be, a sequence of defined length.

        Where the VR does not say so, items that make no sense are taken for bytes: they may be.
        """
        if bytes(self._data[start : start + 4]) != self._item_start:
            if vr == b"SQ":
                raise not_items(tag)
            return
        outer, self._end = self._end, start + length
        try:
            self.sequence(tag, start, depth, defined=True)
        except NotDicom as error:
            if vr == b"SQ" or error.code in _LIMITS:
                raise
        finally:
            self._end = outer

    def sequence(self, tag: int, offset: int, depth: int, *, defined: bool = False) -> int:
        """Walk the items of a sequence (PS3.5 7.5); answers where it ends."""
        if depth > MAX_DEPTH:
            raise NotDicom(f"Sequences are nested deeper than {MAX_DEPTH}", code="TOO_DEEP")
        while not (defined and offset == self._end):
            item, _, start, length = self._header(offset)
            if item == SEQUENCE_END:
                return start
            if item != ITEM:
                raise not_items(tag)
            self._count_item()
            offset = (
                self._item(start, depth)
                if length == UNDEFINED
                else self._defined_item(tag, start, length, depth)
            )
        return offset

    def _item(self, offset: int, depth: int) -> int:
        """Walk an item of undefined length; answers where it ends."""
        while True:
            tag, _, start, _ = self._header(offset)
            if tag == ITEM_END:
                return start
            element = self.element(offset, depth)
            offset = element.start + element.length

    def _defined_item(self, tag: int, offset: int, length: int, depth: int) -> int:
        """Walk an item of defined length; answers where it ends."""
        end = offset + length
        if end > self._end:
            raise cut(tag)
        outer, self._end = self._end, end
        try:
            while offset < end:
                element = self.element(offset, depth)
                offset = element.start + element.length
        finally:
            self._end = outer
        return end


def tag_name(tag: int) -> str:
    """`Rows (0028,0010)`, as error texts name an element; the tag alone where the standard has no name."""
    number = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    name = DicomDictionary[tag][2] if tag in DicomDictionary else ""
    return f"{name} {number}" if name else number


def cut(tag: int | None) -> NotDicom:
    """The error for a dataset that ends within the element, or between two."""
    where = "between two elements" if tag is None else f"within {tag_name(tag)}"
    return NotDicom(f"The instance ends {where}; bytes are missing", code="TRUNCATED")


def not_items(tag: int) -> NotDicom:
    """The error for a sequence that holds none."""
    return NotDicom(f"{tag_name(tag)} holds something else than items", code="BAD_LENGTH")


def too_many(what: str, limit: int) -> NotDicom:
    """The error for a header beyond a limit."""
    return NotDicom(f"The instance has more than {limit} {what}", code="TOO_MANY")
