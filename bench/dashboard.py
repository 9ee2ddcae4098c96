"""The dashboard: how soon its pages answer with 10,000 studies in the rows while four associations send, and
what it costs those who send, with one browser that looks.

The router, the dashboard, the senders (`dcmsend`) and who asks share the machine. Receiving is measured in
turns without the dashboard, and with it and an open event stream.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any, Final

import yaml

from bench.peers import HOST, NODELAY, make_instances
from infra.local.process import Child, answers, free_port, wait_for
from router.spool import FOLDER_NAME
from tests import many_studies
from tests.factories import encode, make_ct, uid

STUDIES, IMAGES = 10_000, 100
ASSOCIATIONS: Final = 4
REQUESTS: Final = 100
_SMALL: Final = 1500  # instances of each association, while pages are asked for
_RECEIVED: Final = 480
_LOG_LINES: Final = 65_000
_ANSWER_S: Final = 30.0
_REPOSITORY: Final = Path(__file__).parent.parent

Figures = dict[str, float]


def pages() -> dict[str, str]:
    """What is asked for, by name."""
    study = many_studies.study_uid(STUDIES - 1)
    return {
        "now": "/",
        "studies": "/studies",
        "studies, a later page": "/studies?after=5000",
        "studies by name": "/studies?text=conceicao+ana",
        "studies, nothing found": "/studies?text=nobody+has+this+name",
        "studies that failed": "/studies?state=failed",
        "one study": f"/studies/{study}",
        "quarantine": "/quarantine",
        "connections": "/doctor",
        "log of 9 MB": "/logs",
        "log of 9 MB, a text that is nowhere": "/logs?text=nobody-wrote-this",
        "events of 9 MB": "/events",
        "settings": "/configuration",
        "a style sheet": "/static/style.css",
    }


def run(rounds: int, shapes: Sequence[str]) -> dict[str, Any]:  # noqa: ARG001
    """Milliseconds by page, and instances received a second. Nothing where DCMTK is not installed."""
    if shutil.which("dcmsend") is None:
        return {}
    with tempfile.TemporaryDirectory(prefix="ponte-bench-") as work:
        make_instances("ct", Path(work, "ct"), _RECEIVED)
        taken: dict[str, list[float]] = {"without": [], "with": []}
        for _ in range(rounds):
            for name, figures in taken.items():
                figures.append(_received(Path(work), is_watched=name == "with"))
        return {
            "pages": _answered(Path(work)),
            "received": {name: statistics.median(figures) for name, figures in taken.items()},
        }


def _answered(work: Path) -> dict[str, Figures]:
    """Each page many times, in turns, while four send small images as fast as they are taken."""
    root, folders = work / "pages", _small(work)
    many_studies.make(root, studies=STUDIES, images=IMAGES)
    _fill_log(root / FOLDER_NAME / "log" / "router.log")
    with ExitStack() as stack:
        scp_port, port = stack.enter_context(_box(root, work, has_dashboard=True))
        over = Event()
        senders = [Thread(target=_send_again, args=(scp_port, folder, over)) for folder in folders]
        for sender in senders:
            sender.start()
        try:
            return _asked(port)
        finally:
            over.set()
            for sender in senders:
                sender.join()


def _fill_log(path: Path) -> None:
    """What a router writes in months: now and then an alarm among what is seldom looked at."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as log:
        for number in range(_LOG_LINES):
            line = {"time": f"2026-01-{number % 28 + 1:02d}T10:00:00.000Z", "level": "INFO"}
            told = {"message": "association released", "association": f"a{number}", "instances": 120}
            if number % 50 == 0:
                line["level"] = "ERROR"
                told = {"message": "instance quarantined", "alarm": "QUARANTINED", "code": "TRUNCATED"}
            log.write(json.dumps({**line, **told}) + "\n")


