"""A deflated dataset that is inflated as it comes, up to a limit (PS3.5 A.5)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from ponte.errors import LimitExceeded, NotDicom

INFLATE_LIMIT: Final = 512 << 20
_BLOCK = 16 << 10  # what is inflated at once: an error is then found at the same place however bytes are cut
_CHUNK = 1 << 20
_TRAILER = struct.Struct("<LL")  # checksum and length: RFC 1952 2.3.1


class Inflater:
    """Inflates raw deflate. Its end may be followed by zeros, and by a checksum and length as in gzip.

    Raises `NotDicom` (TRUNCATED, BAD_LENGTH) and `LimitExceeded` (INFLATE_LIMIT).
    """

    def __init__(self, limit: int = INFLATE_LIMIT) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._limit = limit
        self._count = 0
        self._waiting = bytearray()
        self._behind = bytearray()
        self._checksum = 0

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[bytes]:
        """Yield what the next bytes inflate to, in pieces of at most 1 MiB."""
        self._waiting += data
        while len(self._waiting) >= _BLOCK:
            block = bytes(self._waiting[:_BLOCK])
            del self._waiting[:_BLOCK]
            yield from self._inflate(block)

    def finish(self) -> Iterator[bytes]:
        """Yield what is left; then the stream must be at its end."""
        yield from self._inflate(bytes(self._waiting))
        self._waiting.clear()
        if not self._inflater.eof:
            raise NotDicom("The deflated dataset ends early; bytes are missing", code="TRUNCATED")
        if any(self._behind.removeprefix(_TRAILER.pack(self._checksum, self._count))):
            raise _bytes_follow()

    def _inflate(self, block: bytes) -> Iterator[bytes]:
        if self._inflater.eof:
            self._take_behind(block)
            return
        more = True
        while more and not self._inflater.eof:
            most = min(_CHUNK, self._limit + 1 - self._count)
            try:
                piece = self._inflater.decompress(block, most)
            except zlib.error as error:
                raise NotDicom("The deflated dataset cannot be inflated", code="TRUNCATED") from error
            self._count += len(piece)
            self._checksum = zlib.crc32(piece, self._checksum)
            if self._count > self._limit:
                raise LimitExceeded(
                    f"The deflated dataset is larger than {self._limit} bytes", code="INFLATE_LIMIT"
                )
            block = self._inflater.unconsumed_tail
            more = bool(block) or len(piece) == most
            yield piece
        if self._inflater.eof:
            self._take_behind(self._inflater.unused_data)

    def _take_behind(self, data: bytes) -> None:
        """What follows the end of the stream: a trailer's worth is kept, the rest must be padding."""
        room = _TRAILER.size - len(self._behind)
        self._behind += data[:room]
        if any(data[room:]):
            raise _bytes_follow()


def _bytes_follow() -> NotDicom:
    return NotDicom("Bytes follow the deflated dataset", code="BAD_LENGTH")
