"""POST to an address that somebody else chose: one connection, to an address that was checked, within limits.

The name is resolved once and every answer must be allowed; the connection goes to one of the checked
addresses, with the name for TLS and Host. No proxy, no redirect, no second request.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from ponte.errors import TransientError
from ponte_aws.callback_url import Address, Policy, Target

CONNECT_S = 5.0
STALL_S = 20.0
TOTAL_S = 20.0
SLOWEST_BYTES_PER_S = 1_000_000
ANSWER_BYTES = 64 * 1024


class DeliveryFailed(TransientError):
    """The receiver could not be reached, or did not answer as it should."""

    default_code = "CALLBACK_FAILED"


class Body(Protocol):
    """What is sent: its length is known before, its bytes come in pieces."""

    @property
    def size_bytes(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said. `retry_after_s` is there where it asked for patience."""

    status: int
    latency_s: float
    retry_after_s: float | None = None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def worth_a_retry(self) -> bool:
        return self.status >= 500 or self.status in {408, 425, 429}


def post(target: Target, policy: Policy, headers: Mapping[str, str], body: Body) -> Answer:
    """Send the body and read the answer's status.

    Raises `CallbackRefused` for an address that is not allowed, `DeliveryFailed` when no answer came.
    """
    started = time.monotonic()
    addresses = resolve(target)
    policy.check_addresses(target, addresses)
    try:
        connection = _connect(target, addresses)
        with _deadline(connection, longest_s(body.size_bytes)):
            connection.request(
                "POST",
                target.path,
                body=iter(body),
                headers={**headers, "Content-Length": str(body.size_bytes)},
            )
            response = connection.getresponse()
            response.read(ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryFailed(f"no answer from the receiver ({type(error).__name__})") from error
    return Answer(response.status, time.monotonic() - started, _retry_after_s(response))


def longest_s(body_bytes: int) -> float:
    """How long sending so much may take, and hearing the answer."""
    return TOTAL_S + body_bytes / SLOWEST_BYTES_PER_S


def resolve(target: Target) -> list[Address]:
    """All addresses of the target's name, from one call of the resolver."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed("the receiver's name does not resolve") from error
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


class _Pinned(http.client.HTTPConnection):
    """A connection to addresses that were checked, whatever the name resolves to by now."""

    def __init__(self, target: Target, addresses: Iterable[Address]) -> None:
        super().__init__(target.host, target.port, timeout=STALL_S)
        self._target = target
        self._addresses = list(addresses)

    def connect(self) -> None:
        sock = _open_socket(self._addresses, self._target.port)
        if self._target.scheme == "https":
            try:
                sock = _tls_context().wrap_socket(sock, server_hostname=self._target.host)
            except OSError:
                sock.close()
                raise
        sock.settimeout(STALL_S)
        self.sock = sock


def _open_socket(addresses: list[Address], port: int) -> socket.socket:
    for address in addresses[:-1]:
        try:
            return socket.create_connection((str(address), port), CONNECT_S)
        except OSError:
            continue
    return socket.create_connection((str(addresses[-1]), port), CONNECT_S)


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _connect(target: Target, addresses: list[Address]) -> http.client.HTTPConnection:
    connection = _Pinned(target, addresses)
    connection.connect()
    return connection


@contextmanager
def _deadline(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Cut the connection when the time is over, however slowly but steadily the peer reads or answers."""
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        with suppress(OSError):  # it may be closed by now
            connection.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
        if expired.is_set():  # a head that was cut reads like a whole one
            raise TimeoutError("the answer was not complete in time")
    finally:
        timer.cancel()
        connection.close()


def _retry_after_s(response: http.client.HTTPResponse) -> float | None:
    """Retry-After in seconds; its other form, a date, is left to our own schedule."""
    value = response.headers.get("Retry-After", "").strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 7 else None
