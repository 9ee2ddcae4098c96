"""A soak: ten modalities send to the router, and two destinations that go up and down at random take what it
forwards, while the router is killed with -9 again and again, and started again by a supervisor.

What is measured is a promise: each instance that was acknowledged is at both destinations in the end, byte
for byte, and none came twice but what was in flight at a kill. Beside it: memory over time, the age of the
oldest instance that is not forwarded, throughput, and the time from a start to the first answer.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from bench.peers import HOST
from bench.soak_archive import read_ledger
from bench.soak_modalities import MODALITIES, uid_of
from infra.local.process import free_port, wait_for
from ponte.errors import PonteError
from ponte_net.association import Patience
from ponte_net.scu import Peer, Scu, ScuLimits
from tests.authority import Authority

INSTANCES: Final = 50_000
KILLS: Final = 20
RATE: Final = 100.0
"""Instances a second that the modalities send together, while the router is there."""
_DESTINATIONS = ("pacs", "archive")
_LONGEST_S = 3600.0
_SAMPLE_S = 1.0
_SETTLED_S = 10.0
_MOST_SAMPLES = 300
_LINE_BYTES = len(uid_of(0, 1, 0)) + 1 + 64 + 1
_IN_HAND = (
    "SELECT d.destination, i.sop_instance_uid FROM deliveries d JOIN instances i USING (number)"
    " WHERE d.state = 'sending'"
)
_RECEIVED_AGAIN = "SELECT sop_instance_uid, count(*) FROM instances GROUP BY 1 HAVING count(*) > 1"
_OLDEST = """
    SELECT min(durable_at) FROM instances WHERE number IN (
        SELECT min(number) FROM deliveries WHERE destination IN (?, ?)
            AND state IN ('waiting', 'sending', 'refused', 'given_up') GROUP BY destination
        UNION SELECT min(number) FROM instances
            WHERE number > (SELECT min(number) FROM delivery_positions WHERE active = 1))
"""


@dataclass(frozen=True)
class Sample:
    """At `at` of the run: memory of the router, seconds since it was started, age of the oldest instance."""

    at: float
    uptime_s: float
    pss_mb: float
    oldest_s: float


@dataclass
class Notes:
    """What is gathered on the way."""

    samples: list[Sample] = field(default_factory=list)
    starts_s: list[float] = field(default_factory=list)
    in_hand: list[tuple[str, str]] = field(default_factory=list)
    downs: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Report:
    """`lost` were acknowledged and are missing at a destination, or differ there. Of what came more than once
    to a destination, `again_in_hand` was in hand at a kill of the router, `again_received` had been sent to
    the router again, `again_unanswered` was in flight when the destination went down; `again_otherwise` must
    be none."""

    instances: int
    acknowledged: int
    lost: int
    unknown: int
    again: int
    again_in_hand: int
    again_received: int
    again_unanswered: int
    again_otherwise: int
    in_hand_at_kills: int
    kills: int
    downs: dict[str, int]
    sent_s: float
    total_s: float
    received_per_s: float
    forwarded_per_s: float
    start_median_s: float
    start_longest_s: float
    prepared_longest_s: float
    pss_median_mb: float
    pss_most_mb: float
    pss_slope_mb_per_h: float
    pss_hours: float
    oldest_median_s: float
    oldest_most_s: float
    alarms: dict[str, int]
    starts_s: list[float]
    samples: list[Sample]


def run(
    _rounds: int,
    _shapes: Sequence[str],
    *,
    instances: int = INSTANCES,
    kills: int = KILLS,
    rate: float = RATE,
    processes: int = 1,
    seed: int = 1,
) -> dict[str, Any]:
    """One run, as a dictionary."""
    with tempfile.TemporaryDirectory(prefix="ponte-soak-") as work, ExitStack() as stack:
        soak = _Soak(Path(work), stack, instances, kills, rate, processes, seed)
        return asdict(soak.run())


class _Process:
    """A command that is killed, stopped and started again."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._log = log
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._command], stdout=log, stderr=log, env=self._environment
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(60)


