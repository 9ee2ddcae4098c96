"""Archives that lie, made here: each is small, and one row of the catalogue."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Buffer, Mapping

from tests.factories import encode, make_ct

GOOD = {"a.dcm": encode(make_ct(1)), "b.dcm": encode(make_ct(2))}
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def archive(members: Mapping[str, bytes] = GOOD, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An ordinary archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return stream.getvalue()


class Builder:
    """An archive put together by hand: each field may be a lie."""

    def __init__(self) -> None:
        self.body = b""
        self.directory = b""
        self.count = 0

    def add(
        self,
        name: bytes,
        data: bytes,
        *,
        method: int = 8,
        raw: bytes | None = None,
        flags: int = 0,
        size: int | None = None,
        crc: int | None = None,
        local_name: bytes | None = None,
        offset: int | None = None,
        compressed: int | None = None,
        mode: int = 0,
        extra: bytes = b"",
        behind: bytes = b"",
    ) -> Builder:
        raw = (deflate(data) if method == 8 else data) if raw is None else raw
        size = len(data) if size is None else size
        crc = zlib.crc32(data) if crc is None else crc
        compressed = len(raw) if compressed is None else compressed
        local_name = name if local_name is None else local_name
        sizes = (0, 0, 0) if flags & 8 else (crc, compressed, size)
        header = struct.pack("<4s5H3L2H", LOCAL, 20, flags, method, 0, 33, *sizes, len(local_name), 0)
        place = len(self.body) if offset is None else offset
        self.body += header + local_name + raw + behind
        self.directory += struct.pack(
            "<4s6H3L5H2L", CENTRAL, 3 << 8 | 20, 20, flags, method, 0, 33, crc, compressed, size, len(name),
            len(extra), 0, 0, 0, mode << 16, place,
        ) + name + extra  # fmt: skip
        self.count += 1
        return self

    def bytes(
        self, *, comment: bytes = b"", count: int | None = None, shift: int = 0, size: int = 0
    ) -> bytes:
        count = self.count if count is None else count
        end = struct.pack(
            "<4s4H2LH",
            END,
            0,
            0,
            count,
            count,
            len(self.directory) + size,
            len(self.body) + shift,
            len(comment),
        )
        return self.body + self.directory + end + comment


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush()


def bomb(megabytes: int) -> bytes:
    """Zeros, deflated as far as they go."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(deflater.compress(bytes(1 << 20)) for _ in range(megabytes)) + deflater.flush()


def zeros_crc(megabytes: int) -> int:
    crc = 0
    for _ in range(megabytes):
        crc = zlib.crc32(bytes(1 << 20), crc)
    return crc


def full_overlap(count: int = 50) -> bytes:
    """All entries are the same bytes."""
    built = Builder().add(b"0", bytes(1 << 20))
    for number in range(1, count):
        before = built.body
        built.add(str(number).encode(), bytes(1 << 20), offset=0, local_name=b"0")
        built.body = before
    return built.bytes()


def quoted_overlap(count: int = 250, megabytes: int = 2) -> bytes:
    """Each member holds the header of the next as a stored block, and all that follows it (Fifield)."""
    kernel, header_size, quote_size = bomb(megabytes), 30 + 3, 5
    total = count * header_size + (count - 1) * quote_size + len(kernel)
    built, place = Builder(), 0
    for number in range(count):
        compressed = total - place - header_size
        size = (megabytes << 20) + (count - 1 - number) * header_size
        built.add(f"{number:03}".encode(), b"", raw=b"", size=size, compressed=compressed, offset=place)
        if number < count - 1:
            built.body += struct.pack("<BHH", 0, header_size, header_size ^ 0xFFFF)
        place += header_size + quote_size
    built.body += kernel
    return built.bytes()


def zip64(members: int) -> bytes:
    """An archive whose number of entries needs the 64-bit end record."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as out:
        out.writestr("a.dcm", GOOD["a.dcm"])
        for number in range(members - 1):
            out.writestr(f"{number}.txt", b"x")
    return stream.getvalue()


def nested(depth: int, inner: bytes) -> bytes:
    """An archive within an archive, so many times."""
    for number in range(depth):
        inner = archive({f"{number}.zip": inner})
    return inner


class Generated(io.RawIOBase):
    """An archive of so many stored copies of one instance that no disk need hold: made as it is read.

    A read gives `most` bytes at the most, as sources over a network do.
    """

    def __init__(self, data: bytes, count: int, *, most: int = 1 << 20) -> None:
        self._data, self._count, self._most = data, count, most
        self._crc = zlib.crc32(data)
        self._record = 30 + len(self._name(0)) + len(data)
        self._tail = self._directory()
        self._size = self._record * count + len(self._tail)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        index, start = divmod(self._at, self._record)
        part = (
            self._tail[self._at - self._record * self._count :]
            if index >= self._count
            else self._piece(index, start)
        )
        size = min(len(view), len(part), self._most)
        view[:size] = part[:size]
        self._at += size
        return size

    def _piece(self, index: int, start: int) -> bytes | memoryview:
        """The header of a member from `start` on, or its bytes from there."""
        name = self._name(index)
        sizes = (self._crc, len(self._data), len(self._data))
        header = struct.pack("<4s5H3L2H", LOCAL, 20, 0, 0, 0, 33, *sizes, len(name), 0) + name
        return header[start:] if start < len(header) else memoryview(self._data)[start - len(header) :]

    def _name(self, index: int) -> bytes:
        return f"{index:06}.dcm".encode()

    def _directory(self) -> bytes:
        """Directory and ends; offsets beyond 4 GiB stand in the 64-bit extra field."""
        entries = []
        for index in range(self._count):
            name, extra = self._name(index), struct.pack("<HHQ", 1, 8, self._record * index)
            entries.append(
                struct.pack(
                    "<4s6H3L5H2L",
                    CENTRAL,
                    45,
                    45,
                    0,
                    0,
                    0,
                    33,
                    self._crc,
                    len(self._data),
                    len(self._data),
                    len(name),
                    len(extra),
                    0,
                    0,
                    0,
                    0,
                    0xFFFFFFFF,
                )
                + name
                + extra
            )
        directory, start, count = b"".join(entries), self._record * self._count, self._count
        wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), start)
        locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(directory), 1)
        end = struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        return directory + wide + locator + end
