"""Reads what is kept, slowly and again and again, and compares it with the digest that was taken while it was
received: a disk that forgets is found out while the modality may still have the image.

An instance that has changed is never sent as if it were whole: what is left of it goes to quarantine, its row
says that it is missing, so that it is taken when it is sent again, and there is an alarm.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from ponte.quarantine import Quarantine, QuarantineRecord
from router import organiser_rows as rows
from router.committer import Committer
from router.counters import Counters
from router.database import Database, Instance
from router.failpoint import failpoint
from router.folders import Folders
from router.intake import chunks_of
from router.organiser_rows import PATROLLED
from router.reception import SUCCESS
from router.savepoint import run_apart
from router.spool import Spool

log = logging.getLogger(__name__)

Outcome = Literal["sound", "damaged", "missing", "unreadable", "removed", "interrupted"]

_PAGE: Final = 64
_DAMAGED: Final = "DIGEST_MISMATCH"
_CHUNK: Final = 1 << 20


class Patrol:
    """Goes round all that is kept; then rests. One thread calls `step`.

    `pause` waits so many seconds, and says True where it is time to end.
    """

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        quarantine: Quarantine,
        folders: Folders,
        counters: Counters,
        *,
        bytes_per_s: int,
        rest_s: float,
        pause: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._committer = committer
        self._quarantine = quarantine
        self._folders = folders
        self._counters = counters
        self._bytes_per_s = bytes_per_s
        self._rest_s = rest_s
        self._pause = pause
        self._clock = clock
        self._page: deque[Instance] = deque()
        self._rests_until = 0.0

    def step(self) -> bool:
        """Look at one instance; False while it rests. Raises `NotCommitted`."""
        if self._clock() < self._rests_until:
            return False
        if not self._page:
            self._page.extend(run_apart(self._committer, _next_page))
        if not self._page:
            run_apart(self._committer, lambda database: rows.move(database, PATROLLED, 0))
            self._rests_until = self._clock() + self._rest_s
            return False
        instance = self._page[0]
        outcome = self._look_at(instance)
        if outcome == "interrupted":
            return False
        self._page.popleft()
        self._counters.add("ponte_patrolled_total", outcome=outcome)
        if not self._page:
            run_apart(self._committer, lambda database: rows.move(database, PATROLLED, instance.number))
        return True

    def _look_at(self, instance: Instance) -> Outcome:
        outcome = self._compare(instance)
        if outcome == "damaged":
            outcome = self._compare(instance)  # once more, from the disk
        if outcome in ("sound", "interrupted"):
            return outcome
        if not run_apart(
            self._committer, lambda database: rows.is_kept(database, instance.number, instance.place)
        ):
            return "removed"
        alarm = {"damaged": _DAMAGED, "missing": "INSTANCE_MISSING", "unreadable": "UNREADABLE"}
        extra = {"alarm": alarm[outcome], "instance": instance.number}
        log.error("instance is not as it was received", extra=extra)
        if outcome in ("damaged", "missing"):
            quarantined = self._put_away(instance) if outcome == "damaged" else None
            run_apart(self._committer, lambda database: _note(database, instance, quarantined))
        return outcome

    def _compare(self, instance: Instance) -> Outcome:
        digest = hashlib.sha256()
        try:
            with self._spool.path_of(instance.place).open("rb", buffering=0) as file:
                file.seek(instance.dataset_start)
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    if self._pause(len(chunk) / self._bytes_per_s):
                        return "interrupted"
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "unreadable"
        return "sound" if digest.digest() == instance.sha256 else "damaged"

    def _put_away(self, instance: Instance) -> str:
        """Its id there. First into quarantine, then out of the spool, then the row: cut short after any of
        these, the next start finds either the damaged file again, or a row without its file."""
        record = QuarantineRecord(
            reason=_DAMAGED,
            detail="The bytes on the disk are not those that were received",
            origin="patrol",
            complete=False,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            sha256=instance.sha256.hex(),
        )
        path = self._spool.path_of(instance.place)
        identity = self._quarantine.keep(record, chunks_of(path))
        failpoint("damaged-quarantined")
        with self._folders.lock:
            linked = run_apart(self._committer, lambda database: rows.linked(database, instance.number))
            if linked is not None:
                self._folders.unlink(linked.folder, linked.file)
                self._folders.clear(linked.folder)
            self._spool.remove(instance.place)
        failpoint("damaged-removed")
        return identity


def _note(database: Database, instance: Instance, quarantined: str | None) -> None:
    """It is kept no more; and what is left of it is in quarantine, where it is."""
    rows.mark_missing(database, instance.number, instance.place)
    if quarantined is not None:
        sha256, uid = instance.sha256.hex(), instance.sop_instance_uid
        row = (quarantined, _DAMAGED, sha256, uid, instance.association_id, SUCCESS, time.time())
        database.note_quarantined(row, instance.study_instance_uid)


def _next_page(database: Database) -> list[Instance]:
    return database.after(rows.position(database, PATROLLED) or 0, _PAGE)
