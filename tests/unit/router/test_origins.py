"""Where each value comes from."""

from __future__ import annotations

from pathlib import Path

from router.config import HIDDEN
from router.configfile import load
from router.origins import settings

YAML = """\
studies: {quiet_s: 5}
log_level: DEBUG
destinations:
  - {kind: dicom, name: pacs, host: h, ae_title: A}
  - {kind: orthanc, name: web, url: "http://h", username: u, password: secret-1}
"""


def test_environment_env_file_yaml_and_default_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "router.yaml").write_text(YAML)
    (tmp_path / ".env").write_text(f"DICOM_ROOT={tmp_path}\nSCP_AET=FROM_FILE\nHTR_IP=127.0.0.1\n")
    environment = {"SCP_AET": "FROM_ENV", "TARGET_HOST": "10.0.0.9"}
    path, env_file = tmp_path / "router.yaml", tmp_path / ".env"
    config = load(path, environment, env_file=env_file)
    found = {one.name: one for one in settings(config, path, environment, env_file)}
    origins = {name: (one.origin, one.variable) for name, one in found.items()}
    assert origins["ae_title"] == ("environment", "SCP_AET")
    assert origins["dicom_root"] == ("env_file", "DICOM_ROOT")
    assert origins["listeners[0].address"] == ("env_file", "HTR_IP")
    assert origins["studies.quiet_s"] == ("yaml", "")
    assert origins["studies.limit_s"] == ("default", "")
    assert origins["destinations[0].host"] == ("environment", "TARGET_HOST")
    assert origins["destinations[1].host"] == ("yaml", "")
    assert origins["destinations[1].port"] == ("default", "")
    assert found["destinations[1].name"].value == "pacs"
    assert found["destinations[2].password"].value in (HIDDEN, "**********")
    assert not any("secret-1" in one.value for one in found.values())


def test_a_file_that_is_gone_is_no_origin(tmp_path: Path) -> None:
    config = load(None, {})
    found = settings(config, tmp_path / "gone.yaml", {}, None)
    assert {one.origin for one in found} == {"default"}
