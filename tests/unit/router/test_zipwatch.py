"""ZIPs that are dropped into a folder go into the router's queue, or as they are to a bucket."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.box import Box
from router.config import RouterConfig
from router.configfile import BadConfiguration, load
from router.counters import Counters
from router.spool import Spool
from tests.factories import encode, make_ct
from tests.told_scp import Stored, told_scp
from tests.unit.router.forwarding import dicom, recorder, wait_for
from tests.unit.router.test_control_verbs import Router, listen
from tests.unit.watcher.helpers import exam, uids

ONLY_ZIP = [{"include": {"calling_ae_title": ["ZIP"]}}]
REFUSING = {"kind": "s3", "name": "cloud", "bucket": "inbox", "region": "sa-east-1"}


def watch(root: Path, **more: Any) -> dict[str, Any]:
    """The section of the router's YAML."""
    return {
        "paths": {name: str(root / name) for name in ("watch_dir", "work_dir", "archive_dir")},
        "behavior": {"poll_interval_seconds": 0.05, "wait_zip_complete_seconds": 0.05},
        **more,
    }


class Watched(Router):
    """A router with a watched folder, from a YAML file as a clinic writes it."""

    def __init__(self, root: Path, *destinations: dict[str, Any], **more: Any) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        (root / "watch_dir").mkdir(exist_ok=True)
        values = {
            "dicom_root": str(root / "dicom"), "destinations": list(destinations),
            "disk": {"associations_bytes": 0, "instances_bytes": 0}, "studies": {"keep_s": 3600},
            "watch": watch(root, **more),
        }  # fmt: skip
        (root / "router.yaml").write_text(yaml.safe_dump(values))
        self.config: RouterConfig = load(root / "router.yaml", {})
        self.ended = 0
        spool = Spool(root / "dicom")
        spool.make()
        self.box = Box(self.config, spool, listen, Counters(), read_config=lambda: self.config)
        self.box.parts.start()

    def drop(self, name: str, data: bytes) -> None:
        part = self.root / "watch_dir" / ".part"
        part.write_bytes(data)
        part.rename(self.root / "watch_dir" / name)

    def report(self, name: str) -> dict[str, Any]:
        """The report on an archive, once it is done with."""
        path = self.root / "archive_dir" / f"{name}.report.json"
        queue = self.root / "work_dir" / "queue"
        wait_for(
            lambda: path.exists() and path.stat().st_size and not list(queue.iterdir()), f"report on {name}"
        )
        return dict(json.loads(path.read_text()))

    def kept(self) -> list[str]:
        query = "SELECT sop_instance_uid FROM instances WHERE state = 'kept' ORDER BY number"
        return [uid for (uid,) in self.rows(query)]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    routers: list[Watched] = []

    def start(*destinations: dict[str, Any], **more: Any) -> Watched:
        routers.append(Watched(tmp_path / "box", *destinations, **more))
        return routers[-1]

    yield start
    if routers:
        routers[-1].stop()


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [getattr(one, "alarm", "") for one in caplog.records]


def test_members_are_kept_in_the_queue_and_forwarded_by_the_same_rules(
    started: Callable[..., Watched],
) -> None:
    taken: list[Stored] = []
    with told_scp(recorder(taken)) as scp:
        router = started(dicom("pacs", scp.port, rules=ONLY_ZIP), dicom("other", 9, rules=[
            {"include": {"calling_ae_title": ["CT1"]}}
        ]))  # fmt: skip
        router.drop("exam.zip", exam(1, 2, 3))
        router.wait("pacs", "sent", "sent", "sent")
        report = router.report("exam.zip")
    assert (report["verdict"], report["totals"]["accepted"], report["totals"]["kept"]) == ("done", 3, 3)
    assert report["totals"]["delivered"] == 0, "nobody has it yet but the router"
    assert {one["destination"]["status"] for one in report["entries"]} == {"kept"}
    page = (router.root / "archive_dir/exam.zip.report.html").read_text()
    assert "guardada na fila do roteador, a enviar" in page
    assert router.kept() == uids(1, 2, 3)
    assert router.states("other") == []
    rows = router.rows("SELECT DISTINCT source_ae_title FROM instances")
    assert rows == [("ZIP",)]
    query = "SELECT calling_ae_title, listener, ended_at IS NULL FROM associations"
    assert router.rows(query) == [("ZIP", "zip", 0)]
    assert (router.root / "archive_dir/exam.zip").exists()


def test_what_is_here_already_is_not_kept_twice(started: Callable[..., Watched]) -> None:
    router = started(dicom("pacs", 9))
    router.receive(1)
    router.drop("a.zip", exam(1, 2))
    router.drop("b.zip", exam(1, 2, 3))
    assert router.report("a.zip")["verdict"] == "done"
    assert router.report("b.zip")["verdict"] == "done"
    assert sorted(router.kept()) == sorted(uids(1, 2, 3))
    assert len(list(router.box.spool.places())) == 3


