"""What a clinic sets, and what it is told when that is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.config import HIDDEN, AlertsConfig, AlertWebhookConfig, EmailConfig, RouterConfig
from router.configfile import ENVIRONMENT, BadConfiguration, load
from tests.corpus import ROOT


def problems(text: str, tmp_path: Path, **environment: str) -> list[str]:
    (tmp_path / "router.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadConfiguration) as bad:
        load(tmp_path / "router.yaml", environment)
    return bad.value.problems


def test_the_defaults_are_those_of_the_old_system() -> None:
    config = load(None, {})
    (listener,) = config.listeners
    assert (listener.address, listener.port, config.ae_title) == ("0.0.0.0", 104, "STORESCP")
    assert config.dicom_root == Path("/home/dicom")
    assert (config.target.host, config.target.port, config.target.ae_title) == (
        "192.168.10.16",
        4243,
        "ZEROCLICK",
    )
    assert config.timezone == "America/Sao_Paulo"
    assert any("HTR_IP" in warning for warning in config.warnings())


def test_the_environment_sets_what_every_clinic_has(tmp_path: Path) -> None:
    config = load(
        None,
        {
            "HTR_IP": "10.0.0.5", "SCP_PORT": "11112", "SCP_SECOND_PORT": "4100", "SCP_AET": "HTR",
            "DICOM_ROOT": str(tmp_path), "TARGET_HOST": "pacs", "TARGET_PORT": "11113", "TARGET_AET": "PACS",
            "TZ": "Europe/Lisbon",
        },
    )  # fmt: skip
    assert [(one.address, one.port) for one in config.listeners] == [("10.0.0.5", 11112), ("10.0.0.5", 4100)]
    assert (config.ae_title, config.dicom_root, config.timezone) == ("HTR", tmp_path, "Europe/Lisbon")
    assert (config.target.host, config.target.port, config.target.ae_title) == ("pacs", 11113, "PACS")
    assert config.warnings() == []


def test_variables_win_over_the_env_file_and_that_over_yaml(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text("ae_title: YAML\ntarget: {host: yaml, ae_title: YAML}\n")
    (tmp_path / ".env").write_text("# clinic\nexport SCP_AET='ENVFILE'\nTARGET_HOST=envfile # the PACS\n")
    config = load(tmp_path / "router.yaml", {"SCP_AET": "VARIABLE"}, env_file=tmp_path / ".env")
    assert (config.ae_title, config.target.host, config.target.ae_title) == ("VARIABLE", "envfile", "YAML")


def test_yaml_sets_everything_else(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(
        """
listeners:
  - {port: 104, address: 10.0.0.5, name: modalities}
  - port: 2762
    address: 10.0.0.5
    tls: {certificate_file: c.pem, key_file: k.pem, key_password_file: SECRET}
access: {calling_ae_titles: [CT1, MR1], addresses: [10.0.0.0/24]}
limits: {associations: 8, idle_s: 2.5}
commitment: {peers: {CT1: {host: 10.0.0.9, port: 4006}}}
""".replace("SECRET", str(tmp_path / "secret"))
    )
    (tmp_path / "secret").write_text("canary\n")
    config = load(tmp_path / "router.yaml", {})
    assert [one.label for one in config.listeners] == ["modalities", "2762"]
    assert config.access.calling_ae_titles == ("CT1", "MR1")
    assert (config.limits.associations, config.limits.idle_s) == (8, 2.5)
    assert config.commitment.peers["CT1"].port == 4006
    tls = config.listeners[1].tls
    assert tls is not None
    assert tls.key_password == "canary"
    shown = config.shown()
    assert shown["listeners"][1]["tls"]["key_password"] == HIDDEN
    assert "canary" not in str(shown) + repr(config)


def test_all_that_is_wrong_is_said_at_once_by_name(tmp_path: Path) -> None:
    text = """
ae_title: A TITLE THAT IS TOO LONG
listeners: [{port: 70000, address: nowhere}, {address: 10.0.0.5}]
limits: {associations: many, idle_s: 0}
access: {addresses: [10.0.0.0/99]}
timezone: Mars/Olympus
colour: red
"""
    assert sorted(one.split(":")[0] for one in problems(text, tmp_path, TARGET_PORT="x")) == [
        "access.addresses[0]", "ae_title", "colour", "limits.associations", "limits.idle_s",
        "listeners[0].address", "listeners[0].port", "listeners[1].port", "target.port", "timezone",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "limits: 5\n", "listeners: x\n"])
def test_what_is_no_configuration_is_said(text: str, tmp_path: Path) -> None:
    assert problems(text, tmp_path)


def test_a_value_can_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "title").write_text("FROMFILE\n")
    assert load(None, {"SCP_AET_FILE": str(tmp_path / "title")}).ae_title == "FROMFILE"
    with pytest.raises(BadConfiguration, match="SCP_AET_FILE"):
        load(None, {"SCP_AET_FILE": str(tmp_path / "nowhere")})


def test_listeners_are_said_in_one_way_so_that_none_is_dropped_in_silence(tmp_path: Path) -> None:
    assert problems("listeners: [{port: 2762}]\n", tmp_path, HTR_IP="10.0.0.5") == [
        "listeners: HTR_IP or SCP_PORT is set as well; expected one of the two ways"
    ]


def test_the_log_has_a_file_unless_it_is_turned_off(tmp_path: Path) -> None:
    root = {"DICOM_ROOT": str(tmp_path)}
    assert load(None, root).log_path == tmp_path / ".spool/log/router.log"
    assert load(None, {**root, "LOG_FILE": "/var/log/router.log"}).log_path == Path("/var/log/router.log")
    assert load(None, {**root, "LOG_FILE": ""}).log_path is None


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RouterConfig().ae_title = "X"  # type: ignore[misc]


def test_the_document_shows_what_can_be_set(tmp_path: Path) -> None:
    text = (ROOT / "docs/router.md").read_text(encoding="utf-8")
    (tmp_path / "router.yaml").write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    shown = load(tmp_path / "router.yaml", {}).shown()
    assert [one["port"] for one in shown["listeners"]] == [104, 4100, 2762]
    defaults = RouterConfig().shown()
    assert (shown["limits"], shown["disk"]) == (defaults["limits"], defaults["disk"])
    for name in (*ENVIRONMENT, "HTR_IP", "SCP_PORT", "SCP_SECOND_PORT"):
        assert f"`{name}`" in text
    text += (ROOT / "docs/destinations.md").read_text(encoding="utf-8")
    alarms = {
        found for path in (ROOT / "edge/router").glob("*.py")
        for found in re.findall(r'"alarm": "([A-Z_]+)"', path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert {alarm for alarm in alarms if f"`{alarm}`" not in text} == set()


ALERTS = """
alerts:
  site: Clínica Sol
  email:
    host: mail.clinic.example
    sender: ponte@clinic.example
    recipients: [night@clinic.example, ti@clinic.example]
    username: ponte
    password_file: SECRET
  webhook: {url: "http://10.0.0.9/alerts", secret: whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5}
