"""WH-01 to WH-22: where a callback may be sent, and what a receiver may do to us."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from callback import delivery
from callback.body import JsonBody
from callback.delivery import Fault, Outcome, post
from ponte_aws.callback_url import CallbackRefused, Policy
from tests.tls import self_signed_context
from tests.unit.callback.receiver import answering, receiving

BODY = JsonBody(b"{}")
SECRET = {"Authorization": "Bearer caller-secret"}
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"
STRICT = Policy.parse("", "prod")

LITERALS = {
    "WH-01": "https://127.0.0.1/",
    "WH-02": "https://127.1/",
    "WH-03": "https://2130706433/",
    "WH-04": "https://0x7f000001/",
    "WH-05": "https://017700000001/",
    "WH-06": "https://[::1]/",
    "WH-07": "https://[::ffff:127.0.0.1]/",
    "WH-08": "https://[64:ff9b::7f00:1]/",
    "WH-09": "https://[2002:7f00:1::]/",
    "WH-10": "https://0.0.0.0/",
    "WH-11": "https://169.254.169.254/latest/meta-data/",
    "WH-12": "https://168.63.129.16/",
    "WH-12 runtime": "http://127.0.0.1:9001/2018-06-01/runtime/invocation/next",
    "WH-12 secrets extension": "http://localhost:2773/secretsmanager/get",
    "WH-12 credentials": "http://169.254.170.2/v2/credentials",
    "WH-12 v6 metadata": "https://[fd00:ec2::254]/",
    "WH-12 teredo": "https://[2001:0:7f00:1::]/",
    "WH-12 v4-compatible": "https://[::127.0.0.1]/",
    "WH-12 site-local": "https://[fec0::1]/",
    "WH-12 zone": "https://[fe80::1%25eth0]/",
    "WH-12 mixed hex": "https://0x7f.1/",
    "WH-12 full stop": "https://127.0.0.1./",
    "WH-12 ideographic": "https://127\u30020\u30020\u30021/",
    "WH-12 fullwidth": "https://\uff11\uff12\uff17.0.0.1/",
    "WH-12 one label": "https://localhost/",
    "WH-15 http": "http://client.example/",
    "WH-15 ftp": "ftp://client.example/",
    "WH-15 file": "file:///etc/passwd",
    "WH-15 gopher": "gopher://client.example/",
    "WH-16 user": "https://user@client.example/",
    "WH-16 user and word": "https://user:word@client.example/",
    "WH-16 fragment": "https://client.example#@evil.example/",
    "WH-16 backslash": "https://client.example\\@evil.example/",
    "WH-16 tab": "https://client.example/\tx",
    "WH-16 newline": "https://client.example/\r\nX-Evil: 1",
    "WH-16 nul": "https://client.example/\x00",
    "WH-17 smtp": "https://client.example:25/",
    "WH-17 runtime": "https://client.example:9001/",
    "WH-17 zero": "https://client.example:0/",
}


@pytest.fixture
def nobody_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: pytest.fail("connected"))


@pytest.mark.parametrize("row", LITERALS)
def test_wh_01_to_12_and_15_to_17_are_refused_as_text(row: str, nobody_connects: None) -> None:
    with pytest.raises(CallbackRefused):
        STRICT.check_url(LITERALS[row])


def resolving(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """The resolver answers each round once; which names it was asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: object) -> list[Any]:
        answers = rounds[min(len(asked), len(rounds) - 1)]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


@pytest.mark.parametrize(
    "answers",
    [[PRIVATE], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"], [PUBLIC, "::ffff:10.0.0.1"],
     [PUBLIC, "64:ff9b::a00:1"], [PUBLIC, "169.254.169.254"], [PUBLIC, "168.63.129.16"]],
)  # fmt: skip
def test_wh_13_one_answer_that_is_not_public_refuses_the_name(
    answers: list[str], monkeypatch: pytest.MonkeyPatch, nobody_connects: None
) -> None:
    resolving(monkeypatch, answers)
    outcome = post(STRICT.check_url("https://client.example/"), STRICT, SECRET, BODY)
    assert (outcome.fault, outcome.worth_a_retry, outcome.sent_bytes) == (Fault.REFUSED, False, 0)


