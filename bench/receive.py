"""C-STORE as receiver: the router against `storescp`, Orthanc and pynetdicom, fed by `dcmsend`, in turns.

Each run has a server and a folder of its own, and instances that it has not seen. Senders and server share
the machine. The router checks, fsyncs and commits each instance before it answers; the others do not (Orthanc
is asked to). CPU and memory are those of all processes of a server together.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.peers import HOST, NODELAY, make_instances
from infra.local.orthanc import Orthanc, installed
from infra.local.process import answers, free_port, wait_for
from ponte.destination import Outgoing
from ponte.scan import Verdict, scan
from ponte_net.scu import Peer, Scu

SERVERS = {
    "ours": "ours",
    "ours-2": "ours, 2 processes carry",
    "ours-3": "ours, 3 processes carry",
    "unsynced": "ours, files alone (no check, fsync or commit)",
    "storescp": "storescp +B",
    "orthanc": "Orthanc",
    "pynetdicom": "pynetdicom",
}
SIZES = {"ct": "0.5 MB", "cr": "10 MB"}
INSTANCES = {"ct": 240, "cr": 24}
ASSOCIATIONS = (1, 4, 16)

Figures = dict[str, float]


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:
    """By size and number of associations: each server's medians. Nothing where DCMTK is not installed."""
    if shutil.which("dcmsend") is None:
        return {}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        for shape in shapes or SIZES:
            if shape in SIZES:
                make_instances(shape, Path(work, shape), INSTANCES[shape])
                results[shape] = _measure(Path(work, shape), rounds)
    return results


def _measure(study: Path, rounds: int) -> dict[str, Any]:
    names = [name for name in SERVERS if name != "orthanc" or installed()]
    verdicts = {path: scan([path.read_bytes()]) for path in sorted(study.iterdir())}
    results: dict[str, Any] = {}
    for associations in ASSOCIATIONS:
        taken: dict[str, list[Figures]] = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                taken[name].append(run_once(name, study, associations))
        results[str(associations)] = {name: _medians(runs) for name, runs in taken.items()}
    latencies: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            latencies[name].append(_latency(name, verdicts))
    results["latency"] = {name: _medians(runs) for name, runs in latencies.items()}
    return results


def run_once(name: str, study: Path, associations: int) -> Figures:
    """All instances, dealt to so many `dcmsend` at once."""
    with tempfile.TemporaryDirectory(prefix="ponte-bench-", dir=study.parent) as work:
        folders = _dealt(study, Path(work), associations)
        with server(name, Path(work, "server")) as (port, pid):
            title = "ORTHANC" if name == "orthanc" else "STORESCP"
            commands = [["dcmsend", "-aec", title, "+sd", HOST, str(port), str(folder)] for folder in folders]
            before, began = cpu_of(pid), perf_counter()
            senders = [subprocess.Popen(one, env={**os.environ, **NODELAY}) for one in commands]
            codes = [sender.wait() for sender in senders]
            seconds = perf_counter() - began
            if any(codes):
                raise RuntimeError(f"{name}: dcmsend failed")
            count = len(list(study.iterdir()))
            return {
                "a_second": count / seconds,
                "cpu_ms": (cpu_of(pid) - before) / count * 1e3,
                "pss_mb": pss_of(pid),
            }


def _dealt(study: Path, work: Path, associations: int) -> list[Path]:
    folders = [work / f"sender-{number}" for number in range(associations)]
    for folder in folders:
        folder.mkdir()
    for number, path in enumerate(sorted(study.iterdir())):
        os.link(path, folders[number % associations] / path.name)
    return folders


