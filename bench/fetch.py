"""A study from a real Orthanc: our one streamed request against one for each instance; parsing; memory.

All on one machine, the server too. The clients take turns, round by round, each in a process of its own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from bench.clients import CHUNK, LIMITS
from bench.shapes import make_study
from infra.local.orthanc import Orthanc, installed
from ponte.dicomweb import ACCEPT_INSTANCES
from ponte.multipart import boundary_of, iterate_parts

INSTANCES = {"ct": 300, "ct-jpeg": 150, "us-long": 1}
NAMES = {
    "ct": "CT, 300 x 512x512, uncompressed",
    "ct-jpeg": "CT, 150 x 512x512, JPEG lossless",
    "us-long": "US, 2,000 frames in one instance",
}
CLIENTS = {
    "ct": ("ours", "unread", "urllib3", "requests"),
    "ct-jpeg": ("ours", "unread", "transcoded", "urllib3", "requests"),
    "us-long": ("ours", "unread"),
}
TITLES = {
    "ours": "ours",
    "unread": "the same answer, thrown away",
    "transcoded": "the answer to the default Accept, thrown away",
    "urllib3": "by instance, 4 threads, urllib3",
    "requests": "by instance, 4 threads, requests",
}
FETCH_TARGETS = {"urllib3": 2.5}
PARSE_TARGET = 1.5

Figures = dict[str, float]


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """By shape: medians of each client and parser, and memory. Nothing where Orthanc is not installed."""
    if not installed():
        return {}
    return {shape: _measure(shape, rounds) for shape in shapes or list(INSTANCES) if shape in INSTANCES}


def _measure(shape: str, rounds: int) -> dict[str, Any]:
    with _served(shape) as (url, study, largest):
        taken: dict[str, list[Figures]] = {name: [] for name in CLIENTS[shape]}
        for _ in range(rounds):
            for name in taken:
                taken[name].append(run_client(name, url, study))
        boundary, chunks = _record(url, study)
    memory = max(figures["memory"] for figures in taken["ours"])
    return {
        "clients": {name: _medians(figures) for name, figures in taken.items()},
        "parse": measure_parsers(chunks, boundary, rounds),
        "memory": {"peak": memory, "largest_instance": largest},
    }


@contextmanager
def _served(shape: str) -> Iterator[tuple[str, str, int]]:
    """Orthanc with the study: its address, the study's UID and the size of the largest instance."""
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folder = Path(work, "study")
        study = make_study(shape, folder, INSTANCES[shape])
        with Orthanc(Path(work, "orthanc"), authenticate=False) as orthanc:
            orthanc.upload_files(sorted(folder.iterdir()))
            yield orthanc.dicomweb_url, study, max(path.stat().st_size for path in folder.iterdir())


def run_client(name: str, url: str, study: str) -> Figures:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "bench.clients", name, url, study]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: Figures = json.loads(answer.stdout)
    return figures


def _record(url: str, study: str) -> tuple[bytes, list[bytes]]:
    """The boundary of the answer, and its bytes as they arrive."""
    address = f"{url}/studies/{study}"
    accept = {"Accept": ACCEPT_INSTANCES}
    with urllib3.request("GET", address, headers=accept, preload_content=False) as answer:
        return boundary_of(answer.headers["Content-Type"]), list(answer.stream(CHUNK))


def measure_parsers(chunks: Sequence[bytes], boundary: bytes, rounds: int) -> dict[str, float]:
    """CPU seconds of both parsers over the same bytes, which lie in memory: medians."""
    parsers: dict[str, Callable[[], int]] = {
        "ours": lambda: sum(len(part.data) for part in iterate_parts(iter(chunks), boundary, LIMITS)),
        "by hand": lambda: sum(len(data) for data in parse_by_hand(iter(chunks))),
    }
    taken: dict[str, list[float]] = {name: [] for name in parsers}
    totals = set()
    for _ in range(rounds):
        for name, parse in parsers.items():
            began = time.process_time()
            totals.add(parse())
            taken[name].append(time.process_time() - began)
    if len(totals) != 1:
        raise AssertionError("the parsers do not agree")
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def parse_by_hand(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The yardstick: as few steps as Python can do it in, for answers as Orthanc writes them.

    It believes every Content-Length, has no limits and does not look at the boundaries.
    """
    rest = b""
    while True:
        while (end := rest.find(b"\r\n\r\n")) < 0:
            chunk = next(chunks, None)
            if chunk is None:
                return
            rest += chunk
        head, start = rest[:end], end + 4
        length = int(head[head.index(b"Content-Length: ") + 16 :].partition(b"\r\n")[0])
        pieces = [rest[start : start + length]]
        rest, missing = rest[start + length :], length - len(pieces[0])
        while missing:
            chunk = next(chunks)
            if len(chunk) > missing:
                chunk, rest = chunk[:missing], chunk[missing:]
            pieces.append(chunk)
            missing -= len(chunk)
        yield b"".join(pieces)


def _medians(figures: Sequence[Figures]) -> Figures:
    return {key: statistics.median(one[key] for one in figures) for key in figures[0]}


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    if not result:
        return "Orthanc is not installed."
    return "\n\n".join((_clients_table(result), _parse_table(result), _memory_table(result)))


def _clients_table(result: dict[str, Any]) -> str:
    lines = [
        "| study | client | wall s | ratio | target | CPU s | ratio | MB |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for shape, one in result.items():
        mine = one["clients"]["ours"]
        for name, figures in one["clients"].items():
            wall, cpu = figures["wall"] / mine["wall"], figures["cpu"] / mine["cpu"]
            target = f"{FETCH_TARGETS[name]:.1f}x" if name in FETCH_TARGETS else ""
            times = f"{figures['wall']:.3f} | {wall:.1f}x | {target} | {figures['cpu']:.3f} | {cpu:.1f}x"
            lines.append(f"| {NAMES[shape]} | {TITLES[name]} | {times} | {figures['bytes'] / 1e6:.0f} |")
    return "\n".join(lines)


def _parse_table(result: dict[str, Any]) -> str:
    lines = ["| study | parse, CPU ms | by hand | ratio | target |", "|---|--:|--:|--:|--:|"]
    for shape, one in result.items():
        mine, hand = one["parse"]["ours"], one["parse"]["by hand"]
        figures = f"{mine * 1000:.1f} | {hand * 1000:.1f} | {mine / hand:.2f}x | {PARSE_TARGET:.2f}x"
        lines.append(f"| {NAMES[shape]} | {figures} |")
    return "\n".join(lines)


def _memory_table(result: dict[str, Any]) -> str:
    lines = ["| study | largest instance, MB | memory that fetching took, MB |", "|---|--:|--:|"]
    for shape, one in result.items():
        largest, peak = one["memory"]["largest_instance"] / 1e6, one["memory"]["peak"] / 1e6
        lines.append(f"| {NAMES[shape]} | {largest:.1f} | {peak:.1f} |")
    return "\n".join(lines)
