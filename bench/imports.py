"""What a cold start of the render worker spends on imports, in processes of their own, turn by turn.

As it ships: third-party packages compiled, our own sources not, and no `requests`, which pydicom takes where
it finds it. Beside it, the same with byte code of our own sources.
"""

from __future__ import annotations

import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("functions", "layers/ponte/python")
TARGET_S = 0.6
SHOWN = 12
SHIPPED, COMPILED = "as it ships", "our sources compiled too"

WORKER = "import sys; sys.modules['requests'] = None; import render.worker"
TIMED = f"import time; began = time.process_time(); {WORKER}; print(time.process_time() - began)"


def run(rounds: int, _shapes: Sequence[str]) -> dict[str, Any]:
    """CPU seconds of all imports, medians; of the heaviest packages milliseconds alone, the least of all."""
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folders = {name: _copy(Path(work, str(number))) for number, name in enumerate((SHIPPED, COMPILED))}
        compileall.compile_dir(folders[COMPILED], quiet=2)
        taken: dict[str, list[float]] = {name: [] for name in folders}
        logs = []
        for _ in range(rounds):
            for name, folder in folders.items():
                taken[name].append(float(_python(folder, "-c", TIMED).stdout))
            logs.append(_packages(_python(folders[SHIPPED], "-X", "importtime", "-c", WORKER).stderr))
    least = {name: min(log[name] for log in logs) / 1000 for name in logs[0]}
    return {
        "cpu": {name: statistics.median(seconds) for name, seconds in taken.items()},
        "packages": {name: least[name] for name in sorted(least, key=least.__getitem__)[: -SHOWN - 1 : -1]},
    }


def _copy(folder: Path) -> Path:
    for source in SOURCES:
        shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder / source) for source in SOURCES)
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPYCACHEPREFIX": "",
    }
    return subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment, cwd=folder
    )


def _packages(log: str) -> Counter[str]:
    """Microseconds of the clock that each top-level package took alone, from a log of `-X importtime`."""
    taken: Counter[str] = Counter()
    for line in log.splitlines():
        own, _, name = line.removeprefix("import time:").partition("|")
        if own.strip().isdecimal():
            package = name.partition("|")[2].strip().partition(".")[0]
            taken["standard library" if package in sys.stdlib_module_names else package] += int(own)
    return taken


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| imports of render.worker | CPU s | target |", "|---|--:|--:|"]
    lines += [f"| {name} | {seconds:.2f} | {TARGET_S:.2f} |" for name, seconds in result["cpu"].items()]
    lines += ["", "| package alone | ms |", "|---|--:|"]
    lines += [f"| {name} | {milliseconds:.0f} |" for name, milliseconds in result["packages"].items()]
    return "\n".join(lines)
