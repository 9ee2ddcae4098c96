"""What the first page knows, and what it concludes: is all well, and if not, what is to be done."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from dashboard.status import Destination, Disk, Status, parse
from ponte.errors import PonteError
from router.controlclient import NotRunning
from router.views import NoRouterHere, QueueView, Views

if TYPE_CHECKING:
    from router.config import RouterConfig

Level = Literal["ok", "warn", "bad", "off"]
Heart = Literal["running", "stopped", "silent", "never"]

_WORST: Final[tuple[Level, ...]] = ("off", "bad", "warn", "ok")
_FEW_DAYS: Final = 3.0
_LONG_S: Final = 1800.0
_FRESH_S: Final = 0.8
_ROWS_FRESH_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at a time. `status` is None unless the router answered. `heart` says whether it runs;
    `silence` is why it did not answer, `rows_code` why its rows cannot be read."""

    at: float
    heart: Heart
    silence: str
    status: Status | None
    destinations: tuple[Destination, ...]
    queues: Mapping[str, QueueView]
    disk: Disk
    warning_bytes: int
    oldest_unforwarded_at: float | None
    quarantined: int
    rows_code: str = ""
    root: str = field(repr=False, default="")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not well: words `key`, and what to do, `advice`; for so many where `number` is not
    None. `cause` names words about the reason, `link` a page that helps."""

    level: Level
    key: str
    advice: str
    values: Mapping[str, Any] = field(default_factory=dict)
    number: int | None = None
    counts_title: bool = False
    cause: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The one sentence, and all that there is to say."""

    level: Level
    findings: tuple[Finding, ...]
    calm: str = ""


def judge(facts: Facts) -> Verdict:
    """The worst first."""
    found = sorted(_findings(facts), key=lambda one: _WORST.index(one.level))
    if found:
        return Verdict(found[0].level, tuple(found))
    if not facts.destinations:
        return Verdict("ok", (), "now.ok.nowhere")
    quiet = facts.oldest_unforwarded_at is None and not (facts.status and facts.status.associations)
    return Verdict("ok", (), "now.ok.quiet" if quiet else "now.ok.busy")


def _findings(facts: Facts) -> Iterator[Finding]:
    yield from _of_the_router(facts)
    if facts.rows_code:
        yield Finding("bad", "now.rows", "now.rows.do", {"code": facts.rows_code}, link="/logs")
    if facts.status is not None:
        for one in facts.destinations:
            yield from _of_a_destination(one)
        yield from _of_the_wait(facts)
    yield from _of_the_disk(facts)
    for name, queue in facts.queues.items():
        if not queue.active and _waiting(queue):
            yield Finding(
                "warn", "now.orphans", "now.orphans.do", {"name": name}, _waiting(queue), counts_title=True
            )
        if failed := queue.active * (queue.refused + queue.given_up):
            yield Finding(
                "warn",
                "now.failed",
                "now.failed.do",
                {"name": name},
                failed,
                True,
                link="/studies?state=failed",
            )
    if facts.quarantined:
        number = facts.quarantined
        yield Finding(
            "warn", "now.quarantined", "now.quarantined.do", {}, number, counts_title=True, link="/quarantine"
        )


def _of_the_router(facts: Facts) -> Iterator[Finding]:
    if facts.heart == "never":
        yield Finding("off", "now.never", "now.never.do", {"root": facts.root})
    elif facts.heart == "stopped":
        yield Finding("off", "now.off", "now.off.do", link="/logs")
    elif facts.status is None:
        yield Finding("bad", "now.silent", "now.silent.do", {"code": facts.silence}, link="/logs")
    else:
        yield from _of_its_status(facts.status)


def _of_its_status(status: Status) -> Iterator[Finding]:
    if status.draining:
        yield Finding("warn", "now.draining", "now.draining.do", link="/configuration")
    elif status.refusing:
        known = status.refusing if status.refusing in ("disk", "queue", "stopping") else "other"
        yield Finding(
            "bad", "now.refusing", f"now.refusing.{known}.do", {"reason": status.refusing}, link="/logs"
        )
    for part in status.parts:
        if part.state == "failed":
            yield Finding("bad", "now.part", "now.part.do", {"name": part.name}, link="/configuration")


def _of_a_destination(one: Destination) -> Iterator[Finding]:
    values = {"name": one.name}
    if one.state == "down":
        yield Finding(
            "bad", "now.down", "now.down.do", values, one.queue, cause=one.code or "other",
            link=f"/doctor?destination={one.name}",
        )  # fmt: skip
    elif one.state in ("slow", "paused"):
        yield Finding("warn", f"now.{one.state}", f"now.{one.state}.do", values, one.queue)


