"""Carriers without processes, for tests: each is a thread here, behind the same doors and channels."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

from ponte.quarantine import FolderQuarantine
from router.access import AccessRules
from router.association import AssociationLimits
from router.carrier import Carrier, CarrierSettings, IntakeOf
from router.carriers import Carriers
from router.channel import Channel
from router.counters import Counters
from router.door import Door, DoorClosed
from router.intake import DiskLimits, SpoolIntake
from router.listener import Endpoint
from router.remote import RemoteIntake
from router.scp import ConnectionLimits
from router.spool import Spool

NO_LIMITS = DiskLimits(0, 0, 0, 0)


class Shared(Counters):
    """Counters that carriers here share with who made them: there is nothing to pass on."""

    def take(self) -> list[tuple[str, dict[str, str], float]]:
        return []


class Threads:
    """What carriers that are threads grow from. `doors` are theirs, to end one from its own side."""

    def __init__(self, settings: CarrierSettings, counters: Counters, intake_of: IntakeOf | None) -> None:
        self._settings = settings
        self._counters = counters
        self._intake_of = intake_of
        self.doors: list[Door] = []

    def grow(self, mark: str, door: socket.socket) -> None:
        intake_of = self._intake_of or _remote(self._settings, mark, self._counters)
        self.doors.append(Door(door))
        Thread(target=self._run, args=(self.doors[-1], intake_of), name="carrier", daemon=True).start()

    def _run(self, door: Door, intake_of: IntakeOf) -> None:
        with suppress(DoorClosed):
            Carrier(door, self._settings, intake_of, self._counters).run()
        door.close()

    def close(self) -> None:
        pass


def carriers(
    intake: SpoolIntake,
    endpoints: tuple[Endpoint, ...],
    counters: Counters,
    *,
    root: Path = Path(),
    processes: int = 2,
    access: AccessRules | None = None,
    limits: AssociationLimits | None = None,
    connections: ConnectionLimits | None = None,
    intake_of: IntakeOf | None = None,
) -> Carriers:
    settings = CarrierSettings(
        root, endpoints, access or AccessRules(), limits or AssociationLimits(), NO_LIMITS, 1 << 30, "INFO"
    )
    return Carriers(
        settings,
        intake,
        processes=processes,
        stem=Threads(settings, counters, intake_of),
        connections=connections or ConnectionLimits(),
        counters=counters,
    )


def _remote(settings: CarrierSettings, mark: str, counters: Counters) -> Callable[[Channel], RemoteIntake]:
    spool, quarantine = Spool(settings.root, mark=mark), FolderQuarantine(settings.root)
    return lambda channel: RemoteIntake(channel, spool, quarantine, counters, settings.disk)
