"""When a destination may be sent to: hours of the day, on all days or on some, in the time of `TZ`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

from ponte.errors import InvalidRequest

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<days>[a-z,-]+)\s+)?(?P<from>\d{1,2}):(?P<from_min>\d\d)\s*-\s*(?P<to>\d{1,2}):(?P<to_min>\d\d)"
)
_MINUTES_OF_DAY = 24 * 60
_LONGEST_SEARCH = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of the day from `start` to before `end`, on the days it begins; past midnight where `end` is
    not after `start`."""

    days: frozenset[int]
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`19:00-07:00`, `sat,sun 00:00-24:00`, `mon-fri 20:00-06:00`. Raises `InvalidRequest`."""
        match = _WINDOW.fullmatch(text.strip().lower())
        if match is None:
            raise InvalidRequest(f"{text!r:.60} is no time; expected e.g. 'mon-fri 19:00-07:00'")
        start = _minutes(match["from"], match["from_min"], text)
        end = _minutes(match["to"], match["to_min"], text)
        if start in (_MINUTES_OF_DAY, end):
            raise InvalidRequest(f"{text!r:.60} is no time: it begins when it ends")
        return cls(_days(match["days"] or "mon-sun", text), start, end)

    def holds(self, at: datetime) -> bool:
        """True within it."""
        minute, today = at.hour * 60 + at.minute, at.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        yesterday = (today - 1) % len(_DAYS)
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Always, where there is no window."""

    windows: tuple[Window, ...] = ()

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> Self:
        """Raises `InvalidRequest`."""
        return cls(tuple(Window.parse(text) for text in texts))

    def is_open(self, at: datetime) -> bool:
        """True where something may be sent; `at` is local time."""
        return not self.windows or any(window.holds(at) for window in self.windows)

    def opens_at(self, at: datetime) -> datetime:
        """The first minute from `at` on at which it is open."""
        minute = at.replace(second=0, microsecond=0)
        last = at + _LONGEST_SEARCH
        while minute < last and not self.is_open(max(minute, at)):
            minute += timedelta(minutes=1)
        return max(minute, at)


def _minutes(hours: str, minutes: str, text: str) -> int:
    value = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or value > _MINUTES_OF_DAY:
        raise InvalidRequest(f"{text!r:.60} is no time; expected hours from 00:00 to 24:00")
    return value


def _days(text: str, whole: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise InvalidRequest(f"{whole!r:.60} names no day; expected {', '.join(_DAYS)}")
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {(begin + step) % len(_DAYS) for step in range((end - begin) % len(_DAYS) + 1)}
    return frozenset(found)
