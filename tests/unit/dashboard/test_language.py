"""Both languages say everything, with the same values, and pages ask for nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from dashboard import words as texts
from dashboard.language import Words, chosen
from dashboard.words import MODULES, WORDS

DASHBOARD = Path(texts.__file__).parent.parent
_ASKED = re.compile(r"""\b(?:t|n|words|words\.count|count)\(\s*"([a-z][\w.]*[\w])"[,)]""")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(WORDS))
def test_both_languages_have_it(key: str) -> None:
    portuguese, english = WORDS[key]
    assert portuguese.strip()
    assert english.strip()
    assert fields(portuguese) == fields(english)


def test_no_key_is_in_two_places() -> None:
    assert sum(len(module.TEXTS) for module in MODULES) == len(WORDS)


def test_whatever_is_counted_has_one_and_several() -> None:
    for key in WORDS:
        if key.endswith(".one") and "number" in fields(WORDS[key][0]):
            assert key.removesuffix(".one") + ".other" in WORDS


def test_pages_ask_for_texts_that_there_are() -> None:
    files = [*DASHBOARD.rglob("*.html"), *DASHBOARD.rglob("*.py")]
    asked = {key for file in files for key in _ASKED.findall(file.read_text(encoding="utf-8"))}
    assert len(asked) > 50
    assert {key for key in asked if key not in WORDS and f"{key}.one" not in WORDS} == set()


@pytest.mark.parametrize(
    ("cookie", "accept", "expected"),
    [
        ("", "", "pt-BR"),
        ("", "en-GB,en;q=0.9", "en"),
        ("", "pt,en;q=0.9", "pt-BR"),
        ("", "de,en;q=0.4,pt;q=0.5", "pt-BR"),
        ("", "en;q=0,pt;q=0.1", "pt-BR"),
        ("", "de;q=nonsense,,;;q", "pt-BR"),
        ("en", "pt-BR", "en"),
        ("de", "en", "en"),
    ],
)
def test_the_reader_chooses_then_the_browser_then_the_box(cookie: str, accept: str, expected: str) -> None:
    assert chosen(cookie, accept, "pt-BR") == expected


def test_numbers_are_written_as_each_language_does() -> None:
    assert (Words("pt-BR").number(1234567), Words("en").number(1234567)) == ("1.234.567", "1,234,567")
    assert (Words("pt-BR").decimal(1234.5), Words("en").decimal(1234.5)) == ("1.234,5", "1,234.5")
    assert Words("pt-BR").count("now.images", 1) == "1 imagem"
    assert Words("en").count("now.images", 1000) == "1,000 images"
