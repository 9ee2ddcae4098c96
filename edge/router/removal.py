"""Takes away what all who need it have: never before, and never to make room.

An instance goes in this order: its row says so, durably; its name in the study's folder; its file. What was
cut short goes on at the next start (the rows say what it was); the study's entry in the metadata stays.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Final, Protocol

from ponte.errors import InvalidRequest, PermanentError, TransientError
from router import organiser_rows as rows
from router.committer import Committer
from router.counters import Counters
from router.database import Database
from router.delivery_rows import close_deleted, is_sending
from router.failpoint import failpoint
from router.folders import Folders
from router.metadata import MetadataFile
from router.organiser import note_sent
from router.organiser_rows import Kept, Linked
from router.savepoint import run_apart
from router.spool import Spool

log = logging.getLogger(__name__)

BATCH: Final = 128
_MOST_HINTS = 4096


class Outstanding(Protocol):
    """Whether somebody still needs an instance. Called within a transaction; asks the rows alone."""

    def __call__(self, database: Database, number: int) -> bool:
        """False only when every destination that is to have the instance has confirmed it, and committed
        where that is asked. True where that is not known yet: where nobody decided who is to have it, and
        where no destination is configured."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How long an instance stays after all destinations confirmed it."""

    keep_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted by hand. `unsent` of them no destination had; `files_left` are still on the disk,
    could not be removed now, and are tried again."""

    instances: int = 0
    size_bytes: int = 0
    unsent: int = 0
    files_left: int = 0

    def plus(self, other: Deleted) -> Deleted:
        """Both together."""
        return Deleted(
            self.instances + other.instances,
            self.size_bytes + other.size_bytes,
            self.unsent + other.unsent,
            self.files_left + other.files_left,
        )


class NotSent(PermanentError):
    """A destination is still to have some of it."""

    default_code = "NOT_SENT"


class Remover:
    """Only one thread calls `step`; `hint` may be called by any."""

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        folders: Folders,
        metadata: MetadataFile,
        counters: Counters,
        outstanding: Outstanding,
        *,
        zone: tzinfo,
        retention: Retention,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._committer = committer
        self._folders = folders
        self._metadata = metadata
        self._counters = counters
        self._outstanding = outstanding
        self._zone = zone
        self._retention = retention
        self._now = now
        self._hints: deque[int] = deque(maxlen=_MOST_HINTS)
        self._asked_up_to = 0
        self._is_resuming = True

    def hint(self, number: int) -> None:
        """A destination confirmed this instance: it is asked for soon. All others are asked for in turn, so
        that a hint that is lost only costs time."""
        self._hints.append(number)

    def step(self) -> bool:
        """Ask for some instances and remove some; True where there is more to remove, or were hints.

        Raises `NotCommitted`, `OSError`.
        """
        is_asking = self._ask()
        with self._folders.lock:
            due = run_apart(self._committer, self._mark)
            if due:
                failpoint("removal-marked")
            gone = [linked for linked in due if self._take_away(linked)]
            if gone:
                run_apart(self._committer, lambda database: rows.forget_names(database, gone))
                failpoint("removal-forgotten")
                self._counters.add("ponte_removed_total", len(gone))
        return is_asking or len(gone) == BATCH

    # by hand

    def delete(self, study_instance_uid: str, *, force: bool) -> Deleted:
        """Take a whole study away because somebody says so: the rows first, a page at a time, then the files.

        Without `force` nothing goes while any of it was not sent. Raises `InvalidRequest` where nothing of it
        is here, `NotSent`, `TransientError` while any of it is being sent, `OSError`. What comes of the study
        meanwhile stays.
        """
        found = self._counted(study_instance_uid)
        if not found.instances:
            raise InvalidRequest("Nothing of this study is here", code="NOT_FOUND")
        if found.unsent and not force:
            raise NotSent(
                f"{found.unsent} of {found.instances} images were not sent; nothing was deleted"
                " (force deletes them all the same)"
            )
        done = Deleted()
        try:
            while page := self._delete_page(study_instance_uid, force=force):
                done = done.plus(page)
        except (NotSent, TransientError) as error:
            if done.instances:
                error.detail += f" ({done.instances} images were deleted before)"
            raise
        return done

    def _counted(self, study: str) -> Deleted:
        """What there is to delete, a page at a time."""
        found, after = Deleted(), 0
        while page := run_apart(
            self._committer,
            lambda database: rows.kept_of(database, study, after, BATCH),  # noqa: B023
        ):
            found = found.plus(run_apart(self._committer, lambda database: self._sum(database, page)))
            after = page[-1].number
        return found

    def _sum(self, database: Database, page: Sequence[Kept]) -> Deleted:
        unsent = sum(self._outstanding(database, one.number) for one in page)
        return Deleted(len(page), sum(one.size_bytes for one in page), unsent)

    def _delete_page(self, study: str, *, force: bool) -> Deleted | None:
        """The next instances; None where there are no more. They are asked for again in the transaction in
        which they go."""

        def mark(database: Database) -> tuple[list[Kept], Deleted, list[Linked]]:
            page = rows.kept_of(database, study, 0, BATCH)
            counted = self._sum(database, page)
            if counted.unsent and not force:
                raise NotSent(f"{counted.unsent} more images came, and were not sent: they stay")
            if any(is_sending(database, one.number) for one in page):
                raise TransientError("Some of it is being sent just now; ask again", code="BUSY")
            linked = [found for one in page if (found := rows.linked(database, one.number)) is not None]
            rows.mark_removed(database, [one.number for one in page])
            for one in page:
                close_deleted(database, one.number)
            return page, counted, linked

        with self._folders.lock:
            page, counted, linked = run_apart(self._committer, mark)
            failpoint("deletion-marked")
            gone = [one for one in linked if self._take_away(one)]
            run_apart(self._committer, lambda database: rows.forget_names(database, gone))
            named = {one.number for one in linked}
            for one in page:
                if one.number not in named:
                    self._spool.remove(one.place)
        left = len(linked) - len(gone)
        self._is_resuming = self._is_resuming or left > 0
        return replace(counted, files_left=left) if page else None

    # what is not needed any more

    def _ask(self) -> bool:
        hinted = [self._hints.popleft() for _ in range(min(len(self._hints), BATCH))]
        changed = run_apart(self._committer, lambda database: self._confirm(database, hinted))
        if changed:
            self._metadata.touch()
        return bool(self._hints) or bool(changed)

    def _confirm(self, database: Database, hinted: list[int]) -> set[str]:
        """Note what all destinations have; the studies that this concerns."""
        in_turn = rows.unconfirmed_after(database, self._asked_up_to, BATCH)
        self._asked_up_to = in_turn[-1] if len(in_turn) == BATCH else 0
        now = self._now()
        settled = [n for n in dict.fromkeys([*hinted, *in_turn]) if not self._outstanding(database, n)]
        found = [rows.confirm(database, number, now) for number in settled]
        changed = {study for study in found if study is not None}
        for study in changed:
            note_sent(database, study, datetime.fromtimestamp(now, self._zone))
        return changed

    # the removal itself

    def _mark(self, database: Database) -> list[Linked]:
        """Those that go now; at first those whose removal was cut short."""
        if self._is_resuming:
            due = rows.half_removed(database, BATCH)
            self._is_resuming = len(due) == BATCH
            if due:
                return due
        due = rows.removable(database, self._now() - self._retention.keep_s, BATCH)
        rows.mark_removed(database, [linked.number for linked in due])
        return due

    def _take_away(self, linked: Linked) -> bool:
        """False where it could not be, and is to be tried again."""
        try:
            self._folders.unlink(linked.folder, linked.file)
            failpoint("removal-unlinked")
            self._spool.remove(linked.place)
            failpoint("removal-removed")
            self._folders.clear(linked.folder)
        except OSError as error:
            extra = {"alarm": "NOT_REMOVED", "instance": linked.number, "errno": error.errno}
            log.error("instance not removed", extra=extra)
            return False
        return True
