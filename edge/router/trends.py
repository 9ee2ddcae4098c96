"""What only time shows: since when something is as it is, and when the disk will be full."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Final

_DAY_S: Final = 86400.0
_APART_S: Final = 60.0
_LEAST_S: Final = 3600.0


class Since:
    """Since when each is in its state, by whoever looked. Any thread may ask."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._lock = Lock()
        self._known: dict[str, tuple[str, float]] = {}

    def seen(self, name: str, state: str) -> float:
        """Note what is seen; when that was first seen without a break, in seconds since the epoch."""
        with self._lock:
            before, since = self._known.get(name, ("", 0.0))
            if before != state:
                since = self._now()
                self._known[name] = (state, since)
            return since


class DiskTrend:
    """How free space fell within the last day. Any thread may ask."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._samples: deque[tuple[float, int]] = deque()

    def seen(self, free_bytes: int) -> None:
        """Note what is free now; more often than once a minute makes no difference."""
        now = self._clock()
        with self._lock:
            if not self._samples or now - self._samples[-1][0] >= _APART_S:
                self._samples.append((now, free_bytes))
            while now - self._samples[0][0] > _DAY_S:
                self._samples.popleft()

    def days_left(self, free_bytes: int) -> float | None:
        """When nothing is left if it goes on like this; None where that is not known after an hour at least,
        and where it does not become less."""
        with self._lock:
            if not self._samples:
                return None
            at, before = self._samples[0]
        passed = self._clock() - at
        if passed < _LEAST_S or before <= free_bytes:
            return None
        return free_bytes / ((before - free_bytes) / passed) / _DAY_S
