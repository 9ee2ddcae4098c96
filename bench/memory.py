"""The most memory that rendering a long study takes, in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.shapes import make_study
from bench.whole_job import run_candidate

INSTANCES = {"ct": 2000, "mr": 300, "us-long": 1}
NAMES = {"ct": "CT, 2,000 images", "mr": "MR, 300 images", "us-long": "US, 2,000 frames in one instance"}
LIMIT_BYTES = 512 << 20


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """Peak of resident memory, in bytes, by shape: the highest of the rounds."""
    return {shape: _measure(shape, rounds) for shape in shapes or list(INSTANCES) if shape in INSTANCES}


def _measure(shape: str, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folder, warm_up = Path(work, "study"), Path(work, "warm")
        make_study(shape, folder, INSTANCES[shape])
        make_study("us" if shape == "us-long" else shape, warm_up, 1)
        output = Path(work, "out.pdf")
        small = run_candidate("ours", warm_up, warm_up, output)["peak"]
        peaks = [run_candidate("ours", folder, warm_up, output)["peak"] for _ in range(rounds)]
    return {"instances": INSTANCES[shape], "peak": max(peaks), "peak_of_one": small, "limit": LIMIT_BYTES}


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| study | peak MB | peak MB of 1 image | limit MB |", "|---|--:|--:|--:|"]
    for shape, one in result.items():
        peak, small, limit = (one[key] / 1e6 for key in ("peak", "peak_of_one", "limit"))
        lines.append(f"| {NAMES[shape]} | {peak:.0f} | {small:.0f} | {limit:.0f} |")
    return "\n".join(lines)
