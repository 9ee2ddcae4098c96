"""A store with all that keeps house in it, driven step by step, with clocks that a test moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from router import organiser_rows as rows
from router.adoption import Adoption
from router.completion import CompletionRules
from router.database import Database
from router.folders import Folders
from router.metadata import FILE_NAME, MetadataFile
from router.organiser import Organiser
from router.organiser_rows import Part, StudyFolder
from router.patrol import Patrol
from router.removal import Remover, Retention
from router.savepoint import run_apart
from tests.unit.router.store import Store

ZONE = ZoneInfo("America/Sao_Paulo")
BEGAN = datetime(2026, 1, 22, 14, 15, 30, tzinfo=ZONE)
QUIET_S, LIMIT_S = 60.0, 3600.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


class Destinations:
    """Who still needs what: a test says so."""

    def __init__(self) -> None:
        self.confirmed: set[int] = set()

    def __call__(self, database: Database, number: int) -> bool:
        return number not in self.confirmed


class House:
    """Open it again to see what a restart finds."""

    def __init__(self, root: Path, *, keep_s: float = 0.0) -> None:
        self.root = root
        self.store = Store(root)
        self.day, self.clock = Clock(BEGAN.timestamp()), Clock(0)
        self.destinations = Destinations()
        self.folders = Folders(root)
        self.metadata = MetadataFile(root, self.store.committer, clock=self.clock)
        self.organiser = Organiser(
            self.store.spool, self.store.committer, self.folders, self.metadata, self.store.counters,
            zone=ZONE, rules=CompletionRules(QUIET_S, LIMIT_S), clock=self.clock, now=self.day,
        )  # fmt: skip
        self.remover = Remover(
            self.store.spool, self.store.committer, self.folders, self.metadata, self.store.counters,
            self.destinations, zone=ZONE, retention=Retention(keep_s), now=self.day,
        )  # fmt: skip
        self.organiser.prepare(is_first=True)
        self.adoption = self.new_adoption()

    def new_adoption(self) -> Adoption:
        """As each start has one."""
        return Adoption(
            self.store.spool, self.store.committer, self.store.quarantine, self.folders, self.store.counters,
            zone=ZONE, now=self.day, pause=lambda _: None,
        )  # fmt: skip

    def new_patrol(self, *, pause: Callable[[float], bool] = lambda _: False) -> Patrol:
        """One that reads as fast as it can."""
        return Patrol(
            self.store.spool, self.store.committer, self.store.quarantine, self.folders, self.store.counters,
            bytes_per_s=1 << 20, rest_s=3600, pause=pause, clock=self.clock,
        )  # fmt: skip

    def go_round(self) -> None:
        """The patrol, once."""
        patrol = self.new_patrol()
        while patrol.step():
            pass

    def adopt(self) -> None:
        """One pass, and what follows from it."""
        while self.adoption.step():
            pass
        self.organise()

    def organise(self) -> None:
        """All there is, and the metadata."""
        self.pass_time(2)
        while self.organiser.step():
            pass

    def pass_time(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.day.seconds += seconds

    def end_association(self) -> None:
        ended = self.day()
        self.store.committer.run(
            lambda database: database.close_association("association-1", "released", ended)
        )

    def complete(self) -> None:
        """As the association's end and the quiet time do."""
        self.organise()
        self.end_association()
        self.organise()
        self.pass_time(QUIET_S)
        self.organise()

    def confirm_all(self) -> None:
        self.destinations.confirmed |= set(range(1, 100_000))

    def remove(self) -> None:
        """All that nobody needs."""
        while self.remover.step():
            pass

    def rows(self, apply: Any, *values: Any) -> Any:
        return run_apart(self.store.committer, lambda database: apply(database, *values))

    def study(self, uid: str) -> StudyFolder:
        found = self.rows(rows.study_folder, uid)
        assert isinstance(found, StudyFolder)
        return found

    def parts(self) -> Sequence[Part]:
        found = self.rows(rows.completed_after, 0, 100)
        assert isinstance(found, list)
        return found

    def entries(self) -> dict[str, dict[str, Any]]:
        """What an old script reads."""
        found = json.loads((self.root / FILE_NAME).read_text(encoding="ascii"))
        assert isinstance(found, dict)
        return found

    def tree(self) -> dict[str, list[str]]:
        """The study folders and what is in them."""
        return {
            folder.name: sorted(file.name for file in folder.iterdir())
            for folder in sorted(self.root.iterdir())
            if folder.is_dir() and folder.name[0] not in "._"
        }

    def close(self) -> None:
        self.store.close()
