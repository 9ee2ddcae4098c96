"""Alarms, changes of state and what people did, out of the log and the audit log: the newest first, and what
is the same again and again in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from dashboard.words.events import TEXTS
from router.logreader import Filter, Line, files, latest, tail
from router.spool import FOLDER_NAME

MOST: Final = 200
_MOST_LINES: Final = 2000
_LOG_BYTES: Final = 2 << 20
_AUDIT_BYTES: Final = 256 << 10
_SAME_S: Final = 5.0
_CHANGES: Final = {
    "router started": "started",
    "router ended": "ended",
    "destination is back": "back",
    "associations accepted again": "accepting",
    "disk no longer low": "disk_well",
}
_OVER: Final = "alert over"
_TOLD: Final = "told by hand"
"""By the command line, or by a page, which is in the audit log besides."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something, `count` times between `first_at` and `last_at` (seconds since the epoch). `key` names its
    words where there are such, `about` a destination or part, `code` what the log says."""

    key: str
    level: str
    name: str
    about: str
    code: str
    first_at: float
    last_at: float
    count: int
    who: str = ""


def happenings(root: Path, log: Path | None, kind: str = "") -> list[Happening]:
    """The newest first. `kind` is `alarm`, `state` or `action`, "" for all."""
    found: dict[tuple[str, ...], Happening] = {}
    audit = list(_of_the_audit(root))
    done = {(one.name, one.about, int(one.last_at // _SAME_S)) for one in audit}
    heard = [one for one in _of_the_log(log) if not _is_in(done, one)]
    for one in sorted([*heard, *audit], key=lambda one: one.last_at):
        if kind in ("", one.key.partition(".")[0]):
            _add(found, one)
    return sorted(found.values(), key=lambda one: -one.last_at)[:MOST]


def _is_in(done: set[tuple[str, str, int]], one: Happening) -> bool:
    """True for what the router was told by a page: the audit log has who it was."""
    at = int(one.last_at // _SAME_S)
    return one.key == "action.told" and any((one.name, one.about, at + near) in done for near in (-1, 0, 1))


def _add(found: dict[tuple[str, ...], Happening], one: Happening) -> None:
    """The same thing on the same day is one, whatever else there was in between."""
    day = str(int(one.last_at // 86400))
    apart = one.code if one.key.startswith("action") else ""  # an alarm and its alert are one
    name = (one.key, one.name, one.about, apart, one.who, day)
    before = found.get(name)
    if before is None:
        found[name] = one
        return
    code = one.code or before.code
    found[name] = replace(one, code=code, first_at=before.first_at, count=before.count + 1)


def _of_the_log(log: Path | None) -> Iterator[Happening]:
    if log is None:
        return
    having = [b'"alarm"', *(one.encode() for one in (*_CHANGES, _OVER, _TOLD))]
    for line in latest(log, Filter(level="INFO"), _MOST_LINES, having=having, most_bytes=_LOG_BYTES):
        if line.alarm:
            yield _alarm(line)
        elif line.message in _CHANGES:
            name = _CHANGES[line.message]
            yield _happening(f"state.{name}", "info", name, line)
        elif line.message == _OVER:
            yield _happening("state.over", "info", line.fields.get("code", ""), line)
        elif line.message == _TOLD:
            yield _happening("action.told", "info", line.fields.get("verb", ""), line)


def _alarm(line: Line) -> Happening:
    known = f"event.alarm.{line.alarm}" in TEXTS
    return _happening(f"alarm.{line.alarm if known else 'OTHER'}", "bad", line.alarm, line)


def _happening(key: str, level: str, name: str, line: Line) -> Happening:
    fields = line.fields
    about = next((fields[key] for key in ("destination", "part", "subject", "reason") if fields.get(key)), "")
    return Happening(key, level, name, about, fields.get("code", ""), line.at, line.at, 1)


def _of_the_audit(root: Path) -> Iterator[Happening]:
    left = _AUDIT_BYTES
    for path in files(root / FOLDER_NAME / "log" / "audit.log"):
        lines = tail(path, left)
        left -= sum(map(len, lines))
        for text in lines:
            try:
                said = json.loads(text)
                at = datetime.fromisoformat(said["time"]).timestamp()
                action, outcome = str(said["action"])[:40], str(said["outcome"])[:60]
                who = f"{said['role']} {said['address']}"[:80]
                target = str(said["target"])[:80]
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            level = "info" if outcome == "done" else "warn"
            code = "" if outcome == "done" else outcome
            yield Happening("action.done", level, action, target, code, at, at, 1, who)
        if left <= 0:
            return
