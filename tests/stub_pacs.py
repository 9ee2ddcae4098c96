"""A DICOMweb server that answers as a test says, on a free port of the loopback."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BOUNDARY = "b0undary"


@dataclass(frozen=True)
class Answer:
    """What is sent. `length` is the Content-Length claimed; None sends none and closes at the end."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = -1

    @property
    def content_length(self) -> int | None:
        return len(self.body) if self.length == -1 else self.length


Route = Answer | list[Answer] | Callable[["Asked"], Answer]


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes = b""


class StubPacs:
    """Answers by path without its query; a list of answers is used up in turn, its last one stays.

    Paths in `hold_open` are answered and never ended; of those in `unread` the request's body is not read.
    """

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.asked: list[Asked] = []
        self.hold_open: set[str] = set()
        self.unread: set[str] = set()
        self.closing = threading.Event()
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            route = self.routes.get(asked.path.partition("?")[0], Answer(404))
            if isinstance(route, list):
                return route.pop(0) if len(route) > 1 else route[0]
        return route if isinstance(route, Answer) else route(asked)

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is what many a test is about."""


@contextmanager
def stub_pacs(tls: ssl.SSLContext | None = None) -> Iterator[StubPacs]:
    stub = StubPacs()
    server = _Server(("127.0.0.1", 0), _handler(stub))
    stub.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        stub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(stub: StubPacs) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(0 if self.path in stub.unread else int(headers.get("content-length", 0)))
            answer = stub.answer(Asked(self.path, headers, body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.content_length is not None:
                self.send_header("Content-Length", str(answer.content_length))
            if answer.content_length != len(answer.body):
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(answer.body)
            if self.path in stub.hold_open:
                stub.closing.wait()
            if self.path in stub.unread:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing on standard error."""

    return Handler


def multipart(*parts: bytes, part_headers: str = "Content-Type: application/dicom\r\n") -> bytes:
    """The parts between boundaries, closed."""
    sections = [f"--{BOUNDARY}\r\n{part_headers}\r\n".encode() + part + b"\r\n" for part in parts]
    return b"".join(sections) + f"--{BOUNDARY}--\r\n".encode()


def instances(*parts: bytes, **options: Any) -> Answer:
    """A good answer to a request for instances."""
    return Answer(
        body=multipart(*parts),
        headers={"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'},
        **options,
    )
