"""The app as a command: what it writes, what it refuses, and how it says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra import app, layers, node
from infra.configuration import Configuration


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Configuration.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("CDK_CONTEXT_JSON", raising=False)


def test_an_open_api_is_refused_and_the_variable_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["--stage", "prod", "--output", str(tmp_path / "out")]) == 1
    assert "ALLOWED_CLIENT_IPS" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_layers_that_are_not_built_are_named_with_what_builds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(layers, "BUILD", tmp_path / "nothing")
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "203.0.113.7")
    assert app.main(["--output", str(tmp_path / "out")]) == 1
    assert "make layers" in capsys.readouterr().err


def test_settings_come_from_the_arguments_of_the_cdk_command_line_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CDK_CONTEXT_JSON", json.dumps({"stage": "dev", "allowed_client_ips": "203.0.113.7"}))
    assert app.read_configuration({}).stage == "dev"
    assert app.read_configuration({"stage": "local"}).stage == "local"


def test_the_local_stage_synthesises_by_itself(tmp_path: Path) -> None:
    """As the local stack starts it: without Node.js on PATH, and without the CDK command line."""
    output = tmp_path / "cdk.out.local"
    environment = {"PATH": os.defpath, "HOME": os.environ.get("HOME", str(tmp_path))}
    done = subprocess.run(
        [sys.executable, "-m", "infra.app", "--stage", "local", "--output", str(output)],
        cwd=layers.ROOT,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((output / "ponte-local.template.json").read_text())["Outputs"]


def test_the_same_settings_give_the_same_template(
    tmp_path: Path, stand_in_layers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "203.0.113.7")
    texts = []
    for folder in ("one", "other"):
        assert app.main(["--stage", "dev", "--output", str(tmp_path / folder)]) == 0
        texts.append((tmp_path / folder / "ponte-dev.template.json").read_text())
    assert texts[0] == texts[1]


def test_cdk_json_runs_the_same_app() -> None:
    settings = json.loads((layers.ROOT / "cdk.json").read_text())
    assert settings["app"].endswith("-m infra.app")


def test_our_node_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    node.put_on_path()
    node.put_on_path()
    assert os.environ["PATH"].split(os.pathsep) == [str(node.folder()), "/usr/bin"]
    assert (node.folder() / "node").exists()
