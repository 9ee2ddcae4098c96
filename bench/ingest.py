"""Two ZIPs of CT into a real Orthanc by C-STORE: `ponte ingest` against `unzip` and `dcmsend`; its parts.

All on one machine, Orthanc too, which begins each turn without the instances. The two take turns, round by
round, and each must leave all of them there.
"""

from __future__ import annotations

import hashlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from bench.shapes import make_study
from infra.local.orthanc import AE_TITLE, HOST, Orthanc, installed
from ponte.archive import Archive
from ponte.destination import Outgoing
from ponte.scan import Scanner, Verdict
from ponte_net.scu import Peer, Scu

ZIPS = (365, 440)
"""As the old system was seen to handle them."""
TARGET = 1.0
_PIECE = 1 << 20
_PART_INSTANCES = 128


@dataclass(frozen=True, slots=True)
class Bed:
    """What is measured on."""

    work: Path
    zips: tuple[Path, ...]
    studies: tuple[str, ...]
    orthanc: Orthanc

    @property
    def peer(self) -> Peer:
        return Peer(HOST, self.orthanc.dicom_port, AE_TITLE)


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG001  (there is one shape)
    """Seconds of each way by round, by the clock and of the clients' CPU; MB/s of a core by part.

    Nothing where a program is missing.
    """
    if not installed() or not all(map(shutil.which, ("unzip", "dcmsend"))):
        return {}
    with _bed() as bed:
        turns: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
        for _ in range(rounds):
            for name, way in (("ours", _ours), ("peer", _peer)):
                turns[name].append(_turn(bed, way))
        return {"turns": turns, "parts": _parts(bed, rounds), "target": TARGET}


@contextmanager
def _bed() -> Iterator[Bed]:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as name:
        work = Path(name)
        zips = [work / f"{number}.zip" for number in range(len(ZIPS))]
        studies = [
            study for path, count in zip(zips, ZIPS, strict=True) for study in _make_zip(path, count, work)
        ]
        with Orthanc(work / "orthanc", authenticate=False, dimse=True) as orthanc:
            yield Bed(work, tuple(zips), tuple(studies), orthanc)


def _make_zip(path: Path, count: int, work: Path) -> Iterator[str]:
    """A ZIP of so many instances, in as many studies as their shape makes of them, whose UIDs are yielded."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        while count:
            with tempfile.TemporaryDirectory(dir=work) as name:
                study = make_study("ct", Path(name), count)
                instances = sorted(Path(name).iterdir())
                for instance in instances:
                    out.write(instance, f"{study}/{instance.name}")
            count -= len(instances)
            yield study


def _turn(bed: Bed, way: Callable[[Bed], None]) -> tuple[float, float]:
    for study in bed.studies:
        bed.orthanc.delete_study(study)
    began, cpu = time.perf_counter(), _children_cpu_s()
    way(bed)
    seconds, cpu = time.perf_counter() - began, _children_cpu_s() - cpu
    found = urllib3.request("GET", f"{bed.orthanc.url}/statistics").json()["CountInstances"]
    if found != sum(ZIPS):
        raise RuntimeError(f"{found} instances arrived; expected {sum(ZIPS)}")
    return seconds, cpu


def _children_cpu_s() -> float:
    """Of the programs that have ended; Orthanc has not."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ours(bed: Bed) -> None:
    to = f"dicom://{AE_TITLE}@{HOST}:{bed.orthanc.dicom_port}"
    command = [sys.executable, "-m", "cli.main", "ingest", *map(str, bed.zips), "--to", to]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _peer(bed: Bed) -> None:
    with tempfile.TemporaryDirectory(dir=bed.work) as folder:
        for number, path in enumerate(bed.zips):
            subprocess.run(["unzip", "-q", str(path), "-d", f"{folder}/{number}"], check=True)
        port = str(bed.orthanc.dicom_port)
        options = ["-aec", AE_TITLE, "--scan-directories", "--recurse"]
        subprocess.run(["dcmsend", *options, HOST, port, folder], check=True)


def _parts(bed: Bed, rounds: int) -> dict[str, float]:
    """Medians of megabytes of instances a second of one core; `send` counts our side alone."""
    members = list(_inflated(bed.zips[0], _PART_INSTANCES))
    outgoing = [_outgoing(data) for data in members]
    parts: dict[str, Callable[[], object]] = {
        "inflate": lambda: sum(map(len, _inflated(bed.zips[0], _PART_INSTANCES))),
        "scan": lambda: [_scanned(data, digest=False) for data in members],
        "hash": lambda: [hashlib.sha256(data).digest() for data in members],
        "send": lambda: _send(bed.peer, outgoing),
    }
    size = sum(map(len, members))
    return {name: statistics.median(_rate(part, size) for _ in range(rounds)) for name, part in parts.items()}


def _rate(part: Callable[[], object], size: int) -> float:
    began = time.process_time()
    part()
    return size / 1e6 / (time.process_time() - began)


def _inflated(path: Path, most: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for member in Archive(stream).members():
            if member.position > most:
                return
            yield b"".join(member.source)


def _scanned(data: bytes, *, digest: bool) -> Verdict:
    scanner = Scanner(digest=digest)
    for start in range(0, len(data), _PIECE):
        scanner.feed(data[start : start + _PIECE])
    return scanner.finish()


def _send(peer: Peer, outgoing: Sequence[Outgoing]) -> None:
    for outcome in Scu(peer).store(outgoing):
        if not outcome.stored:
            raise RuntimeError(outcome.detail)


def _outgoing(data: bytes) -> Outgoing:
    verdict = _scanned(data, digest=False)
    uids = verdict.sop_instance_uid or "", verdict.sop_class_uid or "", verdict.transfer_syntax_uid or ""
    return Outgoing(uids[0], data, uids[1], uids[2], verdict.dataset_start or 0)


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    if not result:
        return "not measured: Orthanc, unzip and dcmsend are needed"
    ours, peer = (result["turns"][name] for name in ("ours", "peer"))
    ratio, of_cpu = (
        statistics.median(a[which] / b[which] for a, b in zip(ours, peer, strict=True)) for which in (0, 1)
    )
    lines = ["| 805 CT in two ZIPs to Orthanc | s | s of CPU | s, each round |", "|---|--:|--:|---|"]
    for title, turns in (("`ponte ingest`", ours), ("`unzip`, then `dcmsend`", peer)):
        wall, cpu = (statistics.median(turn[which] for turn in turns) for which in (0, 1))
        lines.append(f"| {title} | {wall:.2f} | {cpu:.2f} | " + " ".join(f"{t[0]:.2f}" for t in turns) + " |")
    lines.append(f"\nRatio, median of the rounds: {ratio:.2f} (target: at most {result['target']:.1f});")
    lines.append(f"of CPU {of_cpu:.2f}. `dcmsend` spends most of its time waiting for acknowledgements.\n")
    lines += ["| part | MB/s a core |", "|---|--:|"]
    lines += [f"| {name} | {rate:.0f} |" for name, rate in result["parts"].items()]
    return "\n".join(lines)