class _Soak:
    """One run."""

    def __init__(
        self, work: Path, stack: ExitStack, instances: int, kills: int, rate: float, processes: int, seed: int
    ) -> None:
        self._work = work
        self._instances, self._kills = instances, kills
        self._seed = seed
        self._notes = Notes()
        self._root = work / "root"
        self._port, tls_port, *ports = (free_port() for _ in range(2 + len(_DESTINATIONS)))
        authority = Authority(work)
        settings = self._settings(
            tls_port, dict(zip(_DESTINATIONS, ports, strict=True)), authority, processes
        )
        (work / "router.yaml").write_text(yaml.safe_dump(settings))
        self._router = _Process(
            ["cli.main", "router", "run", "--config", str(work / "router.yaml")], work / "router.log"
        )
        self._archives = {
            name: _Process(["bench.soak_archive", str(port), str(self._ledger(name))], work / f"{name}.log")
            for name, port in zip(_DESTINATIONS, ports, strict=True)
        }
        arguments = [self._port, tls_port, authority.ca_file, instances, rate, seed, self._ledger("sent")]
        self._modalities = _Process(["bench.soak_modalities", *map(str, arguments)], work / "modalities.log")
        for process in (self._router, self._modalities, *self._archives.values()):
            stack.callback(process.kill)
        self._over = threading.Event()
        self._began = self._started_at = 0.0

    def _settings(
        self, tls_port: int, ports: Mapping[str, int], authority: Authority, processes: int
    ) -> dict[str, Any]:
        issued = authority.issue(HOST)
        tls = {"certificate_file": str(issued.certificate_file), "key_file": str(issued.key_file)}
        retry = {"first_s": 0.5, "longest_s": 4, "alert_after_s": 30}
        common = {"kind": "dicom", "host": HOST, "ae_title": "SOAK", "retry": retry, "timeout_s": 5}
        return {
            "dicom_root": str(self._root),
            "listeners": [
                {"address": HOST, "port": self._port},
                {"address": HOST, "port": tls_port, "tls": tls},
            ],
            "destinations": [{**common, "name": name, "port": port} for name, port in ports.items()],
            "studies": {"quiet_s": 5},
            "disk": {"associations_bytes": 1 << 30},
            "limits": {"handshake_s": 10, **({"processes": processes} if processes > 1 else {})},
        }

    def _ledger(self, name: str) -> Path:
        return self._work / f"{name}.ledger"

    def run(self) -> Report:
        self._began = time.monotonic()
        for archive in self._archives.values():
            archive.start()
        self._start_router()
        self._modalities.start()
        helpers = [threading.Thread(target=work) for work in (self._go_up_and_down, self._sample)]
        for helper in helpers:
            helper.start()
        try:
            sent_s = self._supervise()
        finally:
            self._over.set()
            for helper in helpers:
                helper.join()
        total_s = time.monotonic() - self._began
        code = self._router.end()
        if code:
            raise RuntimeError(f"the router ended with {code}")
        return self._report(sent_s, total_s)

    # the router

    def _start_router(self) -> None:
        self._started_at = began = time.monotonic()
        self._router.start()
        patience = Patience(connect_s=1, acse_s=5, dimse_s=5)
        scu = Scu(Peer(HOST, self._port, "STORESCP"), limits=ScuLimits(patience=patience))

        def is_serving() -> bool:
            if not self._router.is_running:
                raise RuntimeError((self._work / "router.log").read_text()[-2000:])
            with suppress(PonteError):
                scu.check()
                return True
            return False

        wait_for(is_serving, timeout_s=60, msg="the router does not serve")
        self._notes.starts_s.append(time.monotonic() - began)

    def _supervise(self) -> float:
        """Kill it when enough has been done since the last time; how long the modalities took."""
        chance = random.Random(f"{self._seed} kills")
        kills = sorted(chance.uniform(0.02, 0.85) for _ in range(self._kills))
        sent_s = 0.0
        told_at = 0.0
        while (done := self._progress()) < 1:
            now = time.monotonic() - self._began
            if now > _LONGEST_S:
                raise RuntimeError("it takes too long")
            if not sent_s and not self._modalities.is_running:
                sent_s = now
            if kills and done >= kills[0]:
                kills.pop(0)
                self._kill_router()
            if now - told_at > 5:
                told_at = now
                self._tell(now, done, len(kills))
            time.sleep(0.05)
        self._modalities.end()
        return sent_s or time.monotonic() - self._began

    def _kill_router(self) -> None:
        self._router.kill()
        with closing(self._rows()) as rows, suppress(sqlite3.Error):
            self._notes.in_hand += rows.execute(_IN_HAND).fetchall()
        self._start_router()

    def _progress(self) -> float:
        """From 0 to 1: all that is to be done is to send each instance once and to forward it twice."""
        counts = [min(self._count(name), self._instances) for name in ("sent", *_DESTINATIONS)]
        if min(counts) == self._instances and all(
            len({uid for uid, _ in read_ledger(self._ledger(name))}) == self._instances
            for name in _DESTINATIONS
        ):
            return 1.0
        return min(0.999, sum(counts) / (3 * self._instances))

    def _count(self, name: str) -> int:
        with suppress(FileNotFoundError):
            return self._ledger(name).stat().st_size // _LINE_BYTES
        return 0

    def _tell(self, now: float, done: float, kills_left: int) -> None:
        counts = ", ".join(f"{name} {self._count(name)}" for name in ("sent", *_DESTINATIONS))
        last = self._notes.samples[-1] if self._notes.samples else Sample(0, 0, 0, 0)
        sys.stderr.write(
            f"{now:6.0f} s  {done:4.0%}  {counts}; kills left {kills_left}; {last.pss_mb:.0f} MB;"
            f" oldest {last.oldest_s:.0f} s\n"
        )

    def _rows(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self._root}/.spool/router.db?mode=ro", uri=True, timeout=5)

    # the destinations

    def _go_up_and_down(self) -> None:
        """Each by itself, killed or stopped, for some seconds; up in the end."""
        chance = random.Random(f"{self._seed} destinations")
        down_until = dict.fromkeys(_DESTINATIONS, 0.0)
        up_until = {name: time.monotonic() + chance.uniform(3, 15) for name in _DESTINATIONS}
        how = dict.fromkeys(_DESTINATIONS, "")
        while not self._over.wait(0.1):
            now = time.monotonic()
            for name, archive in self._archives.items():
                if how[name] and now >= down_until[name]:
                    _bring_up(archive, how[name])
                    how[name], up_until[name] = "", now + chance.uniform(5, 20)
                elif not how[name] and now >= up_until[name]:
                    how[name] = chance.choice(["killed", "stopped"])
                    _take_down(archive, how[name])
                    self._notes.downs[f"{name} {how[name]}"] += 1
                    down_until[name] = now + chance.uniform(1, 10)
        for name, archive in self._archives.items():
            if how[name]:
                _bring_up(archive, how[name])

    # what is measured

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            now = time.monotonic()
            with suppress(OSError, sqlite3.Error), closing(self._rows()) as rows:
                pss = sum(pss_bytes(pid) for pid in family(self._router.pid)) / 1e6
                (oldest,) = rows.execute(_OLDEST, _DESTINATIONS).fetchone()
                age = max(0.0, time.time() - oldest) if oldest else 0.0
                self._notes.samples.append(Sample(now - self._began, now - self._started_at, pss, age))

    def _report(self, sent_s: float, total_s: float) -> Report:
        notes = self._notes
        acknowledged = dict(read_ledger(self._ledger("sent")))
        with closing(self._rows()) as rows:
            received_again = {uid for uid, _ in rows.execute(_RECEIVED_AGAIN)}
        taken = {name: read_ledger(self._ledger(name)) for name in _DESTINATIONS}
        settled = [one for one in notes.samples if one.uptime_s > _SETTLED_S]
        again = list(self._again(taken, received_again))
        counts = Counter(kind for kind, _ in again)
        most_unanswered = sum(notes.downs.values())
        otherwise = max(0, counts["otherwise"] - most_unanswered)
        return Report(
            instances=self._instances,
            acknowledged=len(acknowledged),
            lost=_lost(acknowledged, taken),
            unknown=sum(uid not in acknowledged for ledger in taken.values() for uid, _ in ledger),
            again=len(again),
            again_in_hand=counts["in hand"],
            again_received=counts["received"],
            again_unanswered=counts["otherwise"] - otherwise,
            again_otherwise=otherwise,
            in_hand_at_kills=len(notes.in_hand),
            kills=len(notes.starts_s) - 1,
            downs=dict(notes.downs),
            sent_s=sent_s,
            total_s=total_s,
            received_per_s=self._instances / sent_s,
            forwarded_per_s=self._instances * len(_DESTINATIONS) / total_s,
            start_median_s=statistics.median(notes.starts_s),
            start_longest_s=max(notes.starts_s),
            prepared_longest_s=max(float(str(line["seconds"])) for line in self._said("router started")),
            pss_median_mb=statistics.median(one.pss_mb for one in notes.samples),
            pss_most_mb=max(one.pss_mb for one in notes.samples),
            pss_slope_mb_per_h=slope_per_h(settled),
            pss_hours=sum(_SAMPLE_S for _ in settled) / 3600,
            oldest_median_s=statistics.median(one.oldest_s for one in notes.samples),
            oldest_most_s=max(one.oldest_s for one in notes.samples),
            alarms=self._alarms(),
            starts_s=notes.starts_s,
            samples=notes.samples[:: max(1, len(notes.samples) // _MOST_SAMPLES)],
        )

    def _again(
        self, taken: Mapping[str, list[tuple[str, str]]], received_again: set[str]
    ) -> Iterator[tuple[str, str]]:
        """Why each came once more than the first time, and what it is."""
        for name, ledger in taken.items():
            in_hand = Counter(uid for destination, uid in self._notes.in_hand if destination == name)
            for uid, count in Counter(uid for uid, _ in ledger).items():
                for number in range(count - 1):
                    if number < in_hand[uid]:
                        yield "in hand", uid
                    else:
                        yield ("received" if uid in received_again else "otherwise"), uid

    def _alarms(self) -> dict[str, int]:
        return dict(Counter(str(line["alarm"]) for line in self._log() if "alarm" in line))

    def _said(self, message: str) -> list[dict[str, object]]:
        return [line for line in self._log() if line.get("message") == message]

    def _log(self) -> Iterator[dict[str, object]]:
        """What was being written at a kill may be cut short."""
        for line in (self._work / "router.log").read_text(encoding="utf-8").splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)


def _lost(acknowledged: Mapping[str, str], taken: Mapping[str, list[tuple[str, str]]]) -> int:
    """Missing at a destination, or there with other bytes."""
    lost = set()
    for ledger in taken.values():
        right = {uid for uid, digest in ledger if acknowledged.get(uid) == digest}
        wrong = {uid for uid, digest in ledger if acknowledged.get(uid) != digest}
        lost |= (acknowledged.keys() - right) | wrong
    return len(lost)


def _take_down(archive: _Process, how: str) -> None:
    if how == "killed":
        archive.kill()
    else:
        archive.signal(signal.SIGSTOP)


def _bring_up(archive: _Process, how: str) -> None:
    if how == "killed":
        archive.start()
    else:
        archive.signal(signal.SIGCONT)


def family(pid: int) -> list[int]:
    """A process and those under it. Linux alone."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return found


def pss_bytes(pid: int) -> int:
    """Proportional set size."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def slope_per_h(samples: Sequence[Sample]) -> float:
    """How memory grows with the time that the router has been up, by least squares; each start has a base of
    its own. MB an hour."""
    lives: dict[int, list[Sample]] = {}
    for one in samples:
        lives.setdefault(round(one.at - one.uptime_s), []).append(one)
    above = below = 0.0
    for life in lives.values():
        middle = statistics.fmean(one.uptime_s for one in life)
        mean = statistics.fmean(one.pss_mb for one in life)
        above += sum((one.uptime_s - middle) * (one.pss_mb - mean) for one in life)
        below += sum((one.uptime_s - middle) ** 2 for one in life)
    return above / below * 3600 if below else 0.0


def as_table(result: dict[str, Any]) -> str:
    """Markdown."""
    again = (
        f"{result['again']}: {result['again_in_hand']} in hand at a kill (of {result['in_hand_at_kills']}),"
        f" {result['again_received']} received again, {result['again_unanswered']} in flight as a destination"
        f" went down, {result['again_otherwise']} otherwise"
    )
    downs = ", ".join(f"{name} {count}" for name, count in sorted(result["downs"].items()))
    alarms = ", ".join(f"{name} {count}" for name, count in sorted(result["alarms"].items())) or "none"
    rows = {
        "instances acknowledged": f"{result['acknowledged']} of {result['instances']}",
        "modalities": str(len(MODALITIES)),
        "lost": str(result["lost"]),
        "at a destination and never acknowledged": str(result["unknown"]),
        "given again to a destination": again,
        "router killed": str(result["kills"]),
        "destinations down": downs,
        "received, a second": f"{result['received_per_s']:.0f}",
        "forwarded, a second, both": f"{result['forwarded_per_s']:.0f}",
        "start to serving, s": f"{result['start_median_s']:.2f} (longest {result['start_longest_s']:.2f},"
        f" {result['prepared_longest_s']:.2f} of a start without its imports)",
        "PSS, MB": f"{result['pss_median_mb']:.0f} (most {result['pss_most_mb']:.0f})",
        "PSS, MB an hour": f"{result['pss_slope_mb_per_h']:+.1f} over {result['pss_hours']:.2f} h",
        "oldest not forwarded, s": f"{result['oldest_median_s']:.1f} (most {result['oldest_most_s']:.1f})",
        "alarms": alarms,
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
