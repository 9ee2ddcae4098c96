"""What `ponte.orthanc` needs of an Orthanc, on a free port of the loopback: it counts, and keeps nothing."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_CHUNK = 1 << 20


class StubOrthanc:
    """`received` counts instances by the SHA-256 of their bytes; `before` is told how many came so far."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.before: Callable[[int], None] = lambda _: None
        self.status = 200
        self.url = ""
        self.lock = threading.Lock()

    @property
    def destination(self) -> str:
        return f"orthanc+{self.url}"


@contextmanager
def stub_orthanc() -> Iterator[StubOrthanc]:
    """The stub, while it answers."""
    stub = StubOrthanc()
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
    stub: StubOrthanc

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: else each answer waits 40 ms

    def do_POST(self) -> None:
        stub, left, digest = self.server.stub, int(self.headers["Content-Length"]), hashlib.sha256()
        stub.before(stub.received.total())
        while left:
            piece = self.rfile.read(min(left, _CHUNK))
            if not piece:
                return
            digest.update(piece)
            left -= len(piece)
        name = digest.hexdigest()
        if stub.status == 200:
            with stub.lock:
                stub.received[name] += 1
        identifier = "-".join(name[at : at + 8] for at in range(0, 40, 8))
        body = json.dumps({"ID": identifier, "Status": "Success"}).encode()
        self.send_response(stub.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, template: str, /, *args: object) -> None:
        pass
