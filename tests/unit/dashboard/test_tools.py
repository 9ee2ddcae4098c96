"""Events, runs of the doctor and streams, without a browser."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from dashboard.checkups import MOST_AT_A_TIME, Checkups
from dashboard.happenings import happenings
from dashboard.streams import encoded
from dashboard.words import WORDS
from doctor.steps import Check, Found, Subject
from doctor.words import Phrase
from ponte.errors import TransientError
from router.alert_texts import WORDS as ALERTS
from tests.corpus import ROOT

GOOD = Found("ok", (Phrase("echo.not_taken"),))


def line(**fields: Any) -> str:
    known = {"time": "2026-11-20T10:00:00.000Z", "level": "ERROR", "message": "destination fails"}
    return json.dumps({**known, **fields}) + "\n"


def test_every_alarm_that_the_code_raises_has_words() -> None:
    raised = set(ALERTS["en"])
    for path in sorted((ROOT / "edge/router").glob("*.py")):
        raised |= set(re.findall(r'"alarm": "([A-Z_]+)"|alarm="([A-Z_]+)"', path.read_text()))
    raised.discard("TEST")
    names = {one for each in raised for one in ([each] if isinstance(each, str) else each) if one}
    assert len(names) > 30
    assert {name for name in names if f"event.alarm.{name}" not in WORDS} == set()


def test_what_repeats_on_a_day_is_one_and_the_newest_comes_first(tmp_path: Path) -> None:
    log = tmp_path / "router.log"
    down = {"alarm": "DESTINATION_DOWN", "destination": "pacs"}
    log.write_text(
        line(**down)
        + line(**{**down, "destination": "other"})
        + line(time="2026-11-20T11:00:00.000Z", level="INFO", message="router started")
        + line(time="2026-11-20T12:00:00.000Z", message="alert raised", alarm=down["alarm"], subject="pacs")
        + line(time="2026-11-21T12:00:00.000Z", **down)
        + line(level="INFO", message="association ended")
        + line(alarm="SOMETHING_NEW")
    )
    found = happenings(tmp_path, log)
    assert [(one.name, one.about, one.count) for one in found] == [
        ("DESTINATION_DOWN", "pacs", 1),
        ("DESTINATION_DOWN", "pacs", 2),
        ("started", "", 1),
        ("DESTINATION_DOWN", "other", 1),
        ("SOMETHING_NEW", "", 1),
    ]
    assert found[-1].key == "alarm.OTHER"
    assert [one.name for one in happenings(tmp_path, log, "state")] == ["started"]


def test_what_people_did_is_an_event_and_a_damaged_line_is_none(tmp_path: Path) -> None:
    audit = tmp_path / ".spool/log/audit.log"
    audit.parent.mkdir(parents=True)
    done = {
        "time": "2026-11-20T10:00:00Z", "role": "operator", "address": "10.0.0.3", "action": "pause",
        "target": "pacs", "outcome": "done",
    }  # fmt: skip
    audit.write_text(json.dumps(done) + "\n{\n[1]\n" + json.dumps({**done, "outcome": "NOT_RUNNING"}) + "\n")
    found = happenings(tmp_path, None)
    assert sorted((one.name, one.about, one.code, one.who) for one in found) == [
        ("pause", "pacs", "", "operator 10.0.0.3"),
        ("pause", "pacs", "NOT_RUNNING", "operator 10.0.0.3"),
    ]


def test_a_message_has_a_data_line_for_each_of_its_lines_and_nothing_ends_it_early() -> None:
    assert (
        encoded("step", "7", "a\r\n\nevent: x") == "event: step\nid: 7\ndata: a\ndata: \ndata: event: x\n\n"
    )


def test_only_so_many_tests_run_at_a_time_and_the_latest_are_kept() -> None:
    over = threading.Event()

    def wait() -> Found:
        over.wait(20)
        return GOOD

    checkups = Checkups()
    slow = Subject("destination", "slow", "", (Check("dns", wait),))
    try:
        runs = [checkups.begin([slow]) for _ in range(MOST_AT_A_TIME)]
        with pytest.raises(TransientError):
            checkups.begin([slow])
        assert all(checkups.get(run.id) is run for run in runs)
        assert checkups.get("unknown") is None
    finally:
        over.set()
