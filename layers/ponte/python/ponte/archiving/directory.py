"""The directory of a ZIP, read so that there is one way to read it.

Readers differ in what they make of a damaged or doctored archive: which end record counts, whether the 64-bit
one is looked for, what may lie between the parts. Where two could differ, this one refuses. Python's own
reader fails as a whole at a name that is no UTF-8, allocates what the end record claims, and takes the second
of two archives for all there is. APPNOTE.TXT 4.3, 4.4.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from ponte.errors import UnsafeArchive

LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
LOCAL_SIGNATURE: Final = b"PK\x03\x04"

_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_END_64 = struct.Struct("<4sQ2H2L4Q")
_END_64_SIGNATURE = b"PK\x06\x06"
_LOCATOR = struct.Struct("<4sLQL")
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_EXTRA_64 = 0x0001
_NOTHING_DEFLATED = 2
_MOST_COMMENT = 0xFFFF
_16_BITS, _32_BITS = 0xFFFF, 0xFFFFFFFF
_UNIX = (3, 19)  # systems whose attributes hold a file mode: Unix, macOS


class Seekable(Protocol):
    """What an archive is read from: a file, or ranges of an object somewhere else."""

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def read(self, size: int, /) -> bytes | None:
        """At most so many bytes; none at the end alone."""
        ...


Span = tuple[int, int]
"""An offset, and a number of bytes."""


@runtime_checkable
class Spanned(Protocol):
    """A source for which many small reads at once cost less than one after the other."""

    def spans(self, wanted: Sequence[Span], /) -> Iterator[bytes]:
        """The bytes of each span, in their order; fewer only where the source ends."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as the directory has it; `offset` is from the start of the file. Not to be trusted yet.

    `version` is what it takes to read it, in tenths (4.4.3); `mode` the file mode of Unix, 0 where there is
    none.
    """

    index: int
    raw_name: bytes
    version: int
    flags: int
    method: int
    crc: int
    compressed_size: int
    size: int
    offset: int
    mode: int

    @property
    def is_folder(self) -> bool:
        """True for a name without content, which takes two bytes when it is deflated."""
        return self.raw_name.endswith(b"/") and not self.size and self.compressed_size <= _NOTHING_DEFLATED


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries by offset, where the directory starts, and how many bytes stand before the first member."""

    entries: tuple[Entry, ...]
    start: int
    prefix: int


@dataclass(frozen=True, slots=True)
class _End:
    """What the end record says. `position` is where the directory must end."""

    position: int
    count: int
    size: int
    offset: int


def read_directory(stream: Seekable, *, most_members: int, most_bytes: int) -> Directory:
    """Read the directory, no member. Raises `UnsafeArchive`.

    NOT_A_ZIP, ZIP_TRUNCATED, ZIP_AMBIGUOUS, ZIP_OVERLAP, ZIP_EMPTY; ZIP_LIMIT beyond `most_members` or
    `most_bytes` of directory.
    """
    end = _read_end(stream)
    if end.count > most_members or end.size > most_bytes:
        raise UnsafeArchive(
            f"More than {most_members} members or {most_bytes} bytes of names", code="ZIP_LIMIT"
        )
    start = end.position - end.size
    prefix = start - end.offset
    if start < 0 or prefix < 0:
        raise UnsafeArchive("Bytes before the directory are missing", code="ZIP_TRUNCATED")
    if not end.count and start:
        raise ambiguous("The directory is empty, the archive is not")
    entries = _read_entries(read_at(stream, start, end.size), end.count, prefix)
    if not any(not entry.is_folder for entry in entries):
        raise UnsafeArchive("The archive has no members", code="ZIP_EMPTY")
    entries.sort(key=lambda entry: entry.offset)
    _check_overlap(entries, start)
    _check_prefix(stream, entries[0].offset)
    return Directory(tuple(entries), start, entries[0].offset)


