"""Where an instance waits between its archive and its destination."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO

from ponte.errors import StorageFull

_CHUNK = 1 << 20

Content = bytes | BinaryIO


class Spool:
    """Takes an instance in pieces: in memory, and from `memory_bytes` on in a file without a name.

    With `memory_bytes` None it counts, and keeps nothing.
    """

    def __init__(self, memory_bytes: int | None) -> None:
        self._memory_bytes = memory_bytes
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Take the next bytes. Raises `StorageFull` where the file has no room."""
        self.size_bytes += len(piece)
        if self._memory_bytes is None:
            return
        if self._file is None:
            self._pieces.append(piece)
            if self.size_bytes <= self._memory_bytes:
                return
        try:
            self._spill(piece)
        except OSError as error:
            raise StorageFull(f"There is no room for an instance: {error.strerror}") from error

    @property
    def content(self) -> Content | None:
        """What came, as it came; None where nothing was kept."""
        if self._memory_bytes is None:
            return None
        if self._file is None:
            self._pieces = [b"".join(self._pieces)]
            return self._pieces[0]
        return self._file

    def close(self) -> None:
        """Forget it."""
        self._pieces = []
        if self._file is not None:
            self._file.close()

    def _spill(self, piece: bytes) -> None:
        if self._file is not None:
            self._file.write(piece)
            return
        self._file = TemporaryFile(prefix="ponte-")  # noqa: SIM115  (closed with the spool)
        for early in self._pieces:
            self._file.write(early)
        self._pieces = []


def chunks(content: Content) -> Iterator[bytes]:
    """All of it, from its start."""
    if isinstance(content, bytes):
        yield content
        return
    content.seek(0)
    while chunk := content.read(_CHUNK):
        yield chunk


def peek(content: Content, start: int, size: int) -> bytes:
    """A few bytes from within."""
    if isinstance(content, bytes):
        return content[start : start + size]
    content.seek(start)
    return content.read(size)


def whole_sha256(content: Content) -> str:
    """Over all its bytes."""
    digest = hashlib.sha256()
    for chunk in chunks(content):
        digest.update(chunk)
    return digest.hexdigest()
