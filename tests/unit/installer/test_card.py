"""The quick reference card: one page, with the box's own addresses, and commands that there are."""

from __future__ import annotations

import io
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.main
from pikepdf import Pdf

from cli.main import app
from installer.card import draw_card
from installer.card_texts import LANGUAGES, TEXTS, Language
from router.config import ListenerConfig, RouterConfig
from router.destinations import read_destinations

NOW = datetime(2026, 1, 22, 14, 15, 30, tzinfo=UTC)
LONG = "X" * 16


def config() -> RouterConfig:
    many = [
        {"kind": "dicom", "name": f"destination-{number}", "host": f"server-{number}.hospital.example",
         "port": 11112, "ae_title": LONG}
        for number in range(9)
    ]  # fmt: skip
    return replace(
        RouterConfig(),
        ae_title=LONG,
        listeners=tuple(ListenerConfig(port, "192.168.100.200") for port in (104, 4100, 2762)),
        destinations=read_destinations(many),
        dicom_root=Path("/srv/a/rather/long/path/to/where/images/of/this/clinic/are/kept"),
    )


def drawn(language: Language, found: RouterConfig | None = None) -> bytes:
    out = io.BytesIO()
    draw_card(found or config(), "https://box.hospital.example:8501", language, out, now=NOW)
    return out.getvalue()


def text_of(document: bytes) -> str:
    done = subprocess.run(["pdftotext", "-layout", "-", "-"], input=document, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_one_page_of_a4_that_says_its_language(language: Language) -> None:
    with Pdf.open(io.BytesIO(drawn(language))) as pdf:
        (page,) = pdf.pages
        assert [round(float(one)) for one in page.mediabox] == [0, 0, 595, 842]
        assert str(pdf.Root.Lang) == language


@pytest.mark.pdftools
@pytest.mark.parametrize("language", LANGUAGES)
def test_all_of_it_is_there_above_the_foot_however_long_the_names(language: Language) -> None:
    text = " ".join(text_of(drawn(language)).split())
    for title in (*TEXTS[language][:1], TEXTS[language].never_title):
        assert title in text
    assert "192.168.100.200" in text
    assert "104, 4100, 2762" in text
    assert "+7" in text
    last = TEXTS[language].never[-1][:30]
    assert text.index(last) < text.index(TEXTS[language].limit)
    assert text.endswith("22/01/2026")


@pytest.mark.pdftools
@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_is_drawn_over_the_foot(language: Language) -> None:
    done = subprocess.run(
        ["pdftotext", "-bbox", "-", "-"], input=drawn(language), capture_output=True, check=True
    )
    lowest = [float(y) for y in re.findall(r'yMax="([0-9.]+)"', done.stdout.decode())]
    of_the_foot = [y for y in lowest if y > 842 - 48]
    assert len(of_the_foot) == len(
        (TEXTS[language].limit + " Ponte 0.1.0, " + TEXTS[language].made[11:]).split()
    )


def test_both_languages_say_the_same_things() -> None:
    portuguese, english = (TEXTS[language] for language in LANGUAGES)
    for one, other in zip(portuguese, english, strict=True):
        assert isinstance(one, str) == isinstance(other, str)
        assert isinstance(one, str) or len(one) == len(other)
    commands = [[row.right for row in texts.commands] for texts in (portuguese, english)]
    assert commands[0] == commands[1]


def test_every_command_is_one_that_there_is() -> None:
    rows = [row.right for texts in TEXTS.values() for row in (*texts.commands, *texts.symptoms)]
    named = {tuple(words) for row in rows for words in re.findall(r"\bponte (\w+)(?: ([a-z-]+\b))?", row)}
    for first, second in named:
        command = typer.main.get_command(app)
        context = typer.Context(command)
        found = command.get_command(context, first)  # type: ignore[attr-defined]
        assert found is not None, first
        if second and hasattr(found, "get_command"):
            assert found.get_command(context, second) is not None, (first, second)