def read_at(stream: Seekable, offset: int, size: int) -> bytes:
    """Exactly these bytes. Raises `UnsafeArchive` (ZIP_TRUNCATED)."""
    stream.seek(offset)
    parts, left = [], size
    while left:
        part = stream.read(left)
        if not part:
            raise UnsafeArchive("The archive ends early", code="ZIP_TRUNCATED")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def read_spans(stream: Seekable, wanted: Sequence[Span]) -> Iterator[bytes]:
    """Exactly these bytes, in their order. Raises `UnsafeArchive` (ZIP_TRUNCATED)."""
    if not isinstance(stream, Spanned):
        yield from (read_at(stream, offset, size) for offset, size in wanted)
        return
    for data, (_, size) in zip(stream.spans(wanted), wanted, strict=True):
        if len(data) != size:
            raise UnsafeArchive("The archive ends early", code="ZIP_TRUNCATED")
        yield data


def _read_end(stream: Seekable) -> _End:
    """The one end record, which ends with the file (4.3.16)."""
    size = stream.seek(0, os.SEEK_END)
    tail_start = max(0, size - _END.size - _MOST_COMMENT)
    tail = read_at(stream, tail_start, size - tail_start)
    found = tail.rfind(_END_SIGNATURE)
    if found < 0:
        is_zip = read_at(stream, 0, min(size, 4)) == LOCAL_SIGNATURE
        raise UnsafeArchive("No end record", code="ZIP_TRUNCATED" if is_zip else "NOT_A_ZIP")
    if found + _END.size > len(tail):
        raise UnsafeArchive("The end record is cut", code="ZIP_TRUNCATED")
    _, disk, start_disk, here, count, directory_size, offset, comment = _END.unpack_from(tail, found)
    ends = found + _END.size + comment
    if ends > len(tail):
        raise UnsafeArchive("The end record is cut", code="ZIP_TRUNCATED")
    if ends < len(tail) or _has_other_end(tail, found):
        raise ambiguous("More than one end, or bytes behind it")
    end = _End(tail_start + found, count, directory_size, offset)
    if (disk, start_disk) not in ((0, 0), (_16_BITS, _16_BITS)) or here != count:
        raise UnsafeArchive("One part of an archive in several", code="ZIP_TRUNCATED")
    return _read_end_64(stream, end) or end


def _has_other_end(tail: bytes, found: int) -> bool:
    """True where an earlier end record would hold the later one as its comment."""
    position = tail.find(_END_SIGNATURE)
    while 0 <= position < found:
        comment = int.from_bytes(tail[position + _END.size - 2 : position + _END.size], "little")
        if position + _END.size + comment == len(tail):
            return True
        position = tail.find(_END_SIGNATURE, position + 1)
    return False


def _read_end_64(stream: Seekable, end: _End) -> _End | None:
    """The 64-bit end record where there is one (4.3.14, 4.3.15): right before its locator, nowhere else."""
    place = end.position - _LOCATOR.size
    if place < 0:
        return None
    signature, disk, offset, disks = _LOCATOR.unpack(read_at(stream, place, _LOCATOR.size))
    if signature != _LOCATOR_SIGNATURE:
        return None
    if disk or disks > 1:
        raise UnsafeArchive("One part of an archive in several", code="ZIP_TRUNCATED")
    position = place - _END_64.size
    if position < 0 or offset > position:
        raise ambiguous("The 64-bit end record is not where it should be")
    record = _END_64.unpack(read_at(stream, position, _END_64.size))
    signature, length, _, _, disk, start_disk, here, count, size, directory_offset = record
    if signature != _END_64_SIGNATURE or length != _END_64.size - 12 or here != count or disk or start_disk:
        raise ambiguous("The 64-bit end record is not where it should be")
    if offset != directory_offset + size:
        raise ambiguous("The 64-bit end record and its locator disagree")
    short = (
        (end.count, count, _16_BITS),
        (end.size, size, _32_BITS),
        (end.offset, directory_offset, _32_BITS),
    )
    if any(value not in (wide, marker) for value, wide, marker in short):
        raise ambiguous("The two end records disagree")
    return _End(position, count, size, directory_offset)


