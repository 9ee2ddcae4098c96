"""Between a client and an HTTP server, for tests: a request goes through, or fails as the test says."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Fault = Literal["503", "cut", "answer lost", "slow"]
"""An answer that says so; half the body read, then RST; passed on, and the answer kept back; no answer."""
_SLOW_S = 60


@dataclass
class FailingProxy:
    """`fail` is asked of each request, by its method and path with query; `passed` are those that went on."""

    upstream: str
    fail: Callable[[str, str], Fault | None]
    url: str = ""
    passed: list[tuple[str, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def failing_proxy(upstream: str, fail: Callable[[str, str], Fault | None]) -> Iterator[FailingProxy]:
    """On a free port of the loopback."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.proxy = FailingProxy(upstream, fail, f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.proxy
    finally:
        server.proxy.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: FailingProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        self.close_connection = True
        proxy = self.server.proxy
        with proxy.lock:
            fault = proxy.fail(self.command, self.path)
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size // 2 if fault == "cut" else size)
        if fault == "cut":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif fault == "slow":
            proxy.over.wait(_SLOW_S)
        elif fault == "503":
            self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>")
        else:
            answer = self._asked(body)
            with proxy.lock:
                proxy.passed.append((self.command, self.path))
            if fault is None:
                self._answer(*answer)

    def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        where = urlsplit(self.server.proxy.upstream)
        with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=_SLOW_S)) as line:
            line.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    line.putheader(name, value)
            line.endheaders(body)
            answer = line.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        dropped = {"transfer-encoding", "content-length", "connection", "server", "date"}
        kept = {name: value for name, value in headers.items() if name.lower() not in dropped}
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        with suppress(OSError):
            self.send_response(status)
            for name, value in {**kept, "Content-Length": length, "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, template: str, /, *args: Any) -> None:
        pass