def _of_the_wait(facts: Facts) -> Iterator[Finding]:
    """A wait that no destination's state accounts for."""
    at = facts.oldest_unforwarded_at
    accounted = any(one.state in ("down", "slow", "paused", "closed") for one in facts.destinations)
    if at is not None and facts.at - at > _LONG_S and not accounted and facts.destinations:
        yield Finding("warn", "now.old", "now.old.do", {"seconds": facts.at - at}, link="/doctor")


def _of_the_disk(facts: Facts) -> Iterator[Finding]:
    """Where the router refuses for that already, one sentence is enough."""
    if facts.status is not None and facts.status.refusing == "disk":
        return
    days = facts.disk.days_left
    if facts.disk.total_bytes and (
        facts.disk.free_bytes < facts.warning_bytes or (days is not None and days < _FEW_DAYS)
    ):
        level: Level = "bad" if days is not None and days < 1 else "warn"
        values = {"free_bytes": facts.disk.free_bytes, "days_left": days}
        yield Finding(level, "now.disk", "now.disk.do", values)


class Pulse:
    """The facts, asked for once for all who look at the same time. May be used by any thread."""

    def __init__(
        self,
        config: RouterConfig,
        views: Callable[[], Views],
        control: Callable[..., dict[str, Any]],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._config, self._views, self._control, self._now = config, views, control, now
        self._lock = Lock()
        self._facts: Facts | None = None
        self._rows: tuple[float, _Rows] | None = None

    def facts(self) -> Facts:
        """As of now, or of less than a second ago."""
        with self._lock:
            age = self._now() - self._facts.at if self._facts else _FRESH_S
            if self._facts is None or not 0 <= age < _FRESH_S:
                self._facts = self._gathered()
            return self._facts

    def forget(self) -> None:
        """Something was just done: ask again."""
        with self._lock:
            self._facts = self._rows = None

    def _gathered(self) -> Facts:
        heart, silence, status = self._status()
        rows, rows_code = self._rows_now()
        if rows_code == NoRouterHere.default_code:
            heart, rows_code = ("never" if heart == "stopped" else heart), ""
        root = self._config.dicom_root
        facts = Facts(
            at=self._now(),
            heart=heart,
            silence=silence,
            status=status,
            destinations=self._configured(rows.queues),
            queues=rows.queues,
            disk=_disk(root),
            warning_bytes=self._config.disk.warning_bytes,
            oldest_unforwarded_at=rows.oldest_unforwarded_at,
            quarantined=rows.quarantined,
            rows_code=rows_code,
            root=str(root),
        )
        if status is None:
            return facts
        return replace(
            facts,
            destinations=status.destinations,
            disk=status.disk if status.disk.total_bytes else facts.disk,
            oldest_unforwarded_at=status.oldest_unforwarded_at,
        )

    def _status(self) -> tuple[Heart, str, Status | None]:
        try:
            return "running", "", parse(self._control("status"))
        except NotRunning:
            return "stopped", "", None
        except PonteError as error:
            return "silent", error.code, None
        except (TypeError, ValueError, AttributeError):
            return "silent", "BAD_ANSWER", None

    def _rows_now(self) -> tuple[_Rows, str]:
        """What the rows say, and why they cannot be read. Seldom: they change little of the picture."""
        now = self._now()
        if self._rows is not None and 0 <= now - self._rows[0] < _ROWS_FRESH_S:
            return self._rows[1], ""
        try:
            with self._views() as views:
                rows = _Rows(
                    {one.destination: one for one in views.queues()},
                    views.oldest_unforwarded_at(),
                    sum(views.quarantine_counts().values()),
                )
        except PonteError as error:
            return self._rows[1] if self._rows else _Rows({}, None, 0), error.code
        self._rows = (now, rows)
        return rows, ""

    def _configured(self, queues: Mapping[str, QueueView]) -> tuple[Destination, ...]:
        """While the router says nothing: those that are configured, with what waits for them."""
        kinds = {"dicom": "dicom", "s3": "inbox"}
        return tuple(
            Destination(
                one.name, kinds.get(one.kind, "dicomweb"), "unknown", queue=_waiting(queues.get(one.name))
            )
            for one in self._config.destinations
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    queues: Mapping[str, QueueView]
    oldest_unforwarded_at: float | None
    quarantined: int


def _waiting(queue: QueueView | None) -> int:
    return queue.waiting + queue.sending if queue else 0


def _disk(root: Path) -> Disk:
    try:
        usage = shutil.disk_usage(root)
    except OSError:
        return Disk()
    return Disk(usage.free, usage.total)
