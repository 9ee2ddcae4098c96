from __future__ import annotations

import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from callback import delivery
from callback.body import JsonBody
from callback.delivery import DeliveryFailed, post
from ponte_aws.callback_url import CallbackRefused, Policy, Target
from tests.tls import self_signed_context
from tests.unit.callback.receiver import receiving

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
    with pytest.raises(CallbackRefused):
        post(policy.check_url("https://client.example/"), policy, {}, BODY)


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
    with pytest.raises(DeliveryFailed):
        post(policy.check_url("https://client.example/"), policy, {}, BODY)
    assert (calls, connected) == (["client.example"], [(PUBLIC, 443)])


def test_a_listed_loopback_address_is_refused_outside_stage_local() -> None:
    policy = Policy.parse("http://127.0.0.1:9", "prod")
    target = policy.check_url("http://127.0.0.1:9/")
    with pytest.raises(CallbackRefused):
        post(target, policy, {}, BODY)


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    with receiving(self_signed_context(tmp_path)) as receiver:
        policy = Policy.parse(receiver.url, "local")
        with pytest.raises(DeliveryFailed, match="SSLCertVerificationError"):
            post(policy.check_url(receiver.url), policy, {"Authorization": "secret"}, BODY)
        assert receiver.requests == []


def test_a_trusted_certificate_for_another_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = self_signed_context(tmp_path, host="127.0.0.2")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    monkeypatch.setattr(delivery, "_tls_context", lambda: trusting)
    with receiving(server) as receiver:
        policy = Policy.parse(receiver.url, "local")
        with pytest.raises(DeliveryFailed, match="SSLCertVerificationError"):
            post(policy.check_url(receiver.url), policy, {}, BODY)
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
        with pytest.raises(DeliveryFailed):
            post(policy.check_url(receiver.url), policy, {}, BODY)
        assert time.monotonic() - started < 10
        stop.set()


def test_retry_after_is_read_in_seconds() -> None:
    with receiving() as receiver:
        receiver.status, receiver.headers = 429, {"Retry-After": "120"}
        policy = Policy.parse(receiver.url, "local")
        answer = post(policy.check_url(receiver.url), policy, {}, BODY)
        assert (answer.worth_a_retry, answer.retry_after_s) == (True, 120.0)


def test_a_name_that_does_not_resolve_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*a: object, **k: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(DeliveryFailed):
        post(Target("https", "client.example", 443, "/"), Policy.parse("", "prod"), {}, BODY)