def test_what_is_not_sound_is_in_the_routers_own_quarantine(
    started: Callable[..., Watched], caplog: pytest.LogCaptureFixture
) -> None:
    router = started(dicom("pacs", 9))
    router.receive(1)
    broken, other = make_ct(2), make_ct(1, size=32)
    del broken.PixelData
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number, instance in enumerate((broken, other, make_ct(3))):
            archive.writestr(f"SILVA{number}.dcm", encode(instance))
    router.drop("exam.zip", data.getvalue())
    report = router.report("exam.zip")
    assert (report["verdict"], report["totals"]["kept"]) == ("partial", 1)
    reasons = [one.record.reason for one in router.box.quarantine.list()]
    assert sorted(reasons) == ["DESTINATION_REFUSED", "NO_PIXEL_DATA"]
    conflict = next(one for one in report["entries"] if one["reason"] == "DESTINATION_REFUSED")
    assert "UID_CONFLICT" in conflict["detail"]
    assert router.ask("status")["quarantine"] == {"DESTINATION_REFUSED": 1, "NO_PIXEL_DATA": 1}
    said = [one.getMessage() for one in caplog.records if one.name != "ponte.watch"]  # its own file
    assert "SILVA" not in str(said)


def test_an_archive_that_is_none_is_quarantined_with_an_alarm(
    started: Callable[..., Watched], caplog: pytest.LogCaptureFixture
) -> None:
    router = started(dicom("pacs", 9), ponte={"give_up_seconds": 0.1})
    router.drop("SILVA.zip", b"PK nothing")
    assert router.report("SILVA.zip")["verdict"] == "quarantined"
    (kept,) = router.box.quarantine.list()
    assert kept.record.kind == "archive"
    assert "ARCHIVE_QUARANTINED" in alarms(caplog)
    before = len(logging.getLogger("ponte.watch.console").handlers)
    router.ask("restart", part="watcher")
    router.drop("exam.zip", exam(1))
    assert router.report("exam.zip")["verdict"] == "done"
    assert len(logging.getLogger("ponte.watch.console").handlers) == before > 0


def test_fs_07_a_folder_that_is_gone_is_an_alarm_and_taken_up_again(started: Callable[..., Watched]) -> None:
    """The router goes on receiving; what was dropped before is not lost."""
    router = started(dicom("pacs", 9))
    folder = router.root / "watch_dir"
    wait_for(lambda: router.box.watcher and router.box.watcher.folders[str(folder)], "the folder")
    shutil.rmtree(folder)
    assert router.box.watcher is not None
    wait_for(lambda: router.box.watcher and not router.box.watcher.folders[str(folder)], "the alarm")
    assert router.box.parts.states()["watcher"] == "running"
    router.receive(9)
    folder.mkdir()
    router.drop("exam.zip", exam(1))
    assert router.report("exam.zip")["verdict"] == "done"
    assert router.box.watcher.folders[str(folder)]


