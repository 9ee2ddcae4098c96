"""The one sentence: what is not well, the worst first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dashboard.situation import Facts, Pulse, judge
from dashboard.status import Association, Destination, Disk, Part, Status, parse
from ponte.errors import TransientError
from router.config import RouterConfig
from router.controlclient import NotRunning
from router.views import NoRouterHere, QueueView

NOW = 1_800_000_000.0
PACS = Destination("pacs", "dicom", "up")


def status(**values: Any) -> Status:
    found = parse({"version": "1", "disk": {"free_bytes": 1, "total_bytes": 2}, "destinations": []})
    return replace(found, **values)


def facts(**values: Any) -> Facts:
    """Of a box where all is well."""
    found = Facts(
        at=NOW, heart="running", silence="", status=status(), destinations=(PACS,), queues={},
        disk=Disk(100 << 30, 200 << 30), warning_bytes=20 << 30, oldest_unforwarded_at=None, quarantined=0,
    )  # fmt: skip
    return replace(found, **values)


def queue(**values: Any) -> QueueView:
    counts = dict.fromkeys(("waiting", "sending", "sent", "committed", "skipped", "refused", "given_up"), 0)
    return QueueView("pacs", **{**counts, **values}, oldest_waiting_at=None, last_sent_at=None)


def test_all_is_well_when_nothing_waits_and_when_images_are_on_their_way() -> None:
    assert (judge(facts()).level, judge(facts()).calm) == ("ok", "now.ok.quiet")
    busy = facts(oldest_unforwarded_at=NOW - 20, status=status(associations=(Association("a"),)))
    assert (judge(busy).level, judge(busy).calm) == ("ok", "now.ok.busy")
    assert judge(facts(destinations=())).calm == "now.ok.nowhere"


@pytest.mark.parametrize(
    ("values", "level", "key"),
    [
        ({"heart": "stopped", "status": None}, "off", "now.off"),
        ({"heart": "never", "status": None}, "off", "now.never"),
        ({"heart": "silent", "status": None, "silence": "TIMEOUT"}, "bad", "now.silent"),
        ({"status": status(refusing="disk")}, "bad", "now.refusing"),
        ({"status": status(refusing="something new")}, "bad", "now.refusing"),
        ({"status": status(draining=True, refusing="draining")}, "warn", "now.draining"),
        ({"status": status(parts=(Part("forwarder", "failed"),))}, "bad", "now.part"),
        ({"destinations": (replace(PACS, state="down", queue=3),)}, "bad", "now.down"),
        ({"destinations": (replace(PACS, state="slow", queue=3),)}, "warn", "now.slow"),
        ({"destinations": (replace(PACS, state="paused"),)}, "warn", "now.paused"),
        ({"disk": Disk(1 << 30, 200 << 30)}, "warn", "now.disk"),
        ({"disk": Disk(100 << 30, 200 << 30, days_left=2.0)}, "warn", "now.disk"),
        ({"disk": Disk(100 << 30, 200 << 30, days_left=0.5)}, "bad", "now.disk"),
        ({"queues": {"pacs": queue(refused=2)}}, "warn", "now.failed"),
        ({"queues": {"old": replace(queue(waiting=2), active=False)}}, "warn", "now.orphans"),
        ({"quarantined": 1}, "warn", "now.quarantined"),
        ({"rows_code": "SCHEMA"}, "bad", "now.rows"),
        ({"oldest_unforwarded_at": NOW - 7200}, "warn", "now.old"),
    ],
)
def test_what_is_not_well_is_said(values: dict[str, Any], level: str, key: str) -> None:
    verdict = judge(facts(**values))
    assert (verdict.level, verdict.findings[0].key) == (level, key)


@pytest.mark.parametrize("state", ["closed", "idle", "unknown"])
def test_a_destination_outside_its_hours_is_no_trouble(state: Any) -> None:
    waiting = facts(destinations=(replace(PACS, state=state, queue=9),), oldest_unforwarded_at=NOW - 60)
    assert judge(waiting).level == "ok"


def test_the_worst_comes_first_and_the_rest_is_said_too() -> None:
    found = judge(facts(quarantined=2, destinations=(replace(PACS, state="down"),)))
    assert [one.key for one in found.findings] == ["now.down", "now.quarantined"]


def test_a_full_disk_is_said_once() -> None:
    found = judge(facts(status=status(refusing="disk"), disk=Disk(0, 200 << 30)))
    assert [one.key for one in found.findings] == ["now.refusing"]


def test_what_a_later_router_says_besides_is_passed_over() -> None:
    found = parse({
        "version": "9", "new": 1, "associations": [{"id": "a", "instances": 3, "new": 1}],
        "destinations": [{"name": "pacs", "state": "confused", "detail": None, "code": None}],
    })  # fmt: skip
    assert found.associations[0].instances == 3
    assert found.destinations[0] == Destination("pacs", state="unknown")


class Router:
    """Answers as a test says, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: dict[str, Any] | Exception = {}
        self.clock = NOW

    def control(self, verb: str, **_: Any) -> dict[str, Any]:
        assert verb == "status"
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def views(self) -> Any:
        raise NoRouterHere("no rows")

    def pulse(self, config: RouterConfig) -> Pulse:
        return Pulse(config, self.views, self.control, lambda: self.clock)


@pytest.mark.parametrize(
    ("answer", "heart"),
    [
        (NotRunning("none"), "never"),
        (TransientError("late", code="TIMEOUT"), "silent"),
        ({"destinations": 5}, "silent"),
        ({"destinations": [{"name": "pacs"}]}, "running"),
    ],
)
def test_whether_it_runs_is_known_whatever_it_answers(answer: Any, heart: str, router: RouterConfig) -> None:
    asked = Router()
    asked.answer = answer
    assert asked.pulse(router).facts().heart == heart


def test_many_who_look_ask_once(router: RouterConfig) -> None:
    asked = Router()
    pulse = asked.pulse(router)
    for _ in range(20):
        pulse.facts()
    assert asked.asked == 1
    asked.clock += 1
    pulse.facts()
    pulse.forget()
    pulse.facts()
    assert asked.asked == 3
