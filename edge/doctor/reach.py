"""The way to a peer: its name, whether it answers to ping, and whether its port takes connections."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import struct
import subprocess
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from doctor.steps import Check, Found, State
from doctor.words import Phrase

CONNECT_S: Final = 5.0
_PING_S: Final = 2.0
_PINGS: Final = 3
_SLOW_S: Final = 0.5
_ECHO: Final = {socket.AF_INET: (socket.IPPROTO_ICMP, 8), socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128)}
_REFUSED: Final = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "refused"}
_NO_WAY: Final = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
_PORT_TAKEN: Final = {errno.EADDRINUSE, errno.EADDRNOTAVAIL}


class Reach:
    """One peer's. `address` is what answered, for the steps that follow."""

    def __init__(self, host: str, port: int | None, *, local_port: int | None = None) -> None:
        self.host = host
        self.port = port
        self.address = ""
        self._local_port = local_port
        self._addresses: list[str] = []

    def checks(self) -> tuple[Check, ...]:
        """Name, ping, port."""
        return (
            Check("dns", self.dns, limit_s=10),
            Check("ping", self.ping, ("dns",), limit_s=_PING_S * _PINGS + 2),
            Check("tcp", self.tcp, ("dns",), limit_s=CONNECT_S * 4),
        )

    def dns(self) -> Found:
        """The addresses of the host."""
        with suppress(ValueError):
            self._addresses = [str(ip_address(self.host.strip("[]")))]
            return Found("ok", (Phrase("dns.address", {"host": self.host}),))
        try:
            found = socket.getaddrinfo(self.host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return Found(
                "failed",
                (Phrase("dns.unknown", {"host": self.host}),),
                (Phrase("dns.advice", {"host": self.host}),),
            )
        self._addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        return Found("ok", (Phrase("dns.found", {"addresses": ", ".join(self._addresses[:8])}),))

    def ping(self) -> Found:
        """An echo of ICMP; a peer that gives none may be well all the same."""
        address = self._addresses[0]
        try:
            times = _echoes(address)
        except OSError:
            return _ping_program(address)
        if not times:
            return _silent(address)
        return _answered(address, min(times))

    def tcp(self) -> Found:
        """A connection to the first of the addresses that takes one."""
        assert self.port is not None  # noqa: S101  (else it is not among the checks)
        failures = []
        for address in self._addresses:
            began = time.monotonic()
            try:
                self._connect(address)
            except OSError as error:
                failures.append((address, error))
            else:
                self.address = address
                seconds = time.monotonic() - began
                values = {"address": address, "port": str(self.port), "ms": f"{seconds * 1000:.1f}"}
                if seconds > _SLOW_S:
                    return Found("warning", (Phrase("tcp.open", values),), (Phrase("tcp.slow_advice"),))
                return Found("ok", (Phrase("tcp.open", values),))
        return self._closed(*failures[0])

    def _connect(self, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(CONNECT_S)
            if self._local_port is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.bind(("", self._local_port))
            sock.connect((address, self.port))

    def _closed(self, address: str, error: OSError) -> Found:
        values = {"address": address, "port": str(self.port), "local_port": str(self._local_port)}
        if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
            why = "silent"
        elif self._local_port is not None and error.errno in _PORT_TAKEN:
            why = "local_port"
        elif error.errno in _NO_WAY:
            why = "no_way"
        else:
            why = _REFUSED.get(error.errno or 0, "broken")
        values["error"] = type(error).__name__
        return Found("failed", (Phrase(f"tcp.{why}", values),), (Phrase(f"tcp.{why}_advice", values),))


def _answered(address: str, seconds: float) -> Found:
    return Found("ok", (Phrase("ping.answered", {"address": address, "ms": f"{seconds * 1000:.1f}"}),))


def _silent(address: str, state: State = "warning") -> Found:
    return Found(state, (Phrase("ping.silent", {"address": address}),), (Phrase("ping.advice"),))


def _echoes(address: str) -> list[float]:
    """How long each echo took, of those that came, by a socket that needs no rights. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    protocol, kind = _ECHO[family]
    with socket.socket(family, socket.SOCK_DGRAM, protocol) as sock:
        sock.connect((address, 0))
        for number in range(1, _PINGS + 1):
            began = time.monotonic()
            with suppress(TimeoutError):
                sock.settimeout(_PING_S)
                sock.send(_echo(kind, number))
                sock.recv(1024)
                return [time.monotonic() - began]
    return []


def _echo(kind: int, number: int) -> bytes:
    """ICMP echo request (RFC 792, RFC 4443); the kernel puts in the identifier of the socket."""
    head, body = struct.pack("!BBHHH", kind, 0, 0, 0, number), b"ponte doctor"
    total = sum(struct.unpack(f"!{len(head + body) // 2}H", head + body))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", kind, 0, ~total & 0xFFFF, 0, number) + body


def _ping_program(address: str) -> Found:
    """Where no such socket is to be had: the program that may."""
    program = shutil.which("ping", path=f"{os.environ.get('PATH', os.defpath)}:/bin:/usr/bin:/sbin")
    if program is None:
        return Found("skipped", (Phrase("ping.impossible"),))
    began = time.monotonic()
    try:
        done = subprocess.run(
            [program, "-n", "-c", "1", "-W", str(int(_PING_S)), address],
            capture_output=True, timeout=_PING_S * _PINGS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return _silent(address)
    if done.returncode == 0:
        return _answered(address, time.monotonic() - began)
    if done.returncode == 1:
        return _silent(address)
    return Found("skipped", (Phrase("ping.impossible"),))