def test_fs_07_a_folder_that_cannot_be_written_is_an_alarm_and_nothing_is_taken(
    started: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    router = started(dicom("pacs", 9))
    whole = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if path.suffix == ".zip" and path.parent.name == "watch_dir":
            raise OSError(errno.EROFS, "Read-only file system")
        return whole(path, target)

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(getattr(record, "alarm", ""))

    handler = Notes()
    logging.getLogger("ponte.watch.console").addHandler(handler)
    monkeypatch.setattr(Path, "rename", rename)
    router.drop("exam.zip", exam(1))
    wait_for(lambda: "ARCHIVE_NOT_TAKEN" in told, "the alarm")
    assert router.kept() == []
    monkeypatch.setattr(Path, "rename", whole)
    assert router.report("exam.zip")["verdict"] == "done"
    assert router.kept() == uids(1)
    logging.getLogger("ponte.watch.console").removeHandler(handler)


def test_fs_07_folders_that_cannot_be_made_keep_nobody_from_receiving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive folder on a share that is not there yet."""
    monkeypatch.setattr("router.zipwatch._AGAIN_S", 0.05)
    (tmp_path / "box").mkdir()
    (tmp_path / "box/archive_dir").touch()
    router = Watched(tmp_path / "box", dicom("pacs", 9))
    try:
        wait_for(lambda: "WATCHER_FAILED" in alarms(caplog), "the alarm")
        router.receive(1)
        (tmp_path / "box/archive_dir").unlink()
        router.drop("exam.zip", exam(2))
        assert router.report("exam.zip")["verdict"] == "done"
    finally:
        router.stop()


def test_fs_08_a_clock_that_is_moved_back_holds_up_nothing(
    started: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    router = started(dicom("pacs", 9))
    router.drop("before.zip", exam(1))
    assert router.report("before.zip")["verdict"] == "done"
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 10 * 365 * 86400)
    router.drop("after.zip", exam(2))
    assert router.report("after.zip")["verdict"] == "done"
    assert router.kept() == uids(1, 2)


def test_while_it_drains_archives_wait(started: Callable[..., Watched]) -> None:
    router = started(dicom("pacs", 9))
    router.ask("drain")
    router.drop("exam.zip", exam(1))
    wait_for(lambda: list((router.root / "work_dir/queue").glob("*/archive.zip")), "the archive in the queue")
    assert router.kept() == []
    router.ask("undrain")
    router.ask("restart", part="watcher")
    assert router.report("exam.zip")["verdict"] == "done"


class Bucket:
    """An S3 that loses its answers as it is told."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[int, bytes] = {}
        self.sent: list[int] = []
        self.begun = 0
        self.fails_at: int | None = None

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        from botocore.exceptions import ClientError

        if Key not in self.objects:
            answer: Any = {"ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, "HeadObject")
        return {"ContentLength": len(self.objects[Key])}

    def list_multipart_uploads(self, **_: Any) -> dict[str, Any]:
        return {}

    def create_multipart_upload(self, **_: Any) -> dict[str, Any]:
        self.begun += 1
        return {"UploadId": "upload"}

    def upload_part(self, *, PartNumber: int, Body: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803
        from botocore.exceptions import EndpointConnectionError

        if PartNumber == self.fails_at:
            self.fails_at = None
            raise EndpointConnectionError(endpoint_url="https://s3")
        self.sent.append(PartNumber)
        self.parts[PartNumber] = Body
        return {"ETag": f"etag-{PartNumber}"}

    def complete_multipart_upload(self, *, Key: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.objects[Key] = b"".join(data for _, data in sorted(self.parts.items()))
        return {}


def test_an_archive_goes_to_the_inbox_as_it_is_and_on_from_where_it_broke_off(
    started: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket()
    bucket.fails_at = 2
    monkeypatch.setattr("router.box.open_client", lambda _: bucket)
    monkeypatch.setattr("watcher.service.Backoff.wait_s", lambda *_: 0.05)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("noise.bin", bytes(range(256)) * (12 << 12))
    router = started({**REFUSING, "part_bytes": 5 << 20}, to_inbox="cloud")
    router.drop("exam.zip", data.getvalue())
    report = router.report("exam.zip")
    digest = hashlib.sha256(data.getvalue()).hexdigest()
    assert (report["verdict"], report["inbox"], report["key"]) == ("uploaded", "cloud", f"inbox/{digest}.zip")
    assert bucket.objects == {f"inbox/{digest}.zip": data.getvalue()}
    assert (bucket.begun, bucket.sent) == (1, [1, 2, 3])
    assert router.rows("SELECT count(*) FROM uploads") == [(0,)]
    assert router.kept() == []
    router.drop("again.zip", data.getvalue())
    assert router.report("again.zip")["verdict"] == "uploaded"
    assert bucket.begun == 1


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"paths": {}}, "watch: paths.watch_dir is missing"),
        ([], "watch: expected names and values"),
        ({"config": "none.yaml"}, "none.yaml cannot be read"),
        ({"config": 3}, "watch.config: expected a path"),
        ({"to_inbox": "cloud"}, "watch.to_inbox: 'cloud' is no destination of kind s3"),
        ({"to_inbox": 3}, "watch.to_inbox: expected the name"),
        ({"ponte": {"destination": "https://pacs/"}}, "ponte.destination is set; expected none"),
    ],
)
def test_what_is_wrong_with_the_section_is_said(section: Any, said: str, tmp_path: Path) -> None:
    is_part = isinstance(section, dict) and "config" not in section
    whole = {**watch(tmp_path), **section} if is_part else section
    path = tmp_path / "router.yaml"
    path.write_text(yaml.safe_dump({"watch": whole}))
    with pytest.raises(BadConfiguration) as found:
        load(path, {"DICOM_ROOT": str(tmp_path)})
    assert said in found.value.detail


def test_a_file_of_the_watcher_is_taken_with_its_own_paths(tmp_path: Path) -> None:
    (tmp_path / "zip").mkdir()
    file = tmp_path / "zip" / "watch.yaml"
    sections = watch(Path("there"), dicom={"peer_host": "pacs"}, ponte={"webhook_url": "https://ris/1f2e3d"})
    file.write_text(yaml.safe_dump(sections))
    path = tmp_path / "router.yaml"
    path.write_text(yaml.safe_dump({"watch": {"config": "zip/watch.yaml"}}))
    config = load(path, {"DICOM_ROOT": str(tmp_path)})
    assert config.watch is not None
    assert config.watch.settings.watch_dir == tmp_path / "zip/there/watch_dir"
    assert "watch: dicom: the router stands for it, not used" in config.warnings()
    shown = yaml.safe_dump(config.shown())
    assert str(tmp_path / "zip/there/watch_dir") in shown
    assert "1f2e3d" not in shown
