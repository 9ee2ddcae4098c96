"""Received and forwarded at the same time: `dcmsend` to the router, the router to `storescp`, on one machine.

The times are those of the rows: from an instance being durable here to its destination having said that it
has it. It keeps up where forwarding ends soon after receiving.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.peers import INSTANCES, NAMES, NODELAY, dcmsend, make_instances, port_of, storescp
from infra.local.process import answers, free_port, wait_for

ASSOCIATIONS = (1, 4)
_COUNT = {"ct": 600, "cr": 48}

Figures = dict[str, float]


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """By shape and number of associations. Nothing where DCMTK is not installed."""
    if shutil.which("dcmsend") is None:
        return {}
    return {shape: _measure(shape, rounds) for shape in shapes or list(INSTANCES) if shape in INSTANCES}


def _measure(shape: str, rounds: int) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folder = Path(work, "study")
        make_instances(shape, folder, _COUNT[shape])
        return {str(number): _median(folder, number, rounds) for number in ASSOCIATIONS}


def _median(folder: Path, associations: int, rounds: int) -> Figures:
    runs = [_once(folder, associations) for _ in range(rounds)]
    return {name: statistics.median(one[name] for one in runs) for name in runs[0]}


def _once(folder: Path, associations: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-", dir=folder.parent) as work:
        dealt = _dealt(folder, Path(work), associations)
        with storescp(Path(work, "target")) as target:
            port, root = free_port(), Path(work, "router")
            command = [sys.executable, "-m", "bench.forwarding", str(port), str(root), str(port_of(target))]
            with Path(work, "router.log").open("wb") as log:
                router = subprocess.Popen(command, stderr=log, env={**os.environ, **NODELAY})
                try:
                    wait_for(lambda: answers(port), timeout_s=30, msg="the router does not listen")
                    return _sent(dealt, port, root, len(list(folder.iterdir())))
                finally:
                    router.terminate()
                    router.wait()


def _dealt(study: Path, work: Path, associations: int) -> list[Path]:
    folders = [work / f"sender-{number}" for number in range(associations)]
    for one in folders:
        one.mkdir()
    for number, path in enumerate(sorted(study.iterdir())):
        os.link(path, folders[number % associations] / path.name)
    return folders


def _sent(folders: Sequence[Path], port: int, root: Path, count: int) -> Figures:
    began = perf_counter()
    with ThreadPoolExecutor(len(folders)) as senders:
        list(senders.map(lambda folder: dcmsend(port, "STORESCP", folder), folders))
    received = perf_counter() - began
    rows = sqlite3.connect(f"file:{root}/.spool/router.db?mode=ro", uri=True)
    try:
        wait_for(lambda: _forwarded(rows) == count, timeout_s=300, msg="not all was forwarded")
        forwarded = perf_counter() - began
        query = (
            "SELECT (d.sent_at - i.durable_at) * 1e3 FROM deliveries d"
            " JOIN instances i USING (number) ORDER BY 1"
        )
        latencies = [value for (value,) in rows.execute(query)]
    finally:
        rows.close()
    return {
        "received_s": received,
        "forwarded_s": forwarded,
        "median_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[len(latencies) * 99 // 100],
        "instances_s": count / forwarded,
    }


def _forwarded(rows: sqlite3.Connection) -> int:
    return int(rows.execute("SELECT count(*) FROM deliveries WHERE state = 'sent'").fetchone()[0])


def as_table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| study | associations | received in, s | forwarded in, s | behind | median, ms | p99, ms | /s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for shape, by_number in results.items():
        for number, one in by_number.items():
            name = NAMES[shape].partition(",")[0]
            lines.append(
                f"| {name}, {_COUNT[shape]} | {number} | {one['received_s']:.2f} | {one['forwarded_s']:.2f} "
                f"| {one['forwarded_s'] - one['received_s']:.2f} s | {one['median_ms']:.0f} "
                f"| {one['p99_ms']:.0f} | {one['instances_s']:.0f} |"
            )
    return "\n".join(lines)