def test_wh_14_a_name_that_changes_its_answer_is_asked_once_and_the_checked_address_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = resolving(monkeypatch, [PUBLIC], ["127.0.0.1"])
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    outcome = post(STRICT.check_url("https://client.example/"), STRICT, SECRET, BODY)
    assert (asked, connected) == (["client.example"], [(PUBLIC, 443)])
    assert (outcome.fault, outcome.worth_a_retry) == (Fault.CONNECT, True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_wh_18_a_redirect_is_a_failure_and_nothing_is_asked_where_it_leads(status: int) -> None:
    with receiving() as trap, receiving() as receiver:
        receiver.status, receiver.headers = status, {"Location": trap.url}
        policy = Policy.parse(receiver.url, "local")
        outcome = post(policy.check_url(receiver.url), policy, SECRET, BODY)
        assert (outcome.accepted, outcome.worth_a_retry) == (False, False)
        assert (len(receiver.requests), len(trap.requests)) == (1, 0)


def sent_to(url: str) -> Outcome:
    policy = Policy.parse(url, "local")
    return post(policy.check_url(url), policy, SECRET, BODY)


def test_wh_20_a_self_signed_certificate_gets_nothing(tmp_path: Path) -> None:
    with receiving(self_signed_context(tmp_path)) as receiver:
        outcome = sent_to(receiver.url)
        assert (outcome.fault, outcome.worth_a_retry) == (Fault.TLS, True)
        assert receiver.requests == []


def test_wh_20_a_certificate_for_another_name_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = self_signed_context(tmp_path, host="127.0.0.2")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    monkeypatch.setattr(delivery, "_tls_context", lambda: trusting)
    with receiving(server) as receiver:
        assert sent_to(receiver.url).fault is Fault.TLS
        assert receiver.requests == []


def test_wh_20_a_receiver_that_speaks_no_tls_gets_nothing() -> None:
    with receiving() as receiver:
        assert sent_to(receiver.url.replace("http://", "https://")).fault is Fault.TLS
        assert receiver.requests == []


ENDLESS = 10 * 1024**3


def test_wh_21_of_an_endless_answer_64_kib_are_read() -> None:
    written = 0

    def flood(request: BaseHTTPRequestHandler) -> None:
        nonlocal written
        request.send_response(200)
        request.send_header("Content-Length", str(ENDLESS))
        request.end_headers()
        piece = bytes(64 * 1024)
        while written < ENDLESS:
            try:
                request.wfile.write(piece)
            except OSError:
                return
            written += len(piece)

    with receiving() as receiver:
        receiver.answer = flood
        outcome = sent_to(receiver.url)
    assert outcome.accepted
    assert written < 64 * 1024 * 1024  # what the kernel's buffers took, and no more


DRIBBLES: dict[str, list[bytes]] = {
    "status line": [b"H"],
    "headers": [b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"],
    "interim answers": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "body": [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"],
    "silence": [],
}


@pytest.mark.parametrize("what", DRIBBLES)
def test_wh_21_an_answer_that_dribbles_is_cut(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TOTAL_S", 0.3)
    ended = threading.Event()

    def dribble(connection: socket.socket) -> None:
        connection.recv(65536)
        pieces: Iterator[bytes] = iter(DRIBBLES[what])
        last = b""
        while not ended.wait(0.02):
            last = next(pieces, last)
            if last:
                connection.sendall(last)

    with answering(dribble) as url:
        outcome = sent_to(url)
        ended.set()
    assert (outcome.accepted, outcome.worth_a_retry) == (False, True)
    assert outcome.latency_s < 10


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x00" * 100, b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n",
     b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
     b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["nothing", "zeros", "no status", "no number", "version", "ssh", "500 headers", "long", "chunk"],
)  # fmt: skip
def test_wh_21_what_is_not_http_is_no_success(answer: bytes) -> None:
    def reply(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()

    with answering(reply) as url:
        outcome = sent_to(url)
    assert (outcome.accepted, outcome.worth_a_retry) == (False, True)
    assert outcome.fault in {Fault.CUT, Fault.PROTOCOL}


def test_wh_22_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert sent_to(receiver.url).accepted
        assert (len(receiver.requests), len(proxy.requests)) == (1, 0)
