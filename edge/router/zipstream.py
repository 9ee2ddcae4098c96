"""A ZIP as a stream: written from its beginning to its end, the same bytes each time from the same members.

No data descriptors: sizes and checksums stand in the local headers, so that every reader sees the same
members (APPNOTE 4.3). Names are ordinals, times are none.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Final

from ponte.destination import Outgoing
from ponte.errors import PermanentError

_STORED, _DEFLATED = 0, 8
_MOST_32: Final = 0xFFFFFFFF
_MOST_16: Final = 0xFFFF
_ZIP64_VERSION, _VERSION = 45, 20
_DATE: Final = 0x21  # 1980-01-01
_MODE: Final = 0o100600 << 16
_MADE_ON_UNIX: Final = 3 << 8
_IN_MEMORY = 8 << 20
_CHUNK = 256 << 10
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


@dataclass(frozen=True, slots=True)
class Member:
    """What is put in; `number` is that of its row. `sha256` of the dataset is checked where it is known."""

    number: int
    instance: Outgoing
    deflate: bool
    sha256: bytes | None = None


class DamagedMember(PermanentError):
    """The bytes on the disk are not those that were received."""

    default_code = "DIGEST_MISMATCH"

    def __init__(self, member: Member) -> None:
        super().__init__("The bytes on the disk are not those that were received")
        self.member = member


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    method: int
    crc: int
    size: int
    packed: int
    offset: int


def zip_stream(members: Iterable[Member], folder: Path) -> Iterator[bytes]:
    """The archive, in pieces. Compressed members wait in `folder` for their size to be known, one at a time.

    Raises `DamagedMember`, and `SourceUnavailable` for a file that cannot be read.
    """
    entries: list[_Entry] = []
    at = 0
    for ordinal, member in enumerate(members, 1):
        with SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder)) as packed:
            entry = _measured(f"{ordinal:08d}.dcm".encode(), member, packed, at)
            header = _local(entry)
            yield header
            if entry.method == _STORED:
                yield from member.instance.chunks(entry.size)
            else:
                packed.seek(0)
                while chunk := packed.read(_CHUNK):
                    yield chunk
        at += len(header) + entry.packed
        entries.append(entry)
    yield from _directory(entries, at)


def _measured(name: bytes, member: Member, packed: IO[bytes], offset: int) -> _Entry:
    """Read the member once, to know its checksum, whether it is whole, and its size when compressed."""
    instance, size = member.instance, member.instance.size_bytes
    crc, digest, left = 0, hashlib.sha256(), instance.dataset_start
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS) if member.deflate else None
    for chunk in instance.chunks(size):
        crc = zlib.crc32(chunk, crc)
        digest.update(chunk[left:])
        left = max(0, left - len(chunk))
        if deflater:
            packed.write(deflater.compress(chunk))
    if member.sha256 is not None and digest.digest() != member.sha256:
        raise DamagedMember(member)
    if deflater is None:
        return _Entry(name, _STORED, crc, size, size, offset)
    packed.write(deflater.flush())
    return _Entry(name, _DEFLATED, crc, size, packed.tell(), offset)


def _local(entry: _Entry) -> bytes:
    """APPNOTE 4.3.7; both sizes go into the extra field where one is too large."""
    large = max(entry.size, entry.packed) >= _MOST_32
    extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.packed) if large else b""
    sizes = (_MOST_32, _MOST_32) if large else (entry.packed, entry.size)
    version = _ZIP64_VERSION if large else _VERSION
    head = _LOCAL.pack(
        b"PK\3\4", version, 0, entry.method, 0, _DATE, entry.crc, *sizes, len(entry.name), len(extra)
    )
    return head + entry.name + extra


def _directory(entries: list[_Entry], start: int) -> Iterator[bytes]:
    """APPNOTE 4.3.12 to 4.3.16."""
    size = 0
    for entry in entries:
        central = _central(entry)
        size += len(central)
        yield central
    count = len(entries)
    if count >= _MOST_16 or max(size, start) >= _MOST_32:
        versions = (_MADE_ON_UNIX | _ZIP64_VERSION, _ZIP64_VERSION)
        yield _END_64.pack(b"PK\6\6", 44, *versions, 0, 0, count, count, size, start)
        yield _LOCATOR.pack(b"PK\6\7", 0, start + size, 1)
    shown = min(count, _MOST_16)
    yield _END.pack(b"PK\5\6", 0, 0, shown, shown, min(size, _MOST_32), min(start, _MOST_32), 0)


def _central(entry: _Entry) -> bytes:
    fields = (entry.size, entry.packed, entry.offset)
    wide = b"".join(struct.pack("<Q", value) for value in fields if value >= _MOST_32)
    extra = struct.pack("<2H", 1, len(wide)) + wide if wide else b""
    size, packed, offset = (min(value, _MOST_32) for value in fields)
    version = _ZIP64_VERSION if wide else _VERSION
    head = _CENTRAL.pack(
        b"PK\1\2", _MADE_ON_UNIX | version, version, 0, entry.method, 0, _DATE, entry.crc, packed, size,
        len(entry.name), len(extra), 0, 0, 0, _MODE, offset,
    )  # fmt: skip
    return head + entry.name + extra
