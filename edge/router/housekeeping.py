"""What goes on beside the receiving: organising, removing, adopting, the patrol and describing studies of
before, each in its thread."""

from __future__ import annotations

import logging
import time
from datetime import tzinfo
from threading import Event
from typing import Final

from ponte.errors import InvalidRequest
from ponte.quarantine import Quarantine
from router.adoption import Adoption
from router.committer import Committer
from router.completion import CompletionRules
from router.config import StudiesConfig
from router.counters import Counters
from router.folders import Folders
from router.metadata import MetadataFile
from router.organiser import Organiser
from router.patrol import Patrol
from router.receipt_keys import ensure_key
from router.removal import Outstanding, Remover, Retention
from router.savepoint import run_apart
from router.spool import Spool
from router.views_rows import describe_some
from router.worker import Worker, code_of

log = logging.getLogger(__name__)

_ORGANISE_EVERY_S: Final = 0.5
_REMOVE_EVERY_S: Final = 1.0
_LOOK_EVERY_S: Final = 60.0
_REST_S: Final = 24 * 3600.0


class Housekeeping:
    """`prepare` before the first association, `start` after, `stop` before the committer is closed."""

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        quarantine: Quarantine,
        counters: Counters,
        outstanding: Outstanding,
        *,
        zone: tzinfo,
        config: StudiesConfig,
    ) -> None:
        self._ending = Event()
        self._root = spool.folder.parent
        folders = Folders(spool.folder.parent)
        metadata = MetadataFile(folders.root, committer)
        now = SteadyClock()
        self.organiser = Organiser(
            spool, committer, folders, metadata, counters,
            zone=zone, rules=CompletionRules(config.quiet_s, config.limit_s), now=now,
        )  # fmt: skip
        self.remover = Remover(
            spool, committer, folders, metadata, counters, outstanding,
            zone=zone, retention=Retention(config.keep_s), now=now,
        )  # fmt: skip
        adoption = Adoption(
            spool, committer, quarantine, folders, counters, zone=zone, pause=self._ending.wait
        )
        patrol = Patrol(
            spool, committer, quarantine, folders, counters,
            bytes_per_s=config.patrol_bytes_per_s, rest_s=_REST_S, pause=self._ending.wait,
        )  # fmt: skip
        self._workers = (
            Worker("organiser", self.organiser.step, idle_s=_ORGANISE_EVERY_S),
            Worker("remover", self.remover.step, idle_s=_REMOVE_EVERY_S),
            Worker("adoption", adoption.step, idle_s=_LOOK_EVERY_S),
            Worker("patrol", patrol.step, idle_s=_LOOK_EVERY_S),
            Worker("descriptions", lambda: run_apart(committer, describe_some), idle_s=_LOOK_EVERY_S),
        )

    def prepare(self, *, is_first: bool = True) -> None:
        """`is_first` in this process. Raises `NotCommitted`, `OSError`."""
        self.organiser.prepare(is_first=is_first)
        try:
            ensure_key(self._root)
        except (InvalidRequest, OSError) as error:
            extra = {"alarm": "RECEIPT_KEY", "code": code_of(error)}
            log.error("receipts cannot be signed", extra=extra)

    @property
    def is_alive(self) -> bool:
        """True while all that is done here goes on."""
        return all(worker.is_alive for worker in self._workers)

    def start(self) -> None:
        """Begin."""
        for worker in self._workers:
            worker.start()

    def stop(self, timeout_s: float) -> bool:
        """End what is under way; False where something takes longer. What is cut short goes on at the next
        start."""
        self._ending.set()
        until = time.monotonic() + timeout_s
        ended = [worker.stop(max(0.0, until - time.monotonic())) for worker in self._workers]
        return all(ended)


class SteadyClock:
    """Seconds since the epoch: the time of day at the start, and what has passed since. A jump of the time of
    day removes nothing early (FI-28)."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def __call__(self) -> float:
        return self._offset + time.monotonic()
