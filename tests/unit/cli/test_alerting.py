"""`ponte router alert-test`: somebody is told, or the reason is."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from router.alert_texts import WORDS
from tests.mail_server import MailServer


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No `.env` and no variable of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTR_IP", "SCP_PORT", "SCP_AET", "TZ", "LOG_LEVEL", "TARGET_HOST"):
        monkeypatch.delenv(name, raising=False)


def alert_test(yaml: str) -> Result:
    Path("router.yaml").write_text(yaml)
    return CliRunner().invoke(app, ["router", "alert-test", "--config", "router.yaml"])


def email(port: int) -> str:
    return (
        "alerts:\n  site: Sol\n  email: {host: 127.0.0.1, security: none, sender: ponte@box.example,"
        f" recipients: [a@clinic.example, b@clinic.example], port: {port}}}\n"
    )


def test_a_test_reaches_who_is_configured() -> None:
    with MailServer().running() as server:
        result = alert_test(email(server.port))
    assert (result.exit_code, result.stdout) == (0, "email: taken for 2\n")
    assert server.received[0].message["Subject"] == "[Ponte Sol] TESTE: Teste de alerta"


def test_without_a_channel_it_says_that_nobody_is_told() -> None:
    result = alert_test("alerts: {language: en}\n")
    assert result.exit_code == 2
    assert "nobody is told" in result.stderr


def test_what_does_not_arrive_is_a_failure_with_its_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = alert_test(email(port) + f"  webhook: {{url: 'http://127.0.0.1:{port}/'}}\n")
    assert result.exit_code == 3
    assert "email: The mail server cannot be reached (ConnectionRefusedError) (SMTP)" in result.stderr
    assert "webhook: The receiver cannot be reached" in result.stderr


def test_one_who_is_not_taken_is_named() -> None:
    with MailServer(answers={"RCPT b@clinic.example": "550 no"}).running() as server:
        result = alert_test(email(server.port))
    assert result.exit_code == 1
    assert "does not take b@clinic.example" in result.stderr


@pytest.mark.parametrize("language", WORDS)
def test_the_commands_that_an_alert_names_are_there(language: str) -> None:
    text = " ".join(WORDS[language].values())
    named = set(re.findall(r"ponte ((?:router )?[a-z-]+)((?: --[a-z]+)*)", text))
    assert len(named) > 5
    for command, options in named:
        found = CliRunner().invoke(app, [*command.split(), "--help"])
        assert found.exit_code == 0, command
        assert all(option in found.output for option in options.split()), (command, options)
