"""A function as Lambda runs it: the Runtime API on loopback, AWS's runtime client in a bare interpreter.

The child sees the standard library, the function's asset, the layers and the runtime client, and nothing else
of this environment.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import awslambdaric

_CLIENT = ("awslambdaric", "runtime_client*.so", "simplejson", "snapshot_restore_py.py")
_BOOT = (
    "import json, os, runpy, sys; sys.path[:0] = json.loads(os.environ.pop('CONTRACT_PATH'));"
    "sys.argv = ['awslambdaric', os.environ['_HANDLER']];"
    "runpy.run_module('awslambdaric', run_name='__main__', alter_sys=True)"
)
_API = "/2018-06-01/runtime/"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended: its answer, or the error that the runtime client reported."""

    answer: Any = None
    error: Any = None


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is how every invocation ends."""


class RuntimeApi:
    """Lambda's Runtime API for one function. What else is asked of it is answered as AWS refusing."""

    def __init__(self) -> None:
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.outcomes: queue.Queue[Outcome] = queue.Queue()
        self._closing = threading.Event()
        self._server = _QuietServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def put(self, event: Mapping[str, Any]) -> None:
        """Hand over an event at the client's next question."""
        self._events.put((f"request-{self._events.qsize()}", json.dumps(event).encode()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next(self) -> tuple[str, bytes] | None:
        while not self._closing.is_set():
            try:
                return self._events.get(timeout=0.05)
            except queue.Empty:
                continue
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = api._next()
                if self.path != f"{_API}invocation/next" or found is None:
                    self._answer(404, b"{}")
                    return
                request_id, event = found
                self._answer(
                    200,
                    event,
                    {
                        "Lambda-Runtime-Aws-Request-Id": request_id,
                        "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 60_000),
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:::function:contract",
                    },
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if not self.path.startswith(_API):
                    self._answer(400, b'{"__type":"AccessDenied","message":"there is no AWS here"}')
                    return
                if self.path.endswith("/response"):
                    api.outcomes.put(Outcome(answer=json.loads(body)))
                else:
                    api.outcomes.put(Outcome(error=json.loads(body)))
                self._answer(202, b"{}")

            def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, template: str, /, *args: object) -> None:
                pass

        return Handler


def mount(layers: Sequence[Path], opt: Path) -> Path:
    """Unpack layers over one another, as Lambda does into `/opt`. Raises when one would overwrite another."""
    for layer in layers:
        for source in layer.rglob("*"):
            target = opt / source.relative_to(layer)
            if source.is_dir():
                continue
            if target.exists():
                raise AssertionError(f"two layers hold {target.relative_to(opt)}")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return opt


def invoke(
    handler: str,
    event: Mapping[str, Any],
    *,
    path: Sequence[Path],
    client: Path,
    environment: Mapping[str, str],
) -> Outcome:
    """Run one event through a handler and answer how it ended. `path` is all that it can import from."""
    link_client(client)
    with RuntimeApi() as api:
        api.put(event)
        variables = {
            "_HANDLER": handler,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{api.address}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
            "AWS_LAMBDA_FUNCTION_NAME": "contract",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": "contract",
            "AWS_LAMBDA_LOG_STREAM_NAME": "contract",
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_REGION": "us-east-1",
            "AWS_SECRET_ACCESS_KEY": "none",
            "CONTRACT_PATH": json.dumps([str(entry) for entry in [*path, client]]),
            "LAMBDA_TASK_ROOT": str(path[0]),
            "PATH": os.defpath,
            **environment,
        }
        command = [bare_interpreter(), "-I", "-S", "-W", "error::ImportWarning", "-c", _BOOT]
        with subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child:
            try:
                return _wait(api, child)
            finally:
                child.kill()


def _wait(api: RuntimeApi, child: subprocess.Popen[str], timeout_s: float = 60) -> Outcome:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            return api.outcomes.get(timeout=0.05)
        except queue.Empty:
            if child.poll() is not None and api.outcomes.empty():
                output = child.stdout.read() if child.stdout else ""
                raise AssertionError(f"the runtime client ended by itself: {output[-2000:]}") from None
    raise AssertionError("the function did not answer in time")


def link_client(folder: Path) -> None:
    """Put AWS's runtime client and what it needs, and nothing else, into a folder."""
    folder.mkdir(exist_ok=True)
    packages = Path(awslambdaric.__file__).parent.parent
    for pattern in _CLIENT:
        for source in packages.glob(pattern):
            link = folder / source.name
            if not link.exists():
                link.symlink_to(source)


def bare_interpreter() -> str:
    """The interpreter below this virtual environment."""
    version = "{}.{}".format(*sys.version_info)
    return str(Path(sysconfig.get_config_var("BINDIR")) / f"python{version}")
