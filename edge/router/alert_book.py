"""Which alerts there are and what was said of them: so that each is told once, reminded of, and told over."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

from router.alert_notice import QUARANTINE_GREW, UNDELIVERED, Notice, State, Values
from router.alert_rules import Finding, Key

CLEAR_S: Final = 60.0
"""How long a rule must not hold before its alert is over."""
QUIET_S: Final = 3600.0
"""How long a count must not have grown before its next growth is told."""
_COUNTED: Final = (QUARANTINE_GREW, UNDELIVERED)


@dataclass(slots=True)
class Alert:
    """`told_at` is None before it was told, `told` what was said then; `clear_since` is None while its rule
    holds, or cannot say."""

    kind: str
    subject: str
    since: float
    told_at: float | None = None
    clear_since: float | None = None
    values: Values = field(default_factory=dict)
    told: Values = field(default_factory=dict)


@dataclass(slots=True)
class Growth:
    """A count, what it was before it began to grow, and when it last grew."""

    count: int = 0
    before: int = 0
    grew_at: float | None = None


class Book:
    """All of it, as it is kept over restarts. One thread's."""

    def __init__(self, *, remind_s: float) -> None:
        self._remind_s = remind_s
        self._alerts: dict[Key, Alert] = {}
        self._growths: dict[Key, Growth] = {}

    @property
    def alerts(self) -> dict[Key, float]:
        """Since when each holds."""
        return {key: alert.since for key, alert in self._alerts.items()}

    @property
    def raised(self) -> list[Alert]:
        """Those that were told."""
        return [alert for alert in self._alerts.values() if alert.told_at is not None]

    @property
    def signature(self) -> object:
        """Another one when something changed that must outlive the process."""
        told = {key: (alert.since, alert.told_at) for key, alert in self._alerts.items()}
        return told, {key: growth.count for key, growth in self._growths.items() if growth.count}

    def update(self, findings: Iterable[Finding], now: float, *, is_all: bool = True) -> list[Notice]:
        """Take in what the rules say; what is to be told. A subject that none speaks of any more is over,
        where they could say all that they would."""
        said = {(one.kind, one.subject): self._counted(one, now) for one in findings}
        unsaid = self._alerts.keys() - said.keys() if is_all else ()
        gone = [Finding(*key, holds=False) for key in unsaid]
        notices = [self._turn(finding, now) for finding in (*said.values(), *gone)]
        return [notice for notice in notices if notice is not None]

    def _turn(self, finding: Finding, now: float) -> Notice | None:
        key = (finding.kind, finding.subject)
        alert = self._alerts.get(key)
        if alert is None:
            if not finding.holds:
                return None
            alert = self._alerts[key] = Alert(*key, min(finding.since or now, now))
        if finding.holds:
            alert.values = finding.values
        if alert.told_at is None:
            return self._before_told(alert, finding, now)
        if finding.holds is False:
            return self._clear(alert, now)
        alert.clear_since = None
        if not finding.holds or now - alert.told_at < self._remind_s:
            return None
        return _told(alert, "reminder", now)

    def _before_told(self, alert: Alert, finding: Finding, now: float) -> Notice | None:
        if finding.holds is False:
            del self._alerts[alert.kind, alert.subject]
        if not finding.holds or now - alert.since < finding.hold_s:
            return None
        return _told(alert, "raised", now)

    def _clear(self, alert: Alert, now: float) -> Notice | None:
        """Over, after it has been so for a while. A count that no longer grows mends nothing: what has
        come since it was told of is told, if anything has."""
        if alert.clear_since is None:
            alert.clear_since = now
        if now - alert.clear_since < CLEAR_S:
            return None
        del self._alerts[alert.kind, alert.subject]
        if alert.kind not in _COUNTED:
            return _notice(alert, "over", now)
        has_grown = alert.values.get("more") != alert.told.get("more")
        return _notice(alert, "reminder", now) if has_grown else None

    def _counted(self, finding: Finding, now: float) -> Finding:
        """A finding with a count holds while that grows, and a while after."""
        if finding.count is None:
            return finding
        key = (finding.kind, finding.subject)
        growth = self._growths.setdefault(key, Growth())
        if finding.count > growth.count:
            if key not in self._alerts:
                growth.before = growth.count
            growth.grew_at = now
        growth.count = finding.count
        grows = growth.grew_at is not None and now - growth.grew_at < QUIET_S
        more = finding.count - growth.before
        values = {**finding.values, "count": finding.count, "more": more}
        return replace(finding, holds=grows and more > 0, values=values)

    def plain(self) -> dict[str, Any]:
        """For JSON: what must outlive the process."""
        return {
            "alerts": [asdict(alert) for alert in self._alerts.values()],
            "growths": [[*key, asdict(growth)] for key, growth in self._growths.items()],
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any], *, remind_s: float) -> Self:
        """What `plain` gave. Raises `TypeError`, `KeyError`, `ValueError` for something else."""
        book = cls(remind_s=remind_s)
        for one in plain["alerts"]:
            alert = Alert(**one)
            book._alerts[alert.kind, alert.subject] = alert
        for kind, subject, growth in plain["growths"]:
            book._growths[kind, subject] = Growth(**growth)
        return book


def _told(alert: Alert, state: State, now: float) -> Notice:
    alert.told_at, alert.told = now, alert.values
    return _notice(alert, state, now)


def _notice(alert: Alert, state: State, now: float) -> Notice:
    identity = f"alert_{secrets.token_hex(12)}"
    return Notice(identity, alert.kind, alert.subject, state, alert.since, now, dict(alert.values))
