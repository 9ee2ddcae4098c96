"""ZIP archives of instances, whoever sent them: no archive fools this reader, no instance slips through it.

The whole directory and the header of every member are checked before any member is read; size, checksum and
time while it is. Members are handed out as bytes and never written under their own names. A member that is an
archive is opened, one that is in it is not; the budgets are shared. Nothing here is Python's own ZIP reader:
see docs/adr/0008.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from tempfile import TemporaryFile
from time import monotonic

from ponte.archiving.directory import LOCAL_SIGNATURE, Entry, Seekable, read_at, read_directory
from ponte.archiving.localheader import ENCRYPTED, places
from ponte.archiving.member import OF_THE_ARCHIVE, Member, inflate
from ponte.archiving.names import irregular, shown_name
from ponte.errors import BadMember, UnsafeArchive
from ponte.structure import has_preamble

__all__ = ["Archive", "Limits", "Member", "is_archive"]

_STORED, _DEFLATED = 0, 8
_PATCH, _STRONGLY_ENCRYPTED = 1 << 5, 1 << 6  # 4.4.4
_KNOWN_VERSION = 63  # in tenths; what is beyond, other readers do not read
_BLOCK = 256 << 10
_MOST_RATIO = 1032  # of deflate: two bits for 258 bytes (RFC 1951)
_BOMB_RATIO = 100
_SIGNATURES = (LOCAL_SIGNATURE, b"PK\x05\x06")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may cost, those in it included.

    `ratio` is of all members together to the archive, where they exceed `free_bytes`; `nested_bytes` is for
    an archive within it, 0 where there may be none.
    """

    members: int = 100_000
    directory_bytes: int = 64 << 20
    member_bytes: int = 4 << 30
    member_s: float = 600.0
    total_bytes: int = 128 << 30
    ratio: int = 200
    free_bytes: int = 1 << 30
    nested_bytes: int = 4 << 30


def is_archive(head: bytes) -> bool:
    """True for the first bytes of a ZIP that are not those of an instance as well."""
    return head.startswith(_SIGNATURES) and not has_preamble(head)


