"""Threads beside the receiving: they end when asked, and nothing that fails ends them."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.local.process import wait_for
from router import worker
from router.worker import Worker, code_of


def test_it_does_all_there_is_and_waits_to_be_woken() -> None:
    steps: list[int] = []

    def step() -> bool:
        steps.append(1)
        return len(steps) % 3 != 0

    found = Worker("test", step, idle_s=600)
    found.start()
    wait_for(lambda: len(steps) == 3, timeout_s=20, msg="it did not do all")
    found.wake()
    wait_for(lambda: len(steps) == 6, timeout_s=20, msg="it was not woken")
    assert found.stop(20)


def test_what_fails_is_an_alarm_without_its_text_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_FIRST_PAUSE_S", 0.001)
    steps: list[int] = []

    def step() -> bool:
        steps.append(1)
        if len(steps) < 3:
            raise FileNotFoundError(2, "no such file", "/CANARY/DOE_JOHN")
        return False

    found = Worker("test", step, idle_s=600)
    found.start()
    wait_for(lambda: len(steps) == 3, timeout_s=20, msg="it gave up")
    assert found.stop(20)
    assert [getattr(record, "code", "") for record in caplog.records] == ["FileNotFoundError 2"] * 2
    assert "CANARY" not in caplog.text


def test_one_that_was_never_started_has_ended() -> None:
    assert Worker("test", lambda: False, idle_s=1).stop(1)


def test_a_step_that_lasts_is_said_to_last() -> None:
    release = [False]

    def step() -> bool:
        wait_for(lambda: release[0], timeout_s=20, msg="it was not released")
        return False

    found = Worker("test", step, idle_s=600)
    found.start()
    assert not found.stop(0.01)
    release[0] = True
    assert found.stop(20)


def test_an_error_has_a_code_and_no_text(tmp_path: Path) -> None:
    assert code_of(ValueError("CANARY")) == "ValueError"
