"""What a page waits for: each question to the rows of 10,000 studies and 1,000,000 instances, while four
associations store into the same database from another process, and while nobody does."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any

from ponte.quarantine import FolderQuarantine
from ponte.scan import scan
from router.committer import Committer
from router.counters import Counters
from router.database import FILE_NAME, Database
from router.intake import DiskLimits, SpoolIntake
from router.reception import SUCCESS, Asked, AssociationFacts, Referenced
from router.spool import Spool
from router.views import Search, Views
from tests.factories import encode, make_ct
from tests.many_studies import make, study_uid

_STUDIES, _IMAGES, _ASSOCIATIONS, _LIMIT_MS = 10_000, 100, 4, 100
_TIMES = 20  # of each question in a round
_SYNTAX, _CT, _UID = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.3680043.8.498."
_STUDY = study_uid(_STUDIES // 2)
_QUESTIONS: dict[str, Callable[[Views], object]] = {
    "queues": lambda views: views.queues(),
    "oldest_unforwarded_at": lambda views: views.oldest_unforwarded_at(),
    "totals": lambda views: views.totals(),
    "quarantine_counts": lambda views: views.quarantine_counts(),
    "studies, the newest 50": lambda views: views.studies(Search(), 50),
    "studies by name": lambda views: views.studies(Search(patient_name="conceicao zoe"), 50),
    "studies by a name that nobody has": lambda views: views.studies(Search(patient_name="xyz"), 50),
    "studies by any text": lambda views: views.studies(Search(text="silva 0042"), 50),
    "studies with something refused": lambda views: views.studies(Search(state="failed"), 50),
    "study": lambda views: views.study(_STUDY),
    "series": lambda views: views.series(_STUDY),
    "instances, 500": lambda views: views.instances(_STUDY, 500),
    "timeline": lambda views: views.timeline(_STUDY),
}


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG001
    """Milliseconds, opening the database included: median, 95th percentile and longest of each question."""
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        root = Path(work)
        began = time.perf_counter()
        make(root, studies=_STUDIES, images=_IMAGES)
        made_s = time.perf_counter() - began
        quiet = _asked(root, rounds)
        with _storing(root) as stored:
            busy = _asked(root, rounds)
        return {"made_s": made_s, "quiet": quiet, "busy": busy, "stored_per_s": stored[0]}


def _asked(root: Path, rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in _QUESTIONS}
    for _ in range(rounds * _TIMES):
        for name, ask in _QUESTIONS.items():
            began = time.perf_counter()
            with Views(root) as views:
                ask(views)
            times[name].append((time.perf_counter() - began) * 1e3)
    return {name: [statistics.median(each), _p95(each), max(each)] for name, each in times.items()}


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


@contextmanager
def _storing(root: Path) -> Iterator[list[float]]:
    """Store until the block ends; then the instances a second are in the list."""
    context = get_context("spawn")
    stopping, stored, rate = context.Event(), context.Value("q", 0), [0.0]
    child = context.Process(target=_store, args=(root, stopping, stored))
    child.start()
    while not stored.value and child.is_alive():
        time.sleep(0.01)
    began, before = time.perf_counter(), stored.value
    try:
        yield rate
    finally:
        rate[0] = (stored.value - before) / (time.perf_counter() - began)
        stopping.set()
        child.join()
    if child.exitcode:
        raise RuntimeError("storing failed")


def _store(root: Path, stopping: Any, stored: Any) -> None:
    """The receiving half of a router, fed by threads."""
    instance = make_ct(size=512, SOPInstanceUID=_UID + "9" * 10)
    data = encode(instance)
    dataset = data[scan([data]).dataset_start or 0 :]
    spool = Spool(root)
    spool.make()
    committer = Committer(spool, Database(spool.folder / FILE_NAME), _lost)
    intake = SpoolIntake(
        spool, committer, FolderQuarantine(root), _NoCommitments(), Counters(), limits=DiskLimits(0, 0)
    )
    numbers = count(10**9)
    facts = AssociationFacts("bench", "BENCH", "STORESCP", "127.0.0.1", "104", 0)

    def send() -> None:
        while not stopping.is_set():
            uid = f"{_UID}{next(numbers)}"
            reception = intake.begin(Asked(facts, _CT, uid, _SYNTAX))
            reception.write(dataset.replace((_UID + "9" * 10).encode(), uid.encode(), 1))
            if reception.finish() != SUCCESS:
                raise RuntimeError("not stored")
            with stored.get_lock():
                stored.value += 1

    threads = [Thread(target=send) for _ in range(_ASSOCIATIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.close()


def _lost() -> Database:
    raise RuntimeError("the database was lost")


class _NoCommitments:
    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        raise NotImplementedError


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        (
            f"{_STUDIES} studies, {_STUDIES * _IMAGES} instances (made in {result['made_s']:.0f} s);"
            f" {result['stored_per_s']:.0f} instances of 0.5 MB a second stored meanwhile;"
            f" at most {_LIMIT_MS} ms at p95 are allowed."
        ),
        "",
        "| ms | median | p95 | longest | storing: median | p95 | longest |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, quiet in result["quiet"].items():
        cells = " | ".join(f"{value:.1f}" for value in (*quiet, *result["busy"][name]))
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)
