"""What the service is made of: parts that are started in order, ended in reverse, and made anew by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Final, Literal, Protocol

from ponte.errors import InvalidRequest, TransientError

State = Literal["running", "stopped", "failed"]


class Runs(Protocol):
    """What works in threads of its own, once: it is not started again."""

    def start(self) -> None:
        """Begin. Raises `InvalidRequest` for what the operator has to change, `TransientError`, `OSError`."""
        ...

    def stop(self, grace_s: float) -> bool:
        """End; what is under way may take so long. False where something did not end. Harmless when it was
        not started, and when repeated."""
        ...

    @property
    def is_alive(self) -> bool:
        """False where a thread that is needed has ended."""
        ...


class Part(Runs, Protocol):
    """A part of the service. After `stop` said True, `start` begins it anew."""

    @property
    def name(self) -> str: ...


class Renewed:
    """A part of which `make` gives a new one for each start."""

    def __init__(self, name: str, make: Callable[[], Runs]) -> None:
        self.name: Final = name
        self._make = make
        self._runs: Runs | None = None

    def start(self) -> None:
        """See `Runs`. What cannot start leaves nothing that runs."""
        self._runs = self._make()
        self._runs.start()

    def stop(self, grace_s: float) -> bool:
        """See `Runs`."""
        return self._runs is None or self._runs.stop(grace_s)

    @property
    def is_alive(self) -> bool:
        return self._runs is not None and self._runs.is_alive


class Parts:
    """All of them. One call at a time changes anything; `states` may be asked at any time."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = {part.name: part for part in parts}
        self._started: list[Part] = []
        self._stopped: set[str] = set(self._parts)
        self._lock = RLock()

    def start(self) -> None:
        """All, in order. Raises what a part raises; those before it run, and are the caller's to stop."""
        with self._lock:
            for part in self._parts.values():
                self._started.append(part)
                part.start()
                self._stopped.discard(part.name)

    def stop(self, grace_s: Callable[[str], float]) -> bool:
        """All that were started, the last first, each with the time that it has by its name. False where one
        did not end; the others were ended all the same."""
        with self._lock:
            ended = True
            while self._started:
                part = self._started.pop()
                ended &= part.stop(grace_s(part.name))
                self._stopped.add(part.name)
            return ended

    def restart(self, name: str, grace_s: float) -> None:
        """End one part and begin it anew. Raises `InvalidRequest` for a name that is none, `TransientError`
        while it does not end: then it is not begun, and may be asked for again."""
        with self._lock:
            part = self._parts.get(name)
            if part is None:
                raise InvalidRequest(f"There is no part of that name; expected {', '.join(self._parts)}")
            if part not in self._started:
                raise TransientError("The router is starting or ending", code="BUSY")
            self._stopped.add(name)
            if not part.stop(grace_s):
                raise TransientError(f"{name} does not end yet: what it has in hand is not done", code="BUSY")
            self._stopped.discard(name)  # one that does not begin has failed
            part.start()

    def states(self) -> dict[str, State]:
        """By name, in their order."""
        return {name: self._state(part) for name, part in self._parts.items()}

    def _state(self, part: Part) -> State:
        if part.name in self._stopped:
            return "stopped"
        return "running" if part.is_alive else "failed"
