"""`ponte watch` as a process of its own, with real destinations: Orthanc in two ways, and DCMTK."""

from __future__ import annotations

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from infra.local.orthanc import AE_TITLE as ORTHANC_AE
from infra.local.orthanc import Orthanc
from infra.local.process import free_port, wait_for
from tests.dcmtk import AE_TITLE as DCMTK_AE
from tests.dcmtk import dcmqrscp
from tests.unit.watcher.helpers import exam, uids

WAIT_S = 60.0
OLD = """\
paths:
  watch_dir: "{root}/incoming"
  work_dir: "{root}/work"
  archive_dir: "{root}/archive"
  state_db: "{root}/state/state.sqlite"
dicom:
  local_ae_title: CLINICA
  local_port: {local_port}
  peer_host: 127.0.0.1
  peer_port: {port}
  peer_ae_title: {ae_title}
  max_pdu: 131072
  use_tls: false
behavior:
  dedup_policy: uid_then_sha256
  poll_interval_seconds: 1
  wait_zip_complete_seconds: 0.2
  send_batch_size: {batch}
  delete_extracted_after_upload: true
  move_zip_to_archive: true
logging:
  level: INFO
  file: "{root}/logs/ingest.log"
  enable_pynetdicom_debug: false
"""


class Clinic:
    """The folders of a clinic, and the program that watches them."""

    def __init__(self, root: Path, text: str) -> None:
        self.root = root
        self.incoming, self.archive = root / "incoming", root / "archive"
        self.incoming.mkdir()
        self.config = root / "config.yaml"
        self.config.write_text(text)

    @contextmanager
    def watch(self) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "cli.main", "watch", str(self.config)]
        with (self.root / "console.log").open("ab") as console:
            process = subprocess.Popen(command, stdout=console, stderr=console)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def drop(self, name: str, data: bytes) -> None:
        part = self.incoming / ".part"
        part.write_bytes(data)
        part.rename(self.incoming / name)

    @property
    def log(self) -> str:
        path = self.root / "logs" / "ingest.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def until_logged(self, text: str, times: int = 1) -> None:
        wait_for(lambda: self.log.count(text) >= times, timeout_s=WAIT_S, msg=f"{text} is not in the log")

    def report(self, name: str) -> dict[str, Any]:
        path = self.archive / name
        wait_for(path.exists, timeout_s=WAIT_S, msg=f"{name} is not archived\n{self.log}")
        report: dict[str, Any] = json.loads((self.archive / f"{name}.report.json").read_bytes())
        return report


def old_file(root: Path, port: int, ae_title: str, batch: int = 128) -> str:
    return OLD.format(root=root, port=port, ae_title=ae_title, batch=batch, local_port=free_port())


@pytest.mark.orthanc
def test_an_old_file_runs_as_it_is(tmp_path: Path) -> None:
    with Orthanc(tmp_path / "orthanc", dimse=True) as orthanc:
        clinic = Clinic(tmp_path, old_file(tmp_path, orthanc.dicom_port, ORTHANC_AE))
        clinic.drop("exame.zip", exam(1, 2, 3))
        with clinic.watch() as process:
            report = clinic.report("exame.zip")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
    assert (report["verdict"], report["totals"]["delivered"]) == ("done", 3)
    (uid, *_) = uids(1)
    stamp = r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    peer = rf"ORTHANC@127\.0\.0\.1:{orthanc.dicom_port}"
    for line in (
        rf"C-ECHO OK: {peer}",
        rf"Association established: {peer}",
        rf"C-STORE OK: IM1\.dcm \(UID={re.escape(uid)}\)",
        r"Association released",
    ):
        assert re.search(rf"{stamp} \| INFO \| {line}$", clinic.log), clinic.log
    console = (tmp_path / "console.log").read_text()
    assert uid not in console
    assert "exame" not in console


@pytest.mark.orthanc
def test_an_orthanc_takes_it_by_its_own_interface_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Orthanc(tmp_path / "orthanc") as orthanc:
        monkeypatch.setenv("PONTE_DESTINATION_PASSWORD", orthanc.password)
        address = f"orthanc+{orthanc.url}".replace("://", f"://{orthanc.username}@")
        text = old_file(tmp_path, 104, "NOBODY") + f"ponte:\n  destination: {address}\n"
        clinic = Clinic(tmp_path, text)
        clinic.drop("exame.zip", exam(1, 2))
        with clinic.watch():
            assert clinic.report("exame.zip")["totals"]["delivered"] == 2
    assert "POST /instances OK: IM1.dcm" in clinic.log
    assert orthanc.password not in clinic.log + (tmp_path / "console.log").read_text()


