"""Times, sizes and names as they are read."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from dashboard.language import Words
from dashboard.page import STATIC
from dashboard.shown import Shown, plain

NOW = 1_769_100_000.0  # 2026-01-22 13:40:00 in Sao Paulo
PT = Shown(Words("pt-BR"), ZoneInfo("America/Sao_Paulo"), NOW)
EN = Shown(Words("en"), ZoneInfo("America/Sao_Paulo"), NOW)


def test_a_time_of_today_has_no_date_and_another_day_has() -> None:
    assert PT.clock(NOW - 60) == "13:39"
    assert (PT.clock(NOW - 86400), EN.clock(NOW - 86400)) == ("21/01/2026 13:40", "2026-01-21 13:40")
    assert PT.clock(None) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (47 * 3600, "47 h"), (3 * 86400, "3 dias")],
)
def test_a_duration_has_the_unit_that_matters(seconds: float, said: str) -> None:
    assert PT.duration(seconds) == said


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (12_300_000, "12,3 MB"), (54.3e9, "54,3 GB")],
)
def test_a_size_has_three_digits(size: float, said: str) -> None:
    assert PT.size(size) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("DOE^JOHN", "DOE, JOHN"), ("DOE^JOHN^^DR", "DOE, JOHN DR"), ("DOE", "DOE"), ("^JOHN", "JOHN"),
        ("", ""), ("Yamada^Tarou=山田^太郎", "Yamada, Tarou"), ("=山田^太郎", "山田, 太郎"),
        ("A\u202eB^C\0", "A\ufffdB, C\ufffd"),
    ],
)  # fmt: skip
def test_a_name_is_written_as_people_write_it(name: str, said: str) -> None:
    assert PT.person(name) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [("20260122", "22/01/2026"), ("2026.01.22", "22/01/2026"), ("2026", "2026"), ("٢٠٢٦٠١٢٢", "٢٠٢٦٠١٢٢")],
)
def test_a_date_that_is_none_is_shown_as_it_came(text: str, said: str) -> None:
    assert PT.day(text) == said


def test_nothing_turns_the_text_around_it() -> None:
    assert plain("a\u202e\u2066\u200f\x1b[31mb") == "a\ufffd\ufffd\ufffd\ufffd[31mb"


def test_all_assets_together_are_small_and_come_from_here() -> None:
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, path.name
