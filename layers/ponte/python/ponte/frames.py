"""Where each frame lies in encapsulated pixel data (PS3.5 A.4)."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence

from ponte.errors import CannotDecode

_ITEM = 0xE000FFFE
_END_OF_IMAGE = b"\xff\xd9"
_TAIL = 10  # where an end marker may stand: fragments are padded

Bytes = bytes | memoryview
Span = tuple[int, int]


class FrameIndex:
    """The fragments of each frame, found once; a frame is joined from them on demand.

    The number of frames is the header's: what exceeds it is left alone, what is missing raises on access.
    """

    def __init__(self, value: Bytes, frame_count: int, extended_offsets: Sequence[int] = ()) -> None:
        self._value = value
        items = list(item_spans(value))
        table, self._fragments = items[:1], items[1:]
        self._starts = self._frame_starts(frame_count, table, extended_offsets)

    @property
    def fragment_count(self) -> int:
        """Items of the pixel data besides the offset table."""
        return len(self._fragments)

    def frame(self, index: int) -> bytes:
        """The encoded bytes of a frame. Raises `CannotDecode` (PIXEL_LENGTH) where they are missing."""
        if index >= len(self._starts):
            raise CannotDecode(
                f"Pixel Data (7FE0,0010) ends before frame {index + 1}; bytes are missing",
                code="PIXEL_LENGTH",
            )
        last = self._starts[index + 1] if index + 1 < len(self._starts) else len(self._fragments)
        spans = self._fragments[self._starts[index] : last]
        return b"".join(self._value[start:end] for start, end in spans)

    def _frame_starts(
        self, frame_count: int, table: list[Span], extended_offsets: Sequence[int]
    ) -> Sequence[int]:
        """The number of the first fragment of each frame."""
        if frame_count == 1:
            return (0,) if self._fragments else ()
        if len(self._fragments) == frame_count:
            return range(frame_count)
        base = table[0][1] if table else 0
        for offsets in (extended_offsets, _basic_offsets(self._value, table)):
            if len(offsets) == frame_count and (starts := self._at(base, offsets)):
                return starts
        return self._by_end_marker()

    def _at(self, base: int, offsets: Sequence[int]) -> list[int]:
        """Offsets to numbers of fragments; nothing where one of them is not the start of an item."""
        begins = [start - 8 - base for start, _ in self._fragments]
        starts = [bisect_left(begins, offset) for offset in offsets]
        right = all(
            n < len(begins) and begins[n] == offset for n, offset in zip(starts, offsets, strict=True)
        )
        return starts if right and starts == sorted(set(starts)) else []

    def _by_end_marker(self) -> list[int]:
        """Without a table that can be believed, a frame ends where its codestream does."""
        starts, at_start = [], True
        for number, (start, end) in enumerate(self._fragments):
            if at_start:
                starts.append(number)
            at_start = _END_OF_IMAGE in bytes(self._value[max(start, end - _TAIL) : end])
        return starts


def item_spans(value: Bytes) -> list[Span]:
    """Start and end of each item's value, the offset table first."""
    spans, offset = [], 0
    while offset + 8 <= len(value):
        tag, length = struct.unpack_from("<LL", value, offset)
        if tag != _ITEM or offset + 8 + length > len(value):
            break
        spans.append((offset + 8, offset + 8 + length))
        offset += 8 + length
    return spans


def _basic_offsets(value: Bytes, table: list[Span]) -> tuple[int, ...]:
    if not table:
        return ()
    start, end = table[0]
    return struct.unpack_from(f"<{(end - start) // 4}L", value, start)