@pytest.mark.dcmtk
def test_killed_again_and_again_each_instance_arrives_once_in_effect(tmp_path: Path) -> None:
    """Wherever it dies, the next start goes on; what was confirmed is not sent again."""
    numbers, queue = range(1, 201), tmp_path / "work" / "queue"
    (tmp_path / "pacs").mkdir()
    with dcmqrscp(tmp_path / "pacs") as pacs:
        clinic = Clinic(tmp_path, old_file(tmp_path, pacs.port, DCMTK_AE, batch=3))
        clinic.drop("exame.zip", exam(*numbers))
        for stored in (1, 40, 80):
            with clinic.watch() as process:
                clinic.until_logged("C-STORE OK", stored)
                process.kill()
        assert not (clinic.archive / "exame.zip").exists()
        with clinic.watch():
            report = clinic.report("exame.zip")
            wait_for(lambda: not list(queue.iterdir()), timeout_s=WAIT_S, msg="the queue is not empty")
        kept = [str(pydicom.dcmread(BytesIO(data)).SOPInstanceUID) for data in pacs.stored]
    assert sorted(kept) == sorted(uids(*numbers))
    totals = report["totals"]
    assert (report["verdict"], totals["accepted"], totals["entries"]) == ("done", 200, 200)
    assert (clinic.archive / "exame.zip").read_bytes() == exam(*numbers)


@pytest.mark.dcmtk
def test_fi_27_sigterm_ends_it_after_the_batch_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "pacs").mkdir()
    with dcmqrscp(tmp_path / "pacs") as pacs:
        clinic = Clinic(tmp_path, old_file(tmp_path, pacs.port, DCMTK_AE, batch=2))
        clinic.drop("exame.zip", exam(*range(1, 41)))
        with clinic.watch() as process:
            clinic.until_logged("C-STORE OK")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
        assert len(pacs.stored) == clinic.log.count("C-STORE OK")
        with clinic.watch():
            assert clinic.report("exame.zip")["totals"]["accepted"] == 40
        assert len(pacs.stored) == clinic.log.count("C-STORE OK") == 40


@pytest.mark.dcmtk
def test_fi_13_a_peer_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "pacs").mkdir()
    with dcmqrscp(tmp_path / "pacs") as gone:
        port = gone.port
    clinic = Clinic(tmp_path, old_file(tmp_path, port, DCMTK_AE))
    clinic.drop("exame.zip", exam(1))
    with clinic.watch():
        clinic.until_logged("| ERROR | C-ECHO failed: DCMTK@127.0.0.1")
    assert not (clinic.archive / "exame.zip").exists()
    assert len(list((tmp_path / "work" / "queue").iterdir())) == 1


def test_what_is_wrong_with_the_file_is_said_by_name_and_ends_it(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path, old_file(tmp_path, 104, "TOO LONG AN AE TITLE"))
    with clinic.watch() as process:
        assert process.wait(WAIT_S) == 2
    assert "dicom.peer_ae_title" in (tmp_path / "console.log").read_text()


def test_a_second_sigterm_ends_it_at_once_and_the_archive_waits(tmp_path: Path) -> None:
    """The peer takes the connection and says nothing: the first signal would wait for it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        clinic = Clinic(tmp_path, old_file(tmp_path, silent.getsockname()[1], "SILENT"))
        clinic.drop("exame.zip", exam(1))
        with clinic.watch() as process:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGTERM)
                wait_for(lambda: _ended(process), timeout_s=WAIT_S, msg="it does not end")
        assert process.returncode == 128 + signal.SIGTERM
    assert len(list((tmp_path / "work" / "queue").glob("*/archive.zip"))) == 1


def test_a_state_of_another_program_ends_it_and_stands_in_the_log(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path, old_file(tmp_path, 104, "NOBODY"))
    (tmp_path / "state").mkdir()
    with closing(sqlite3.connect(tmp_path / "state" / "state.sqlite")) as old, old:
        old.execute("CREATE TABLE processed (uid TEXT)")
    with clinic.watch() as process:
        assert process.wait(WAIT_S) == 2
    assert "| ERROR | Not begun: paths.state_db: state.sqlite is a database of another program" in clinic.log


def _ended(process: subprocess.Popen[bytes]) -> bool:
    """One signal more: two that come together are one."""
    process.send_signal(signal.SIGTERM)
    return process.poll() is not None
