"""The support bundle of a router that has seen everything go wrong: no patient and no secret is in it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from cli.main import app
from doctor.bundle import BundleLimits, write_bundle
from doctor.gather import gather
from doctor.scrub import Scrubber, secrets_of
from infra.local.process import Child, answers, free_port, wait_for
from router.views import Views
from tests.corpus import ROOT
from tests.dcmtk import storescp
from tests.factories import encode, make_ct, uid

CANARY = "CANARY"
SECRETS = ("hunter2-in-orthanc", "hunter2-of-the-key", "hunter2-in-aws", "hunter2-in-a-file", "hunter2-typo")
STUDY = uid("study of the canary")
PATIENT_FIELDS = (
    "PatientName", "PatientID", "OtherPatientNames", "PatientAddress", "PatientComments", "EthnicGroup",
    "InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "PerformingPhysicianName",
    "OperatorsName", "PhysiciansOfRecord", "StudyDescription", "SeriesDescription", "ProtocolName",
    "RequestedProcedureDescription", "ImageComments", "PatientMotherBirthName", "MilitaryRank",
    "AdditionalPatientHistory", "ReasonForStudy",
)  # fmt: skip
SHORT_FIELDS = ("AccessionNumber", "StudyID", "StationName")


def log_file(root: Path) -> Path:
    return root / ".spool" / "log" / "router.log"


def canary(number: int, **more: Any) -> FileDataset:
    """An image whose every text about a person is a canary."""
    fields: dict[str, Any] = {name: f"{CANARY}{at}" for at, name in enumerate(PATIENT_FIELDS)}
    fields |= {name: f"{CANARY}-{at}" for at, name in enumerate(SHORT_FIELDS)}
    return make_ct(number, StudyInstanceUID=STUDY, **fields, **more)


def without_pixels() -> FileDataset:
    dataset = canary(7)
    del dataset.PixelData
    return dataset


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder of a router that was sent images, of which one destination refuses all, one is away, and
    one image is in quarantine; and its environment."""
    (tmp_path / "password").write_text(SECRETS[3])
    port = free_port()
    with storescp(tmp_path, "-xf", _mr_alone(tmp_path), "Default") as refusing:
        values = {
            "dicom_root": str(tmp_path / "root"),
            "listeners": [{"address": "127.0.0.1", "port": port}],
            "disk": {"associations_bytes": 0, "instances_bytes": 0},
            "modalities": [{"name": "CT", "ae_title": "CT1", "host": "127.0.0.1", "port": 9}],
            "destinations": [
                {"kind": "dicom", "name": "refuses", "host": "127.0.0.1", "port": refusing.port,
                 "ae_title": "A"},
                {"kind": "orthanc", "name": "away", "url": "http://127.0.0.1:9", "username": "ponte",
                 "password": SECRETS[0]},
                {"kind": "dicomweb", "name": "also-away", "url": "http://127.0.0.1:9/dicom-web",
                 "username": "ponte", "password_file": str(tmp_path / "password")},
            ],
        }  # fmt: skip
        configuration = tmp_path / "router.yaml"
        configuration.write_text(yaml.safe_dump(values))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment["AWS_SECRET_ACCESS_KEY"] = SECRETS[2]
        command = [sys.executable, "-m", "cli.main", "router", "run", "--config", str(configuration)]
        log = tmp_path / "stderr.log"
        with Child("router", command, log=log, env=environment, cwd=ROOT) as child:
            child.wait_until(lambda: answers(port), timeout_s=30, what="it listens")
            _send(tmp_path, port, canary(1), canary(2), without_pixels())
            wait_for(lambda: _refused(tmp_path) == 2, timeout_s=30, msg="refused by the destination")
        yield tmp_path, environment


def _mr_alone(folder: Path) -> str:
    path = folder / "storescp.cfg"
    path.write_text(
        "[[TransferSyntaxes]]\n[Plain]\nTransferSyntax1 = LittleEndianExplicit\n"
        "[[PresentationContexts]]\n[Few]\nPresentationContext1 = MRImageStorage\\Plain\n"
        "[[Profiles]]\n[Default]\nPresentationContexts = Few\n"
    )
    return str(path)


def _send(folder: Path, port: int, *datasets: FileDataset) -> None:
    outgoing = folder / "outgoing"
    outgoing.mkdir()
    for number, dataset in enumerate(datasets):
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        (outgoing / f"{number}.dcm").write_bytes(encode(dataset))
    command = ["storescu", "-nh", "-aet", "CT1", "-aec", "ANY", "+sd", "127.0.0.1", str(port)]
    subprocess.run([*command, str(outgoing)], check=False, capture_output=True, timeout=60)


def _refused(folder: Path) -> int:
    with Views(folder / "root") as views:
        return sum(queue.refused for queue in views.queues() if queue.destination == "refuses")


