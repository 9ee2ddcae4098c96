"""A thread that does what there is to do, a step at a time, beside the receiving and never in its way."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

from ponte.errors import PonteError

log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0


class Worker:
    """Calls `step` while it says that there is more; then waits for `wake`, at most `idle_s`, and `gather_s`
    more, so that what follows at once is done together. A step that fails is an alarm, and tried again."""

    def __init__(self, name: str, step: Callable[[], bool], *, idle_s: float, gather_s: float = 0.0) -> None:
        self._name = name
        self._step = step
        self._idle_s = idle_s
        self._gather_s = gather_s
        self._stopping = Event()
        self._woken = Event()
        self._thread = Thread(target=self._work, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """True from its start to its end."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do. Costs nothing; any thread may call it."""
        self._woken.set()

    def stop(self, timeout_s: float) -> bool:
        """End after the step that is under way; False where that takes longer."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                has_more = self._step()
            except Exception as error:  # noqa: BLE001  it must not end: what it does is tried again
                if self._stopping.is_set():  # what it needs may have ended before it
                    return
                extra = {"alarm": "WORKER_FAILED", "worker": self._name, "code": code_of(error)}
                log.error("worker failed", extra=extra)
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S
                if not has_more:
                    self._rest()

    def _rest(self) -> None:
        self._woken.wait(self._idle_s)
        self._woken.clear()
        self._stopping.wait(self._gather_s)


def code_of(error: Exception) -> str:
    """What may be logged of it: its kind and number. Its text may name a file, and so a patient."""
    if isinstance(error, PonteError):
        return error.code
    if isinstance(error, sqlite3.Error):
        return str(getattr(error, "sqlite_errorname", type(error).__name__))
    return f"{type(error).__name__} {error.errno}" if isinstance(error, OSError) else type(error).__name__
