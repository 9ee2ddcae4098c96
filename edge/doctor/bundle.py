"""The support bundle: one ZIP with what somebody elsewhere needs to see why this box is not well.

Configuration, versions, counts, logs, the doctor's findings and the state of the services; no patient data
and no secret. Each part has a limit of bytes and time, and the table of contents says what was cut off.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sqlite3
import ssl
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, Final

from doctor.network import run_program
from doctor.plan import subjects
from doctor.report import report
from doctor.scrub import Scrubber, hidden_addresses, secrets_of, shown_environment, without_values
from doctor.steps import Step, examine
from ponte.errors import PonteError
from router import controlclient
from router.config import RouterConfig
from router.database import FILE_NAME
from router.log import KEYS
from router.logreader import files, tail
from router.spool import FOLDER_NAME
from router.views import Views

_AUDIT_KEYS: Final = ("time", "role", "address", "action", "target", "outcome")
_QUOTING: Final = frozenset({"problems"})  # of a configuration, with what stood there
_LOG_KEYS: Final = ("time", "level", "message", *(key for key in KEYS if key not in _QUOTING))
_UNITS: Final = ("ponte-router.service", "ponte-dashboard.service")
_PROPERTIES: Final = "Id,LoadState,ActiveState,SubState,NRestarts,ExecMainStatus,Result,ActiveEnterTimestamp"
_MOST_PACKAGES: Final = 300
_README: Final = """\
PONTE: diagnóstico / diagnostics

Sem dados de pacientes e sem senhas. UIDs são resumos (uid-...), com um segredo que só existiu enquanto este
arquivo era feito. AE titles, endereços IP e nomes de máquinas estão como são. CONTENTS.json diz o que foi
cortado.

