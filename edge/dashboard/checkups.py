"""Runs of the doctor, in threads of their own: what was found so far, for as long as it may be looked at."""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Final

from doctor.steps import Step, Subject, examine
from ponte.errors import TransientError

log = logging.getLogger(__name__)

MOST_AT_A_TIME: Final = 3
_MOST_KEPT: Final = 20


@dataclass(slots=True)
class Checkup:
    """One run. `steps` only grows."""

    id: str
    subjects: tuple[Subject, ...]
    began_at: float
    steps: list[Step] = field(default_factory=list)
    done: bool = False

    def of(self, subject: Subject) -> list[Step]:
        """The steps of one of them."""
        return [step for step in list(self.steps) if step.subject is subject]

    def failed(self) -> list[tuple[int, Step]]:
        """What failed, each with the number of its subject."""
        return [
            (self.subjects.index(step.subject), step)
            for step in list(self.steps)
            if step.found.state == "failed"
        ]

    def run(self) -> None:
        """To its end."""
        try:
            for step in examine(self.subjects):
                self.steps.append(step)
        except Exception as error:  # noqa: BLE001  the page says what there is, and that it is over
            log.error("doctor failed", extra={"error": type(error).__name__})
        finally:
            self.done = True


class Checkups:
    """The latest runs. May be used by any thread."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Checkup] = OrderedDict()
        self._lock = Lock()

    def begin(self, subjects: Sequence[Subject]) -> Checkup:
        """Raises `TransientError` where too many run."""
        with self._lock:
            if sum(not one.done for one in self._runs.values()) >= MOST_AT_A_TIME:
                raise TransientError("Other tests are under way: wait until they are over", code="BUSY")
            run = Checkup(secrets.token_urlsafe(12), tuple(subjects), time.time())
            self._runs[run.id] = run
            while len(self._runs) > _MOST_KEPT:
                self._runs.popitem(last=False)
        Thread(target=run.run, name="doctor-run", daemon=True).start()
        return run

    def get(self, identity: str) -> Checkup | None:
        """The run, None where it is not known any more."""
        with self._lock:
            return self._runs.get(identity)
