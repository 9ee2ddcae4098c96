"""The associations that are there now, with what each has brought and how fast it comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from router.reception import AssociationFacts

_SPAN_S: Final = 5.0
"""What is called the speed of now is an average that forgets at this rate."""


@dataclass(frozen=True, slots=True)
class LiveAssociation:
    """One of them; `started_at` in seconds since the epoch."""

    id: str
    calling_ae_title: str
    called_ae_title: str
    address: str
    listener: str
    started_at: float
    instances: int
    bytes: int
    bytes_per_s: float


@dataclass(slots=True)
class _Tally:
    facts: AssociationFacts
    began: float
    instances: int = 0
    size_bytes: int = 0
    recent: float = 0.0
    at: float = 0.0


class Live:
    """Any thread may call it; no call waits for anything but another of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._tallies: dict[str, _Tally] = {}

    def opened(self, facts: AssociationFacts) -> None:
        """An association was accepted."""
        now = self._clock()
        with self._lock:
            self._tallies[facts.id] = _Tally(facts, now, at=now)

    def stored(self, association_id: str, size_bytes: int) -> None:
        """It brought an instance, which is kept. One that is not known is passed over."""
        now = self._clock()
        with self._lock:
            tally = self._tallies.get(association_id)
            if tally is not None:
                tally.instances += 1
                tally.size_bytes += size_bytes
                tally.recent = _faded(tally, now) + size_bytes
                tally.at = now

    def closed(self, association_id: str) -> None:
        """It is over."""
        with self._lock:
            self._tallies.pop(association_id, None)

    def snapshot(self) -> list[LiveAssociation]:
        """Those that are there, the oldest first."""
        now = self._clock()
        with self._lock:
            return [_shown(tally, now) for tally in self._tallies.values()]


def _shown(tally: _Tally, now: float) -> LiveAssociation:
    facts = tally.facts
    seen = -math.expm1(-max(now - tally.began, 0.1) / _SPAN_S)  # of the span, so far
    return LiveAssociation(
        facts.id, facts.calling_ae_title, facts.called_ae_title, facts.address, facts.listener,
        facts.started_at, tally.instances, tally.size_bytes, _faded(tally, now) / (_SPAN_S * seen),
    )  # fmt: skip


def _faded(tally: _Tally, now: float) -> float:
    return tally.recent * math.exp(-max(0.0, now - tally.at) / _SPAN_S)