def _read_entries(data: bytes, count: int, prefix: int) -> list[Entry]:
    """All of the directory, and nothing but entries in it (4.3.12)."""
    entries: list[Entry] = []
    position = 0
    while position < len(data):
        if position + _ENTRY.size > len(data) or not data.startswith(_ENTRY_SIGNATURE, position):
            raise ambiguous("The directory is damaged, or not where it should be")
        fields = _ENTRY.unpack_from(data, position)
        name_end = position + _ENTRY.size + fields[10]
        extra_end = name_end + fields[11]
        name, extra = data[position + _ENTRY.size : name_end], data[name_end:extra_end]
        position = extra_end + fields[12]
        if position > len(data):
            raise ambiguous("The directory is cut")
        entries.append(_entry(len(entries), fields, name, extra, prefix))
    if len(entries) != count:
        raise ambiguous(f"{len(entries)} entries, {count} according to the end record")
    return entries


def _entry(index: int, fields: tuple[Any, ...], name: bytes, extra: bytes, prefix: int) -> Entry:
    made_by, version, flags, method, crc = fields[1], fields[2] & 0xFF, fields[3], fields[4], fields[7]
    compressed, size, disk, attributes, offset = fields[8], fields[9], fields[13], fields[15], fields[16]
    size, compressed, offset, disk = _widen(extra, size, compressed, offset, disk)
    if disk:
        raise UnsafeArchive("One part of an archive in several", code="ZIP_TRUNCATED")
    mode = attributes >> 16 if made_by >> 8 in _UNIX else 0
    return Entry(index, name, version, flags, method, crc, compressed, size, offset + prefix, mode)


def _widen(extra: bytes, size: int, compressed: int, offset: int, disk: int) -> tuple[int, int, int, int]:
    """The values that do not fit in 32 bits stand in an extra field, in this order (4.5.3)."""
    values = [size, compressed, offset]
    needed = [number for number, value in enumerate(values) if value == _32_BITS]
    if not needed and disk != _16_BITS:
        return size, compressed, offset, disk
    wide = _extra_field(extra, _EXTRA_64)
    if len(wide) < 8 * len(needed) + 4 * (disk == _16_BITS):
        raise ambiguous("A 64-bit value is missing")
    for place, number in enumerate(needed):
        values[number] = int.from_bytes(wide[8 * place : 8 * place + 8], "little")
    if disk == _16_BITS:
        disk = int.from_bytes(wide[8 * len(needed) : 8 * len(needed) + 4], "little")
    return values[0], values[1], values[2], disk


def _extra_field(extra: bytes, wanted: int) -> bytes:
    """The extra field with this number, b"" where there is none."""
    position = 0
    while position + 4 <= len(extra):
        number, length = struct.unpack_from("<HH", extra, position)
        if number == wanted:
            return extra[position + 4 : position + 4 + length]
        position += 4 + length
    return b""


def _check_overlap(entries: list[Entry], directory_start: int) -> None:
    """Each member lies between the one before and the one behind it, by the least it can take."""
    ends = [e.offset + LOCAL_HEADER.size + len(e.raw_name) + e.compressed_size for e in entries]
    starts = [*[entry.offset for entry in entries[1:]], directory_start]
    if any(end > start for end, start in zip(ends, starts, strict=True)):
        raise UnsafeArchive("Members overlap", code="ZIP_OVERLAP")


def _check_prefix(stream: Seekable, prefix: int) -> None:
    """A program that unpacks may stand before the first member; another archive may not."""
    if not prefix:
        return
    tail = read_at(stream, max(0, prefix - _END.size), min(prefix, _END.size))
    starts_like_one = read_at(stream, 0, min(prefix, 4)) == LOCAL_SIGNATURE
    if starts_like_one or tail.startswith(_END_SIGNATURE):
        raise ambiguous("Another archive stands before the first member")


def ambiguous(detail: str) -> UnsafeArchive:
    """The error for an archive that readers could understand differently."""
    return UnsafeArchive(detail, code="ZIP_AMBIGUOUS")
