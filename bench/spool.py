"""Receiving into the spool: instances a second, latency and CPU, against the bare writes a promise takes.

`bare` is write, fsync, rename, fsync of the folder: nothing is looked at, nothing committed. `parts` is what
the steps of a promise take (median, ms), and how many instances share a commit.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import router.spool
from ponte.filemeta import part10_head
from ponte.quarantine import FolderQuarantine
from ponte.scan import scan
from router.counters import Counters
from router.database import Database
from router.intake import DiskLimits, SpoolIntake
from router.reception import SUCCESS, Asked, AssociationFacts, Referenced
from router.spool import Spool, sync_folder
from router.startup import open_store
from tests.factories import encode, make_ct

THREADS = (1, 4, 16)
SIDES = {"0.5 MB": 512, "8 MB": 2048}
_BYTES_A_RUN = 384 << 20
_PIECE = 128 << 10
_SYNTAX, _UID = "1.2.840.10008.1.2.1", "1.2.826.0.1.3680043.8.498."
_FACTS = AssociationFacts("bench", "BENCH", "STORESCP", "127.0.0.1", "104", 0)

Take = Callable[[int], None]


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """By size of the dataset and number of threads: what each way does; interleaved, medians."""
    results: dict[str, Any] = {}
    for name, side in SIDES.items():
        if shapes and name not in shapes:
            continue
        dataset, sop_class = _dataset(side)
        for threads in THREADS:
            found: dict[str, list[dict[str, float]]] = {"intake": [], "bare": []}
            for _ in range(rounds):
                found["intake"].append(_measured(threads, dataset, sop_class, _intake))
                found["bare"].append(_measured(threads, dataset, sop_class, _bare))
            results[f"{name}, {threads}"] = {
                way: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
                for way, runs in found.items()
            }
            results[f"{name}, {threads}"]["parts"] = _parts_of(threads, dataset, sop_class)
    return results


def _parts_of(threads: int, dataset: bytes, sop_class: str) -> dict[str, float]:
    """One more run, with a clock at each step."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    with (
        _clocked(router.spool.Partial, "sync", times["file fsync"]),
        _clocked(router.spool, "sync_folder", times["folder fsync"]),
        _clocked(Database, "commit", times["commit"]),
    ):
        _measured(threads, dataset, sop_class, _intake)
    found = {name: statistics.median(one) * 1e3 for name, one in times.items()}
    return {**found, "instances a commit": len(times["file fsync"]) / len(times["commit"])}


@contextmanager
def _clocked(owner: Any, name: str, times: list[float]) -> Iterator[None]:
    original = getattr(owner, name)

    def clocked(*arguments: Any) -> Any:
        began = time.perf_counter()
        found = original(*arguments)
        times.append(time.perf_counter() - began)
        return found

    setattr(owner, name, clocked)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _dataset(side: int) -> tuple[bytes, str]:
    """A dataset whose UID is 44 characters and stands where `_numbered` finds it."""
    instance = make_ct(size=side)
    instance.SOPInstanceUID = _UID + "9" * (44 - len(_UID))
    data = encode(instance)
    return data[scan([data]).dataset_start or 0 :], instance.SOPClassUID


def _measured(
    threads: int,
    dataset: bytes,
    sop_class: str,
    way: Callable[[Path, bytes, str], tuple[Take, Callable[[], None]]],
) -> dict[str, float]:
    each = max(8, _BYTES_A_RUN // len(dataset) // threads)
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        take, close = way(Path(work), dataset, sop_class)

        def work_off(first: int) -> None:
            for number in range(first, first + each):
                began = time.perf_counter()
                take(number)
                times.append(time.perf_counter() - began)

        workers = [Thread(target=work_off, args=(at * each,)) for at in range(threads)]
        cpu, began = time.process_time(), time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        close()
    count = each * threads
    if len(times) != count:
        raise RuntimeError("an instance was not taken")
    times.sort()
    return {
        "a_second": count / seconds,
        "cpu_ms": cpu / count * 1e3,
        "median_ms": times[count // 2] * 1e3,
        "p99_ms": times[count * 99 // 100] * 1e3,
    }


class _NoCommitments:
    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        raise NotImplementedError


def _intake(root: Path, dataset: bytes, sop_class: str) -> tuple[Take, Callable[[], None]]:
    spool, quarantine = Spool(root), FolderQuarantine(root)
    spool.make()
    committer, _ = open_store(spool, quarantine)
    intake = SpoolIntake(spool, committer, quarantine, _NoCommitments(), Counters(), limits=DiskLimits(0, 0))
    head, tail, parts = _parts(dataset)

    def take(number: int) -> None:
        uid = _uid(number)
        reception = intake.begin(Asked(_FACTS, sop_class, uid, _SYNTAX))
        reception.write(head + uid.encode() + tail)
        for part in parts:
            reception.write(part)
        if reception.finish() != SUCCESS:
            raise RuntimeError("not stored")

    return take, committer.close


def _bare(root: Path, dataset: bytes, sop_class: str) -> tuple[Take, Callable[[], None]]:
    head, tail, parts = _parts(dataset)
    meta = part10_head(sop_class, _uid(0), _SYNTAX)

    def take(number: int) -> None:
        part, whole = root / f"{number}.part", root / f"{number}.dcm"
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        for piece in (meta, head + _uid(number).encode() + tail, *parts):
            os.write(file, piece)
        os.fsync(file)
        os.close(file)
        part.rename(whole)
        sync_folder(root)

    return take, lambda: None


def _uid(number: int) -> str:
    digits = 44 - len(_UID)
    return f"{_UID}{9 * 10 ** (digits - 1) + number}"


def _parts(dataset: bytes) -> tuple[bytes, bytes, list[bytes]]:
    """What stands before the UID, what follows in the same piece, and the other pieces."""
    uid = (_UID + "9" * (44 - len(_UID))).encode()
    at = dataset.index(uid)
    rest = dataset[_PIECE:]
    parts = [rest[start : start + _PIECE] for start in range(0, len(rest), _PIECE)]
    return dataset[:at], dataset[at + len(uid) : _PIECE], parts


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| dataset, threads | instances/s | bare | ratio | CPU, ms | bare | median, ms | p99 | bare | p99 |",
        "|---|" + "--:|" * 9,
    ]
    for name, one in result.items():
        ours, bare = one["intake"], one["bare"]
        lines.append(
            f"| {name} | {ours['a_second']:.0f} | {bare['a_second']:.0f} |"
            f" {ours['a_second'] / bare['a_second']:.2f} | {ours['cpu_ms']:.2f} | {bare['cpu_ms']:.2f} |"
            f" {ours['median_ms']:.1f} | {ours['p99_ms']:.1f} |"
            f" {bare['median_ms']:.1f} | {bare['p99_ms']:.1f} |"
        )
    parts = list(next(iter(result.values()), {"parts": {}})["parts"])
    lines += ["", "| dataset, threads | " + " | ".join(parts) + " |", "|---|" + "--:|" * len(parts)]
    lines += [
        f"| {name} | " + " | ".join(f"{one['parts'][part]:.2f}" for part in parts) + " |"
        for name, one in result.items()
    ]
    return "\n".join(lines)
