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
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import cache
from typing import Protocol

from ponte.errors import TransientError
from ponte_aws.callback_url import Address, CallbackRefused, Policy, Target

CONNECT_S = 5.0
STALL_S = 20.0
TOTAL_S = 20.0
SLOWEST_BYTES_PER_S = 1_000_000
ANSWER_BYTES = 64 * 1024
ADDRESSES_TRIED = 3


class Fault(StrEnum):
    """What kept an attempt from being accepted: a short closed list, for the log of the job."""

    REFUSED = "refused"  # an address that we do not go to
    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    TIMEOUT = "timeout"
    CUT = "cut"  # the connection ended before an answer was there
    PROTOCOL = "protocol"  # what came is not HTTP
    STATUS = "status"
    INTERNAL = "internal"  # ours: a document, a key or a queue that could not be had
    STOPPED = "stopped"  # the function ended without a word, each time


class DeliveryFailed(TransientError):
    """The receiver could not be reached, or gave no answer."""

    default_code = "CALLBACK_FAILED"

    def __init__(self, detail: str, fault: Fault) -> None:
        super().__init__(detail)
        self.fault = fault


class Body(Protocol):
    """What is sent: its length is known before, its bytes come in pieces."""

    @property
    def size_bytes(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `status` is None when there was no answer; `fault` None when it was accepted.

    `retry_after_s` is there where the receiver asked for patience.
    """

    latency_s: float
    sent_bytes: int = 0
    status: int | None = None
    fault: Fault | None = None
    detail: str = ""
    retry_after_s: float | None = None

    @property
    def accepted(self) -> bool:
        return self.fault is None

    @property
    def worth_a_retry(self) -> bool:
        if self.fault is not Fault.STATUS or self.status is None:
            return self.fault is not Fault.REFUSED
        return self.status >= 500 or self.status in {408, 425, 429}


def post(target: Target, policy: Policy, headers: Mapping[str, str], body: Body) -> Outcome:
    """Send the body and read the answer's status. What goes wrong on the way there is part of the outcome.

    Raises only what reading the body raises: that is no fault of the receiver's.
    """
    counted, started = _Counted(body), time.monotonic()
    try:
        response = _exchange(target, policy, headers, counted)
    except DeliveryFailed as error:
        fault, detail = error.fault, error.detail
    except CallbackRefused as error:
        fault, detail = Fault.REFUSED, error.detail
    else:
        return Outcome(
            time.monotonic() - started,
            counted.sent_bytes,
            response.status,
            None if 200 <= response.status < 300 else Fault.STATUS,
            "" if 200 <= response.status < 300 else f"the receiver answered {response.status}",
            retry_after_s(response.headers.get("Retry-After", "")),
        )
    return Outcome(time.monotonic() - started, counted.sent_bytes, fault=fault, detail=detail)


def _exchange(
    target: Target, policy: Policy, headers: Mapping[str, str], body: _Counted
) -> http.client.HTTPResponse:
    addresses = resolve(target)
    policy.check_addresses(target, addresses)
    try:
        connection = _connect(target, addresses)
        with _deadline(connection, longest_s(body.size_bytes)):
            _send(connection, target, {**headers, "Content-Length": str(body.size_bytes)}, body)
            response = connection.getresponse()
            response.read(ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryFailed(
            f"no answer from the receiver ({type(error).__name__})", _fault(error)
        ) from error
    return response


def _send(
    connection: http.client.HTTPConnection, target: Target, headers: Mapping[str, str], body: _Counted
) -> None:
    try:
        connection.request("POST", target.path, body=iter(body), headers=headers)
    except (BrokenPipeError, ConnectionResetError):
        # A receiver may answer before it has read everything: its answer is what counts, if there is one.
        if not body.sent_bytes:
            raise


def _fault(error: BaseException) -> Fault:
    """The class of an error between us and the receiver."""
    kinds: tuple[tuple[type[BaseException], Fault], ...] = (
        (ssl.SSLError, Fault.TLS),
        (TimeoutError, Fault.TIMEOUT),
        (http.client.RemoteDisconnected, Fault.CUT),
        (http.client.IncompleteRead, Fault.CUT),
        (http.client.HTTPException, Fault.PROTOCOL),
        (BrokenPipeError, Fault.CUT),
        (ConnectionResetError, Fault.CUT),
    )
    return next((fault for kind, fault in kinds if isinstance(error, kind)), Fault.CONNECT)


class _Counted:
    """A body that knows how much of it was taken."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.size_bytes = body.size_bytes
        self.sent_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            yield piece
            self.sent_bytes += len(piece)


def longest_s(body_bytes: int) -> float:
    """How long sending so much may take, and hearing the answer."""
    return TOTAL_S + body_bytes / SLOWEST_BYTES_PER_S


def resolve(target: Target) -> list[Address]:
    """All addresses of the target's name, from one call of the resolver."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed("the receiver's name does not resolve", Fault.DNS) from error
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
    *others, last = addresses[:ADDRESSES_TRIED]
    for address in others:
        try:
            return socket.create_connection((str(address), port), CONNECT_S)
        except OSError:
            continue
    return socket.create_connection((str(last), port), CONNECT_S)


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


def retry_after_s(value: str) -> float | None:
    """Retry-After in seconds from now, in either of its forms (RFC 9110 10.2.3); None for anything else."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None
