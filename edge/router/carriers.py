"""The storage SCP of several processes: this one listens and commits, carriers converse with the peers.

Each connection that is let in goes to the carrier with the fewest. A carrier that ends takes its connections
with it, and nothing that was answered; another one follows.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from typing import Any, Final, Protocol

from ponte.errors import TransientError
from ponte_net import tls
from router.access import Access, Slot, Slots
from router.carrier import CarrierSettings
from router.channel import Channel
from router.counters import Counters
from router.desk import Desk, Seat
from router.door import Door, DoorClosed
from router.intake import SpoolIntake
from router.listener import Listener
from router.scp import ConnectionLimits

log = logging.getLogger(__name__)

_TICK_S: Final = 0.5
_START_S: Final = 60.0
_FAREWELL_S: Final = 10.0
_STEADY_S: Final = 60.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


class Grows(Protocol):
    """What carriers grow from, such as a `Stem`."""

    def grow(self, mark: str, door: socket.socket) -> None:
        """A carrier behind this door, which is closed here. Raises `OSError`."""
        ...

    def close(self) -> None:
        """Grow no more."""
        ...


@dataclass(slots=True, eq=False)
class _Carrier:
    """`mark` ends the names of its files; `pid` is 0 until it has started; `connections` are those it was
    given; `ended` is whether all of them came to an end in time, None until it was asked to end."""

    mark: str
    door: Door
    started_at: float
    pid: int = 0
    connections: int = 0
    is_gone: bool = False
    ended: bool | None = None


class Carriers:
    """Listens from `start` on; so many processes carry associations."""

    def __init__(
        self,
        settings: CarrierSettings,
        intake: SpoolIntake,
        *,
        processes: int,
        stem: Grows,
        connections: ConnectionLimits,
        counters: Counters,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._access = Access(settings.access)
        self._processes = processes
        self._stem = stem
        self._counters = counters
        self._slots = Slots(
            most=connections.associations, most_per_address=connections.associations_per_address
        )
        self._desk = Desk(intake, self._slots)
        self._listeners: list[Listener] = []
        self._carriers: list[_Carrier] = []
        self._token = secrets.token_hex(4)
        self._grown = 0
        self._due: list[float] = []
        self._pause_s = 0.0
        self._changed = Condition()
        self._stopping = self._over = False
        self._all_ended = True
        self._wake = os.eventfd(0)
        self._thread = Thread(target=self._work, name="carriers", daemon=True)

    @property
    def ports(self) -> list[int]:
        """Of the listeners, in their order."""
        return [listener.port for listener in self._listeners]

    @property
    def pids(self) -> list[int]:
        """Of the carriers that have started."""
        return [carrier.pid for carrier in list(self._carriers) if carrier.pid]

    @property
    def open_associations(self) -> int:
        """Connections that are there now, those that have not associated yet included."""
        return len(self._slots)

    @property
    def is_alive(self) -> bool:
        """True while all endpoints are listened on, and carriers are heard."""
        listening = bool(self._listeners) and all(listener.is_alive for listener in self._listeners)
        return listening and self._thread.is_alive()

    def start(self) -> None:
        """Listen on all endpoints, or on none, once all carriers are there. Raises `InvalidRequest`;
        `TransientError` where they do not start."""
        try:
            for endpoint in self._settings.endpoints:
                if endpoint.tls:
                    tls.server_context(endpoint.tls)  # what is wrong with it is better said once than by each
            self._start_carriers()
            for number, endpoint in enumerate(self._settings.endpoints):
                begin = partial(self._begin, number)
                listener = Listener(
                    endpoint, access=self._access, slots=self._slots, counters=self._counters, start=begin
                )
                self._listeners.append(listener)
        except BaseException:
            self.stop(0)
            raise

    def stop(self, grace_s: float) -> bool:
        """Let nobody in any more, and have the carriers end as `Associations.stop` says. False where one did
        not, or not in time; it is gone nevertheless."""
        for listener in self._listeners:
            listener.stop()
        self._stopping = True
        for carrier in list(self._carriers):
            with suppress(DoorClosed):
                carrier.door.say("stop", grace_s, wait=False)
        with self._changed:
            in_time = self._changed.wait_for(lambda: not self._carriers, grace_s + _FAREWELL_S)
        self._over = True
        if self._thread.is_alive():
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        self._close()
        return in_time and self._all_ended

    def _close(self) -> None:
        for carrier in self._carriers:
            carrier.door.close()  # which ends it
        self._desk.close()
        self._stem.close()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _start_carriers(self) -> None:
        self._desk.watch(self._wake, lambda: None)
        for _ in range(self._processes):
            self._grow()
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._due or len(self.pids) == self._processes, _START_S)
        if len(self.pids) < self._processes:
            raise TransientError("The processes that carry associations do not start", code="CARRIER")

    def _grow(self) -> None:
        """Raises `OSError`."""
        self._grown += 1
        mark = f"-{self._token}-{self._grown}"
        door, theirs = Door.pair()
        try:
            self._stem.grow(mark, theirs)
        except OSError:
            door.close()
            raise
        carrier = _Carrier(mark, door, time.monotonic())
        self._carriers.append(carrier)
        self._desk.watch(door.fileno(), partial(self._hear, carrier))

    def _work(self) -> None:
        """Answer carriers, and see that there are as many as there should be."""
        while not self._over:
            try:
                self._desk.serve(_TICK_S)
                self._grow_due()
            except Exception as error:  # noqa: BLE001  it must not end: everybody waits for it
                log.error("carriers failed", extra={"alarm": "CARRIER", "code": type(error).__name__})
                time.sleep(_TICK_S)

    def _grow_due(self) -> None:
        now = time.monotonic()
        for due in [due for due in self._due if due <= now]:
            self._due.remove(due)
            if self._stopping:
                return
            try:
                self._grow()
            except OSError as error:
                self._put_off()
                log.error("carrier not started", extra={"alarm": "CARRIER", "errno": error.errno})

    def _put_off(self) -> None:
        """Another one is to be there, at once or after a pause that grows with each that did not last."""
        self._due.append(time.monotonic() + self._pause_s)
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)

    def _hear(self, carrier: _Carrier) -> None:
        """One packet of a carrier, or its end."""
        try:
            heard = carrier.door.hear(0)
        except DoorClosed:
            self._lose(carrier)
            return
        if heard is None:
            return
        (kind, *values), _ = heard
        if kind == "logged":
            _log(*values)
        elif kind == "counted":
            for name, labels, amount in values[0]:
                self._counters.add(name, amount, **labels)
        elif kind == "started":
            (carrier.pid,) = values
            self._tell()
        elif kind == "ended":
            (carrier.ended,) = values

    def _lose(self, carrier: _Carrier) -> None:
        """It has ended, as it was asked to or not."""
        self._desk.forget(carrier.door.fileno())
        with self._changed:  # nobody is to speak into a socket that has its number
            carrier.door.close()
            carrier.is_gone = True
            self._carriers.remove(carrier)
        self._all_ended = self._all_ended and (carrier.ended is True or not self._stopping)
        if carrier.ended is None:
            log.error("carrier lost", extra={"alarm": "CARRIER_LOST"})
            self._counters.add("ponte_carriers_lost_total")
            if time.monotonic() - carrier.started_at > _STEADY_S:
                self._pause_s = 0.0
            self._put_off()
        self._tell()
        self._sweep(carrier)

    def _begin(self, endpoint: int, connection: socket.socket, slot: Slot, listener: Listener) -> bool:
        """Hand a connection over; False where nobody takes it."""
        ours, theirs = socket.socketpair()
        channel = Channel(ours)
        with theirs:
            for carrier in sorted(self._carriers, key=lambda one: one.connections):
                self._change(carrier, 1)
                try:
                    files = [connection.fileno(), theirs.fileno()]
                    packet = ("connection", endpoint, listener.name, slot.address)
                    with self._changed:
                        carrier.door.say(*packet, files=files, wait=False)
                except DoorClosed:
                    self._change(carrier, -1)
                    continue
                self._desk.seat(Seat(slot, channel, carrier.mark, partial(self._change, carrier, -1)))
                return True
        channel.close()
        return False

    def _change(self, carrier: _Carrier, by: int) -> None:
        with self._changed:
            carrier.connections += by
        self._sweep(carrier)

    def _sweep(self, carrier: _Carrier) -> None:
        """What a carrier was receiving goes when the last of its questions was heard, not before."""
        if carrier.is_gone and not carrier.connections:
            try:
                self._intake.spool.sweep_marked(carrier.mark)
            except OSError as error:  # the next start does it
                log.warning("partial files not removed", extra={"errno": error.errno})

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _log(name: str, level: int, message: str, created: float, values: dict[str, Any]) -> None:
    """A record of a carrier, as if it were ours."""
    record = logging.makeLogRecord(
        {
            **values, "name": name, "levelno": level, "levelname": logging.getLevelName(level),
            "msg": message, "created": created, "msecs": created % 1 * 1000,
        }
    )  # fmt: skip
    logging.getLogger(name).handle(record)
