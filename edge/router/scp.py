"""The storage SCP: its listeners, and the associations that came by them (PS3.4 B)."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Final

from router.access import Access, AccessRules, Slot, Slots
from router.association import AssociationLimits, Conversation
from router.counters import Counters
from router.listener import Endpoint, Listener
from router.reception import Intake

_IDLE_S: Final = 1.0
_POLL_S: Final = 0.1


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
        self._limits = limits or AssociationLimits()
        self._counters = counters or Counters()
        self._listeners: list[Listener] = []
        self._conversations: dict[Conversation, Thread] = {}
        self._changed = Condition()

    @property
    def ports(self) -> list[int]:
        """Of the listeners, in their order."""
        return [listener.port for listener in self._listeners]

    @property
    def open_associations(self) -> int:
        """Connections that are there now, those that have not associated yet included."""
        return len(self._conversations)

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
        deadline = time.monotonic() + grace_s
        while self._conversations:
            is_late = time.monotonic() >= deadline
            for conversation in list(self._conversations):
                if is_late or conversation.idle_s() > _IDLE_S:
                    conversation.drain()
            if is_late:
                break
            with self._changed:
                self._changed.wait(_POLL_S)
        return self._wait_for_threads()

    def _begin(self, connection: socket.socket, slot: Slot, listener: Listener) -> None:
        conversation = Conversation(
            connection,
            slot,
            self._slots,
            listener=listener.name,
            tls=listener.tls,
            access=self._access,
            limits=self._limits,
            intake=self._intake,
            counters=self._counters,
        )
        thread = Thread(
            target=self._run, args=(conversation,), name=f"association {slot.address}", daemon=True
        )
        self._conversations[conversation] = thread
        try:
            thread.start()
        except BaseException:
            del self._conversations[conversation]
            raise

    def _run(self, conversation: Conversation) -> None:
        try:
            conversation.run()
        finally:
            with self._changed:
                self._conversations.pop(conversation, None)
                self._changed.notify_all()

    def _wait_for_threads(self) -> bool:
        """They end within the time of a farewell, but for one that waits for the disk."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._conversations, timeout=5.0)
