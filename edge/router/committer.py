"""What makes a file an instance that is kept: its place in the spool and its row, many at a time.

Whoever has something to commit puts it in the queue; the first to get its turn commits all that waits there,
its own and that of the others. So one association pays for one commit and no change of threads, and sixteen
share each commit and each fsync of a folder. The order is: files synced by those who received them; rename;
fsync of the folder; commit; only then does anybody answer (PS3.4 B.2.3).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Literal

from ponte.errors import PonteError, TransientError
from router.database import Database, DatabaseDamaged, Instance, Study, checkpoint, opened_again
from router.failpoint import failpoint
from router.reception import AssociationFacts, Ending
from router.spool import Incoming, Spool

log = logging.getLogger(__name__)

Settlement = Literal["kept", "duplicate", "conflict"]
_RETRY_S = 1.0


class NotCommitted(TransientError):
    """It is not durable, or nobody knows: the peer must send it again."""

    default_code = "STORAGE"


@dataclass(slots=True)
class Change:
    """Something for the next commit: `apply` runs within its transaction. It is durable when `committed`."""

    apply: Callable[[Database], object]
    result: object = None
    taken: bool = False
    committed: bool = False
    error: Exception | None = None

    def check(self) -> None:
        """Raises `NotCommitted` for what is not durable."""
        if not self.committed:
            raise NotCommitted(f"It could not be made durable: {_why(self.error)}") from self.error


@dataclass(slots=True)
class Arrival(Change):
    """An instance that was received: a synced file, and the row it is to have but for its place."""

    partial: Incoming = field(kw_only=True)
    instance: Instance = field(kw_only=True)
    study: Study = field(kw_only=True)
    facts: AssociationFacts = field(kw_only=True)
    settlement: Settlement = "conflict"


class Committer:
    """The one way to the rows. `recover` makes a sound database where the one there is lost or damaged."""

    def __init__(self, spool: Spool, database: Database, recover: Callable[[], Database]) -> None:
        self._spool = spool
        self._database = database
        self._recover = recover
        self._waiting: list[Change] = []
        self._guard = Lock()
        self._turn = Lock()
        self._doubtful: list[Instance] = []
        self._suspect = False
        self._is_lost = False  # until it was built again, and wholly
        self._closed = False
        self._failed_at = 0.0
        self.failures = 0

    @property
    def is_well(self) -> bool:
        """False right after a commit failed; time and again it is worth another try."""
        return not self._suspect or time.monotonic() - self._failed_at > _RETRY_S

    def arrive(
        self, partial: Incoming, instance: Instance, study: Study, facts: AssociationFacts
    ) -> Settlement:
        """Keep an instance, or say that it is here already, or that another of its UID is.

        The file has its place when this says `kept`; else it is the caller's. Raises `NotCommitted`.
        """
        arrival = Arrival(_nothing, partial=partial, instance=instance, study=study, facts=facts)
        self._submit(arrival)
        return arrival.settlement

    def run(self, apply: Callable[[Database], object]) -> object:
        """Read or change rows; durable when this returns. Raises `NotCommitted`."""
        change = Change(apply)
        self._submit(change)
        return change.result

    def run_all(self, changes: Sequence[Change]) -> None:
        """All of these within one commit, and what else waits; each says for itself what became of it."""
        with self._guard:
            self._waiting += changes
        with self._turn:
            if not all(change.taken for change in changes):
                self._commit_waiting()

    def close_association(self, association_id: str, how: Ending, ended_at: float) -> None:
        """Note how and when it ended. Raises `NotCommitted`."""
        self.run(lambda database: database.close_association(association_id, how, ended_at))

    def note_quarantined(
        self, row: Sequence[object], study_instance_uid: str, facts: AssociationFacts
    ) -> None:
        """See `Database.note_quarantined`. Raises `NotCommitted`."""
        self.run(lambda database: database.note_quarantined(row, study_instance_uid, facts))

    def remove(self, sop_instance_uid: str) -> bool:
        """Let an instance go that nobody needs any more; False where none is kept. Raises `NotCommitted`.

        First the row, then the file: killed in between, the file is cleared away at the next start.
        """
        there = self.run(lambda database: _marked_removed(database, sop_instance_uid))
        failpoint("marked")
        if isinstance(there, Instance):
            self._spool.remove(there.place)
        return there is not None

    def probe(self) -> None:
        """Write what changes nothing, to know whether rows can be written. Raises `NotCommitted`."""
        self.run(lambda database: database.touch())

    def checkpoint(self) -> None:
        """Bring rows from the log into the main file, as far as that holds nobody up; so that it seldom is
        done while somebody waits for an answer. Raises `NotCommitted`."""
        try:
            checkpoint(self._database.path)
        except sqlite3.Error as error:
            raise NotCommitted(f"The database cannot be written: {_why(error)}") from error

    def close(self) -> None:
        """Let go of the database when whoever has the turn is done. Nothing is committed after that."""
        with self._turn:
            self._closed = True
            self._database.close()

    def _submit(self, change: Change) -> None:
        self.run_all([change])
        change.check()

    def _commit_waiting(self) -> None:
        """Only in turn. What fails, fails for all that waited; that nobody says so is no success either."""
        with self._guard:
            batch, self._waiting = self._waiting, []
        for change in batch:
            change.taken = True
        if self._closed:
            return
        try:
            self._make_sound()
            self._commit(batch)
        except Exception as error:  # noqa: BLE001  whatever it is, it concerns all who wait
            self._fail(batch, error)

    def _commit(self, batch: Sequence[Change]) -> None:
        database = self._database
        database.begin()
        for change in batch:
            change.result = change.apply(database)
        arrived = self._decide([change for change in batch if isinstance(change, Arrival)])
        if arrived:
            self._spool.keep([arrival.partial for arrival in arrived])
            now = time.time()
            for arrival in arrived:
                database.open_association(arrival.facts)
                place = arrival.partial.place
                database.insert(replace(arrival.instance, place=place, durable_at=now), arrival.study)
        failpoint("committing")
        database.commit()
        if arrived:
            failpoint("committed")
        for change in batch:
            change.committed = True

    def _decide(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Those to be kept, by what there is under their UID: nothing, the same, or something else."""
        new: dict[str, Arrival] = {}
        for arrival in arrivals:
            uid = arrival.instance.sop_instance_uid
            there = new[uid].instance if uid in new else self._really_kept(uid)
            if there is None:
                arrival.settlement = "kept"
                new[uid] = arrival
            else:
                arrival.settlement = "duplicate" if there.sha256 == arrival.instance.sha256 else "conflict"
        return list(new.values())

    def _really_kept(self, sop_instance_uid: str) -> Instance | None:
        """A row alone is no instance: nobody may be told that it is here when somebody took its file away."""
        there = self._database.kept(sop_instance_uid)
        if there is None or self._spool.has(there.place, there.size_bytes):
            return there
        self._database.change_state(sop_instance_uid, "missing")
        log.error("instance missing from the spool", extra={"alarm": "INSTANCE_MISSING"})
        return None

    def _fail(self, batch: Sequence[Change], error: Exception) -> None:
        for change in batch:
            change.error = error
        placed = [change for change in batch if isinstance(change, Arrival) and change.partial.place]
        self._doubtful += [replace(one.instance, place=one.partial.place) for one in placed]
        with contextlib.suppress(sqlite3.Error):
            self._database.rollback()
        if _is_busy(error) and not placed:
            log.warning("database busy", extra={"instances": len(batch)})
            return
        self._suspect, self._failed_at = True, time.monotonic()
        self.failures += 1
        log.error("commit failed", extra={"alarm": "COMMIT_FAILED", "error": _why(error)})
        try:
            self._make_sound()
        except Exception as again:  # noqa: BLE001  it is tried again before the next commit
            log.error("database unusable", extra={"alarm": "DATABASE_UNUSABLE", "error": _why(again)})

    def _make_sound(self) -> None:
        """Open the database anew after a failure, for nobody knows what of its log is on the disk; have it
        built again where it is damaged or gone. Then see to the files that the failure left."""
        try:
            if self._suspect and not self._is_lost:
                self._database.close()
                self._database = opened_again(self._database.path)
                self._database.settle()
            elif not self._is_lost:
                self._database.check_place()
        except DatabaseDamaged:
            self._suspect = self._is_lost = True
            self._failed_at = time.monotonic()
        if self._is_lost:
            self._database.close()
            self._database = self._recover()
        self._suspect = self._is_lost = False
        self._settle_doubtful()

    def _settle_doubtful(self) -> None:
        """A file without a row was promised to nobody: it is removed, so that it takes no place."""
        while self._doubtful:
            file = self._doubtful[-1]
            row = self._database.kept(file.sop_instance_uid)
            if row is None or row.place != file.place:
                self._spool.remove(file.place)
            self._doubtful.pop()


def _nothing(_: Database) -> None:
    pass


def _marked_removed(database: Database, sop_instance_uid: str) -> Instance | None:
    there = database.kept(sop_instance_uid)
    database.change_state(sop_instance_uid, "removed")
    return there


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _why(error: Exception | None) -> str:
    """What may be logged: an error's kind and number, never its text."""
    if isinstance(error, sqlite3.Error):
        return str(getattr(error, "sqlite_errorname", type(error).__name__))
    if isinstance(error, OSError):
        return f"{type(error).__name__} {error.errno}"
    return error.code if isinstance(error, PonteError) else type(error).__name__
