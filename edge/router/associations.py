"""The associations of one process: each has a thread, and all of them an end."""

from __future__ import annotations

import socket
import ssl
import time
from threading import Condition, Thread
from typing import Final

from router.access import Access, Places, Slot
from router.association import AssociationLimits, Conversation
from router.counters import Counters
from router.reception import Intake

_IDLE_S: Final = 1.0
_POLL_S: Final = 0.1


class Associations:
    """Those that are there now. Any thread may call it."""

    def __init__(self, *, access: Access, limits: AssociationLimits, counters: Counters) -> None:
        self._access = access
        self._limits = limits
        self._counters = counters
        self._conversations: dict[Conversation, Thread] = {}
        self._changed = Condition()

    def __len__(self) -> int:
        """Connections that have not associated yet included."""
        return len(self._conversations)

    def begin(
        self,
        connection: socket.socket,
        slot: Slot,
        places: Places,
        intake: Intake,
        *,
        listener: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Serve a connection that was let in; it and its slot are ours from now on, unless this raises."""
        conversation = Conversation(
            connection,
            slot,
            places,
            listener=listener,
            tls=tls,
            access=self._access,
            limits=self._limits,
            intake=intake,
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

    def stop(self, grace_s: float) -> bool:
        """End what there is: who says nothing for a second at once, the others when `grace_s` are over. False
        where a thread did not end."""
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
