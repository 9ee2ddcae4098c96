"""Scanning: MB/s of one core, by the size of the pieces, with the digest and without."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

from bench.shapes import SHAPES, make_study
from ponte.scan import Scanner

INSTANCES = {"ct": 60, "cr": 1, "us": 1, "ct-j2k": 20}
PIECES = (64 << 10, 1 << 20)
TARGET_MB_S = {"ct": 200, "cr": 200}
_LEAST_BYTES = 256 << 20
"""Scanned in a round: a clock of 10 ms must not matter."""


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """Megabytes a second by shape and way, and the target where there is one."""
    return {shape: _measure(shape, rounds) for shape in shapes or list(INSTANCES) if shape in INSTANCES}


def _measure(shape: str, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        make_study(shape, Path(work, "study"), INSTANCES[shape])
        instances = [path.read_bytes() for path in sorted(Path(work, "study").iterdir())]
    ways: dict[str, Callable[[bytes], object]] = {
        f"scan {size >> 10} KiB": partial(_scan, size=size, digest=False) for size in PIECES
    }
    ways["scan and digest"] = partial(_scan, size=PIECES[-1], digest=True)
    ways["digest alone"] = lambda data: hashlib.sha256(data).digest()
    found = {
        name: statistics.median(_rate(way, instances) for _ in range(rounds)) for name, way in ways.items()
    }
    return {**found, "target": TARGET_MB_S.get(shape, 0)}


def _rate(way: Callable[[bytes], object], instances: Sequence[bytes]) -> float:
    size = sum(map(len, instances))
    repeats = _LEAST_BYTES // size + 1
    began = process_time()
    for _ in range(repeats):
        for data in instances:
            way(data)
    return repeats * size / 1e6 / (process_time() - began)


def _scan(data: bytes, *, size: int, digest: bool) -> None:
    scanner = Scanner(digest=digest)
    for start in range(0, len(data), size):
        scanner.feed(data[start : start + size])
    verdict = scanner.finish()
    if not verdict.accepted:
        raise RuntimeError(f"{verdict.reason}: {verdict.detail}")


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    ways = [name for name in next(iter(result.values()), {}) if name != "target"]
    lines = ["| instances | " + " | ".join(f"{way}, MB/s" for way in ways) + " | target |"]
    lines.append("|---|" + "--:|" * (len(ways) + 1))
    for shape, one in result.items():
        figures = " | ".join(f"{one[way]:.0f}" for way in ways)
        lines.append(f"| {SHAPES[shape]} | {figures} | {one['target'] or ''} |")
    return "\n".join(lines)
