"""The on-premises file, as YAML: what was promised of it. Docker itself is not run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from infra.configuration import Configuration
from infra.layers import ROOT


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


@pytest.fixture(scope="module")
def api(services: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = services["api"]
    return found


def test_the_api_is_on_port_9000_and_its_health_is_asked_as_promised(api: dict[str, Any]) -> None:
    assert api["ports"] == ["${API_PUBLISH:-127.0.0.1:9000}:9000"]
    assert api["environment"]["API_HOST"] == "0.0.0.0"
    health = api["healthcheck"]
    assert "http://127.0.0.1:9000/health" in health["test"][-1]
    asked = [health[key] for key in ("interval", "timeout", "retries", "start_period")]
    assert asked == ["30s", "10s", 3, "10s"]


def test_it_comes_back_and_is_limited_as_promised(api: dict[str, Any]) -> None:
    assert api["restart"] == "unless-stopped"
    assert api["deploy"]["resources"]["limits"] == {"cpus": "2", "memory": "4G"}


def test_it_is_not_root_and_writes_only_where_it_must(api: dict[str, Any]) -> None:
    assert api["user"].split(":")[0] != "0"
    assert api["read_only"] is True
    assert api["cap_drop"] == ["ALL"]


def test_orthanc_keeps_its_database_in_a_volume(services: dict[str, Any]) -> None:
    assert services["orthanc"]["volumes"] == ["orthanc:/var/lib/orthanc/db"]
    assert services["api"]["environment"]["DICOM_WADO_URL"].endswith("http://orthanc:8042/dicom-web}")


def test_nothing_is_published_beyond_this_machine_unasked(services: dict[str, Any]) -> None:
    for service in services.values():
        assert all("127.0.0.1:" in port for port in service["ports"])


def test_the_emulator_is_started_only_when_asked_for(services: dict[str, Any]) -> None:
    assert services["localstack"]["profiles"] == ["localstack"]
    assert [name for name, service in services.items() if "profiles" not in service] == ["api", "orthanc"]


def test_every_variable_is_one_that_is_known(api: dict[str, Any]) -> None:
    known = {name.upper() for name in Configuration.model_fields} | {"API_HOST", "API_PORT"}
    assert set(api["environment"]) <= known


def test_the_image_runs_the_stack_in_the_foreground_and_not_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert lines[-1] == 'CMD [".venv/bin/ponte", "up", "--foreground"]'
    assert [line for line in lines if line.startswith("USER")] == ["USER ponte"]


def test_all_that_the_image_is_made_from_is_sent_to_it() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    wanted = {name for names in copied for name in names.split()}
    assert wanted == sent
    assert all((ROOT / name).exists() for name in wanted)