def _asked(port: int) -> dict[str, Figures]:
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_S)
    times: dict[str, list[float]] = {name: [] for name in pages()}
    for number in range(-2, REQUESTS):
        for name, path in pages().items():
            began = perf_counter()
            connection.request("GET", path, headers={"Accept": "text/html"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{name}: {answer.status}")
            if number >= 0:
                times[name].append((perf_counter() - began) * 1e3)
    connection.close()
    return {name: _spread(found) for name, found in times.items()}


def _spread(times: list[float]) -> Figures:
    found = sorted(times)
    return {
        "median_ms": statistics.median(found),
        "p95_ms": found[len(found) * 95 // 100],
        "max_ms": found[-1],
    }


def _received(work: Path, *, is_watched: bool) -> float:
    """Instances a second that four associations bring to a router of its own."""
    with tempfile.TemporaryDirectory(prefix="received-", dir=work) as folder, ExitStack() as stack:
        dealt = _dealt(work / "ct", Path(folder))
        root = Path(folder, "root")
        scp_port, port = stack.enter_context(_box(root, Path(folder), has_dashboard=is_watched))
        if is_watched:
            stack.enter_context(_watching(port))
        began = perf_counter()
        senders = [subprocess.Popen(_command(scp_port, one), env={**os.environ, **NODELAY}) for one in dealt]
        codes = [sender.wait() for sender in senders]
        seconds = perf_counter() - began
    if any(codes):
        raise RuntimeError("dcmsend failed")
    return _RECEIVED / seconds


@contextmanager
def _watching(port: int) -> Iterator[None]:
    """One browser on the first page: its event stream is read as it comes."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_ANSWER_S)
    connection.request("GET", "/now/events", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    seen, over = Event(), Event()

    def read() -> None:
        while not over.is_set() and answer.readline():
            seen.set()

    reader = Thread(target=read, daemon=True)
    reader.start()
    if not seen.wait(_ANSWER_S):
        raise RuntimeError("no events")
    yield
    over.set()
    reader.join(_ANSWER_S)
    connection.close()


@contextmanager
def _box(root: Path, folder: Path, *, has_dashboard: bool) -> Iterator[tuple[int, int]]:
    """A router that runs, and the dashboard where it is wanted; their ports."""
    scp_port, port = free_port(), free_port()
    configuration = folder / "router.yaml"
    listeners = [{"address": HOST, "port": scp_port}]
    disk = {"associations_bytes": 0, "instances_bytes": 0, "warning_bytes": 0}
    configuration.write_text(yaml.safe_dump({"listeners": listeners, "disk": disk, "destinations": []}))
    environment = {**os.environ, "DICOM_ROOT": str(root), "DASHBOARD_PORT": str(port)}
    with ExitStack() as stack:
        for name, wanted, listens in (("router run", True, scp_port), ("dashboard", has_dashboard, port)):
            if wanted:
                stack.enter_context(_process(name, configuration, environment, listens))
        yield scp_port, port


@contextmanager
def _process(name: str, configuration: Path, environment: Mapping[str, str], port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "cli.main", *name.split(), "--config", str(configuration)]
    log = configuration.with_name(f"{name.split()[0]}.log")
    with Child(name, command, log=log, env=environment, cwd=_REPOSITORY, grace_s=10) as child:
        child.wait_until(lambda: answers(port), timeout_s=120, what="it listens")
        yield


def _command(port: int, folder: Path) -> list[str]:
    return ["dcmsend", "-aec", "STORESCP", "+sd", HOST, str(port), str(folder)]


def _send_again(port: int, folder: Path, over: Event) -> None:
    """Until it is over; what comes a second time costs the router nearly as much."""
    while not over.is_set():
        sender = subprocess.Popen(_command(port, folder), env={**os.environ, **NODELAY})
        wait_for(lambda: sender.poll() is not None or over.is_set(), timeout_s=600, msg="dcmsend goes on")  # noqa: B023
        sender.terminate()
        sender.wait()


def _small(work: Path) -> list[Path]:
    """A study of small images for each association."""
    folders = []
    for sender in range(ASSOCIATIONS):
        folder = work / f"small-{sender}"
        folder.mkdir()
        study = uid("bench", sender)
        for number in range(_SMALL):
            found = uid("bench", sender, number)
            data = encode(make_ct(number, size=128, StudyInstanceUID=study, SOPInstanceUID=found))
            (folder / f"{number}.dcm").write_bytes(data)
        folders.append(folder)
    return folders


def _dealt(study: Path, work: Path) -> list[Path]:
    folders = [work / f"sender-{number}" for number in range(ASSOCIATIONS)]
    for folder in folders:
        folder.mkdir()
    for number, path in enumerate(sorted(study.iterdir())):
        os.link(path, folders[number % ASSOCIATIONS] / path.name)
    return folders


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    if not result:
        return "DCMTK is not installed."
    lines = ["| page | median ms | 95 % within ms | longest ms |", "|---|--:|--:|--:|"]
    for name, one in result["pages"].items():
        lines.append(f"| {name} | {one['median_ms']:.1f} | {one['p95_ms']:.1f} | {one['max_ms']:.1f} |")
    without, watched = result["received"]["without"], result["received"]["with"]
    lines += ["", f"Received a second by {ASSOCIATIONS} associations of 0.5 MB images: {without:.0f} without"]
    lines[-1] += f" the dashboard, {watched:.0f} with it and an open browser: {1 - watched / without:+.1%}."
    return "\n".join(lines)
