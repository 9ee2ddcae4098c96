"""A process that carries associations for the router: it receives, and asks the first process for the rest.

It has no row and listens nowhere. Connections come to it through its door, each with the channel on which
its association asks. When the first process is gone it ends at once, and tells no peer anything.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final

from ponte.quarantine import FolderQuarantine
from ponte_net import tls
from router import log as router_log
from router.access import Access, AccessRules, Slot
from router.association import AssociationLimits
from router.associations import Associations
from router.channel import Channel
from router.counters import Counters
from router.door import Door, DoorClosed
from router.intake import DiskLimits
from router.listener import Endpoint
from router.reception import Intake
from router.remote import RemoteIntake, RemotePlace
from router.spool import Spool

log = logging.getLogger(__name__)

_EVERY_S: Final = 1.0
_POLL_S: Final = 0.1
_AT_A_TIME: Final = 100

IntakeOf = Callable[[Channel], Intake]


@dataclass(frozen=True, slots=True)
class CarrierSettings:
    """What a carrier has to know of the configuration."""

    root: Path
    endpoints: tuple[Endpoint, ...]
    access: AccessRules
    limits: AssociationLimits
    disk: DiskLimits
    quarantine_bytes: int
    log_level: str


class Carrier:
    """`run` is all of it, in the thread that calls it."""

    def __init__(
        self, door: Door, settings: CarrierSettings, intake_of: IntakeOf, counters: Counters
    ) -> None:
        self._door = door
        self._intake_of = intake_of
        self._counters = counters
        self._contexts = [_context(endpoint) for endpoint in settings.endpoints]
        self._associations = Associations(
            access=Access(settings.access), limits=settings.limits, counters=counters
        )
        self._stopping: Thread | None = None

    def run(self) -> None:
        """Serve until the first process says that it is enough. Raises `DoorClosed` where that is gone."""
        self._door.say("started", os.getpid())
        while self._stopping is None or self._stopping.is_alive():
            heard = self._door.hear(_POLL_S if self._stopping else _EVERY_S)
            self._report()
            if heard is None:
                continue
            (kind, *values), files = heard
            if kind == "connection":
                endpoint, listener, address = values
                self._begin(endpoint, listener, address, [socket.socket(fileno=file) for file in files])
            elif kind == "stop":
                self._stopping = Thread(target=self._stop, args=values, daemon=True)
                self._stopping.start()
        self._report()

    def _begin(self, endpoint: int, listener: str, address: str, sockets: list[socket.socket]) -> None:
        """Serve the connection that came with its channel. Without room for another file neither may have."""
        try:
            connection, line = sockets
            channel = Channel(line)
            self._associations.begin(
                connection, Slot(address, connection), RemotePlace(channel), self._intake_of(channel),
                listener=listener, tls=self._contexts[endpoint],
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001  (whoever it was, others want to come in)
            log.error("connection failed", extra={"code": type(error).__name__, "listener": listener})
            for one in sockets:
                one.close()

    def _stop(self, grace_s: float) -> None:
        with suppress(DoorClosed):
            self._door.say("ended", self._associations.stop(grace_s))

    def _report(self) -> None:
        """What was counted since."""
        counted = self._counters.take()
        for at in range(0, len(counted), _AT_A_TIME):
            self._door.say("counted", counted[at : at + _AT_A_TIME])


class DoorHandler(logging.Handler):
    """Log records go through the door: the first process alone writes the log."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self._door = door

    def emit(self, record: logging.LogRecord) -> None:
        """Nobody is left to be told that it cannot be said."""
        values = {key: record.__dict__[key] for key in router_log.KEYS if key in record.__dict__}
        if record.exc_info and record.exc_info[0]:
            values["error"] = record.exc_info[0].__name__
        with suppress(DoorClosed):
            self._door.say("logged", record.name, record.levelno, record.getMessage(), record.created, values)


def carry(door: Door, settings: CarrierSettings, mark: str) -> None:
    """The life of a carrier's process. Raises `DoorClosed`, and what a broken configuration raises."""
    router_log.send_to([DoorHandler(door)], settings.log_level)
    counters, quarantine = Counters(), FolderQuarantine(settings.root, budget_bytes=settings.quarantine_bytes)
    spool = Spool(settings.root, mark=mark)

    def intake_of(channel: Channel) -> RemoteIntake:
        return RemoteIntake(channel, spool, quarantine, counters, settings.disk)

    Carrier(door, settings, intake_of, counters).run()


def _context(endpoint: Endpoint) -> ssl.SSLContext | None:
    return tls.server_context(endpoint.tls) if endpoint.tls else None
