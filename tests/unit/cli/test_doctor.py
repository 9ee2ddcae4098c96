"""`ponte doctor`: a line a decoder or a font, and an exit code that a script can use."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ponte import selftest
from render.fonts import library
from render.version import PRODUCT
from tests.unit.cli.test_render import run

ROOT = Path(__file__).parents[3]


def test_every_decoder_is_there_and_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "doctor", "--decoders") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 15
    assert all(line.startswith("ok ") for line in lines)
    assert any("1.2.840.10008.1.2.4.90" in line for line in lines)


def test_a_missing_decoder_is_exit_code_1_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = selftest.check_decoders()
    broken = [replace(sound[0], status="missing", decoder="", detail="nothing decodes it"), *sound[1:]]
    monkeypatch.setattr(selftest, "check_decoders", lambda: broken)
    assert run(monkeypatch, "doctor", "--decoders", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["decoders"][0]["status"] == "missing"
    assert set(answer["decoders"][0]) == {"transfer_syntax_uid", "name", "status", "decoder", "detail"}


def test_the_fonts_are_there_each_with_its_licence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "doctor", "--fonts", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"fonts", "ok"}
    assert {source["licence"] for source in answer["fonts"]} == {"OFL-1.1"}


def test_missing_fonts_are_exit_code_1_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "PLACES", ())
    library.installed.cache_clear()
    try:
        assert run(monkeypatch, "doctor", "--fonts") == 1
    finally:
        library.installed.cache_clear()
    assert capsys.readouterr().out.startswith("missing  fonts")


def test_the_version_is_that_of_the_project(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert capsys.readouterr().out.strip() == f"Ponte {project['version']}" == PRODUCT
