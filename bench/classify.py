"""What asking a model costs on one core: pre-processing, inference, report, memory; in a process of its own.

`PONTE_CLASSIFY_MODEL` names the model's folder: that of `tools/export_onnx.py --random 7` will do.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIDES = {"640 x 512": (512, 640), "3000 x 3000": (3000, 3000)}
MODEL = "PONTE_CLASSIFY_MODEL"
LIMIT_TIMES, LIMIT_REPORT_S, LIMIT_BYTES = 2.0, 0.4, 400 << 20
_ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def run(rounds: int, _shapes: Sequence[str]) -> dict[str, Any]:
    """Medians in seconds of the processor, and the peak of memory in bytes, by the size of the source."""
    model = os.environ.get(MODEL, "")
    if not model:
        return {}
    return {name: _measure(model, side, rounds) for name, side in SIDES.items()}


def _measure(model: str, side: tuple[int, int], rounds: int) -> dict[str, float]:
    from tests.factories import encode
    from tests.unit.classify.golden import radiograph
    from tests.unit.classify.images import make_dx

    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        source = Path(work, "source.dcm")
        source.write_bytes(encode(make_dx(radiograph(side), bits=12)))
        command = [sys.executable, "-m", "bench.classify", model, str(source), str(rounds)]
        done = subprocess.run(
            command, env={**os.environ, **_ONE_CORE}, check=True, capture_output=True, text=True
        )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _child(model_path: str, source: str, rounds: int) -> dict[str, float]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from classify.findings import findings_of
    from classify.model import open_model
    from classify.pixels import read_radiograph
    from classify.sr import Reported, make_report
    from ponte.encapsulated import StudyHeader
    from ponte.instance import open_instance

    data, model = Path(source).read_bytes(), open_model(model_path)

    def prepare() -> Any:
        return read_radiograph(open_instance(data)).model_input(224)

    image = prepare()
    findings = findings_of(model.run(image).logits, model.manifest)
    reported = Reported(open_instance(data), StudyHeader.read(data), findings, model.manifest)
    make_report(reported)
    return {
        "inference": _median(lambda: model.run(image), rounds),
        "prepared": _median(lambda: model.run(prepare()), rounds),
        "report_cpu": _median(lambda: make_report(reported), rounds),
        "peak": float(_peak_bytes()),
    }


def _median(work: Callable[[], object], rounds: int) -> float:
    """Of the processor's time: the work has one thread, and other processes do not count."""
    taken = []
    for _ in range(max(rounds, 3)):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return float(np.round(statistics.median(taken), 4))


def _peak_bytes() -> int:
    """Of this process alone: the kernel's figure for children counts the parent that made them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(peak) * 1024


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    if not result:
        return f"not measured: {MODEL} names no model"
    lines = [
        "| source | inference, CPU ms | with pre-processing | times | report | peak MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, one in result.items():
        times = one["prepared"] / one["inference"]
        lines.append(
            f"| {name} | {one['inference'] * 1e3:.0f} | {one['prepared'] * 1e3:.0f} | {times:.2f}"
            f" | {one['report_cpu'] * 1e3:.0f} | {one['peak'] / 1e6:.0f} |"
        )
    limits = f"{LIMIT_TIMES:g} | {LIMIT_REPORT_S * 1e3:.0f} | {LIMIT_BYTES / 1e6:.0f}"
    return "\n".join([*lines, f"| limit | | | {limits} |"])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
