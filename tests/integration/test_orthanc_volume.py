"""Orthanc as compose.yaml sets it: closed without a password, open to the network; its studies outlive it.

The real Orthanc of Debian with these settings, one process after the other on the same folder; the image's
own way of turning variables into settings is written anew here, for no container runs.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from infra.layers import ROOT
from infra.local.orthanc import program
from infra.local.process import free_port, wait_for
from tests.factories import encode, make_ct

pytestmark = pytest.mark.orthanc

PASSWORD = "only-in-this-test"
IN_THE_CONTAINER = "/var/lib/orthanc/db"


def setting(name: str) -> str:
    """ORTHANC__DICOM_AET is DicomAet."""
    return "".join(word.capitalize() for word in name.removeprefix("ORTHANC__").split("_"))


def settings(volume: Path) -> dict[str, Any]:
    """What compose.yaml gives, with its volume at a folder of ours and ports that are free."""
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["orthanc"]
    assert service["volumes"] == [f"orthanc:{IN_THE_CONTAINER}"]
    found: dict[str, Any] = {}
    for name, value in service["environment"].items():
        if not name.startswith("ORTHANC__"):
            continue
        text = value.replace("${ORTHANC_PASSWORD:?set it in .env}", PASSWORD)
        text = text.replace("${ORTHANC_USER:-ponte}", "ponte").replace("${ORTHANC_AET:-ORTHANC}", "ORTHANC")
        text = text.replace(IN_THE_CONTAINER, str(volume))
        found[setting(name)] = json.loads(text) if text[0] in '{"' or text in ("true", "false") else text
    return found | {"HttpPort": free_port(), "DicomPort": free_port()}


@contextmanager
def orthanc(volume: Path) -> Iterator[str]:
    """Its address while it runs. It is ended as `docker stop` does, by SIGTERM."""
    found = settings(volume)
    configuration = volume.parent / "orthanc.json"
    configuration.write_text(json.dumps(found))
    address = f"http://127.0.0.1:{found['HttpPort']}"
    executable = program()
    assert executable is not None
    with (volume.parent / "orthanc.log").open("ab") as log:
        child = subprocess.Popen([executable, configuration], stdout=log, stderr=log)
        try:
            wait_for(lambda: status(address) == 200, timeout_s=60, msg="Orthanc does not answer")
            yield address
        finally:
            child.terminate()
            child.wait(60)


def ask(address: str, method: str = "GET", body: bytes | None = None, password: str = PASSWORD) -> Any:
    headers = urllib3.make_headers(basic_auth=f"ponte:{password}") if password else {}
    return urllib3.request(method, address, body=body, headers=headers, retries=False, timeout=10)


def status(address: str, password: str = PASSWORD) -> int:
    try:
        return int(ask(f"{address}/system", password=password).status)
    except urllib3.exceptions.HTTPError:
        return 0


def test_studies_outlive_a_restart_and_nobody_reads_them_without_the_password(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    instance = encode(make_ct(1))
    with orthanc(volume) as address:
        assert ask(f"{address}/instances", "POST", instance).json()["Status"] == "Success"
        assert status(address, password="") == 401
        assert status(address, password="wrong") == 401
    with orthanc(volume) as address:
        (identity,) = ask(f"{address}/instances").json()
        assert ask(f"{address}/instances/{identity}/file").data == instance
        assert len(ask(f"{address}/studies").json()) == 1


def test_it_answers_to_other_machines(tmp_path: Path) -> None:
    assert settings(tmp_path)["RemoteAccessAllowed"] is True
    assert settings(tmp_path)["DicomAet"] == "ORTHANC"
