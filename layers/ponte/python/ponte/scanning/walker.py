"""A walk over the elements of a dataset whose bytes come in pieces, however they are cut.

It shares tables and limits with `ponte.structure`, which walks over bytes that are all there. It is the
stricter of the two, because what passes is sent on to others: the order of the tags, the groups, and the VR
of each element are checked as well, and what the dictionary calls a sequence must be one. Values are neither
kept nor looked at, but for the few asked for. PS3.5 7.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, Final

from pydicom._dicom_dict import DicomDictionary

from ponte import structure
from ponte.errors import NotDicom
from ponte.structure import (
    EXPLICIT_LITTLE,
    FRAME_GROUPS,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    Encoding,
    cut,
    is_bulk,
    not_items,
    tag_name,
    too_many,
)

FLOAT_PIXEL_DATA: Final = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA: Final = 0x7FE00009

_PIXELS = frozenset({FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA, PIXEL_DATA})
_KEPT_BYTES = 1024  # of a value that is asked for; none that may be is as long
_HEADER, _LONG_HEADER, _PEEK = 8, 12, 4
_DELIMITERS, _META = 0xFFFE, 0x0002
_FORBIDDEN_GROUPS = frozenset({0x0000, _META})
_LIMITS = frozenset({"TOO_DEEP", "TOO_MANY", "HEADER_TOO_LARGE"})

_VRS: Final = {0x00020000: b"UL"} | dict.fromkeys(
    (0x00020002, 0x00020003, 0x00020010, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E), b"UI"
)
"""What names an instance, and what is read to find it: but for UN, other readers do not under another VR."""
_CODES: Final = {"UL": "BAD_LENGTH", "UI": "BAD_UID"}

_Structs = tuple[struct.Struct, struct.Struct, struct.Struct]
_STRUCTS: dict[bool, _Structs] = {
    little: (struct.Struct(order + "HHL"), struct.Struct(order + "H"), struct.Struct(order + "L"))
    for little, order in ((True, "<"), (False, ">"))
}


class PixelWatch:
    """Who is told of the pixel data of the top level; this one does not care.

    Each call may raise a `PonteError`, which ends the walk. `wants_bytes` is False where the rest of the
    fragment may be passed over.
    """

    wants_bytes = False

    def native(self, tag: int, length: int) -> None:
        """Pixels that are not encapsulated."""

    def fragment(self, length: int) -> None:
        """An item of encapsulated pixel data begins; the first of all is the offset table."""

    def piece(self, data: bytes) -> None:
        """The next bytes of the fragment."""

    def end(self) -> None:
        """The encapsulated pixel data are over."""


class _Counts:
    """Elements and items so far, and how many there may be."""

    __slots__ = ("elements", "items", "most_elements", "most_items")

    def __init__(self, most_elements: int, most_items: int) -> None:
        self.elements = self.items = 0
        self.most_elements = most_elements
        self.most_items = most_items

    def element(self) -> None:
        self.elements += 1
        if self.elements > self.most_elements:
            raise too_many("elements", self.most_elements)

    def item(self) -> None:
        self.items += 1
        if self.items > self.most_items:
            raise too_many("items", self.most_items)


class _Level:
    """A dataset, a sequence, an item or a run of fragments that is not over yet.

    `state` reads what comes next in it: a function, not a method of the walker, because two that know each
    other outlive the scan. `end` is where it ends, None where a delimiter says so; `bound` is what nothing in
    it may go beyond. `guessed` marks a value that holds items by its looks alone, and all that is in it.
    `counts` are the same for all that is limited together; `tags` are those of the elements so far.
    """

    __slots__ = ("bound", "counts", "encoding", "end", "guessed", "state", "tag", "tags")

    def __init__(
        self,
        state: Callable[[Any], bool],
        encoding: Encoding,
        tag: int,
        counts: _Counts,
        end: int | None = None,
        bound: int | None = None,
        guessed: bool = False,
    ) -> None:
        self.state = state
        self.encoding = encoding
        self.tag = tag
        self.counts = counts
        self.end = end
        self.bound = bound if end is None else end
        self.guessed = guessed
        self.tags = array("I")


class Walker:
    """Walks over a dataset as far as there are bytes. `values` has what was kept; None is a value too long.

    `feed` and `finish` raise `NotDicom`: TRUNCATED, BAD_LENGTH, BAD_GROUP, TAG_ORDER, DUPLICATE_TAG,
    TOO_DEEP, TOO_MANY, HEADER_TOO_LARGE; and what `pixels` raises. It depends on the bytes which, never on
    how they are cut.
    """

    _forbidden = _FORBIDDEN_GROUPS

    def __init__(self, encoding: Encoding, keep: frozenset[int], pixels: PixelWatch) -> None:
        self.values: dict[int, bytes | None] = {}
        self._keep = keep
        self._pixels = pixels
        self._data = b""
        self._at = 0  # in `_data`
        self._base = 0  # where `_data` begins in the dataset
        self._skip = 0  # bytes of a value that nobody wants
        self._pieces = 0  # bytes of a fragment that somebody may want
        self._awaited: tuple[int, int] | None = None  # tag and length of a value to keep
        self._header_bytes = 0
        counts = _Counts(structure.MAX_ELEMENTS, structure.MAX_ITEMS)
        self._levels = [_Level(Walker._element, encoding, 0, counts)]

    @property
    def offset(self) -> int:
        """Bytes walked over."""
        return self._base + self._at

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; they are copied only where they matter."""
        if not self._data and self._skip >= len(data):
            self._skip -= len(data)
            self._base += len(data)
            return
        self._data = self._data + data if self._data else bytes(data)
        while self._advance():
            pass
        self._base, self._data, self._at = self.offset, self._data[self._at :], 0

    def finish(self) -> None:
        """Say that no more bytes come."""
        if self._skip or self._pieces or self._awaited or len(self._levels) > 1:
            raise cut(self._levels[-1].tag or None)
        if any(self._data):
            raise cut(None)

    def _advance(self) -> bool:
        """One step; False where there are not enough bytes for it."""
        if self._skip:
            return self._pass_over()
        if self._awaited:
            return self._keep_value(*self._awaited)
        if self._pieces:
            return self._hand_on()
        level = self._levels[-1]
        if level.end == self.offset:
            self._levels.pop()
            return True
        try:
            return level.state(self)
        except NotDicom as error:
            if error.code in _LIMITS or not self._take_for_bytes():
                raise
            return True

    def _pass_over(self) -> bool:
        step = min(self._skip, len(self._data) - self._at)
        self._at += step
        self._skip -= step
        return self._skip == 0

    def _keep_value(self, tag: int, length: int) -> bool:
        if len(self._data) - self._at < length:
            return False
        self.values[tag] = self._data[self._at : self._at + length]
        self._at += length
        self._awaited = None
        return True

    def _hand_on(self) -> bool:
        """Give bytes of the fragment to who watches, as long as they are wanted."""
        if not self._pixels.wants_bytes:
            self._skip, self._pieces = self._pieces, 0
            return True
        piece = self._data[self._at : self._at + self._pieces]
        self._at += len(piece)
        self._pieces -= len(piece)
        if piece:
            self._pixels.piece(piece)
        return self._pieces == 0

    def _take_for_bytes(self) -> bool:
        """Where it was a guess that a value holds items, pass over it: it may be anything."""
        for depth, level in enumerate(self._levels):
            if level.guessed and level.end is not None:  # the outermost: those below may have no end
                del self._levels[depth:]
                self._skip = level.end - self.offset
                return True
        return False

    def _element(self) -> bool:
        """An element of a dataset or of an item, or the delimiter of the item."""
        level = self._levels[-1]
        header = self._read_header(level)
        if header is None:
            return False
        tag, vr, length, size = header
        if tag >> 16 == _DELIMITERS:
            self._close_item(tag, level)
            self._at += size
            return True
        if tag == 0 and len(self._levels) == 1:
            level.state = Walker._padding
            return True
        if vr and not _is_vr(vr):
            raise NotDicom(f"{tag_name(tag)} has no value representation", code="BAD_LENGTH")
        known = vr or _dictionary_vr(tag)
        holds_items = self._holds_items(tag, known, length, size, level)
        if holds_items is None:
            return False
        self._check_tag(tag, level)
        self._at += size
        if length == UNDEFINED:
            self._open_undefined(tag, vr, level.encoding)
        elif holds_items:
            self._open(Walker._item, level.encoding, tag, self.offset + length, guessed=known != b"SQ")
        else:
            self._leaf(tag, known, length)
        return True

    def _read_header(self, level: _Level) -> tuple[int, bytes, int, int] | None:
        """Tag, VR, length of the value, bytes of the header; None where they are not all there."""
        data, at = self._data, self._at
        if level.bound is not None and level.bound - self.offset < _HEADER:
            raise _beyond(level.tag)
        if len(data) - at < _HEADER:
            return None
        whole, short, long = _STRUCTS[level.encoding.little_endian]
        group, number, length = whole.unpack_from(data, at)
        tag = group << 16 | number
        if level.encoding.implicit or group == _DELIMITERS:
            return tag, b"", length, _HEADER
        vr = data[at + 4 : at + 6]
        if level.guessed and not _is_vr(vr):  # of unknown VR is what was implicit once: PS3.5 6.2.2
            return tag, b"", length, _HEADER
        if vr not in LONG_VRS:
            return tag, vr, short.unpack_from(data, at + 6)[0], _HEADER
        if level.bound is not None and level.bound - self.offset < _LONG_HEADER:
            raise _beyond(level.tag)
        if len(data) - at < _LONG_HEADER:
            return None
        return tag, vr, long.unpack_from(data, at + 8)[0], _LONG_HEADER

    def _close_item(self, tag: int, level: _Level) -> None:
        if tag != ITEM_END or level.end is not None or len(self._levels) == 1:
            raise NotDicom("A delimiter stands where an element is expected", code="BAD_LENGTH")
        self._levels.pop()

    def _holds_items(self, tag: int, vr: bytes, length: int, size: int, level: _Level) -> bool | None:
        """True where a value of defined length is a sequence; None where that takes more bytes to say.

        In implicit VR the dictionary knows; what it does not know, or is of unknown VR, goes by its looks.
        """
        if length == UNDEFINED:
            return False
        if level.bound is not None and self.offset + size + length > level.bound:
            raise _beyond(tag)
        if vr == b"SQ":
            if 0 < length < _HEADER:
                raise not_items(tag)
            return length > 0
        if vr not in (b"", b"UN") or length < _HEADER:
            return False
        begin = self._at + size
        if len(self._data) < begin + _PEEK:
            return None
        group, number = struct.unpack_from(level.encoding.order + "HH", self._data, begin)
        return bool(group << 16 | number == ITEM)

    def _check_tag(self, tag: int, level: _Level) -> None:
        """Tags of a dataset come in ascending order, each once (PS3.5 7.1)."""
        level.counts.element()
        if tag >> 16 in self._forbidden:
            raise NotDicom(f"{tag_name(tag)} does not belong in a dataset", code="BAD_GROUP")
        tags = level.tags
        if tags and tag <= tags[-1]:
            seen = tags[bisect_left(tags, tag)] == tag
            said = "occurs twice" if seen else "comes behind a higher tag"
            raise NotDicom(f"{tag_name(tag)} {said}", code="DUPLICATE_TAG" if seen else "TAG_ORDER")
        tags.append(tag)

    def _open_undefined(self, tag: int, vr: bytes, encoding: Encoding) -> None:
        if tag == PIXEL_DATA or vr in (b"OB", b"OW"):
            watched = len(self._levels) == 1 and tag == PIXEL_DATA
            self._open(Walker._watched_fragment if watched else Walker._fragment, encoding, tag)
        elif vr == b"UN":  # its content is implicit little endian: PS3.5 6.2.2, CP-246
            self._open(Walker._item, IMPLICIT_LITTLE, tag)
        else:
            self._open(Walker._item, encoding, tag)

    def _open(
        self,
        state: Callable[[Any], bool],
        encoding: Encoding,
        tag: int,
        end: int | None = None,
        *,
        guessed: bool = False,
    ) -> None:
        """Go one level down; a sequence and its item are two levels, and one of nesting."""
        above = self._levels[-1]
        counts = above.counts
        if tag == FRAME_GROUPS and len(self._levels) == 1:
            counts = _Counts(structure.MAX_FRAME_ELEMENTS, structure.MAX_FRAME_ITEMS)
        guessed = guessed or above.guessed
        self._levels.append(_Level(state, encoding, tag, counts, end, above.bound, guessed))
        if len(self._levels) > 2 * structure.MAX_DEPTH + 1:
            raise NotDicom(f"Sequences are nested deeper than {structure.MAX_DEPTH}", code="TOO_DEEP")

    def _leaf(self, tag: int, vr: bytes, length: int) -> None:
        """A value that is passed over, unless it was asked for."""
        if len(self._levels) == 1 and vr not in (b"UN", _VRS.get(tag, vr)):
            expected = _VRS[tag].decode()
            raise NotDicom(f"{tag_name(tag)} is not of VR {expected}", code=_CODES[expected])
        if not is_bulk(tag, vr):
            self._header_bytes += length
            if self._header_bytes > structure.MAX_HEADER_BYTES:
                limit = structure.MAX_HEADER_BYTES
                raise NotDicom(f"The header exceeds {limit} bytes", code="HEADER_TOO_LARGE")
        if len(self._levels) == 1:
            if tag in _PIXELS:
                self._pixels.native(tag, length)
            if tag in self._keep:
                if length <= _KEPT_BYTES:
                    self._awaited = tag, length
                    return
                self.values[tag] = None
        self._skip = length

    def _item(self) -> bool:
        """An item of a sequence, or the sequence's delimiter (PS3.5 7.5)."""
        level = self._levels[-1]
        header = self._read_header(level)
        if header is None:
            return False
        tag, _, length, size = header
        if tag == SEQUENCE_END and level.end is None:
            self._levels.pop()
        else:
            end = self._begin_item(tag, length, size, level)
            self._open(Walker._element, level.encoding, level.tag, end)
        self._at += size
        return True

    def _begin_item(self, tag: int, length: int, size: int, level: _Level) -> int | None:
        """Where the item ends, None where a delimiter says so."""
        if tag != ITEM:
            raise not_items(level.tag)
        level.counts.item()
        if length == UNDEFINED:
            return None
        end = self.offset + size + length
        if level.bound is not None and end > level.bound:
            raise _beyond(level.tag)
        return end

    def _fragment(self) -> bool:
        return self._next_fragment(PixelWatch())

    def _watched_fragment(self) -> bool:
        return self._next_fragment(self._pixels)

    def _next_fragment(self, watch: PixelWatch) -> bool:
        """A fragment of encapsulated pixel data, or their end (PS3.5 A.4)."""
        level = self._levels[-1]
        header = self._read_header(level)
        if header is None:
            return False
        tag, _, length, size = header
        if tag == SEQUENCE_END:
            self._at += size
            self._levels.pop()
            watch.end()
            return True
        if self._begin_item(tag, length, size, level) is None:
            raise not_items(level.tag)
        self._at += size
        watch.fragment(length)
        if watch is self._pixels:
            self._pieces = length
        else:
            self._skip = length
        return True

    def _padding(self) -> bool:
        """Zeros behind the last element; anything else is of group 0000, which is for commands."""
        left = self._data[self._at :]
        if left != bytes(len(left)):
            raise NotDicom("(0000,0000) does not belong in a dataset", code="BAD_GROUP")
        self._at = len(self._data)
        return False


class MetaWalker(Walker):
    """Walks over the file meta information, which is over where another group begins (PS3.10 7.1).

    `is_over` says so; `take_rest` then gives what was fed of the dataset.
    """

    _forbidden = frozenset()

    def __init__(self, keep: frozenset[int]) -> None:
        super().__init__(EXPLICIT_LITTLE, keep, PixelWatch())
        self.is_over = False
        self._levels[0].state = MetaWalker._meta_element

    def take_rest(self) -> bytes:
        """What was fed behind the end, once."""
        rest, self._data = self._data, b""
        return rest

    def _meta_element(self) -> bool:
        group = self._data[self._at : self._at + 2]
        self.is_over = len(group) == 2 and group != _META.to_bytes(2, "little")
        return not self.is_over and self._element()


def _is_vr(vr: bytes) -> bool:
    return vr.isalpha() and vr.isupper()


def _dictionary_vr(tag: int) -> bytes:
    """The VR of a tag of the standard, the first of those it may have; b"" of any other tag."""
    entry = DicomDictionary.get(tag)
    return entry[0][:2].encode() if entry else b""


def _beyond(tag: int) -> NotDicom:
    return NotDicom(f"{tag_name(tag)} is longer than what holds it", code="BAD_LENGTH")
