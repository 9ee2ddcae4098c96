"""805 CT instances in two ZIPs into Orthanc: `ponte ingest` against `unzip` and `dcmsend`, in turns."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infra.local.orthanc import AE_TITLE, Orthanc, installed
from tests.factories import encode, make_ct, set_pixels

ARCHIVES = (365, 440)
TARGET = 1.0
_WAYS = ("STOW-RS", "C-STORE", "Orthanc REST")


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """Medians of the wall time, by way. Nothing where Orthanc, unzip or dcmsend is not installed."""
    if not installed() or shutil.which("dcmsend") is None or shutil.which("unzip") is None or shapes:
        return {}
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folder = Path(work)
        archives = [_make(folder / f"{count}.zip", count) for count in ARCHIVES]
        taken: dict[str, list[float]] = {name: [] for name in ("unzip + dcmsend", *_WAYS)}
        for number in range(rounds):
            for name, seconds in taken.items():
                with Orthanc(folder / f"{number}-{name}", authenticate=False, dimse=True) as orthanc:
                    seconds.append(_timed(name, orthanc, archives, folder / f"files-{number}"))
        return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _make(path: Path, count: int) -> Path:
    """Slices of 512 x 512 with noise, deflated, different from each other."""
    chance = np.random.default_rng(count)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for number in range(count):
            dataset = make_ct(number, series=count)
            set_pixels(dataset, chance.normal(1000, 12, (512, 512)).astype(np.int16))
            out.writestr(f"IM{number:04}", encode(dataset))
    return path


def _timed(name: str, orthanc: Orthanc, archives: Sequence[Path], files: Path) -> float:
    began = time.perf_counter()
    if name in _WAYS:
        _ingest(_destination(name, orthanc), archives)
    else:
        files.mkdir()
        for archive in archives:
            subprocess.run(["unzip", "-q", str(archive), "-d", str(files / archive.stem)], check=True)
        peer = ["-aec", AE_TITLE, "127.0.0.1", str(orthanc.dicom_port)]
        subprocess.run(["dcmsend", "+sd", "+r", *peer, str(files)], check=True, capture_output=True)
    return time.perf_counter() - began


def _destination(name: str, orthanc: Orthanc) -> str:
    if name == "C-STORE":
        return f"dicom://{AE_TITLE}@127.0.0.1:{orthanc.dicom_port}"
    return orthanc.dicomweb_url if name == "STOW-RS" else f"orthanc+{orthanc.url}"


def _ingest(to: str, archives: Sequence[Path]) -> None:
    """By the command, its start included; raises where not everything was delivered."""
    command = [sys.executable, "-m", "cli.main", "ingest", *map(str, archives), "--to", to, "--json"]
    done = subprocess.run(command, check=True, capture_output=True)
    delivered = [answer["totals"]["delivered"] for answer in json.loads(done.stdout)["archives"]]
    if delivered != list(ARCHIVES):
        raise RuntimeError("not all instances were delivered")


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown: time against that of the peers, less is better."""
    lines = ["| 805 CT in two ZIPs, into Orthanc | s | of unzip + dcmsend | target |", "|---|--:|--:|--:|"]
    for name, seconds in result.items():
        part = seconds / result["unzip + dcmsend"]
        lines.append(f"| {name} | {seconds:.2f} | {part:.2f}x | {TARGET:g}x |")
    return "\n".join(lines)
