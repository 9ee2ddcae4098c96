"""The storage SCP: its listeners, and the associations that came by them (PS3.4 B)."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from router.access import Access, AccessRules, Slot, Slots
from router.association import AssociationLimits
from router.associations import Associations
from router.counters import Counters
from router.listener import Endpoint, Listener
from router.reception import Intake


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be, in all and from one address."""

    associations: int = 64
    associations_per_address: int = 16


class Scp:
    """Listens from `start` on; each association has a thread."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        intake: Intake,
        *,
        access: AccessRules | None = None,
        connections: ConnectionLimits | None = None,
        limits: AssociationLimits | None = None,
        counters: Counters | None = None,
    ) -> None:
        most = connections or ConnectionLimits()
        self._endpoints = endpoints
        self._intake = intake
        self._access = Access(access or AccessRules())
        self._slots = Slots(most=most.associations, most_per_address=most.associations_per_address)
        self._counters = counters or Counters()
        self._listeners: list[Listener] = []
        self._associations = Associations(
            access=self._access, limits=limits or AssociationLimits(), counters=self._counters
        )

    @property
    def ports(self) -> list[int]:
        """Of the listeners, in their order."""
        return [listener.port for listener in self._listeners]

    @property
    def open_associations(self) -> int:
        """Connections that are there now, those that have not associated yet included."""
        return len(self._associations)

    @property
    def is_alive(self) -> bool:
        """True while all endpoints are listened on."""
        return bool(self._listeners) and all(listener.is_alive for listener in self._listeners)

    def start(self) -> None:
        """Listen on all endpoints, or on none. Raises `InvalidRequest`."""
        try:
            for endpoint in self._endpoints:
                listener = Listener(
                    endpoint,
                    access=self._access,
                    slots=self._slots,
                    counters=self._counters,
                    start=self._begin,
                )
                self._listeners.append(listener)
        except BaseException:
            self.stop(0)
            raise

    def stop(self, grace_s: float) -> bool:
        """Let nobody in any more, and end what there is: who says nothing for a second at once, the others
        when `grace_s` are over. False where a thread did not end."""
        for listener in self._listeners:
            listener.stop()
        return self._associations.stop(grace_s)

    def _begin(self, connection: socket.socket, slot: Slot, listener: Listener) -> bool:
        self._associations.begin(
            connection, slot, self._slots, self._intake, listener=listener.name, tls=listener.tls
        )
        return True
