"""What is to wait for the night waits for it."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from ponte.errors import InvalidRequest
from router.schedule import Schedule

ZONE = ZoneInfo("America/Sao_Paulo")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """November 2026; the 16th is a Monday."""
    return datetime(2026, 11, day, hour, minute, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "moment", "is_open"),
    [
        ("19:00-07:00", at(16, 18, 59), False),
        ("19:00-07:00", at(16, 19), True),
        ("19:00-07:00", at(17, 6, 59), True),
        ("19:00-07:00", at(17, 7), False),
        ("mon-fri 20:00-06:00", at(20, 23), True),
        ("mon-fri 20:00-06:00", at(21, 5), True),
        ("mon-fri 20:00-06:00", at(21, 23), False),
        ("mon-fri 20:00-06:00", at(16, 5), False),
        ("sat,sun 00:00-24:00", at(21, 12), True),
        ("sat,sun 00:00-24:00", at(20, 23, 59), False),
        ("fri-mon 08:00-09:00", at(22, 8, 30), True),
        ("fri-mon 08:00-09:00", at(18, 8, 30), False),
    ],
)
def test_a_window_is_open_within_it(text: str, moment: datetime, is_open: bool) -> None:
    assert Schedule.parse((text,)).is_open(moment) is is_open


def test_without_a_window_it_is_always_open() -> None:
    assert Schedule().is_open(at(16, 3))


def test_any_of_several_windows_will_do() -> None:
    schedule = Schedule.parse(("12:00-13:00", "sat 00:00-24:00"))
    assert schedule.is_open(at(16, 12, 30))
    assert schedule.is_open(at(21, 3))
    assert not schedule.is_open(at(16, 14))


@pytest.mark.parametrize(
    "text", ["", "19-7", "25:00-26:00", "19:60-20:00", "24:00-07:00", "07:00-07:00", "moon 01:00-02:00"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Schedule.parse((text,))
