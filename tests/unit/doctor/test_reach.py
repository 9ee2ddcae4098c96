"""Ping by a socket or by the program, and what is said where neither is to be had."""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from doctor import reach
from doctor.reach import Reach


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> list[float]:
        raise PermissionError

    monkeypatch.setattr(reach, "_echoes", refused)


def program(folder: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `ping` that ends with the code."""
    path = folder / "ping"
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def ping() -> str:
    found = Reach("127.0.0.1", 1)
    found.dns()
    return found.ping().said[0].key


@pytest.mark.usefixtures("no_socket")
@pytest.mark.parametrize(("code", "key"), [(0, "ping.answered"), (1, "ping.silent"), (2, "ping.impossible")])
def test_without_a_socket_the_program_is_asked(
    code: int, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, code, monkeypatch)
    assert ping() == key


@pytest.mark.usefixtures("no_socket")
def test_without_either_it_says_so_and_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    found = Reach("127.0.0.1", 1)
    found.dns()
    assert (found.ping().state, found.ping().said[0].key) == ("skipped", "ping.impossible")


def test_an_echo_has_the_checksum_of_icmp() -> None:
    packet = reach._echo(8, 7)
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert packet[0] == 8


class Answering:
    """A socket of ICMP, on a machine that lets us have one."""

    def __init__(self, *_: Any) -> None:
        self.sent = b""

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def connect(self, _: object) -> None:
        pass

    def settimeout(self, _: float) -> None:
        pass

    def send(self, data: bytes) -> None:
        self.sent = data

    def recv(self, _: int) -> bytes:
        return self.sent


def test_with_a_socket_no_program_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket", Answering)
    monkeypatch.setenv("PATH", "")
    assert ping() == "ping.answered"


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), "tcp.refused"),
        (TimeoutError(), "tcp.silent"),
        (OSError(errno.EHOSTUNREACH, ""), "tcp.no_way"),
        (OSError(errno.EADDRINUSE, ""), "tcp.local_port"),
        (OSError(errno.EPIPE, ""), "tcp.broken"),
    ],
)
def test_why_a_port_does_not_open_has_words_of_its_own(
    error: OSError, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    found = Reach("127.0.0.1", 1, local_port=4011)
    found.dns()
    monkeypatch.setattr(found, "_connect", fail)
    step = found.tcp()
    assert [step.said[0].key, step.advice[0].key] == [key, f"{key}_advice"]


def test_a_name_has_its_addresses_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [(socket.AF_INET, 1, 6, "", ("10.0.0.1", 0)), (socket.AF_INET, 1, 6, "", ("10.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: there)
    found = Reach("pacs", 1).dns()
    assert found.said[0].values["addresses"] == "10.0.0.1"
