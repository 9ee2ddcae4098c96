"""How a destination fares: when it may be tried again, and when somebody must be told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Lock
from typing import Final

from ponte.errors import PermanentError, PonteError
from router.counters import Counters
from router.deliveries import pause_s
from router.destinations import Target

log = logging.getLogger(__name__)

_AGAIN_S = 3600.0
_NO_LIMIT = 1 << 16
NAP_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Health:
    """What can be said of a destination. Times are seconds since the epoch; `paused_s` from now on."""

    destination: str
    failures: int
    failing_since: float | None
    detail: str
    paused_s: float
    is_held: bool
    code: str = ""


class Lane:
    """All workers of one destination share it. It knows of no other destination."""

    def __init__(
        self,
        target: Target,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.target = target
        self.counters = counters
        self._clock = clock
        self._now = now
        self._lock = Lock()
        self._sleepers: list[Event] = []
        self._failures = 0
        self._most = _NO_LIMIT
        self._failing_since: float | None = None
        self._paused_until = 0.0
        self._alerted_at: float | None = None
        self._detail = self._code = ""
        self._held = False

    @property
    def is_failing(self) -> bool:
        """True since its last failure, until it takes something."""
        return self._failures > 0

    @property
    def most(self) -> int:
        """How many instances may be in hand: one after a failure, then twice as many each time, so that an
        instance which makes the destination fail is soon alone."""
        return self._most

    def widen(self) -> None:
        """All that was in hand went well."""
        self._most = min(2 * self._most, _NO_LIMIT)

    @property
    def health(self) -> Health:
        with self._lock:
            return Health(
                self.target.name, self._failures, self._failing_since, self._detail,
                max(0.0, self._paused_until - self._clock()), self._held, self._code,
            )  # fmt: skip

    @property
    def is_open(self) -> bool:
        """True within its hours."""
        return self.target.hours.is_open(datetime.fromtimestamp(self._now()).astimezone())

    def wait_s(self) -> float:
        """How long nothing is to be sent: a pause after a failure, the schedule, or held by hand."""
        if self._held:
            return NAP_S
        if not self.is_open:
            return NAP_S
        return max(0.0, self._paused_until - self._clock())

    def sleeper(self) -> Event:
        """What `wake` sets, for one worker."""
        event = Event()
        self._sleepers.append(event)
        return event

    def nap(self, event: Event, seconds: float) -> None:
        """Until woken, or that time is over; never so long that a change of the clock matters."""
        event.wait(min(seconds, NAP_S))
        event.clear()

    def wake(self) -> None:
        """There may be something to do."""
        for event in self._sleepers:
            event.set()

    def hold(self) -> None:
        """Send nothing until `resume`."""
        self._held = True

    def resume(self) -> None:
        """Go on, at once even where a pause is not over."""
        self._held = False
        self.hurry()

    def hurry(self) -> None:
        """Try at once, even where a pause after a failure is not over; what is held stays held."""
        with self._lock:
            self._paused_until = 0.0
        self.wake()

    def succeeded(self) -> None:
        """It took something, or answered as it should."""
        if not self._failures:
            return
        with self._lock:
            since, self._failing_since = self._failing_since, None
            self._failures, self._paused_until, self._alerted_at = 0, 0.0, None
            self._detail = self._code = ""
        seconds = round(self._now() - (since or self._now()))
        log.warning("destination is back", extra={"destination": self.target.name, "seconds": seconds})

    def failed(self, error: PonteError) -> None:
        """It failed as a whole. A refusal is told at once: time alone does not mend it."""
        with self._lock:
            now = self._now()
            self._failures += 1
            self._most = 1
            self._failing_since = self._failing_since or now
            self._detail, self._code = error.detail, error.code
            self._paused_until = self._clock() + pause_s(self.target.retry, self._failures - 1)
            is_long = now - self._failing_since >= self.target.retry.alert_after_s
            is_told = self._alerted_at is not None and now - self._alerted_at < _AGAIN_S
            alarm = (is_long or isinstance(error, PermanentError)) and not is_told
            if alarm:
                self._alerted_at = now
        self.counters.add("ponte_destination_failures_total", destination=self.target.name, code=error.code)
        extra = {"destination": self.target.name, "code": error.code, "failures": self._failures}
        if alarm:
            log.error("destination does not take anything", extra={"alarm": "DESTINATION_DOWN", **extra})
        else:
            log.warning("destination failed", extra=extra)
