"""Rendering against its limit: the CPU time of all we do, to that of decode, window and JPEG alone.

Both take turns, round by round. Lossless pages are measured against our own JPEG pages.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.shapes import SHAPES, make_study
from bench.whole_job import run_candidate

TARGETS = {"ct": 2.0, "ct-jpeg": 1.25, "ct-j2k": 1.05, "us": 0.08, "mg": 1.05}
WARM_UP = {"ct": 20, "ct-jpeg": 20, "ct-j2k": 20, "us": 1, "mg": 10}
"""Instances of a first study, not counted: a worker that is warm has its memory and its tables."""
LOSSLESS_TARGET = 1.2
LOSSLESS_SHAPE = "ct"


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """CPU seconds of both, and their ratio and its target, by shape."""
    found = {shape: _measure(shape, rounds) for shape in shapes or list(TARGETS) if shape in TARGETS}
    if LOSSLESS_SHAPE in found:
        taken = _medians(LOSSLESS_SHAPE, ("ours-lossless", "ours"), rounds)
        found["lossless"] = _compared(taken, LOSSLESS_TARGET)
    return found


def _measure(shape: str, rounds: int) -> dict[str, float]:
    return _compared(_medians(shape, ("ours", "limit"), rounds), TARGETS[shape])


def _compared(taken: Sequence[float], target: float) -> dict[str, float]:
    mine, limit = taken
    return {"cpu": mine, "limit": limit, "ratio": mine / limit, "target": target}


def _medians(shape: str, names: Sequence[str], rounds: int) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folder, warm_up, output = Path(work, "study"), Path(work, "warm"), Path(work, "out.pdf")
        make_study(shape, folder)
        make_study(shape, warm_up, instances=WARM_UP[shape])
        taken: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                taken[name].append(run_candidate(name, folder, warm_up, output)["cpu"])
    return [statistics.median(taken[name]) for name in names]


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| study | CPU s | limit, CPU s | ratio | target |", "|---|--:|--:|--:|--:|"]
    for shape, one in result.items():
        name = SHAPES.get(shape, "lossless pages of that CT, against JPEG pages")
        figures = f"{one['cpu']:.2f} | {one['limit']:.2f} | {one['ratio']:.2f}x | {one['target']:.2f}x"
        lines.append(f"| {name} | {figures} |")
    return "\n".join(lines)
