"""What a clinic sets for the dashboard, and what it must not set."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.config import DashboardConfig, read
from dashboard.passwords import hashed
from router.configfile import BadConfiguration

HASH = hashed("operator of the box")


def problems(**variables: str) -> list[str]:
    with pytest.raises(BadConfiguration) as caught:
        read(None, variables)
    return caught.value.problems


def test_with_nothing_set_it_listens_on_this_machine_alone() -> None:
    config = read(None, {})
    assert (config.host, config.port, config.language, config.has_password) == (
        "127.0.0.1",
        8501,
        "pt-BR",
        False,
    )
    assert config.is_loopback
    assert config.warnings() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "192.168.1.9"])
def test_without_a_password_it_starts_on_no_other_address(host: str) -> None:
    """FS-09: no authentication means loopback alone."""
    (said,) = problems(DASHBOARD_HOST=host)
    assert "DASHBOARD_PASSWORD_HASH" in said
    assert "127.0.0.1" in said
    assert "ponte dashboard password" in said
    assert read(None, {"DASHBOARD_HOST": host, "DASHBOARD_PASSWORD_HASH": HASH}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_a_loopback_address_needs_none(host: str) -> None:
    assert read(None, {"DASHBOARD_HOST": host}).is_loopback


def test_all_that_is_wrong_is_said_at_once_and_no_secret_is_quoted() -> None:
    said = problems(
        DASHBOARD_HOST="box.local", DASHBOARD_PORT="70000", DASHBOARD_PASSWORD_HASH="hunter2hunter2",
        DASHBOARD_LANGUAGE="de", DASHBOARD_TLS_CERTIFICATE="/nowhere.pem", DASHBOARD_IDLE_MINUTES="0",
        SCP_PORT="nought",
    )  # fmt: skip
    text = "\n".join(said)
    for name in ("HOST", "PORT", "PASSWORD_HASH", "LANGUAGE", "TLS_CERTIFICATE", "IDLE_MINUTES"):
        assert f"DASHBOARD_{name}" in text
    assert "listeners[0].port" in text
    assert "hunter2" not in text


def test_what_goes_together_is_given_together(tmp_path: Path) -> None:
    certificate = tmp_path / "box.pem"
    certificate.write_text("")
    assert "expected both or none" in problems(DASHBOARD_TLS_CERTIFICATE=str(certificate))[0]
    assert "the operator's" in problems(DASHBOARD_VIEWER_PASSWORD_HASH=HASH)[0]


def test_secrets_may_be_in_files_and_are_in_no_text(tmp_path: Path) -> None:
    file = tmp_path / "hash"
    file.write_text(f"{HASH}\n")
    config = read(None, {"DASHBOARD_PASSWORD_HASH_FILE": str(file), "DASHBOARD_HOST": "0.0.0.0"})
    assert config.password_hash == HASH
    assert HASH not in repr(config)


def test_an_env_file_keeps_a_hash_whole(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DASHBOARD_PASSWORD_HASH='{HASH}'\n")
    assert read(None, {}, env_file=tmp_path / ".env").password_hash == HASH


def test_without_tls_on_a_network_there_is_a_warning() -> None:
    config = read(None, {"DASHBOARD_HOST": "0.0.0.0", "DASHBOARD_PASSWORD_HASH": HASH})
    assert "in the clear" in config.warnings()[0]


def test_the_defaults_are_those_of_the_data_class() -> None:
    config = read(None, {})
    assert config == DashboardConfig(config.router)