def everything(data: bytes, name: str = "") -> Iterator[tuple[str, bytes]]:
    """All members, those of archives within included."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        yield name, data
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        yield name, archive.comment
        for one in archive.infolist():
            yield f"{name}/{one.filename}", one.filename.encode() + one.comment + one.extra
            yield from everything(archive.read(one), f"{name}/{one.filename}")


@pytest.mark.dcmtk
def test_no_patient_and_no_secret_is_in_any_member(box: tuple[Path, dict[str, str]]) -> None:
    folder, environment = box
    with log_file(folder / "root").open("a") as stream:  # what no line of ours has, but some day might
        line = {"time": "2026-11-20T10:00:00.000Z", "level": "ERROR", "message": "instance refused"}
        stream.write(json.dumps({**line, "reason": f"of {STUDY}", "patient": CANARY}) + "\n")
        stream.write(f"Traceback: {CANARY} {SECRETS[0]}\n")
        stream.write(json.dumps({**line, "reason": f"password {SECRETS[2]}"}) + "\n")
    written = folder / "bundle.zip"
    done = CliRunner().invoke(
        app,
        ["router", "diagnostics", "-o", str(written), "--config", str(folder / "router.yaml")],
        env={"AWS_SECRET_ACCESS_KEY": environment["AWS_SECRET_ACCESS_KEY"]},
    )
    assert done.exit_code == 0, done.output
    found = dict(everything(written.read_bytes()))
    for name, data in found.items():
        assert CANARY.encode() not in data, name
        assert STUDY.encode() not in data, name
        for secret in SECRETS:
            assert secret.encode() not in data, name
    _says_what_support_needs({name.lstrip("/"): data for name, data in found.items()})


def _says_what_support_needs(found: dict[str, bytes]) -> None:
    counts = json.loads(found["counts.json"])
    assert counts["quarantine"] == {"NO_PIXEL_DATA": 1}
    assert {one["destination"]: one["refused"] for one in counts["queues"]}["refuses"] == 2
    assert counts["schema_version"] >= 4
    doctor = json.loads(found["doctor.json"])
    assert {"machine", "CT", "refuses", "away"} <= {one["name"] for one in doctor["subjects"]}
    logs = [json.loads(line) for line in found["log/router.log"].splitlines()]
    assert any(line.get("alarm") == "QUARANTINED" for line in logs)
    assert any(str(line.get("reason", "")).startswith("of uid-") for line in logs)
    assert json.loads(found["status.json"])["problem"] == "NOT_RUNNING"
    contents = json.loads(found["CONTENTS.json"])
    assert {one["name"] for one in contents["members"]} == found.keys() - {"CONTENTS.json", ""}
    assert json.loads(found["versions.json"])["packages"]["pydicom"]


def test_all_that_is_marked_as_secret_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "ok.yaml").write_text(
        "alerts: {email: {host: mail, sender: a@b.c, recipients: [a@b.c], username: u,"
        f" password: {SECRETS[0]}}}}}\n"
        "listeners: [{port: 104, tls: {certificate_file: c, key_file: k,"
        f" key_password: {SECRETS[1]}}}}}]\n"
        f"destinations: [{{kind: orthanc, name: a, url: 'http://h', username: u, password: {SECRETS[3]}}}]\n"
    )
    box = gather(tmp_path / "ok.yaml", {"SOME_TOKEN": SECRETS[2]}, None)
    assert box.problems == ()
    assert set(SECRETS[:4]) <= set(secrets_of(box.config, box.environment))
    scrubber = Scrubber(secrets_of(box.config, box.environment))
    assert all(secret not in scrubber.text(f"x{secret}y") for secret in SECRETS[:4])
    same = scrubber.text("1.2.3.4.5.6 and 1.2.3.4.5.6, 1.2.840.10008.1.2, 10.0.0.1").split()
    assert same[0] == same[2].rstrip(",")
    assert same[3:] == ["1.2.840.10008.1.2,", "10.0.0.1"]


@pytest.mark.parametrize(
    "text",
    [
        f"destinations: [{{kind: dicom, name: a, host: h, ae_title: '{SECRETS[4]}-which-is-too-long'}}]",
        f"ae_title: '{SECRETS[4]} and too long'",
        f"destinations: [{{password: {SECRETS[4]}\n",
        f"timezone: '{SECRETS[4]}'",
    ],
)
def test_a_configuration_that_is_wrong_is_named_and_not_quoted(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    box = gather(tmp_path / "bad.yaml", {"DICOM_ROOT": str(tmp_path / "root")}, None)
    stream = io.BytesIO()
    write_bundle(stream, box)
    found = {name.lstrip("/"): data for name, data in everything(stream.getvalue())}
    assert all(SECRETS[4].encode() not in data for data in found.values())
    assert json.loads(found["configuration.json"])["problems"]
    assert json.loads(found["CONTENTS.json"])["members"]


def test_what_is_too_long_is_cut_off_and_says_so(tmp_path: Path) -> None:
    log = log_file(tmp_path / "root")
    log.parent.mkdir(parents=True)
    line = {"time": "2026-11-20T10:00:00.000Z", "level": "INFO", "message": "association accepted"}
    for name in ("router.log", "router.log.1"):
        log.with_name(name).write_text((json.dumps(line) + "\n") * 500)
    (tmp_path / "ok.yaml").write_text(f"dicom_root: {tmp_path / 'root'}\ndestinations: []\n")
    stream = io.BytesIO()
    limits = BundleLimits(log_bytes=30_000, doctor_s=0.0)
    members = {
        one.name: one for one in write_bundle(stream, gather(tmp_path / "ok.yaml", {}, None), limits=limits)
    }
    assert members["log/router.log"].truncated
    assert members["log/router.log.1"].truncated
    assert members["doctor.json"].truncated
    assert 0 < members["log/router.log"].size_bytes <= 30_000
    assert not members["configuration.json"].truncated
