"""API Gateway's place on this machine: HTTP in, the deployed api function invoked, its answer out.

The emulator has an HTTP API endpoint of its own, but it tells every function that the client is 127.0.0.1, so
the list of allowed clients could not work; this one gives the connection's real peer.
"""

from __future__ import annotations

import errno
import json
import logging
import socket
import threading
from types import TracebackType
from typing import Any, Protocol, Self

import urllib3
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from infra.local.aws import Aws
from infra.local.errors import LocalStackError, PortInUseError
from infra.local.httpevent import Answer, Request, answer_of, event_of
from infra.local.wire import CHUNK, Handler, RefusedError, Server

logger = logging.getLogger(__name__)

BODY_BYTES = 10 * 1024 * 1024
"""API Gateway's limit on a request."""
CONNECTIONS = 64
SLOT_S = 2.0
JSON = (("content-type", "application/json"),)
ERRORS = {502: "Internal Server Error", 503: "Service Unavailable", 413: "Request Too Long"}


class FunctionFailedError(LocalStackError):
    """The function raised, or returned what cannot be an answer."""


class FunctionTimeoutError(LocalStackError):
    """The function took longer than the gateway waits."""


class Backend(Protocol):
    """Whoever answers the requests: the deployed function, or a stand-in within a test."""

    def invoke(self, request: Request) -> Answer: ...

    def owns(self, location: str) -> bool: ...


class FunctionBackend:
    """The deployed api function, invoked through the emulator."""

    def __init__(self, aws: Aws, function_name: str, *, api_id: str = "local") -> None:
        self._aws = aws
        self._function_name = function_name
        self._api_id = api_id

    def invoke(self, request: Request) -> Answer:
        """Raises `FunctionFailedError` or `FunctionTimeoutError`."""
        event = event_of(request)
        event["requestContext"]["apiId"] = self._api_id
        try:
            result = self._aws.functions.invoke(
                FunctionName=self._function_name, Payload=json.dumps(event).encode()
            )
            payload = json.load(result["Payload"])
        except ReadTimeoutError as error:
            raise FunctionTimeoutError("the api function takes too long") from error
        except (BotoCoreError, ClientError, ValueError) as error:
            raise FunctionFailedError(f"the api function cannot be invoked: {error}") from error
        if result.get("FunctionError"):
            kind = payload.get("errorType") if isinstance(payload, dict) else None
            raise FunctionFailedError(f"the api function raised {kind}")
        try:
            return answer_of(payload)
        except (ValueError, TypeError) as error:
            raise FunctionFailedError(f"the api function returned no answer: {error}") from error

    def owns(self, location: str) -> bool:
        """Whether a redirect leads into the emulator's own S3."""
        return location.startswith(f"{self._aws.endpoint_url}/")


class Gateway:
    """The API on one address. Its port is taken when made, and answers from `start` on."""

    def __init__(self, host: str, port: int) -> None:
        """Raises `PortInUseError` when another program has the port."""
        try:
            self._server = _Server(host, port)
        except OSError as error:
            raise _refusal(error, host, port) from error
        self.host = host
        self.port: int = self._server.server_address[1]
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where to reach it from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104  # not a bind
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    def start(self, backend: Backend) -> None:
        """Begin to answer; raises `PortInUseError` when someone else began on that port in between."""
        self._server.backend = backend
        try:
            self._server.server_activate()
        except OSError as error:
            raise _refusal(error, self.host, self.port) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _refusal(error: OSError, host: str, port: int) -> LocalStackError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(f"port {port} on {host} is in use; choose another with API_PORT")
    return LocalStackError(f"cannot listen on {host} port {port}: {error.strerror}")


class _Server(Server):
    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.backend: Backend | None = None
        self.slots = threading.BoundedSemaphore(CONNECTIONS)
        self.http = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=60))
        super().__init__((host, port), _GatewayHandler, bind_and_activate=False)
        try:
            self.server_bind()
        except BaseException:
            self.server_close()
            raise

    def server_bind(self) -> None:
        # The base class looks the host's name up, which can take seconds without a network.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take one more connection when one of the slots gets free soon; close it otherwise."""
        if self.slots.acquire(timeout=SLOT_S):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()


class _GatewayHandler(Handler):
    server: _Server
    body_limit = BODY_BYTES

    def _answer(self) -> None:
        try:
            request = Request(
                method=self.command,
                target=self.path,
                headers=tuple(self.headers.items()),
                body=b"".join(self.body_chunks()),
                peer=self.client_address[0].removeprefix("::ffff:"),
            )
        except RefusedError as refused:
            self.close_connection = True
            self._send(Answer(refused.status, JSON, json.dumps({"message": refused.message}).encode()))
            return
        answer = self._invoke(request)
        location = dict(answer.headers).get("location", "")
        if answer.status == 303 and self.server.backend and self.server.backend.owns(location):
            self._relay(location)
        else:
            self._send(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = _answer  # noqa: N815

    def _invoke(self, request: Request) -> Answer:
        assert self.server.backend is not None  # noqa: S101  # start() set it before any request
        try:
            return self.server.backend.invoke(request)
        except FunctionTimeoutError as error:
            logger.warning("%s", error.detail)
            status = 503
        except FunctionFailedError as error:
            logger.error("%s", error.detail)  # the function's own log has its traceback
            status = 502
        return Answer(status, JSON, json.dumps({"message": ERRORS[status]}).encode())

    def _send(self, answer: Answer) -> None:
        self._send_head(answer.status, answer.headers, len(answer.body))
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _send_head(self, status: int, headers: tuple[tuple[str, str], ...], length: int) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value.replace("\r", " ").replace("\n", " "))
        if status not in (204, 304) and status >= 200:
            self.send_header("content-length", str(length))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()

    def _relay(self, location: str) -> None:
        """Send what the link leads to, piece by piece: locally the PDF always comes with the answer."""
        with self.server.http.request("GET", location, preload_content=False) as stored:
            if stored.status != 200:
                self._send(Answer(502, JSON, json.dumps({"message": ERRORS[502]}).encode()))
                return
            headers = tuple(
                (name, stored.headers[name])
                for name in ("content-type", "content-disposition", "cache-control")
                if name in stored.headers
            )
            self._send_head(200, headers, int(stored.headers["content-length"]))
            if self.command != "HEAD":
                for piece in stored.stream(CHUNK):
                    self.wfile.write(piece)
