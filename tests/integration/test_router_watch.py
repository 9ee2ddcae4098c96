"""A dropped ZIP on its way through a real router process, killed on the way.

HAZARDS.md I1 to I3, FS-07: what the report calls kept is in the spool, once, and arrives.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.process import free_port, wait_for
from router.controlclient import call
from router.views import Views
from tests.factories import STUDY_UID
from tests.hazards.test_router_service import Router
from tests.told_scp import Stored, told_scp
from tests.unit.router.forwarding import dicom, recorder
from tests.unit.router.test_zipwatch import watch
from tests.unit.watcher.helpers import exam, uids

NUMBERS = range(1, 9)


@contextmanager
def running(box: Path, *destinations: dict[str, Any], failpoint: str = "") -> Iterator[Router]:
    section = watch(box, logging={"file": str(box / "zip.log")})
    settings = {"destinations": list(destinations), "watch": section, "studies": {"keep_s": 3600}}
    (box / "watch_dir").mkdir(parents=True, exist_ok=True)
    router = Router(box / "dicom", free_port(), failpoint, yaml.safe_dump(settings), {"HTR_IP": "127.0.0.1"})
    try:
        if not failpoint:
            router.wait_until_started()
        yield router
    finally:
        if router.is_running:
            router.kill()


def drop(box: Path, data: bytes) -> None:
    (box / ".part").write_bytes(data)
    (box / ".part").rename(box / "watch_dir" / "SILVA.zip")


def report(box: Path) -> dict[str, Any]:
    path = box / "archive_dir/SILVA.zip.report.json"
    wait_for(lambda: path.exists() and path.stat().st_size > 0, timeout_s=60, msg="no report")
    return dict(json.loads(path.read_text()))


def states(box: Path) -> dict[str, str]:
    """Of all that is kept, by UID: what became of it at the destination."""
    with Views(box / "dicom") as views:
        return {
            one.sop_instance_uid: one.deliveries[0].state if one.deliveries else ""
            for one in views.instances(STUDY_UID)
            if one.state == "kept"
        }


@pytest.mark.parametrize("failpoint", ["written:4", "renamed:4", "committed:4"])
def test_killed_while_it_takes_a_zip_in_it_goes_on_without_loss_or_doubles(
    failpoint: str, tmp_path: Path
) -> None:
    box, taken = tmp_path / "box", list[Stored]()
    (box / "watch_dir").mkdir(parents=True)
    drop(box, exam(*NUMBERS))
    with running(box, dicom("pacs", 9), failpoint=failpoint) as router:
        assert router.wait() == 137
    assert not (box / "archive_dir/SILVA.zip.report.json").exists()
    with told_scp(recorder(taken)) as scp, running(box, dicom("pacs", scp.port)) as router:
        said = report(box)
        assert (said["verdict"], said["totals"]["kept"], said["totals"]["delivered"]) == ("done", 8, 0)
        expected = dict.fromkeys(uids(*NUMBERS), "sent")
        wait_for(lambda: states(box) == expected, timeout_s=60, msg="not all is sent")
        assert len(list((box / "dicom/.spool/kept").glob("*/*"))) == 8
        assert len(taken) == 8
        parts = {one["name"]: one["state"] for one in call(box / "dicom", "status")["parts"]}
        assert parts["watcher"] == "running"
        router.end()
        assert router.wait() == 0
    told = json.dumps(router.log) + (box / "dicom/.spool/log/router.log").read_text()
    assert "SILVA" not in told
    assert uids(1)[0] not in told
    assert "Queue OK: IM1.dcm" in (box / "zip.log").read_text()


def test_fs_07_a_folder_that_goes_while_the_router_runs(tmp_path: Path) -> None:
    box = tmp_path / "box"
    with running(box, dicom("pacs", 9)) as router:
        wait_for(lambda: _has(router, "message", "folder watched"), timeout_s=20, msg="not watched")
        shutil.rmtree(box / "watch_dir")
        wait_for(lambda: _has(router, "alarm", "WATCH_FOLDER_GONE"), timeout_s=20, msg="no alarm")
        assert call(box / "dicom", "status")["refusing"] is None
        (box / "watch_dir").mkdir()
        drop(box, exam(1))
        assert report(box)["verdict"] == "done"
        assert router.is_running


def _has(router: Router, key: str, value: str) -> bool:
    return any(line.get(key) == value for line in list(router.log))
