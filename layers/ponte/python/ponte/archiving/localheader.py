"""The header in front of each member, held against the directory before any member is read (4.3.7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ponte.archiving.directory import (
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    Directory,
    Entry,
    Seekable,
    Span,
    ambiguous,
    read_spans,
)
from ponte.errors import UnsafeArchive

ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_DESCRIPTOR = 0x0008
_DESCRIPTOR_BYTES = (12, 16, 20, 24)
_MOST_GAP = 1 << 20
_32_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Place:
    """Where a member's data start, and whether its own header says of them what the directory says."""

    start: int
    agrees: bool


def places(stream: Seekable, directory: Directory) -> Iterator[tuple[int, Place]]:
    """The place of each entry, by its index. Costs a read for each, which a source may answer side by side.

    Raises `UnsafeArchive`: ZIP_HEADER_MISMATCH where a header has another name or is none, ZIP_OVERLAP,
    ZIP_AMBIGUOUS for a member between two members that the directory does not list.
    """
    entries = directory.entries
    limits = [*[entry.offset for entry in entries[1:]], directory.start]
    headers = read_spans(stream, [(e.offset, LOCAL_HEADER.size + len(e.raw_name)) for e in entries])
    gaps: list[Span] = []
    for entry, data, limit in zip(entries, headers, limits, strict=True):
        place = _place(entry, data)
        end = place.start + entry.compressed_size
        if end > limit:
            raise UnsafeArchive("Members overlap", code="ZIP_OVERLAP")
        if not _is_usual_gap(entry, limit - end):
            gaps.append((end, limit - end))
        yield entry.index, place
    _check_gaps(stream, gaps)


def _place(entry: Entry, data: bytes) -> Place:
    fields = LOCAL_HEADER.unpack_from(data)
    signature, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = fields
    name = data[LOCAL_HEADER.size :]
    if signature != LOCAL_SIGNATURE or name_length != len(name) or name != entry.raw_name:
        raise UnsafeArchive("A member has another name than in the directory", code="ZIP_HEADER_MISMATCH")
    agrees = method == entry.method and not (flags ^ entry.flags) & ENCRYPTED
    if not flags & _DESCRIPTOR:
        agrees = agrees and crc == entry.crc
        agrees = agrees and size in (entry.size, _32_BITS) and compressed in (entry.compressed_size, _32_BITS)
    return Place(entry.offset + len(data) + extra_length, agrees)


def _is_usual_gap(entry: Entry, gap: int) -> bool:
    """True for no gap, and for one that a data descriptor fills."""
    return not gap or bool(entry.flags & _DESCRIPTOR and gap in _DESCRIPTOR_BYTES)


def _check_gaps(stream: Seekable, gaps: Sequence[Span]) -> None:
    """Between two members there may be padding, and nothing that looks like a member."""
    too_wide = any(size > _MOST_GAP for _, size in gaps)
    if too_wide or any(LOCAL_SIGNATURE in data for data in read_spans(stream, gaps)):
        raise ambiguous("Between the members is what the directory does not list")
