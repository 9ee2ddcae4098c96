"""Reading HTTP/1.1 requests within limits: for the gateway and the receiver of this machine."""

from __future__ import annotations

import contextlib
import http.server
import logging
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, override

logger = logging.getLogger(__name__)

HEADER_BYTES = 10_240
"""API Gateway's limit on all header names and values together."""
READ_S = 30.0
REQUEST_S = 120.0
CHUNK = 65_536
LINE_BYTES = 1_024


class RefusedError(Exception):
    """The request cannot be read; `status` is the answer, and the connection is closed after it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Server(http.server.ThreadingHTTPServer):
    """A thread a connection; a client that went away is no error, and no connection outlives the server."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*arguments, **options)

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    @override
    def close_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().close_request(request)

    @override
    def server_close(self) -> None:
        super().server_close()
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            logger.exception("request failed")


class Handler(http.server.BaseHTTPRequestHandler):
    """Keep-alive, bodies by length or in chunks, nothing written to standard error."""

    protocol_version = "HTTP/1.1"
    timeout = READ_S
    body_limit = 0

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a path may hold an identifier."""

    @override
    def version_string(self) -> str:
        return "ponte"

    @override
    def handle_expect_100(self) -> bool:
        """Ask for the body only when its announced length is one that will be read."""
        length = self.headers.get("Content-Length") or "0"
        if not length.isdigit() or int(length) > self.body_limit:
            return True
        return super().handle_expect_100()

    def check_headers(self) -> None:
        """Raise `RefusedError` for headers above the limit or a body whose length is ambiguous."""
        if sum(len(name) + len(value) for name, value in self.headers.items()) > HEADER_BYTES:
            raise RefusedError(431, "Request Header Fields Too Large")
        lengths = self.headers.get_all("Content-Length") or []
        codings = self.headers.get_all("Transfer-Encoding") or []
        if len(lengths) + len(codings) > 1 or (
            lengths and not (lengths[0].isascii() and lengths[0].isdigit())
        ):
            raise RefusedError(400, "Bad Request")
        if codings and codings[0].strip().lower() != "chunked":
            raise RefusedError(501, "Not Implemented")

    def body_chunks(self) -> Iterator[bytes]:
        """Yield the body; raises `RefusedError` (400, 408, 413) where it cannot be had."""
        self.check_headers()
        deadline = time.monotonic() + REQUEST_S
        pieces = self._chunked() if self.headers.get("Transfer-Encoding") else self._sized()
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > self.body_limit:
                raise RefusedError(413, "Request Too Long")
            if time.monotonic() > deadline:
                raise RefusedError(408, "Request Timeout")
            yield piece

    def _sized(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0)
        if left > self.body_limit:
            raise RefusedError(413, "Request Too Long")
        yield from self._exactly(left)

    def _chunked(self) -> Iterator[bytes]:
        """RFC 9112 7.1; trailers are read and dropped."""
        while size := self._chunk_size():
            yield from self._exactly(size)
            if self.rfile.readline(LINE_BYTES).strip():
                raise RefusedError(400, "Bad Request")
        while self.rfile.readline(LINE_BYTES).strip():
            continue

    def _chunk_size(self) -> int:
        line = self.rfile.readline(LINE_BYTES)
        text = line.partition(b";")[0].strip()
        if (
            not line.endswith(b"\n")
            or not text
            or any(byte not in b"0123456789abcdefABCDEF" for byte in text)
        ):
            raise RefusedError(400, "Bad Request")
        return int(text, 16)

    def _exactly(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self.rfile.read1(min(left, CHUNK))
            if not piece:
                raise RefusedError(400, "Bad Request")
            left -= len(piece)
            yield piece
