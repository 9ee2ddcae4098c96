"""S3 for one object or many, on a free port of the loopback, which fails as a test says.

Objects may be generated: anything with a length that gives the bytes of a range. It knows ranges, If-Match,
versions and PUT, and nothing else.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit


class Content(Protocol):
    """The bytes of an object."""

    def __len__(self) -> int: ...

    def __getitem__(self, wanted: slice) -> bytes: ...


@dataclass
class Stored:
    """An object as it is now."""

    content: Content
    etag: str
    version_id: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Got:
    """A request as it came in; `start` and `end` are of its range."""

    method: str
    key: str
    start: int = 0
    end: int = 0
    if_match: str = ""


@dataclass(frozen=True)
class Fault:
    """What goes wrong: a status with S3's code, or an answer that is cut after so many bytes."""

    status: int = 503
    code: str = "SlowDown"
    cut_after: int | None = None


Fail = Callable[[Got], Fault | None]


class StubS3:
    """Objects by `bucket/key`. `fail` is asked before each answer."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self.asked: list[Got] = []
        self.fail: Fail = lambda _: None
        self.url = ""
        self.lock = threading.Lock()

    def put(self, name: str, content: Content, *, version_id: str = "", etag: str = "") -> Stored:
        """Store bytes under a name; what was there is replaced."""
        if not etag:
            etag = hashlib.md5(bytes(content), usedforsecurity=False).hexdigest()  # type: ignore[call-overload]
        stored = Stored(content, etag, version_id)
        self.objects[name] = stored
        return stored

    def ranges(self) -> list[Got]:
        """The GETs so far."""
        return [got for got in self.asked if got.method == "GET"]


@contextmanager
def serving(stub: StubS3) -> Iterator[StubS3]:
    """The stub, while it answers."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.stub = stub
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stub: StubS3

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: else each answer waits 40 ms

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unchunked(body)
        stored = self.server.stub.put(self._name(), body)
        stored.metadata = {k: v for k, v in self.headers.items() if k.lower().startswith("x-amz-meta-")}
        self._answer(200, b"", {"ETag": f'"{stored.etag}"'})

    def do_DELETE(self) -> None:
        self.server.stub.objects.pop(self._name(), None)
        self._answer(204, b"", {})

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _serve(self, method: str) -> None:
        name, query = self._name(), parse_qs(urlsplit(self.path).query)
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, end = (int(span[1]), int(span[2]) + 1) if span else (0, 0)
        got = Got(method, name.partition("/")[2], start, end, self.headers.get("If-Match", ""))
        with self.server.stub.lock:
            self.server.stub.asked.append(got)
        fault = self.server.stub.fail(got)
        if fault is not None and fault.cut_after is None:
            self._refuse(fault.status, fault.code)
            return
        stored = self.server.stub.objects.get(name)
        version_id = query.get("versionId", [""])[0]
        if stored is None or (version_id and version_id != stored.version_id):
            self._refuse(404, "NoSuchVersion" if version_id else "NoSuchKey")
        elif got.if_match.strip('"') not in ("", stored.etag):
            self._refuse(412, "PreconditionFailed")
        else:
            self._give(stored, got, fault)

    def _give(self, stored: Stored, got: Got, fault: Fault | None) -> None:
        size = len(stored.content)
        headers = {"ETag": f'"{stored.etag}"', "Accept-Ranges": "bytes"}
        headers |= {"Last-Modified": "Thu, 22 Jan 2026 10:00:00 GMT"} | stored.metadata
        if got.method == "HEAD":
            self._answer(200, b"", headers, length=size)
            return
        start, end = (got.start, min(got.end, size)) if got.end else (0, size)
        if got.end:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        self._answer(206 if got.end else 200, b"", headers, length=end - start)
        if fault is not None:
            end = min(end, start + (fault.cut_after or 0))
        with suppress(OSError):
            for at in range(start, end, 1 << 20):
                self.wfile.write(stored.content[at : min(at + (1 << 20), end)])
        if fault is not None:
            self.close_connection = True

    def _refuse(self, status: int, code: str) -> None:
        body = b"" if self.command == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
        self._answer(status, body, {"Content-Type": "application/xml"})

    def _answer(
        self, status: int, body: bytes, headers: dict[str, str], *, length: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, template: str, /, *args: Any) -> None:
        pass


def _unchunked(body: bytes) -> bytes:
    """What an aws-chunked body carries, without its checksums."""
    parts: list[bytes] = []
    at = 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end].split(b";")[0], 16)
        if not size:
            return b"".join(parts)
        parts.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2
