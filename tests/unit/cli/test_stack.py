from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import stack
from infra.local import state
from tests.unit.local.test_state import STATE

app = typer.Typer()
app.command()(stack.up)
app.command()(stack.down)
app.command()(stack.status)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> state.StateFolder:
    monkeypatch.setattr(state.StateFolder.__init__, "__defaults__", (tmp_path,))
    return state.StateFolder()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout


def test_without_a_stack_the_status_is_down(folder: state.StateFolder) -> None:
    assert run("status") == (0, "down\n")
    assert json.loads(run("status", "--json")[1]) == {"up": False, "starting": False}


def test_the_status_of_a_stack_is_one_object_without_the_password(folder: state.StateFolder) -> None:
    with folder.owned():
        assert run("status")[1] == "starting\n"

        folder.write(STATE)
        code, text = run("status", "--json")

    answer = json.loads(text)
    assert (code, answer["up"], answer["api_url"]) == (0, True, "http://127.0.0.1:9000")
    assert "secret" not in text


def test_a_stack_that_is_up_is_not_started_again(folder: state.StateFolder) -> None:
    with folder.owned():
        folder.write(STATE)
        code, text = run("up")

    assert code == 0
    assert text.startswith("already up\nAPI       http://127.0.0.1:9000 ")


def test_where_there_is_an_inbox_it_is_said_how_to_put_a_zip_there(folder: state.StateFolder) -> None:
    with folder.owned():
        folder.write(STATE)
        assert "ZIP" not in run("status")[1]
        folder.write(replace(STATE, inbox_bucket="inbox-1", emulator_url="http://127.0.0.1:1234"))
        text = run("status")[1]
    assert "curl -sS -T exam.zip http://127.0.0.1:1234/inbox-1/exam.zip" in text


def test_taking_down_what_is_not_up_is_no_error(folder: state.StateFolder) -> None:
    assert run("down") == (0, "the local stack is not up\n")
    assert run("down", "--quiet") == (0, "")
