from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from callback import delivery
from callback.body import JsonBody
from callback.delivery import Fault, post, retry_after_s
from ponte_aws.callback_url import Policy, Target
from tests.tls import self_signed_context
from tests.unit.callback.receiver import answering, receiving

BODY = JsonBody(b"{}")
PUBLIC = "93.184.215.14"


def answers(*addresses: str) -> list[tuple[object, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], [PUBLIC, "169.254.169.254"], ["10.0.0.1", PUBLIC]]
)
def test_one_private_answer_refuses_them_all(monkeypatch: pytest.MonkeyPatch, found: list[str]) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: answers(*found))
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("connected"))
    policy = Policy.parse("", "prod")
    assert post(policy.check_url("https://client.example/"), policy, {}, BODY).fault is Fault.REFUSED


def test_the_name_is_resolved_once_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, connected = [], []

    def resolve(host: str, *a: object, **k: object) -> list[tuple[object, ...]]:
        calls.append(host)
        return answers(PUBLIC if len(calls) == 1 else "127.0.0.1")

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    policy = Policy.parse("", "prod")
    assert post(policy.check_url("https://client.example/"), policy, {}, BODY).fault is Fault.CONNECT
    assert (calls, connected) == (["client.example"], [(PUBLIC, 443)])


def test_a_listed_loopback_address_is_refused_outside_stage_local() -> None:
    policy = Policy.parse("http://127.0.0.1:9", "prod")
    target = policy.check_url("http://127.0.0.1:9/")
    assert post(target, policy, {}, BODY).fault is Fault.REFUSED


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    with receiving(self_signed_context(tmp_path)) as receiver:
        policy = Policy.parse(receiver.url, "local")
        outcome = post(policy.check_url(receiver.url), policy, {"Authorization": "secret"}, BODY)
        assert (outcome.fault, outcome.status) == (Fault.TLS, None)
        assert receiver.requests == []


def test_a_trusted_certificate_for_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = self_signed_context(tmp_path, host="127.0.0.2")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    monkeypatch.setattr(delivery, "_tls_context", lambda: trusting)
    with receiving(server) as receiver:
        policy = Policy.parse(receiver.url, "local")
        assert post(policy.check_url(receiver.url), policy, {}, BODY).fault is Fault.TLS
        assert receiver.requests == []


def test_a_trusted_certificate_for_the_name_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = self_signed_context(tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    monkeypatch.setattr(delivery, "_tls_context", lambda: trusting)
    with receiving(server) as receiver:
        policy = Policy.parse(receiver.url, "local")
        assert post(policy.check_url(receiver.url), policy, {}, BODY).accepted


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with receiving() as receiver:
        policy = Policy.parse(receiver.url, "local")
        assert post(policy.check_url(receiver.url), policy, {}, BODY).accepted


def test_an_answer_that_dribbles_for_ever_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TOTAL_S", 0.4)
    stop = threading.Event()

    def dribble(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            if stop.wait(0.05):
                return
            try:
                request.wfile.write(b"X-More: 1\r\n")
            except OSError:
                return

    with receiving() as receiver:
        receiver.answer = dribble
        policy = Policy.parse(receiver.url, "local")
        started = time.monotonic()
        outcome = post(policy.check_url(receiver.url), policy, {}, BODY)
        assert (outcome.fault, outcome.worth_a_retry) == (Fault.TIMEOUT, True)
        assert time.monotonic() - started < 10
        stop.set()


def test_retry_after_of_the_answer_is_part_of_the_outcome() -> None:
    with receiving() as receiver:
        receiver.status, receiver.headers = 429, {"Retry-After": "120"}
        policy = Policy.parse(receiver.url, "local")
        outcome = post(policy.check_url(receiver.url), policy, {}, BODY)
        assert (outcome.fault, outcome.worth_a_retry, outcome.retry_after_s) == (Fault.STATUS, True, 120.0)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "9" * 40, "Wed, 99 Foo 2026", "\xb2"])
def test_a_retry_after_that_is_none_is_not_one(value: str) -> None:
    assert retry_after_s(value) is None


def test_retry_after_may_be_a_date() -> None:
    later = formatdate(time.time() + 3600, usegmt=True)
    assert 3500 < (retry_after_s(later) or 0) <= 3600
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_an_answer_before_the_body_was_read_counts() -> None:
    """A receiver that refuses by the headers alone, and closes: its status, not a broken pipe."""

    class Large:
        size_bytes = 64 * 1024 * 1024

        def __iter__(self) -> Iterator[bytes]:
            return iter([bytes(1024 * 1024)] * 64)

    def refuse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)
        connection.close()

    with answering(refuse) as url:
        policy = Policy.parse(url, "local")
        outcome = post(policy.check_url(url), policy, {}, Large())
    # The kernel may drop an answer that a reset follows; then it is at least no success, and tried again.
    assert (outcome.status, outcome.worth_a_retry) in {(401, False), (None, True)}
    assert 0 < outcome.sent_bytes < Large.size_bytes


def test_a_name_that_does_not_resolve_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*a: object, **k: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    outcome = post(Target("https", "client.example", 443, "/"), Policy.parse("", "prod"), {}, BODY)
    assert (outcome.fault, outcome.worth_a_retry) == (Fault.DNS, True)
