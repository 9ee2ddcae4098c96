from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback import delivery
from callback.body import JsonBody
from callback.delivery import Fault, post, retry_after_s
from ponte_aws.callback_url import Policy, Target
from tests.tls import self_signed_context
from tests.unit.callback.receiver import answering, receiving

BODY = JsonBody(b"{}")


def test_a_listed_loopback_address_is_refused_outside_stage_local() -> None:
    policy = Policy.parse("http://127.0.0.1:9", "prod")
    target = policy.check_url("http://127.0.0.1:9/")
    assert post(target, policy, {}, BODY).fault is Fault.REFUSED


def test_a_trusted_certificate_for_the_name_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = self_signed_context(tmp_path)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    monkeypatch.setattr(delivery, "_tls_context", lambda: trusting)
    with receiving(server) as receiver:
        policy = Policy.parse(receiver.url, "local")
        assert post(policy.check_url(receiver.url), policy, {}, BODY).accepted


def test_retry_after_of_the_answer_is_part_of_the_outcome() -> None:
    with receiving() as receiver:
        receiver.status, receiver.headers = 429, {"Retry-After": "120"}
        policy = Policy.parse(receiver.url, "local")
        outcome = post(policy.check_url(receiver.url), policy, {}, BODY)
        assert (outcome.fault, outcome.worth_a_retry, outcome.retry_after_s) == (Fault.STATUS, True, 120.0)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "9" * 40, "Wed, 99 Foo 2026", "\xb2"])
def test_a_retry_after_that_is_none_is_not_one(value: str) -> None:
    assert retry_after_s(value) is None


@given(st.text(max_size=60) | st.from_regex(r"\w{3}, \d{1,3} \w{3} \d{1,6} \d\d:\d\d:\d\d ([-+]\d{4}|GMT)"))
def test_no_retry_after_that_a_receiver_may_send_breaks_the_attempt(value: str) -> None:
    assert (retry_after_s(value) or 0.0) >= 0.0


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
