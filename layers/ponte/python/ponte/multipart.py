"""multipart/related as it streams in, one part in memory at a time (RFC 2046 5.1, RFC 2387, PS3.18 8.6)."""

from __future__ import annotations

import re
from collections.abc import Buffer, Iterator
from dataclasses import dataclass
from io import BufferedReader, BytesIO, RawIOBase
from typing import Final

from ponte.errors import BadAnswer, LimitExceeded

_HEADER_LIMIT: Final = 64 << 10
_PREFACE_LIMIT: Final = 64 << 10
_BOUNDARY_LENGTH: Final = 70
_LENGTH_DIGITS: Final = 19  # 64 bits; of thousands of digits Python makes no number
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its headers, names in lower case, and its bytes."""

    headers: dict[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class PartLimits:
    """What one answer may hold."""

    part_bytes: int
    total_bytes: int
    parts: int


def boundary_of(content_type: str) -> bytes:
    """The boundary, quoted or not. Raises `BadAnswer` where there is none."""
    found = (match for match in _PARAMETER.finditer(content_type) if match[1].lower() == "boundary")
    match = next(found, None)
    boundary = re.sub(r"\\(.)", r"\1", match[2] or match[3] or "") if match else ""
    if not 1 <= len(boundary) <= _BOUNDARY_LENGTH or not boundary.isascii():
        raise BadAnswer("The multipart answer names no boundary")
    return boundary.encode()


def iterate_parts(chunks: Iterator[bytes], boundary: bytes, limits: PartLimits) -> Iterator[Part]:
    """Yield the parts in turn.

    Ends without an error only after the closing boundary. A part's Content-Length is believed as far as the
    boundary follows. Raises `BadAnswer` on what is cut or malformed, `LimitExceeded`.
    """
    stream = _Stream(chunks, limits.total_bytes)
    delimiter = b"--" + boundary
    _skip_preamble(stream, delimiter)
    separator = b"\r\n" + delimiter
    for _ in range(limits.parts):
        headers = _headers(stream)
        yield Part(headers, _body(stream, headers, separator, limits.part_bytes))
        if _is_closing(stream):
            return
    raise LimitExceeded(f"The answer has more than {limits.parts} parts")


class _Stream:
    """The bytes that arrive, taken from the front. Of a chunk only what is not yet taken is kept."""

    def __init__(self, chunks: Iterator[bytes], limit: int) -> None:
        self._chunks = chunks
        self._left = limit
        self._window = b""
        self._at = 0

    def take(self, length: int) -> bytes:
        """Exactly `length` bytes. Memory is used as they arrive, not as they are promised."""
        end = self._at + length
        if end <= len(self._window):
            taken, self._at = self._window[self._at : end], end
            return taken
        # `BufferedReader` fills the bytes that it hands out: nothing grows, nothing is copied once more.
        try:
            return BufferedReader(_Arriving(self), 1).read(length)
        except MemoryError as error:
            raise LimitExceeded(f"A part of {length} bytes does not fit into memory") from error

    def fill(self, buffer: memoryview) -> int:
        """Move what has arrived into `buffer`, at least one byte; returns how many."""
        while self._at >= len(self._window):
            self._window, self._at = self._next(), 0
        piece = memoryview(self._window)[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def take_until(self, mark: bytes, limit: int, what: str) -> bytes:
        """The bytes before `mark`, which is dropped. Raises `LimitExceeded` beyond `limit` bytes."""
        gathered = BytesIO()
        while (found := self._window.find(mark, self._at)) < 0:
            settled = max(self._at, len(self._window) - len(mark) + 1)
            gathered.write(memoryview(self._window)[self._at : settled])
            if gathered.tell() > limit:
                raise LimitExceeded(f"{what} is larger than {limit} bytes")
            self._window, self._at = self._window[settled:] + self._next(), 0
        gathered.write(memoryview(self._window)[self._at : found])
        if gathered.tell() > limit:
            raise LimitExceeded(f"{what} is larger than {limit} bytes")
        self._at = found + len(mark)
        return gathered.getvalue()

    def _next(self) -> bytes:
        """The next chunk. Raises `BadAnswer` at the end of the answer, `LimitExceeded`."""
        chunk = next(self._chunks, None)
        if chunk is None:
            raise BadAnswer("The multipart answer is cut: its closing boundary is missing")
        self._left -= len(chunk)
        if self._left < 0:
            raise LimitExceeded("The answer is larger than the limit on a study")
        return chunk


class _Arriving(RawIOBase):
    """The stream as a file that can be read."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        return self._stream.fill(memoryview(buffer))


def _skip_preamble(stream: _Stream, delimiter: bytes) -> None:
    """Up to the end of the first boundary; an answer without any part is an error."""
    preface = stream.take_until(delimiter, _PREFACE_LIMIT, "The text before the first part")
    if preface and not preface.endswith(b"\n"):
        raise BadAnswer("The multipart answer does not begin with its boundary")
    if _is_closing(stream):
        raise BadAnswer("The multipart answer has no parts")


def _is_closing(stream: _Stream) -> bool:
    """What follows a boundary: `--` after the last part, an end of line before the next."""
    mark = stream.take(2)
    if mark == b"--":
        return True
    padding = mark + stream.take_until(b"\n", _PREFACE_LIMIT, "A boundary") if mark != b"\r\n" else b""
    if padding.strip():
        raise BadAnswer("A boundary of the multipart answer is malformed")
    return False


def _headers(stream: _Stream) -> dict[str, str]:
    """Header lines up to the empty one; a part may have none."""
    headers: dict[str, str] = {}
    while line := stream.take_until(b"\r\n", _HEADER_LIMIT, "A part's header").decode("latin-1"):
        name, colon, value = line.partition(":")
        if not colon or len(headers) > 64:
            raise BadAnswer("A part of the multipart answer has malformed headers")
        headers[name.strip().lower()] = value.strip()
    return headers


def _body(stream: _Stream, headers: dict[str, str], separator: bytes, limit: int) -> bytes:
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return stream.take_until(separator, limit, "A part")
    if len(length) > _LENGTH_DIGITS or int(length) > limit:
        raise LimitExceeded(f"A part is larger than {limit} bytes")
    data = stream.take(int(length))
    if stream.take(len(separator)) != separator:
        raise BadAnswer("A part of the multipart answer is not as long as its Content-Length")
    return data
