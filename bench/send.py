"""C-STORE as sender, against DCMTK's `dcmsend`, into the same servers, in turns.

`dcmsend` is measured as a process, which starts in some milliseconds; ours from opening the files on, without
the imports. What it has to know of each file (UIDs, transfer syntax) is known before, as it is after a scan.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.peers import (
    INSTANCES,
    NAMES,
    Taken,
    dcmsend,
    make_instances,
    measured,
    port_of,
    storescp,
    title_of,
)
from infra.local.orthanc import Orthanc, installed
from infra.local.process import Child
from ponte.destination import Outgoing
from ponte.scan import Verdict, scan
from ponte_net.scu import Peer, Scu

SERVERS = {
    "storescp": "storescp +B",
    "storescp, two writes": "storescp +B that answers in two small writes",
    "orthanc": "Orthanc",
}
TARGETS = {"storescp": 1.0, "storescp, two writes": 10.0, "orthanc": 1.0}
CPU_TARGET = 0.8

Figures = dict[str, float]


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """By shape and server: medians of both senders. Nothing where DCMTK is not installed."""
    if shutil.which("dcmsend") is None:
        return {}
    return {shape: _measure(shape, rounds) for shape in shapes or list(INSTANCES) if shape in INSTANCES}


def _measure(shape: str, rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        folder = Path(work, "study")
        make_instances(shape, folder)
        verdicts = {path: scan([path.read_bytes()]) for path in sorted(folder.iterdir())}
        with ExitStack() as stack:
            servers = {name: stack.enter_context(_server(name, Path(work, name))) for name in _servers()}
            return {name: _in_turns(server, folder, verdicts, rounds) for name, server in servers.items()}


def _servers() -> Iterator[str]:
    return (name for name in SERVERS if name != "orthanc" or installed())


@contextmanager
def _server(name: str, folder: Path) -> Iterator[Child | Orthanc]:
    if name == "orthanc":
        with Orthanc(folder, dimse=True) as orthanc:
            yield orthanc
        return
    with storescp(folder, {} if "two writes" in name else {"TCP_NODELAY": "1"}) as child:
        yield child


def _in_turns(
    server: Child | Orthanc, folder: Path, verdicts: Mapping[Path, Verdict], rounds: int
) -> dict[str, Figures]:
    port, title = port_of(server), title_of(server)
    taken: dict[str, list[Taken]] = {"ours": [], "dcmsend": []}
    for _ in range(rounds + 1):
        taken["ours"].append(measured(lambda: send(port, title, verdicts)))
        taken["dcmsend"].append(dcmsend(port, title, folder))
    return {
        name: _medians(runs[1:]) for name, runs in taken.items()
    }  # the first wrote the files, with others


def send(port: int, title: str, verdicts: Mapping[Path, Verdict]) -> None:
    """All the files by our SCU; raises where one was not stored."""
    with ExitStack() as files:
        outcomes = list(Scu(Peer("127.0.0.1", port, title)).store(_outgoing(verdicts, files)))
    if len(outcomes) != len(verdicts) or not all(outcome.stored for outcome in outcomes):
        raise RuntimeError("not all instances were stored")


def _outgoing(verdicts: Mapping[Path, Verdict], files: ExitStack) -> Iterator[Outgoing]:
    for path, verdict in verdicts.items():
        yield Outgoing(
            verdict.sop_instance_uid or "",
            files.enter_context(path.open("rb")),
            verdict.sop_class_uid or "",
            verdict.transfer_syntax_uid or "",
            verdict.dataset_start or 0,
        )


def _medians(runs: Sequence[Taken]) -> Figures:
    return {key: statistics.median(asdict(one)[key] for one in runs) for key in ("wall", "cpu")}


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown: how many times as fast ours is, and its CPU time as a part of theirs."""
    heads = "ours, s | dcmsend, s | speed | target | ours, CPU s | dcmsend, CPU s | CPU | target"
    lines = [f"| study | server | {heads} |"]
    lines.append("|---|---|" + "--:|" * 8)
    for shape, servers in result.items():
        for server, both in servers.items():
            ours, theirs = both["ours"], both["dcmsend"]
            lines.append(
                f"| {NAMES[shape]} | {SERVERS[server]} | {ours['wall']:.3f} | {theirs['wall']:.3f} "
                f"| {theirs['wall'] / ours['wall']:.2f}x | {TARGETS[server]:g}x "
                f"| {ours['cpu']:.3f} | {theirs['cpu']:.3f} "
                f"| {ours['cpu'] / theirs['cpu']:.2f}x | {CPU_TARGET:g}x |"
            )
    return "\n".join(lines)