cloudwatch: {site: sol, region: sa-east-1}
"""


def test_alerts_are_off_until_somebody_is_named_and_their_secrets_are_hidden(tmp_path: Path) -> None:
    assert (RouterConfig().alerts.email, RouterConfig().alerts.webhook, RouterConfig().cloudwatch) == (
        None, None, None,
    )  # fmt: skip
    (tmp_path / "secret").write_text("canary\n")
    (tmp_path / "router.yaml").write_text(ALERTS.replace("SECRET", str(tmp_path / "secret")))
    config = load(tmp_path / "router.yaml", {"HTR_IP": "10.0.0.5", "SCP_PORT": "11112"})
    assert config.alerts.email is not None
    assert config.alerts.email.password == "canary"
    assert config.warnings() == []
    for shown in (repr(config), str(config.shown())):
        assert "canary" not in shown
        assert "Y2FuYXJ5" not in shown
        assert "10.0.0.9" not in shown
    assert config.shown()["alerts"]["webhook"]["secret"] == HIDDEN


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alerts: {language: de}", "alerts.language"),
        ("alerts: {site: 'a\\nb'}", "alerts.site"),
        ("alerts: {unforwarded_s: 0}", "alerts.unforwarded_s"),
        ("alerts: {email: {host: m, sender: a@b}}", "alerts.email.recipients"),
        ("alerts: {email: {host: m, sender: a@b, recipients: []}}", "alerts.email.recipients"),
        ("alerts: {email: {host: m, sender: a@b, recipients: ['a@b', 'x']}}", "alerts.email.recipients"),
        ('alerts: {email: {host: m, sender: "a@b\\r\\nBcc: c@d", recipients: [a@b]}}', "alerts.email.sender"),
        (
            "alerts: {email: {host: m, sender: a@b, recipients: [a@b], security: ssl}}",
            "alerts.email.security",
        ),
        ("alerts: {webhook: {url: 'ftp://x/'}}", "alerts.webhook.url"),
        ("alerts: {webhook: {url: 'http://x/', secret: canary}}", "alerts.webhook.secret"),
        ("cloudwatch: {region: sa-east-1}", "cloudwatch.site"),
        ("cloudwatch: {site: ''}", "cloudwatch.site"),
        ("cloudwatch: {site: clínica}", "cloudwatch.site"),
        ("cloudwatch: {site: sol, namespace: AWS/EC2}", "cloudwatch.namespace"),
    ],
)
def test_alerts_that_would_reach_nobody_are_refused_by_name(text: str, name: str, tmp_path: Path) -> None:
    (problem,) = problems(f"{text}\n", tmp_path)
    assert problem.startswith(name)
    assert "canary" not in problem


def test_what_is_allowed_and_seldom_meant_is_said() -> None:
    email = EmailConfig("m", "a@b", ("a@b",), security="none", username="x")
    alerts = AlertsConfig(email=email, webhook=AlertWebhookConfig("http://x/"))
    said = " ".join(RouterConfig(alerts=alerts).warnings())
    for part in ("alerts.email.security is none", "a username or a password", "alerts.webhook has no secret"):
        assert part in said


def test_a_variable_names_the_yaml_file_where_nobody_else_does(tmp_path: Path) -> None:
    named, other, env_file = (tmp_path / name for name in ("named.yaml", "other.yaml", ".env"))
    named.write_text("grace_s: 7\n")
    other.write_text("grace_s: 8\n")
    env_file.write_text(f"ROUTER_CONFIG={named}\n")
    assert load(None, {}, env_file=env_file).grace_s == 7
    assert load(other, {}, env_file=env_file).grace_s == 8
    assert load(None, {"ROUTER_CONFIG": ""}, env_file=env_file).grace_s == 25
    with pytest.raises(BadConfiguration, match="cannot be read"):
        load(None, {"ROUTER_CONFIG": str(tmp_path / "missing.yaml")})
