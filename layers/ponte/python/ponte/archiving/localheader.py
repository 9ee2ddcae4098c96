"""The header in front of each member, held against the directory before any member is read (4.3.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ponte.archiving.directory import (
    LOCAL_HEADER,
    LOCAL_SIGNATURE,
    Directory,
    Entry,
    Seekable,
    ambiguous,
    read_at,
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
    """The place of each entry, by its index. Costs a read for each.

    Raises `UnsafeArchive`: ZIP_HEADER_MISMATCH where a header has another name or is none, ZIP_OVERLAP,
    ZIP_AMBIGUOUS for a member between two members that the directory does not list.
    """
    entries = directory.entries
    limits = [*[entry.offset for entry in entries[1:]], directory.start]
    for entry, limit in zip(entries, limits, strict=True):
        place = _place(stream, entry)
        end = place.start + entry.compressed_size
        if end > limit:
            raise UnsafeArchive("Members overlap", code="ZIP_OVERLAP")
        _check_gap(stream, entry, end, limit)
        yield entry.index, place


def _place(stream: Seekable, entry: Entry) -> Place:
    data = read_at(stream, entry.offset, LOCAL_HEADER.size + len(entry.raw_name))
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


def _check_gap(stream: Seekable, entry: Entry, end: int, limit: int) -> None:
    """Between two members there may be a data descriptor or padding, and nothing that looks like a member."""
    gap = limit - end
    if not gap or (entry.flags & _DESCRIPTOR and gap in _DESCRIPTOR_BYTES):
        return
    if gap > _MOST_GAP or LOCAL_SIGNATURE in read_at(stream, end, gap):
        raise ambiguous("Between the members is what the directory does not list")
