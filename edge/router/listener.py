"""A port that peers connect to: its thread lets them in, or not, and gives each a thread of its own."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from threading import Event, Thread
from typing import Final

from ponte.errors import InvalidRequest
from ponte_net import pdu, tls
from ponte_net.tls import TlsOptions
from router.access import AT_LIMIT, Access, Slot, Slots, plain_address
from router.counters import Counters

log = logging.getLogger(__name__)

_BACKLOG = 128
_PAUSE_S: Final = 0.1
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Start = Callable[[socket.socket, Slot, "Listener"], bool]
"""Serve a connection: False where nobody can now."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port to listen on; port 0 is any that is free. `name` is how logs call it."""

    port: int
    address: str = "0.0.0.0"  # noqa: S104  (the old system's default; the configuration warns of it)
    name: str = ""
    tls: TlsOptions | None = None


class Listener:
    """Listens from when it is made. Raises `InvalidRequest` for an address or port that is not to be had."""

    def __init__(
        self, endpoint: Endpoint, *, access: Access, slots: Slots, counters: Counters, start: Start
    ) -> None:
        self.tls: ssl.SSLContext | None = tls.server_context(endpoint.tls) if endpoint.tls else None
        self._access = access
        self._slots = slots
        self._counters = counters
        self._start = start
        self._stopping = Event()
        self._socket = _listening(endpoint)
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self.port: int = self._socket.getsockname()[1]
        self.name = endpoint.name or str(self.port)
        self._thread = Thread(target=self._accept_all, name=f"listener {self.name}", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True while somebody is let in."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let nobody in any more. Harmless when repeated."""
        self._stopping.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _accept_all(self) -> None:
        ready = select.poll()
        ready.register(self._socket, select.POLLIN)
        while not self._stopping.is_set():
            ready.poll()  # first: without a file to spare, to accept fails even where nobody waits
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                if self._stopping.is_set():
                    return
                self._recover(error)
                continue
            try:
                self._admit(connection, plain_address(address[0]))
            except Exception as error:  # noqa: BLE001  (whoever it was, others want to come in)
                connection.close()
                log.error("connection failed", extra={"code": type(error).__name__, "listener": self.name})

    def _admit(self, connection: socket.socket, address: str) -> None:
        if not self._access.admits(address):
            self._refuse(connection, address, "address")
            return
        slot = self._slots.take(address, connection)
        if slot is None:
            self._refuse_for_now(connection, address)
            return
        try:
            is_served = self._start(connection, slot, self)
        except BaseException:
            self._slots.give_back(slot)
            raise
        if not is_served:
            self._slots.give_back(slot)
            self._refuse_for_now(connection, address)

    def _refuse_for_now(self, connection: socket.socket, address: str) -> None:
        if self.tls is None:
            with suppress(OSError):
                connection.settimeout(0)
                connection.send(pdu.control(pdu.ASSOCIATE_RJ, AT_LIMIT.body))
                connection.shutdown(socket.SHUT_WR)
        self._refuse(connection, address, "limit")

    def _refuse(self, connection: socket.socket, address: str, reason: str) -> None:
        connection.close()
        self._counters.add("ponte_connections_refused_total", listener=self.name, reason=reason)
        log.warning("connection refused", extra={"address": address, "listener": self.name, "reason": reason})

    def _recover(self, error: OSError) -> None:
        """Without a file to spare, use the one that is kept for this: let the connection in and close it."""
        if error.errno in _OUT_OF_FILES and self._spare >= 0:
            log.error("connection refused", extra={"listener": self.name, "reason": "files"})
            self._counters.add("ponte_connections_refused_total", listener=self.name, reason="files")
            os.close(self._spare)
            self._spare = -1
            with suppress(OSError):
                connection, _ = self._socket.accept()
                connection.close()
            with suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY)
        self._stopping.wait(_PAUSE_S)


def _listening(endpoint: Endpoint) -> socket.socket:
    try:
        is_v6 = isinstance(ip_address(endpoint.address), IPv6Address)
        listener = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET)
    except (ValueError, OSError) as error:
        raise InvalidRequest(f"{endpoint.address!r} is no address to listen on") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_v6:  # `::` is IPv4 too
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((endpoint.address, endpoint.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        where = f"{endpoint.address} port {endpoint.port}"
        raise InvalidRequest(f"Cannot listen on {where}: {os.strerror(error.errno or 0)}") from error
    return listener
