from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import urllib3

from infra.local.errors import PortInUseError
from infra.local.gateway import (
    BODY_BYTES,
    FunctionFailedError,
    FunctionTimeoutError,
    Gateway,
)
from infra.local.httpevent import Answer, Request
from infra.local.process import wait_for
from infra.local.wire import Handler, Server

PDF = b"%PDF-" + b"x" * 300_000


class StandIn:
    """A function that does as the test says, and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _: Answer(200, (("x-test", "1"),), b"hello")
        self.storage = "http://nowhere"

    def invoke(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.answer(request)

    def owns(self, location: str) -> bool:
        return location.startswith(self.storage)


@pytest.fixture
def function() -> StandIn:
    return StandIn()


@pytest.fixture
def gateway(function: StandIn) -> Iterator[Gateway]:
    with Gateway("127.0.0.1", 0) as running:
        running.start(function)
        yield running


def call(
    gateway: Gateway, method: str = "GET", path: str = "/", **options: object
) -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, gateway.url + path, retries=False, redirect=False, **options)  # type: ignore[arg-type]


def raw(gateway: Gateway, request: bytes) -> bytes:
    """Send bytes as they are and return all that is answered until the connection ends."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_the_request_reaches_the_function_and_its_answer_the_client(
    gateway: Gateway, function: StandIn
) -> None:
    answer = call(gateway, "POST", "/render?a=b", body=b"body", headers={"X-Name": "value"})

    assert (answer.status, answer.data, answer.headers["x-test"]) == (200, b"hello", "1")
    (request,) = function.requests
    assert (request.method, request.target, request.body, request.peer) == (
        "POST",
        "/render?a=b",
        b"body",
        "127.0.0.1",
    )
    assert ("X-Name", "value") in request.headers


def test_head_has_the_length_but_no_body(gateway: Gateway) -> None:
    answer = raw(gateway, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert b"content-length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_connection_carries_several_requests(gateway: Gateway, function: StandIn) -> None:
    answers = raw(gateway, b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answers.count(b"HTTP/1.1 200") == 2
    assert [request.target for request in function.requests] == ["/1", "/2"]


def test_a_body_in_chunks_is_put_together(gateway: Gateway, function: StandIn) -> None:
    answer = raw(
        gateway,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4;name=value\r\nbody\r\n2\r\n!!\r\n0\r\nTrailer: x\r\n\r\n",
    )

    assert b"HTTP/1.1 200" in answer
    assert function.requests[0].body == b"body!!"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"400"),
        (b"Content-Length: 4\r\nContent-Length: 5", b"400"),
        (b"Content-Length: -1", b"400"),
        (b"Transfer-Encoding: gzip", b"501"),
        (b"Content-Length: " + str(BODY_BYTES + 1).encode(), b"413"),
        (b"Expect: 100-continue\r\nContent-Length: " + str(BODY_BYTES + 1).encode(), b"413"),
        (b"X: " + b"x" * 10_300, b"431"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz", b"400"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(
    gateway: Gateway, function: StandIn, head: bytes, status: bytes
) -> None:
    answer = raw(gateway, b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\nbody")

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert function.requests == []


def test_chunks_above_the_limit_are_refused(gateway: Gateway, function: StandIn) -> None:
    size = BODY_BYTES // 2 + 1
    chunk = f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"
    answer = call(gateway, "POST", body=iter([b"x" * size]), headers={"Transfer-Encoding": "chunked"})
    assert answer.status == 200

    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
        connection.sendall(f"{size:x}\r\n".encode() + b"x" * (size - 1))
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (FunctionFailedError("raised"), 502, "Internal Server Error"),
        (FunctionTimeoutError("slow"), 503, "Service Unavailable"),
    ],
)
def test_a_function_that_fails_is_a_gateway_error(
    gateway: Gateway, function: StandIn, error: Exception, status: int, message: str
) -> None:
    def fail(_: Request) -> Answer:
        raise error

    function.answer = fail

    answer = call(gateway)

    assert (answer.status, answer.json()) == (status, {"message": message})


class Storage(Handler):
    def do_GET(self) -> None:  # noqa: N802
        self.send_response(200 if self.path == "/pdf" else 404)
        self.send_header("content-type", "application/pdf")
        self.send_header("content-length", str(len(PDF)))
        self.end_headers()
        self.wfile.write(PDF)


@pytest.fixture
def storage() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Storage)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_link_into_the_stacks_own_storage_is_followed(
    gateway: Gateway, function: StandIn, storage: str
) -> None:
    function.storage = storage
    function.answer = lambda _: Answer(303, (("location", f"{storage}/pdf"),))

    answer = call(gateway)

    assert (answer.status, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.data == PDF


def test_a_link_elsewhere_is_the_clients_to_follow(gateway: Gateway, function: StandIn, storage: str) -> None:
    function.answer = lambda _: Answer(303, (("location", f"{storage}/pdf"),))

    answer = call(gateway)

    assert (answer.status, answer.headers["location"]) == (303, f"{storage}/pdf")


def test_a_link_to_nothing_is_a_gateway_error(gateway: Gateway, function: StandIn, storage: str) -> None:
    function.storage = storage
    function.answer = lambda _: Answer(303, (("location", f"{storage}/absent"),))

    assert call(gateway).status == 502


def test_a_client_that_goes_away_leaves_no_word_in_the_log(
    gateway: Gateway, function: StandIn, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    function.answer = lambda _: Answer(200, (), b"x" * 20_000_000)
    before = set(threading.enumerate())
    with caplog.at_level(logging.DEBUG), socket.create_connection(("127.0.0.1", gateway.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(10)
    wait_for(
        lambda: set(threading.enumerate()) <= before,
        timeout_s=20,
        msg="the handler still runs",
    )

    assert call(gateway, "HEAD").status == 200
    assert [record for record in caplog.records if record.name.startswith("infra")] == []
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken_is_named_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortInUseError, match=rf"^port {port} on 127\.0\.0\.1 is in use; .*API_PORT$"):
            Gateway("127.0.0.1", port)


def test_the_port_is_free_again_after_the_end(function: StandIn) -> None:
    with Gateway("127.0.0.1", 0) as first:
        first.start(function)
        call(first)

    with Gateway("127.0.0.1", first.port) as second:
        second.start(function)
        assert call(second).status == 200


def test_no_connection_outlives_the_gateway(function: StandIn) -> None:
    with Gateway("127.0.0.1", 0) as gateway:
        gateway.start(function)
        connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")

    with connection:
        while connection.recv(
            65_536
        ):  # what was answered before; the end comes, or the time-out fails the test
            pass
        assert connection.recv(1) == b""


def test_nothing_answers_before_the_start() -> None:
    with Gateway("127.0.0.1", 0) as gateway, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", gateway.port), timeout=5)


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")]
)
def test_the_url_is_one_that_this_machine_can_open(host: str, expected: str) -> None:
    with Gateway(host, 0) as gateway:
        assert gateway.url.startswith(expected)