def _latency(name: str, verdicts: dict[Path, Verdict]) -> Figures:
    """Milliseconds from the first byte of a C-STORE to its answer, one after the other, by our SCU."""
    title = "ORTHANC" if name == "orthanc" else "STORESCP"
    times = []
    with (
        tempfile.TemporaryDirectory(prefix="ponte-bench-") as work,
        server(name, Path(work, "server")) as (port, _),
    ):
        last = perf_counter()
        for outcome in Scu(Peer(HOST, port, title)).store(list(_outgoing(verdicts))):
            if not outcome.stored:
                raise RuntimeError(f"{name}: {outcome.detail}")
            now = perf_counter()
            times.append((now - last) * 1e3)
            last = now
    times.sort()
    return {"median_ms": times[len(times) // 2], "p99_ms": times[len(times) * 99 // 100]}


def _outgoing(verdicts: dict[Path, Verdict]) -> Iterator[Outgoing]:
    for path, verdict in verdicts.items():
        yield Outgoing(
            verdict.sop_instance_uid or "",
            path.read_bytes(),
            verdict.sop_class_uid or "",
            verdict.transfer_syntax_uid or "",
            verdict.dataset_start or 0,
        )


@contextmanager
def server(name: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Its port and process."""
    folder.mkdir()
    if name == "orthanc":
        with Orthanc(folder, authenticate=False, dimse=True) as orthanc:
            yield orthanc.dicom_port, _pid_of(orthanc.dicom_port)
        return
    port = free_port()
    command = [sys.executable, "-m", "bench.receivers", name, str(port), str(folder)]
    if name == "storescp":
        command = ["storescp", "+B", "--fork", "-od", str(folder), "-pdu", "131072", "+xa", str(port)]
    with (folder.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env={**os.environ, **NODELAY})
        try:
            wait_for(lambda: answers(port), timeout_s=30, msg=f"{name} does not listen")
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


def _pid_of(port: int) -> int:
    """The process that listens on the port."""
    wanted = f":{port:04X}"
    inodes = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
        if line.split()[1].endswith(wanted) and line.split()[3] == "0A"
    }
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _has_socket(folder / "fd", inodes):
            return int(folder.name)
    raise RuntimeError("nobody listens there")


def _has_socket(files: Path, inodes: set[str]) -> bool:
    try:
        return any(str(one.readlink())[8:-1] in inodes for one in files.iterdir())
    except OSError:
        return False


def cpu_of(pid: int) -> float:
    """Seconds of the processor that the process and those it started took, also those that have ended."""
    ticks = sum(sum(map(int, fields[11:15])) for fields in _family(pid).values())
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_of(pid: int) -> float:
    """Their share of the memory they have, in MiB."""
    return sum(_pss(one) for one in _family(pid))


def _pss(pid: int) -> float:
    try:
        rollup = Path("/proc", str(pid), "smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0.0
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


def _family(pid: int) -> dict[int, list[str]]:
    """The process and all that came of it and are there: the fields of proc(5) behind their names."""
    fields: dict[int, list[str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                fields[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
    found = [pid]
    for parent in found:
        found += [one for one, values in fields.items() if int(values[1]) == parent]
    return {one: fields[one] for one in found}


def _medians(runs: Sequence[Figures]) -> Figures:
    return {key: statistics.median(one[key] for one in runs) for key in runs[0]}


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown; speed and CPU as ratios to `storescp`."""
    lines = [
        "| instances | associations | server | a second | to storescp | CPU ms each | to storescp | PSS MB |"
    ]
    lines.append("|---|--:|---|" + "--:|" * 5)
    for shape, groups in result.items():
        for associations, servers in groups.items():
            if associations == "latency":
                continue
            base = servers["storescp"]
            for name, one in servers.items():
                lines.append(
                    f"| {SIZES[shape]} | {associations} | {SERVERS[name]} | {one['a_second']:.0f} "
                    f"| {one['a_second'] / base['a_second']:.2f}x | {one['cpu_ms']:.2f} "
                    f"| {one['cpu_ms'] / base['cpu_ms']:.2f}x | {one['pss_mb']:.0f} |"
                )
    lines += ["", "| instances | server | C-STORE, median ms | p99 ms |", "|---|---|--:|--:|"]
    for shape, groups in result.items():
        for name, one in groups["latency"].items():
            lines.append(
                f"| {SIZES[shape]} | {SERVERS[name]} | {one['median_ms']:.2f} | {one['p99_ms']:.2f} |"
            )
    return "\n".join(lines)
