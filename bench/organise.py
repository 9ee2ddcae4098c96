"""Organising: how many instances a second, alone; and what receiving loses by it, interleaved."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from threading import Thread
from typing import Any

from ponte.quarantine import FolderQuarantine
from ponte.scan import scan
from router.committer import Committer
from router.completion import CompletionRules
from router.counters import Counters
from router.database import Database, Instance, Study
from router.folders import Folders
from router.intake import DiskLimits, SpoolIntake
from router.metadata import MetadataFile
from router.organiser import Organiser
from router.reception import SUCCESS, Asked, AssociationFacts, Referenced
from router.spool import Spool
from router.startup import open_store
from router.worker import Worker
from tests.factories import encode, make_ct

_ALONE, _STUDIES, _RECEIVED, _THREADS = 20_000, 100, 600, 4
_SYNTAX, _CT, _UID = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.826.0.1.3680043.8.498."
_FACTS = AssociationFacts("bench", "BENCH", "STORESCP", "127.0.0.1", "104", 0)


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG001
    """Medians: instances a second organised alone, received without it, received with it."""
    found: dict[str, list[float]] = {"alone": [], "cpu_us": [], "without": [], "with": []}
    for _ in range(rounds):
        rate, cpu_us = _alone()
        found["alone"].append(rate)
        found["cpu_us"].append(cpu_us)
        found["without"].append(_received(is_organised=False))
        found["with"].append(_received(is_organised=True))
    return {name: statistics.median(values) for name, values in found.items()}


def _alone() -> tuple[float, float]:
    """Instances a second, and microseconds of CPU each."""
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        root = Path(work)
        spool, committer = _open(root)
        for first in range(0, _ALONE, 1000):
            committer.run(lambda database: _fill(spool, database, first))  # noqa: B023
        organiser = _organiser(root, spool, committer)
        organiser.prepare()
        cpu, began = time.process_time(), time.perf_counter()
        while organiser.step():
            pass
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        committer.close()
    return _ALONE / seconds, cpu / _ALONE * 1e6


def _fill(spool: Spool, database: Database, first: int) -> None:
    folder = spool.kept / f"{first}"
    folder.mkdir()
    for number in range(first, first + 1000):
        (folder / f"{number}.dcm").write_bytes(b"x")
        study = f"{_UID}{number % _STUDIES}"
        uid = f"{_UID}9.{number}"
        instance = Instance(
            sop_instance_uid=uid, sop_class_uid=_CT, transfer_syntax_uid=_SYNTAX, study_instance_uid=study,
            series_instance_uid=study, modality=b"CT", sha256=bytes(32), size_bytes=1, dataset_start=0,
            place=f"{first}/{number}.dcm", notes="", association_id="bench", source_ae_title="BENCH",
            received_at=0, durable_at=0,
        )  # fmt: skip
        database.insert(instance, Study(study, patient_id=b"ID", patient_name=b"DOE^JOHN"))


def _received(*, is_organised: bool) -> float:
    """Instances of 0.5 MB a second, from four associations."""
    instance = make_ct(size=512, SOPInstanceUID=_UID + "9" * 10)
    data = encode(instance)
    dataset = data[scan([data]).dataset_start or 0 :]
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        root = Path(work)
        spool, committer = _open(root)
        intake = SpoolIntake(
            spool, committer, FolderQuarantine(root), _NoCommitments(), Counters(), limits=DiskLimits(0, 0)
        )
        organiser = _organiser(root, spool, committer)
        organiser.prepare()
        worker = Worker("organiser", organiser.step, idle_s=0.5)
        if is_organised:
            worker.start()
        seconds = _send_all(intake, dataset)
        worker.stop(60)
        committer.close()
    return _RECEIVED / seconds


def _send_all(intake: SpoolIntake, dataset: bytes) -> float:
    def send(thread: int) -> None:
        for number in range(thread, _RECEIVED, _THREADS):
            uid = f"{_UID}{10**9 + number}"
            reception = intake.begin(Asked(_FACTS, _CT, uid, _SYNTAX))
            reception.write(dataset.replace((_UID + "9" * 10).encode(), uid.encode(), 1))
            if reception.finish() != SUCCESS:
                raise RuntimeError("not stored")

    threads = [Thread(target=send, args=(thread,)) for thread in range(_THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _open(root: Path) -> tuple[Spool, Committer]:
    spool = Spool(root)
    spool.make()
    return spool, open_store(spool, FolderQuarantine(root))[0]


def _organiser(root: Path, spool: Spool, committer: Committer) -> Organiser:
    return Organiser(
        spool, committer, Folders(root), MetadataFile(root, committer), Counters(), zone=UTC,
        rules=CompletionRules(),
    )  # fmt: skip


class _NoCommitments:
    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        raise NotImplementedError


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    return "\n".join(
        [
            "| | instances/s |",
            "|---|--:|",
            f"| organised alone, {result['cpu_us']:.0f} µs of CPU each | {result['alone']:.0f} |",
            f"| received by four associations, 0.5 MB each | {result['without']:.0f} |",
            f"| the same while organising | {result['with']:.0f} |",
        ]
    )
