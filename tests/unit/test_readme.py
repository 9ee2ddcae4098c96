from __future__ import annotations

import re
from pathlib import Path

import pytest

import render.messages
from infra.configuration import Configuration
from tests.corpus import ROOT
from tests.readme import FILES, blocks

ENGLISH, PORTUGUESE = ((ROOT / name).read_text(encoding="utf-8") for name in FILES)


def test_both_languages_show_the_same_commands() -> None:
    assert blocks(FILES[0]) == blocks(FILES[1])
    assert {mark for mark, _ in blocks(FILES[0])} >= {"demo", "stack", "laptop"}


@pytest.mark.parametrize("heading", ["|---|---|\n", "|---|---|---|\n"])
def test_both_languages_have_the_same_tables(heading: str) -> None:
    def first_cells(text: str) -> list[str]:
        return re.findall(r"^\| (`[^`|]*`) \|", text, re.MULTILINE)

    assert first_cells(ENGLISH) == first_cells(PORTUGUESE)
    assert ENGLISH.count(heading) == PORTUGUESE.count(heading)


@pytest.mark.parametrize("text", [ENGLISH, PORTUGUESE])
def test_every_make_target_that_is_shown_exists(text: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][a-z-]+)", text)) <= targets


def test_every_variable_of_the_old_system_is_in_the_table() -> None:
    section = ENGLISH.split("## Configuration")[1].split("\n## ")[0]
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE))
    own = {
        "DICOM_WADO_URL", "DEFAULT_MAX_WORKERS", "MAX_ALLOWED_WORKERS", "CREATE_LOG_URL",
        "ALLOWED_CLIENT_IPS", "LOG_LEVEL", "API_HOST", "API_PORT",
    }  # fmt: skip
    assert own <= table
    assert table - {"API_HOST", "API_PORT"} <= {name.upper() for name in Configuration.model_fields}


@pytest.mark.parametrize("model", [render.messages.AsyncRequest, render.messages.SyncRequest])
def test_every_field_of_a_request_is_described(model: type) -> None:
    for field in model.model_fields:  # type: ignore[attr-defined]
        assert f"`{field}`" in ENGLISH


@pytest.mark.parametrize("text", [ENGLISH, PORTUGUESE])
def test_every_link_leads_somewhere(text: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert Path(ROOT / target).exists(), target
