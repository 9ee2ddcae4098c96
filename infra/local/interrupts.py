"""Ctrl-C and SIGTERM, raised only where what was just made is already known to whoever removes it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import ClassVar, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """Someone asked us to stop; `signal_number` says how."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


class Interrupts:
    """While entered, SIGINT, SIGTERM and SIGHUP raise `Interrupted` in the main thread, not within `held()`.

    Only the first one does: those who press Ctrl-C twice do not break the clearing up. Main thread only.
    """

    active: ClassVar[Interrupts | None] = None

    def __init__(self) -> None:
        self._depth = 0
        self._pending: int | None = None
        self._raised = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._on_signal)
        Interrupts.active = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Interrupts.active = None
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._raised:
            return
        if self._depth:
            self._pending = number
            return
        self._raise(number)

    def _raise(self, number: int) -> None:
        self._raised = True
        raise Interrupted(number)

    def hold(self) -> None:
        self._depth += 1

    def release(self) -> None:
        """Leave the innermost `held()`; raises what came meanwhile when it was the outermost."""
        self._depth -= 1
        if not self._depth and self._pending is not None:
            number, self._pending = self._pending, None
            self._raise(number)


@contextmanager
def held() -> Iterator[None]:
    """Put off an interruption until the block is done. Nothing happens where no `Interrupts` is entered."""
    active = Interrupts.active
    if active is None or not _in_main_thread():
        yield
        return
    active.hold()
    try:
        yield
    finally:
        active.release()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
