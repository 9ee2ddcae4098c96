"""The on-premises file, as YAML: what was promised of it. Docker itself is not run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.configuration import Configuration
from infra.layers import ROOT
from router.config import RouterConfig
from router.configfile import load

OF_THE_STACK = {"API_HOST", "API_PORT", "DICOM_USERNAME", "DICOM_PASSWORD"}
REFUSED = "set it in .env"


def resolved(tmp_path: Path, *profiles: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """What docker-compose makes of the file with these variables and no `.env` of somebody's."""
    (tmp_path / "compose.yaml").write_text((ROOT / "compose.yaml").read_text())
    chosen = [word for profile in profiles for word in ("--profile", profile)]
    return subprocess.run(
        ["docker-compose", *chosen, "config"],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin"} | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


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


def test_orthanc_is_open_to_the_network_for_a_user_with_a_password_alone(services: dict[str, Any]) -> None:
    told = services["orthanc"]["environment"]
    assert told["ORTHANC__AUTHENTICATION_ENABLED"] == "true"
    assert told["ORTHANC__REMOTE_ACCESS_ALLOWED"] == "true"
    assert "${ORTHANC_PASSWORD:?" in told["ORTHANC__REGISTERED_USERS"]


def test_nothing_but_the_modalities_port_is_published_beyond_this_machine_unasked(
    services: dict[str, Any],
) -> None:
    others = [service for name, service in services.items() if name != "router"]
    assert all("127.0.0.1:" in port for service in others for port in service["ports"])


def test_the_edge_and_the_emulator_are_started_only_when_asked_for(services: dict[str, Any]) -> None:
    profiles = {name: service.get("profiles") for name, service in services.items()}
    assert profiles == {
        "router": ["edge"], "dashboard": ["edge"], "api": None, "orthanc": None, "localstack": ["localstack"],
    }  # fmt: skip


def test_router_and_dashboard_write_into_their_one_volume_alone(services: dict[str, Any]) -> None:
    for name in ("router", "dashboard"):
        service = services[name]
        assert service["user"].split(":")[0] != "0"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
        assert writable == ["${DICOM_VOLUME:-dicom}:/home/dicom"]


def test_the_router_takes_all_of_its_container_and_is_published_on_the_modality_network(
    services: dict[str, Any],
) -> None:
    router = services["router"]
    assert router["ports"] == ["${HTR_IP:-0.0.0.0}:${SCP_PORT:-104}:11112"]
    assert router["environment"]["HTR_IP"] == "0.0.0.0"
    assert router["environment"]["SCP_PORT"] == "11112"
    assert int(router["stop_grace_period"].removesuffix("s")) > RouterConfig().grace_s + 20


@pytest.mark.compose
def test_what_the_router_is_told_without_a_file_is_its_own_default(tmp_path: Path) -> None:
    found = yaml.safe_load(resolved(tmp_path, "edge", ORTHANC_PASSWORD="x").stdout)
    told = found["services"]["router"]["environment"]
    config, default = load(None, told), RouterConfig()
    assert config.target == default.target
    assert config.ae_title == default.ae_title
    assert config.dicom_root == default.dicom_root
    assert config.timezone == default.timezone
    assert config.grace_s == default.grace_s


@pytest.mark.compose
@pytest.mark.parametrize("profiles", [(), ("edge",), ("localstack",), ("edge", "localstack")])
def test_docker_compose_reads_the_file(profiles: tuple[str, ...], tmp_path: Path) -> None:
    done = resolved(tmp_path, *profiles, ORTHANC_PASSWORD="x", HTR_IP="10.0.0.5")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    if "edge" in profiles:
        assert found["router"]["ports"] == ["10.0.0.5:104:11112/tcp"]
    assert json.loads(found["orthanc"]["environment"]["ORTHANC__REGISTERED_USERS"]) == {"ponte": "x"}


@pytest.mark.compose
def test_without_a_password_for_orthanc_nothing_starts(tmp_path: Path) -> None:
    done = resolved(tmp_path)
    assert done.returncode != 0
    assert REFUSED in done.stderr


@pytest.mark.compose
def test_the_hash_of_a_password_comes_through_a_file_as_it_is(tmp_path: Path) -> None:
    written = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA"
    (tmp_path / ".env").write_text(f"ORTHANC_PASSWORD=x\nDASHBOARD_PASSWORD_HASH='{written}'\n")
    done = resolved(tmp_path, "edge")
    assert done.returncode == 0, done.stderr
    told = yaml.safe_load(done.stdout)["services"]["dashboard"]["environment"]
    # `config` doubles the sign, so that what it prints can be read again
    assert told["DASHBOARD_PASSWORD_HASH"].replace("$$", "$") == written


def test_every_variable_is_one_that_is_known(api: dict[str, Any]) -> None:
    known = {name.upper() for name in Configuration.model_fields} | OF_THE_STACK
    assert set(api["environment"]) <= known


def stages() -> dict[str, list[str]]:
    """The Dockerfile's lines by the stage that they belong to."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if match := re.match(r"FROM \S+ AS (\S+)$", line):
            lines = found.setdefault(match[1], [])
        lines.append(line)
    return found


def test_the_images_run_in_the_foreground_and_not_as_root() -> None:
    api, edge = stages()["api"], stages()["edge"]
    assert api[-1] == 'CMD [".venv/bin/ponte", "up", "--foreground"]'
    assert 'CMD ["ponte", "router", "run"]' in edge
    for stage in (api, edge):
        assert [line for line in stage if line.startswith("USER")] == ["USER 10001:10001"]


def test_the_image_that_is_built_without_a_name_is_the_api() -> None:
    assert list(stages())[-1] == "api"


def test_nothing_of_building_is_in_the_edge_image() -> None:
    edge = "\n".join(stages()["edge"])
    assert "COPY --from=edge-tree /opt/ponte /opt/ponte" in edge
    assert not re.search(r"apt-get|pip install|bootstrap", edge)


def test_all_that_the_images_are_made_from_is_sent_to_them() -> None:
    text = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    wanted = {name for names in copied for name in names.split()}
    assert {name.split("/")[0] for name in wanted} == sent
    assert all((ROOT / name).exists() for name in wanted)


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
