"""Storage SCPs and SCUs of others, for the benches that send and receive, and instances to send."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from bench.shapes import make_study
from infra.local.orthanc import AE_TITLE, Orthanc
from infra.local.process import Child, answers, free_port

HOST = "127.0.0.1"
INSTANCES = {"ct": 150, "cr": 12}
NAMES = {"ct": "CT, 150 x 0.5 MB", "cr": "CR, 12 x 10 MB"}
NODELAY = {"TCP_NODELAY": "1"}
"""What makes DCMTK set the option."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of the clock, and of the processor in the process that was measured."""

    wall: float
    cpu: float


def make_instances(shape: str, folder: Path, count: int = 0) -> None:
    """So many instances, each with a UID of its own, in one folder."""
    folder.mkdir()
    while (missing := (count or INSTANCES[shape]) - len(list(folder.iterdir()))) > 0:
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            make_study(shape, Path(work, "one"), missing)
            for path in sorted(Path(work, "one").iterdir()):
                path.rename(folder / f"{Path(work).name}-{path.name}")


@contextmanager
def storescp(folder: Path, environment: Mapping[str, str] = NODELAY) -> Iterator[Child]:
    """`storescp +B`, as fast as it gets; its port is `port_of`."""
    (folder / "stored").mkdir(parents=True)
    port = free_port()
    command = ["storescp", "+B", "-od", str(folder / "stored"), "-pdu", "131072", "+xa", str(port)]
    child = Child("storescp", command, log=folder / str(port), env={**os.environ, **environment}, grace_s=0.2)
    with child:
        child.wait_until(lambda: answers(port), timeout_s=20, what="it listens")
        yield child


def port_of(server: Child | Orthanc) -> int:
    return server.dicom_port if isinstance(server, Orthanc) else int(server.log.name)


def title_of(server: Child | Orthanc) -> str:
    return AE_TITLE if isinstance(server, Orthanc) else "STORESCP"


def dcmsend(port: int, title: str, folder: Path, environment: Mapping[str, str] = NODELAY) -> Taken:
    """One run of `dcmsend` over the folder."""
    command = ["dcmsend", "-aec", title, "+sd", HOST, str(port), str(folder)]
    before, began = cpu_of_children(), perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
    return Taken(perf_counter() - began, cpu_of_children() - before)


def cpu_of_children() -> float:
    """Seconds of the processor that the children which have ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(work: Callable[[], object]) -> Taken:
    """The same for what runs in this process."""
    before, began = process_time(), perf_counter()
    work()
    return Taken(perf_counter() - began, process_time() - before)
