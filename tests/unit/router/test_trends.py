"""Since when something is as it is, and when the disk will be full."""

from __future__ import annotations

import pytest

from router.trends import DiskTrend, Since


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_state_is_told_from_when_it_was_first_seen_without_a_break() -> None:
    clock = Clock()
    since = Since(clock)
    assert since.seen("pacs", "up") == 1000
    clock.seconds = 1010
    assert (since.seen("pacs", "up"), since.seen("archive", "up")) == (1000, 1010)
    clock.seconds = 1020
    assert since.seen("pacs", "down") == 1020
    clock.seconds = 1030
    assert (since.seen("pacs", "up"), since.seen("archive", "up")) == (1030, 1010)


def test_the_days_that_the_disk_will_last() -> None:
    clock = Clock()
    disk = DiskTrend(clock)
    assert disk.days_left(1000) is None
    for minute in range(60 * 30):
        disk.seen(10_000_000 - 100 * minute)
        clock.seconds += 60
    free = 10_000_000 - 100 * 60 * 30
    assert disk.days_left(free) == pytest.approx(free / (100 * 60 * 24), rel=0.01)
    assert disk.days_left(20_000_000) is None, "it becomes more"


def test_nothing_is_said_before_an_hour_has_passed() -> None:
    clock = Clock()
    disk = DiskTrend(clock)
    disk.seen(1000)
    clock.seconds += 3000
    disk.seen(10)
    assert disk.days_left(10) is None
