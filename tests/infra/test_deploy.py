"""`make deploy`: what is checked before anything is sent, and that CDK's command line reads what we write."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from infra import deploy, layers, node
from infra.configuration import Configuration
from tests.infra.conftest import Synthesise

PROJECT = layers.ROOT


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials, no profile, no instance metadata, no settings."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "CDK_")) or name.lower() in Configuration.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "203.0.113.7")


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        deploy.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "bootstrap" in shown
    assert "docs/deploy.md" in shown


@pytest.mark.usefixtures("stand_in_layers")
def test_without_credentials_it_says_how_to_log_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
    assert deploy.main([]) == 1
    assert "aws configure" in capsys.readouterr().err


@pytest.mark.usefixtures("stand_in_layers")
def test_without_a_region_it_says_which_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main([]) == 1
    assert "AWS_REGION" in capsys.readouterr().err


@pytest.mark.usefixtures("stand_in_layers")
def test_an_emulator_is_never_taken_for_aws(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert deploy.main([]) == 1
    assert "AWS_ENDPOINT_URL" in capsys.readouterr().err


def test_layers_that_are_not_built_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(layers, "BUILD", tmp_path)
    assert deploy.main([]) == 1
    assert "make layers" in capsys.readouterr().err


def test_an_open_api_stops_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("ALLOWED_CLIENT_IPS")
    assert deploy.main([]) == 1
    assert "ALLOWED_CLIENT_IPS" in capsys.readouterr().err


def test_cdk_is_asked_for_our_stack_alone() -> None:
    configuration = Configuration(stage="dev", allowed_client_ips=("203.0.113.7",))
    arguments = deploy.cdk_arguments("deploy", configuration, "123456789012", "sa-east-1")
    assert arguments[:2] == ["deploy", "ponte-dev"]
    assert arguments[3].endswith("-m infra.app")
    assert deploy.cdk_arguments("bootstrap", configuration, "123456789012", "sa-east-1") == [
        "bootstrap",
        "aws://123456789012/sa-east-1",
    ]


def test_the_command_line_is_pinned_and_the_lock_names_no_registry() -> None:
    wanted = json.loads((PROJECT / "package.json").read_text())["dependencies"]
    assert wanted == {"aws-cdk": "2.1148.1"}
    lock = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    assert lock["node_modules/aws-cdk"]["version"] == wanted["aws-cdk"]
    for package in lock.values():
        assert "resolved" not in package
    assert all("integrity" in package for name, package in lock.items() if name)


def test_npm_of_the_python_package_runs() -> None:
    done = subprocess.run([*node.npm(), "--version"], capture_output=True, text=True, check=True)
    assert int(done.stdout.split(".")[0]) >= 10


def test_cdks_command_line_reads_our_assembly(synth: Synthesise, tmp_path: Path) -> None:
    try:
        command_line = deploy.install_cli()
    except deploy.DeployError:
        pytest.skip("needs CDK's command line, which could not be fetched")
    template = synth(stage="dev", allowed_client_ips="203.0.113.7")
    done = subprocess.run(
        [
            str(node.folder() / "node"),
            str(command_line),
            "ls",
            "--app",
            str(template.folder),
            "--no-notices",
        ],
        cwd=tmp_path,
        env={"PATH": str(node.folder()), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["ponte-dev"], done.stderr
