"""Orders from the tables and examples of UAX #9; capitals stand for Hebrew letters, as they do there."""

from __future__ import annotations

import pytest

from render.fonts.bidi import levels, visual_runs

HEBREW = {chr(ord("A") + index): chr(0x5D0 + index) for index in range(26)}
LETTERS = {hebrew: capital for capital, hebrew in HEBREW.items()}


def as_seen(text: str) -> str:
    """`text` from left to right."""
    logical = "".join(HEBREW.get(character, character) for character in text)
    seen = "".join(
        logical[start:end][::-1] if level % 2 else logical[start:end]
        for start, end, level in visual_runs(logical)
    )
    return "".join(LETTERS.get(character, character) for character in seen)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", ""),
        ("name 12", "name 12"),
        ("ABC", "CBA"),
        ("ABC DEF", "FED CBA"),
        ("sharon=ABC^DEF", "sharon=FED^CBA"),
        ("car is THE CAR in arabic", "car is RAC EHT in arabic"),
        ("ABC 12", "12 CBA"),
        ("ABC 12-34", "12-34 CBA"),
        ("ABC 1.5, DEF", "FED ,1.5 CBA"),
        ("ABC 10%", "10% CBA"),
        ("ABC def GHI", "IHG def CBA"),
        ("abc (DEF)", "abc (FED)"),
        ("ABC (def) GHI", "IHG )def( CBA"),
        ("ABC (def) 12", "12 )def( CBA"),
        ("ABC (def) 12-34, GHI", "IHG ,12-34 )def( CBA"),
        ("abc (DEF) ghi", "abc (FED) ghi"),
        ("abc [DEF (ghi)", "abc [FED (ghi)"),
        ("ABC - ", " - CBA"),
    ],
)
def test_a_line_is_seen_in_the_order_of_its_directions(text: str, seen: str) -> None:
    assert as_seen(text) == seen


def test_european_digits_after_arabic_letters_are_read_as_arabic_ones() -> None:
    assert levels("\u0627 12") == [1, 1, 2, 2]
    assert levels("\u0627 1-2") == [1, 1, 2, 1, 2]


def test_a_mark_lies_the_way_of_its_letter() -> None:
    assert levels("a\u05d1\u05b8") == [0, 1, 1]


def test_an_override_turns_no_name_around() -> None:
    assert levels("a\u202eb") == [0, 0, 0]
