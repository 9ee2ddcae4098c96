"""When somebody must be told: each rule looks at what was observed and says whether it holds.

A rule that cannot say says None, and its alert stays as it was: a router that was just started knows of no
failure yet, and a destination that was down is not back because of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from router.alert_notice import (
    CANNOT_COMMIT,
    CERTIFICATE_EXPIRES,
    DESTINATION_DOWN,
    DISK_LOW,
    IMAGES_WAIT,
    NOT_PLANNED,
    NOT_RECEIVING,
    PART_FAILED,
    QUARANTINE_GREW,
    UNDELIVERED,
    WATCH_FOLDER_GONE,
    Values,
)
from router.views import QueueView

Key = tuple[str, str]
"""Kind and subject."""
_DAY_S: Final = 86400.0
_GIB: Final = 1 << 30
_TREND_S: Final = 2 * 3600.0
_PLANNING_S: Final = 900.0
_DRAINING_S: Final = 3600.0
_REASONS: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says. It must hold for `hold_s` from `since` on, or from when it was first said, before
    anybody is told. With `count` it holds while that grows, and a while after."""

    kind: str
    subject: str
    holds: bool | None
    values: Values = field(default_factory=dict)
    hold_s: float = 0.0
    since: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on. `unforwarded_s` and `alert_after_s` are by destination; `look_s` is from one look to the
    next."""

    unforwarded_s: Mapping[str, float]
    disk_bytes: int
    disk_days: float
    certificate_days: float
    look_s: float
    alert_after_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Observed:
    """What the rules look at. `status` is None where the router cannot say it, `queues` where the rows cannot
    be read; `certificates` are the ends of their validity, None where one could not be had; `folders` says
    which of those that are watched are there; `commits` whether rows can be written, None where nobody tried;
    `alerts` are those that there are, with since when, and `raised` those of them that were told."""

    now: float
    status: Mapping[str, Any] | None
    queues: Mapping[str, QueueView] | None
    certificates: Mapping[str, float | None]
    folders: Mapping[str, bool]
    commits: bool | None
    alerts: Mapping[Key, float]
    raised: frozenset[Key]

    def queue(self, name: str) -> QueueView | None:
        return None if self.queues is None else self.queues.get(name)

    def factor(self, key: Key, back: float) -> float:
        """What a limit is multiplied by: `back` while its alert is there, so that none comes and goes."""
        return back if key in self.raised else 1.0


Rule = Callable[[Observed, Limits], Iterator[Finding]]


def findings(observed: Observed, limits: Limits) -> list[Finding]:
    """What all rules say, without those that look at the status where there is none."""
    rules = (*_ALWAYS, *(_OF_STATUS if observed.status is not None else ()))
    return [finding for rule in rules for finding in rule(observed, limits)]


def _destinations_down(observed: Observed, limits: Limits) -> Iterator[Finding]:
    for one in _said(observed)["destinations"]:
        name = one["name"]
        queue = observed.queue(name)
        values = {
            "failures": one["failures"],
            "code": one.get("code") or "-",
            "waiting": queue.waiting + queue.sending if queue else one["queue"],
        }
        holds, since = _is_down(observed, one, queue), one["since"] if one["state"] == "down" else None
        yield Finding(DESTINATION_DOWN, name, holds, values, limits.alert_after_s.get(name, 0.0), since)


def _is_down(observed: Observed, one: Mapping[str, Any], queue: QueueView | None) -> bool | None:
    """Back is who took something since, or has nothing left to take."""
    if one["state"] == "down":
        return True
    key = (DESTINATION_DOWN, one["name"])
    if key not in observed.alerts:
        return False
    if one["state"] in ("paused", "closed"):
        return None if key in observed.raised else False
    if queue is None:
        return None
    is_back = (queue.last_sent_at or 0.0) > observed.alerts[key]
    return False if is_back or not queue.waiting + queue.sending else None


def _images_wait(observed: Observed, limits: Limits) -> Iterator[Finding]:
    for one in _said(observed)["destinations"]:
        name = one["name"]
        queue, key = observed.queue(name), (IMAGES_WAIT, name)
        if queue is None or one["state"] == "closed":
            yield Finding(*key, None if key in observed.raised else False)
            continue
        since = queue.oldest_waiting_at
        age = observed.now - since if since is not None else 0.0
        values = {"minutes": int(age / 60), "waiting": queue.waiting + queue.sending}
        limit = limits.unforwarded_s.get(name, float("inf")) * observed.factor(key, 0.8)
        yield Finding(*key, age > limit, values, since=since)


def _not_planned(observed: Observed, _: Limits) -> Iterator[Finding]:
    """An image that has waited for long while no queue has one that old: nobody has decided where it goes."""
    since, key = _said(observed)["oldest_unforwarded_at"], (NOT_PLANNED, "")
    if observed.queues is None:
        yield Finding(*key, None)
        return
    queued = [one.oldest_waiting_at for one in observed.queues.values() if one.oldest_waiting_at is not None]
    is_queued = since is None or any(at <= since for at in queued)
    age = 0.0 if since is None or is_queued else observed.now - since
    yield Finding(*key, age > _PLANNING_S, {"minutes": int(age / 60)}, since=since)


def _disk_low(observed: Observed, limits: Limits) -> Iterator[Finding]:
    """How many days are left nobody knows right after a start."""
    status, key = _said(observed), (DISK_LOW, "")
    free, days = status["disk"]["free_bytes"], status["disk"]["days_left"]
    factor = observed.factor(key, 1.25)
    low: bool | None = free < limits.disk_bytes * factor
    if not low and days is not None:
        low = days < limits.disk_days * factor
    elif not low and key in observed.raised and observed.now - status["started_at"] < _TREND_S:
        low = None
    values = {"free_gib": round(free / _GIB, 1), "days": "-" if days is None else round(days, 1)}
    yield Finding(*key, low, values)


def _not_receiving(observed: Observed, _: Limits) -> Iterator[Finding]:
    """Drained by hand is told when it seems to have been forgotten."""
    why = _said(observed)["refusing"]
    yield Finding(NOT_RECEIVING, "", why in ("disk", "queue"), {"reason": str(why)})
    yield Finding(NOT_RECEIVING, "draining", why == "draining", {"reason": "draining"}, _DRAINING_S)


def _cannot_commit(observed: Observed, limits: Limits) -> Iterator[Finding]:
    """A single failure, which the next look does not find again, wakes nobody."""
    holds = not observed.commits if observed.commits is not None else False
    yield Finding(CANNOT_COMMIT, "", holds, hold_s=limits.look_s / 2)


def _quarantine_grew(observed: Observed, _: Limits) -> Iterator[Finding]:
    found: Mapping[str, int] = _said(observed)["quarantine"]
    most = sorted(found.items(), key=lambda one: (-one[1], one[0]))[:_REASONS]
    reasons = ", ".join(f"{reason} {number}" for reason, number in most)
    yield Finding(QUARANTINE_GREW, "", None, {"reasons": reasons}, count=sum(found.values()))


def _undelivered(observed: Observed, _: Limits) -> Iterator[Finding]:
    for one in _said(observed)["destinations"]:
        queue = observed.queue(one["name"])
        count = None if queue is None else queue.refused + queue.given_up
        yield Finding(UNDELIVERED, one["name"], None, count=count)


def _certificates_expire(observed: Observed, limits: Limits) -> Iterator[Finding]:
    for subject, expires_at in observed.certificates.items():
        if expires_at is None:
            yield Finding(CERTIFICATE_EXPIRES, subject, None)
            continue
        days = (expires_at - observed.now) / _DAY_S
        values = {"days": int(days // 1), "expires_at": expires_at}
        yield Finding(CERTIFICATE_EXPIRES, subject, days < limits.certificate_days, values)


def _folders_gone(observed: Observed, limits: Limits) -> Iterator[Finding]:
    for name, is_there in observed.folders.items():
        yield Finding(WATCH_FOLDER_GONE, name, not is_there, hold_s=4 * limits.look_s)


def _parts_failed(observed: Observed, _: Limits) -> Iterator[Finding]:
    for one in _said(observed)["parts"]:
        yield Finding(PART_FAILED, one["name"], one["state"] == "failed")


def _said(observed: Observed) -> Mapping[str, Any]:
    assert observed.status is not None  # noqa: S101  else these rules are not asked
    return observed.status


_ALWAYS: Final[tuple[Rule, ...]] = (_cannot_commit, _certificates_expire, _folders_gone)
_OF_STATUS: Final[tuple[Rule, ...]] = (
    _destinations_down, _images_wait, _disk_low, _not_planned, _not_receiving, _quarantine_grew,
    _undelivered, _parts_failed,
)  # fmt: skip
