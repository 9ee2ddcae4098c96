"""Times, sizes and names as a reader of the page wants them."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.language import Words

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000
_TEN = 10
_PN_PARTS = 5
_DATE_DIGITS, _TIME_DIGITS = 8, 4


class Shown:
    """In one language and time zone; `now` is what times are compared with, seconds since the epoch."""

    def __init__(self, words: Words, zone: ZoneInfo, now: float) -> None:
        self._words = words
        self._zone = zone
        self.now = now

    def size(self, size_bytes: float) -> str:
        """`1.2 GB`; a thousand is 1000."""
        value, unit = float(size_bytes), 0
        while value >= _THOUSAND and unit < len(_UNITS) - 1:
            value, unit = value / _THOUSAND, unit + 1
        digits = 1 if unit > 1 and value < _THOUSAND / _TEN else 0
        return f"{self._words.decimal(value, digits)} {_UNITS[unit]}"

    def speed(self, bytes_per_s: float) -> str:
        """`12.3 MB/s`."""
        return f"{self.size(bytes_per_s)}/s"

    def duration(self, seconds: float) -> str:
        """`3 min`: the one unit that matters."""
        seconds = max(0.0, seconds)
        if seconds < _MINUTE:
            return self._words("time.s", n=int(seconds))
        if seconds < _HOUR:
            return self._words("time.min", n=int(seconds // _MINUTE))
        if seconds < 2 * _DAY:
            return self._words("time.h", n=int(seconds // _HOUR))
        return self._words("time.d", n=self._words.number(seconds // _DAY))

    def ago(self, at: float) -> str:
        """`3 min ago`."""
        return self._words("time.ago", duration=self.duration(self.now - at))

    def clock(self, at: float | None) -> str:
        """The time of day, with the date where that is not today's; "" for none."""
        if at is None:
            return ""
        when, today = (datetime.fromtimestamp(one, self._zone) for one in (at, self.now))
        if when.date() == today.date():
            return f"{when:%H:%M}"
        return f"{self.day(f'{when:%Y%m%d}')} {when:%H:%M}"

    def moment(self, at: float | None) -> str:
        """Date and time, to the second."""
        if at is None:
            return ""
        when = datetime.fromtimestamp(at, self._zone)
        return f"{self.day(f'{when:%Y%m%d}')} {when:%H:%M:%S}"

    def day(self, text: str) -> str:
        """A DA value (PS3.5 6.2): `22/01/2026` or `2026-01-22`. What is none is shown as it is."""
        digits = text.replace(".", "")
        if len(digits) != _DATE_DIGITS or not (digits.isascii() and digits.isdigit()):
            return plain(text)
        year, month, day = digits[:4], digits[4:6], digits[6:]
        return f"{day}/{month}/{year}" if self._words.language == "pt-BR" else f"{year}-{month}-{day}"

    def time_of_day(self, text: str) -> str:
        """A TM value (PS3.5 6.2) to the minute."""
        if len(text) < _TIME_DIGITS or not (text[:4].isascii() and text[:4].isdigit()):
            return plain(text)
        return f"{text[:2]}:{text[2:4]}"

    def person(self, name: str) -> str:
        """A PN value (PS3.5 6.2.1) as people write it: the first component group that has anything."""
        group = next((one for one in name.split("=") if one.strip("^ ")), "")
        parts = [plain(part).strip() for part in group.split("^")[:_PN_PARTS]]
        family, *given = parts
        rest = " ".join(part for part in given if part)
        return f"{family}, {rest}" if family and rest else family or rest


def plain(text: str) -> str:
    """Without what changes how the text around it is shown: controls, and marks of direction."""
    return "".join(
        one if unicodedata.category(one) not in ("Cc", "Cf", "Cs") else "\N{REPLACEMENT CHARACTER}"
        for one in text
    )
