"""A callback receiver: what `UrlCallback` points to in the demo and in the tests."""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.local.process import wait_for
from infra.local.wire import Handler, RefusedError, Server

HOST = "127.0.0.1"
BODY_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Callback:
    """One delivery. `fields` is the JSON without the PDF, which is in the file `pdf` when there was one."""

    path: str
    headers: Mapping[str, str]
    fields: Mapping[str, Any]
    pdf: Path | None
    body_bytes: int
    answered: int


class Receiver:
    """An HTTP server on loopback, while entered, that keeps each POST it gets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._callbacks: list[Callback] = []
        self._failures: list[int] = []
        self._server = _Server((HOST, 0), _ReceiverHandler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self._server.server_address[1]}"

    def url(self, path: str = "/callback") -> str:
        return self.origin + path

    def fail_next(self, times: int, *, status: int = 503) -> None:
        """Answer the next so many deliveries with that status."""
        with self._lock:
            self._failures += [status] * times

    @property
    def callbacks(self) -> list[Callback]:
        """What came so far, failed ones included, in order."""
        with self._lock:
            return list(self._callbacks)

    def accepted(self, path: str = "/callback") -> list[Callback]:
        """The deliveries at a path that were answered with 200."""
        return [each for each in self.callbacks if each.path == path and each.answered == 200]

    def wait(self, path: str = "/callback", *, timeout_s: float = 60) -> Callback:
        """The first accepted delivery at the path; raises `LocalStackError` when none comes in time."""
        wait_for(lambda: bool(self.accepted(path)), timeout_s=timeout_s, msg=f"no callback at {path}")
        return self.accepted(path)[0]

    def take(self, path: str, headers: Mapping[str, str], body: Path) -> int:
        """Keep one delivery and say with which status it is answered."""
        size = body.stat().st_size
        with self._lock:
            status = self._failures.pop(0) if self._failures else 200
        fields, pdf, status = self._read(body, status)
        with self._lock:
            self._callbacks.append(Callback(path, headers, fields, pdf, size, status))
        return status

    def _read(self, body: Path, status: int) -> tuple[Mapping[str, Any], Path | None, int]:
        try:
            fields: dict[str, Any] = json.loads(body.read_bytes())
            encoded = fields.pop("ImagensPDF", None)
            if encoded is None or status != 200:
                return fields, None, status
            pdf = body.with_suffix(".pdf")
            pdf.write_bytes(base64.b64decode(encoded, validate=True))
        except (ValueError, TypeError, AttributeError, binascii.Error):
            return {}, None, 400
        return fields, pdf, status

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(Server):
    receiver: Receiver


class _ReceiverHandler(Handler):
    server: _Server
    body_limit = BODY_BYTES

    def do_POST(self) -> None:  # noqa: N802  # http.server looks for this name
        folder = self.server.receiver.folder
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".json", delete=False) as stream:
            body = Path(stream.name)
            try:
                for piece in self.body_chunks():
                    stream.write(piece)
            except RefusedError as refused:
                body.unlink()
                self.close_connection = True
                self._reply(refused.status)
                return
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            status = self.server.receiver.take(self.path, headers, body)
        finally:
            body.unlink()
        self._reply(status)

    def _reply(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