No patient data and no passwords. UIDs are digests (uid-...), with a secret that existed only while this file
was made. AE titles, IP addresses and names of machines are as they are. CONTENTS.json says what was cut off.
"""


@dataclass(frozen=True, slots=True)
class BundleLimits:
    """Of the whole: `log_bytes` of logs as they are on the disk, and seconds for each part."""

    log_bytes: int = 16 << 20
    member_bytes: int = 8 << 20
    part_s: float = 10.0
    doctor_s: float = 60.0


@dataclass(slots=True)
class Member:
    """A part as the table of contents has it."""

    name: str
    size_bytes: int = 0
    seconds: float = 0.0
    truncated: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """What the bundle is about. `config` is None where it cannot be read: then `problems` say why."""

    root: Path
    config: RouterConfig | None
    problems: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def write_bundle(stream: IO[bytes], box: Box, *, limits: BundleLimits | None = None) -> list[Member]:
    """The ZIP, into a stream that can seek; its table of contents."""
    bundle = _Bundle(stream, box, limits or BundleLimits())
    return bundle.write()


class _Bundle:
    def __init__(self, stream: IO[bytes], box: Box, limits: BundleLimits) -> None:
        self._box = box
        self._limits = limits
        self._scrubber = Scrubber(secrets_of(box.config, box.environment))
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED)
        self._members: list[Member] = []

    def write(self) -> list[Member]:
        part_s = self._limits.part_s
        with self._zip:
            self._add("README.txt", lambda: _README, part_s)
            self._add("configuration.json", self._configuration, part_s)
            self._add("versions.json", _versions, part_s)
            self._add("counts.json", self._counts, part_s)
            self._add("status.json", self._status, part_s)
            self._add("services.json", _services, 2 * part_s)
            self._add_doctor()
            self._add_logs("router.log", self._log(), _LOG_KEYS)
            audit = self._box.root / FOLDER_NAME / "log" / "audit.log"
            self._add_logs("audit.log", audit, _AUDIT_KEYS)
            contents = {"made_at": _now(), "members": [asdict(one) for one in self._members]}
            self._zip.writestr("CONTENTS.json", _json(contents))
        return self._members

    def _add(self, name: str, make: Callable[[], Any], limit_s: float) -> None:
        """A part, or a word on why it is not there."""
        began, member = time.monotonic(), Member(name)
        found, member.problem = _within(make, limit_s)
        text = found if isinstance(found, str) else _json(found if not member.problem else {})
        self._write(member, text, began)

    def _write(self, member: Member, text: str, began: float) -> None:
        data = self._scrubber.text(text).encode()
        member.truncated = member.truncated or len(data) > self._limits.member_bytes
        data = data[: self._limits.member_bytes]
        self._zip.writestr(member.name, data)
        member.size_bytes, member.seconds = len(data), round(time.monotonic() - began, 3)
        self._members.append(member)

    def _configuration(self) -> dict[str, Any]:
        config = self._box.config
        return {
            "problems": [without_values(one) for one in self._box.problems],
            "warnings": config.warnings() if config else [],
            "configuration": hidden_addresses(config.shown()) if config else None,
            "environment": hidden_addresses(shown_environment(self._box.environment)),
        }

    def _counts(self) -> dict[str, Any]:
        root = self._box.root
        path = root / FOLDER_NAME / FILE_NAME
        found: dict[str, Any] = {"schema_version": _schema_version(path), "database_bytes": _size(path)}
        try:
            with Views(root) as views:
                found["queues"] = [asdict(one) for one in views.queues()]
                found["quarantine"] = views.quarantine_counts()
                found["totals"] = asdict(views.totals())
                found["oldest_unforwarded_at"] = views.oldest_unforwarded_at()
        except PonteError as error:
            found["problem"] = error.code
        return found

    def _status(self) -> dict[str, Any]:
        try:
            return controlclient.call(self._box.root, "status", timeout_s=5.0)
        except PonteError as error:
            return {"running": False, "problem": error.code}

    def _add_doctor(self) -> None:
        """What it finds in the time that it has; a test object is never sent."""
        began, member = time.monotonic(), Member("doctor.json")
        config = self._box.config
        if config is None:
            member.problem = "BAD_CONFIGURATION"
            self._write(member, _json({}), began)
            return
        chosen = subjects(config)
        steps, member.truncated = _gathered(examine(chosen), began + self._limits.doctor_s)
        self._write(member, _json(report(chosen, steps)), began)

    def _log(self) -> Path | None:
        """Where the router writes it; where the configuration cannot be read, where it usually is."""
        config = self._box.config or RouterConfig(dicom_root=self._box.root)
        return config.log_path

    def _add_logs(self, name: str, path: Path | None, keys: tuple[str, ...]) -> None:
        """The file and those before it, the newest first, line by line with the known keys alone."""
        left = self._limits.log_bytes
        if path is None:
            return
        for number, one in enumerate(files(path)):
            began, member = time.monotonic(), Member(f"log/{name}" + (f".{number}" if number else ""))
            lines = tail(one, min(left, self._limits.member_bytes)) if left > 0 else []
            member.truncated = _size(one) > sum(map(len, lines))
            left -= sum(map(len, lines))
            text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in _known(lines, keys))
            self._write(member, text, began)


def _gathered(steps: Iterator[Step], until: float) -> tuple[list[Step], bool]:
    """The steps that came in time, and whether some did not."""
    came: SimpleQueue[Step | None] = SimpleQueue()

    def gather() -> None:
        for step in steps:
            came.put(step)
        came.put(None)

    Thread(target=gather, name="doctor-bundle", daemon=True).start()
    found: list[Step] = []
    while (left := until - time.monotonic()) > 0:
        try:
            step = came.get(timeout=left)
        except Empty:
            break
        if step is None:
            return found, False
        found.append(step)
    return found, True


def _within(make: Callable[[], Any], limit_s: float) -> tuple[Any, str]:
    """What it makes, and "", or nothing and why not. Its thread is left behind where it takes too long."""
    made: SimpleQueue[tuple[Any, str]] = SimpleQueue()

    def attempt() -> None:
        try:
            made.put((make(), ""))
        except Exception as error:  # noqa: BLE001  the other parts are wanted all the more
            made.put((None, type(error).__name__))

    Thread(target=attempt, name="doctor-bundle", daemon=True).start()
    try:
        return made.get(timeout=limit_s)
    except Empty:
        return None, "TOO_LONG"


def _known(lines: list[bytes], keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for text in lines:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            yield {key: found[key] for key in keys if isinstance(found.get(key), str | int | float)}
        else:
            yield {"message": "line not readable", "bytes": len(text)}


def _versions() -> dict[str, Any]:
    packages = {
        str(one.metadata["Name"]): one.version
        for one in list(importlib.metadata.distributions())[:_MOST_PACKAGES]
    }
    return {
        "ponte": packages.get("ponte", ""),
        "python": sys.version,
        "system": platform.platform(),
        "machine": platform.machine(),
        "release": _os_release(),
        "sqlite": sqlite3.sqlite_version,
        "openssl": ssl.OPENSSL_VERSION,
        "packages": dict(sorted(packages.items())),
    }


def _os_release() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _services() -> dict[str, Any]:
    systemd = run_program("systemctl", "show", "--no-pager", f"--property={_PROPERTIES}", *_UNITS)
    docker = run_program("docker", "ps", "--all", "--format", "{{.Names}} {{.Image}} {{.Status}}")
    containers = [line for line in docker.text.splitlines() if "ponte" in line.lower()]
    return {
        "systemd": {"problem": systemd.problem, "units": systemd.text.split("\n\n") if systemd.text else []},
        "containers": {"problem": docker.problem, "found": containers},
    }


def _schema_version(path: Path) -> int | None:
    if not path.is_file():
        return None
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)) as rows:
        return int(rows.execute("PRAGMA user_version").fetchone()[0])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)
