"""A folder of DICOM becomes a PDF: ours against the straightforward pipeline and against dcmj2pnm.

The candidates take turns, round by round, so that what else the machine does falls on all alike.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.shapes import SHAPES, make_study

USUAL = ("ct", "mr", "cr", "us")
"""What every candidate can read."""

Figures = dict[str, float]


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """Medians by shape and candidate; `dcmj2pnm` only where it is installed."""
    names = ["ours", "straightforward"] + (["dcmj2pnm"] if shutil.which("dcmj2pnm") else [])
    return {shape: _measure(shape, names, rounds) for shape in shapes or USUAL}


def _measure(shape: str, names: Sequence[str], rounds: int) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folder, warm_up = Path(work, "study"), Path(work, "warm")
        make_study(shape, folder)
        make_study(shape, warm_up, instances=1)
        taken: dict[str, list[Figures]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                taken[name].append(run_candidate(name, folder, warm_up, Path(work, "out.pdf")))
    return {name: _medians(figures) for name, figures in taken.items()}


def run_candidate(name: str, folder: Path, warm_up: Path, output: Path) -> Figures:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "bench.candidates", name, str(folder), str(warm_up), str(output)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(answer.stdout)
    return figures


def _medians(figures: Sequence[Figures]) -> Figures:
    return {key: statistics.median(one[key] for one in figures) for key in figures[0]}


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown; ratios are to ours."""
    lines = [
        "| study | candidate | CPU s | ratio | wall s | ratio | PDF MB | imports, CPU s |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for shape, candidates in result.items():
        mine = candidates["ours"]
        for name, one in candidates.items():
            cpu, wall = one["cpu"] / mine["cpu"], one["wall"] / mine["wall"]
            times = f"{one['cpu']:.2f} | {cpu:.1f}x | {one['wall']:.2f} | {wall:.1f}x"
            rest = f"{one['bytes'] / 1e6:.1f} | {one['import_cpu']:.2f}"
            lines.append(f"| {SHAPES[shape]} | {name} | {times} | {rest} |")
    return "\n".join(lines)
