"""What a real archive has of what it took: asked by C-FIND and by QIDO-RS, the missing sent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from typer.testing import CliRunner

from cli.main import app
from infra.local.orthanc import Orthanc
from router.receipt_check import verify
from router.receipt_keys import PUBLIC_NAME, read_public_key
from tests.factories import STUDY_UID, make_ct
from tests.integration.test_router_control import sent_to, settings, wait
from tests.unit.cli.test_render import run
from tests.unit.router.forwarding import all_in, dicom, forwarding, receive, wait_for
from tests.unit.router.store import Store

MANY, LOST = 180, 8

pytestmark = pytest.mark.orthanc


def lose(orthanc: Orthanc, count: int, *, of: int = MANY) -> None:
    """Delete some of what it has, as an operator of the archive would."""
    headers = urllib3.make_headers(basic_auth=f"{orthanc.username}:{orthanc.password}")
    with urllib3.PoolManager(headers=headers) as http:
        ids = http.request("GET", f"{orthanc.url}/instances").json()
        assert len(ids) == of
        for name in sorted(ids)[:count]:
            assert http.request("DELETE", f"{orthanc.url}/instances/{name}").status == 200


def reconcile(root: Path, values: dict[str, Any], *arguments: str) -> tuple[int, dict[str, Any]]:
    config = root.parent / "router.yaml"
    config.write_text(yaml.safe_dump({"dicom_root": str(root), "destinations": [values]}))
    (root.parent / ".env").write_text("HTR_IP=127.0.0.1\n")
    command = ["router", "reconcile", STUDY_UID, "--json", "--config", str(config)]
    said = CliRunner().invoke(app, [*command, "--env-file", str(root.parent / ".env"), *arguments])
    (one,) = json.loads(said.stdout)["results"]
    return said.exit_code, one


@pytest.mark.parametrize("kind", ["dicom", "dicomweb"])
def test_eight_of_180_that_an_archive_lost_are_found_out_and_sent_again(kind: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    receive(store, [make_ct(number, size=16, series=number % 3) for number in range(MANY)])
    modalities = {"router": ("STORESCP", "127.0.0.1", 104)}
    with Orthanc(tmp_path / "orthanc", dimse=True, modalities=modalities) as orthanc:
        values = dicom("pacs", orthanc.dicom_port, ae_title="ORTHANC")
        if kind == "dicomweb":
            values = {
                "kind": kind, "name": "pacs", "url": orthanc.dicomweb_url, "username": orthanc.username,
                "password": orthanc.password,
            }  # fmt: skip
        with forwarding(store, values):
            wait_for(all_in(store, "pacs", "sent", MANY), "sent", timeout_s=60)
        store.close()
        assert reconcile(tmp_path / "root", values)[0] == 0
        lose(orthanc, LOST)
        code, found = reconcile(tmp_path / "root", values, "--resend")
        assert (code, found["words"], found["resent"]) == (1, "172 of 180 arrived", LOST)
        assert len(found["missing"]) == LOST
        store = Store(tmp_path / "root")
        with forwarding(store, values):
            wait_for(all_in(store, "pacs", "sent", MANY), "sent again", timeout_s=60)
        store.close()
        assert reconcile(tmp_path / "root", values) == (
            0,
            {**found, "words": "180 of 180 arrived", "arrived": MANY, "missing": [], "resent": None,
             "complete": True},
        )  # fmt: skip


def test_a_router_that_runs_sends_the_missing_again_and_its_receipt_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "dicom"

    def ponte(*arguments: str) -> tuple[int, str]:
        config = ("--root", str(root), "--config", str(tmp_path / "router.yaml"))
        code = run(monkeypatch, "router", *arguments, *config)
        return code, capsys.readouterr().out

    with Orthanc(tmp_path / "orthanc") as orthanc:
        values = {
            "kind": "dicomweb", "name": "pacs", "url": orthanc.dicomweb_url, "username": orthanc.username,
            "password": orthanc.password,
        }  # fmt: skip
        text = settings(values, studies={"quiet_s": 1, "keep_s": 3600})
        (tmp_path / "router.yaml").write_text(text)
        with sent_to(root, 1, 2, 3, yaml_text=text):
            wait(root, *["sent"] * 3)
            assert ponte("reconcile", STUDY_UID)[0] == 0
            lose(orthanc, 2, of=3)
            code, said = ponte("reconcile", STUDY_UID, "--resend")
            assert (code, "1 of 3 arrived" in said, "2 of the missing 2 go again" in said) == (1, True, True)
            wait(root, *["sent"] * 3)
            assert ponte("reconcile", STUDY_UID) == (0, f"{STUDY_UID} at pacs: 3 of 3 arrived\n")
            code, content = ponte("receipt", STUDY_UID, "--json")
        found = verify(content.encode(), read_public_key(root / ".spool" / PUBLIC_NAME))
    assert (code, found["totals"]["delivered"]) == (0, 3)
    assert {one["destinations"][0]["state"] for one in found["instances"]} == {"sent"}
