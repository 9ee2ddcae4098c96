"""`ponte router check-config`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `.env` and no variable of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTR_IP", "SCP_PORT", "SCP_AET", "TZ", "LOG_LEVEL", "TARGET_HOST"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_set_is_shown(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HTR_IP=10.0.0.5\nSCP_PORT=11112\n")
    result = CliRunner().invoke(app, ["router", "check-config", "--json"])
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown["warnings"] == []
    assert shown["configuration"]["listeners"] == [
        {"port": 11112, "address": "10.0.0.5", "name": "", "tls": None}
    ]
    assert CliRunner().invoke(app, ["router", "check-config"]).stdout.startswith("ae_title: STORESCP\n")


def test_what_is_wrong_is_said_by_name(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text("limits: {associations: 0}\ncolour: red\n")
    result = CliRunner().invoke(app, ["router", "check-config", "--config", "router.yaml"])
    assert result.exit_code == 2
    assert "limits.associations: 0 is not above 0" in result.stderr
    assert "colour: is not known" in result.stderr