class Archive:
    """A ZIP in anything that can seek and read. Raises `UnsafeArchive` where nothing of it may be read."""

    def __init__(self, stream: Seekable, limits: Limits | None = None) -> None:
        self._stream = stream
        self._limits = limits or Limits()
        self._directory = read_directory(
            stream, most_members=self._limits.members, most_bytes=self._limits.directory_bytes
        )
        self._members = len(self._directory.entries)
        self._total = self._check_budget()
        self._places = dict(places(stream, self._directory))
        self._notes = ("PREFIX_DATA",) if self._directory.prefix else ()

    @property
    def entries(self) -> int:
        """How many the directory lists, folders included: the `position` of the last."""
        return len(self._directory.entries)

    def members(self, first: int = 0) -> Iterator[Member]:
        """Yield every member in the order of their places; those of an archive within it in its stead.

        A member must be read, or left alone for good, before the next is asked for. Each has a `position`:
        given as `first` to the same archive later on, that goes on behind it, and reads nothing before.
        """
        for position, entry in enumerate(self._directory.entries[first:], first + 1):
            if not entry.is_folder:
                yield from self._expand(entry, position)

    def _check_budget(self) -> int:
        """What all members would take. A size that deflate cannot reach is a lie, and does not count."""
        total = sum(min(e.size, e.compressed_size * _MOST_RATIO) for e in self._directory.entries)
        size = self._directory.start
        if total > self._most_bytes(size):
            raise UnsafeArchive(f"{size} bytes would become {total}", code="ZIP_BOMB")
        return total

    def _most_bytes(self, size: int) -> int:
        """What the members of an archive of this size may take."""
        return min(self._limits.total_bytes, max(self._limits.free_bytes, self._limits.ratio * size))

    def _expand(self, entry: Entry, position: int) -> Iterator[Member]:
        name = shown_name(entry.raw_name, entry.index)
        member = Member(name, position, self._notes, irregular(entry.mode))
        if member.skipped:
            yield member
            return
        pieces = self._pieces(entry)
        try:
            head = next(pieces, b"")
        except OF_THE_ARCHIVE as error:
            yield replace(member, error=error)
            return
        whole = chain((head,), pieces)
        if is_archive(head):
            yield from self._expand_nested(member, entry, whole)
        else:
            yield replace(member, source=whole)

    def _expand_nested(self, member: Member, entry: Entry, pieces: Iterator[bytes]) -> Iterator[Member]:
        """The members of an archive within this one, which waits in a file that has no name."""
        with TemporaryFile(prefix="ponte-") as spool:
            try:
                self._check_nested(entry)
                for piece in pieces:
                    spool.write(piece)
                nested = Archive(spool, self._limits_within())
            except OF_THE_ARCHIVE as error:
                yield replace(member, error=error)
                return
            self._members += nested._members
            self._total += nested._total
            for inner in nested.members():
                yield replace(inner, name=f"{member.name}/{inner.name}", position=0)

    def _check_nested(self, entry: Entry) -> None:
        limit = self._limits.nested_bytes
        if not limit:
            raise BadMember("An archive within an archive within an archive", code="ZIP_NESTED")
        if entry.size > limit:
            raise BadMember(f"An archive of {entry.size} bytes; the limit is {limit}", code="ZIP_LIMIT")

    def _limits_within(self) -> Limits:
        """What is left for an archive in this one."""
        return replace(
            self._limits,
            members=self._limits.members - self._members,
            total_bytes=self._most_bytes(self._directory.start) - self._total,
            nested_bytes=0,
        )

    def _pieces(self, entry: Entry) -> Iterator[bytes]:
        """The bytes of a member, which are good when no error comes after the last.

        Raises `BadMember`: ZIP_ENCRYPTED, ZIP_METHOD, ZIP_HEADER_MISMATCH, ZIP_BOMB, ZIP_LIMIT, ZIP_DEFLATE,
        ZIP_CRC.
        """
        self._check_readable(entry)
        deadline = monotonic() + self._limits.member_s
        count = checksum = 0
        raw = self._raw(entry)
        for piece in raw if entry.method == _STORED else inflate(raw):
            count += len(piece)
            checksum = zlib.crc32(piece, checksum)
            if count > entry.size:
                raise _mismatch(f"More than the {entry.size} bytes of the directory")
            if monotonic() > deadline:
                raise BadMember(f"It took more than {self._limits.member_s:.0f} s", code="ZIP_LIMIT")
            yield piece
        if count != entry.size:
            raise _mismatch(f"{count} bytes; {entry.size} according to the directory")
        if checksum != entry.crc:
            raise BadMember("The checksum is wrong", code="ZIP_CRC")

    def _check_readable(self, entry: Entry) -> None:
        """What can be said before the first byte."""
        if entry.flags & (ENCRYPTED | _STRONGLY_ENCRYPTED):
            raise BadMember("It is encrypted", code="ZIP_ENCRYPTED")
        if entry.method not in (_STORED, _DEFLATED):
            raise BadMember(f"Compression method {entry.method}; expected 0 or 8", code="ZIP_METHOD")
        if entry.version > _KNOWN_VERSION or entry.flags & _PATCH:
            raise BadMember(f"Version {entry.version} of ZIP, or a patch", code="ZIP_METHOD")
        if not self._places[entry.index].agrees:
            raise _mismatch("Its header and the directory disagree")
        limit, size, compressed = self._limits.member_bytes, entry.size, entry.compressed_size
        if size > _MOST_RATIO * compressed:
            raise BadMember(f"{compressed} bytes cannot become {size}", code="ZIP_BOMB")
        if size > limit:
            code = "ZIP_BOMB" if size > _BOMB_RATIO * compressed else "ZIP_LIMIT"
            raise BadMember(f"{size} bytes; the limit is {limit}", code=code)

    def _raw(self, entry: Entry) -> Iterator[bytes]:
        """The member as it lies in the archive."""
        offset, left = self._places[entry.index].start, entry.compressed_size
        while left:
            block = read_at(self._stream, offset, min(left, _BLOCK))
            offset, left = offset + len(block), left - len(block)
            yield block


def _mismatch(detail: str) -> BadMember:
    return BadMember(detail, code="ZIP_HEADER_MISMATCH")
