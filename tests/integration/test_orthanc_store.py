"""A real Orthanc keeps what STOW-RS gave it, and gives it back byte for byte."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from cli import main as command
from infra.local.orthanc import Orthanc
from ponte.destination import Outcome, Outgoing
from ponte.dicomweb import Credentials, DicomWebSource
from ponte.errors import AccessRefused
from ponte.instance import open_instance
from ponte.stow import StoreLimits, StowDestination
from tests.factories import encode, make_ct, uid

pytestmark = pytest.mark.orthanc


def credentials_of(orthanc: Orthanc) -> Credentials:
    assert orthanc.credentials is not None
    return Credentials.from_json(orthanc.credentials)


def destination_of(orthanc: Orthanc, **limits: int) -> StowDestination:
    return StowDestination(
        orthanc.dicomweb_url, credentials=credentials_of(orthanc), limits=StoreLimits(**limits)
    )


def held(orthanc: Orthanc, study: str) -> dict[str, bytes]:
    """The study's instances as Orthanc gives them back (WADO-RS)."""
    source = DicomWebSource(orthanc.dicomweb_url, credentials=credentials_of(orthanc))
    return {str(open_instance(one.data).SOPInstanceUID): one.data for one in source.instances(study)}


def test_batches_of_instances_are_stored_and_come_back_as_they_went(orthanc: Orthanc) -> None:
    study = uid("stow batches")
    sent = {
        str(dataset.SOPInstanceUID): encode(dataset)
        for dataset in (make_ct(number, series=77, StudyInstanceUID=study) for number in range(1, 8))
    }
    outgoing = [Outgoing(name, data) for name, data in sent.items()]
    destination = destination_of(orthanc, batch_bytes=20_000)
    for _ in range(2):  # the second time is as good as the first
        assert list(destination.store(outgoing)) == [Outcome(name, "stored") for name in sent]
    assert held(orthanc, study) == sent


def test_what_it_cannot_read_is_not_stored_and_does_not_cost_the_others(orthanc: Orthanc) -> None:
    dataset = make_ct(1, series=78, StudyInstanceUID=uid("stow broken"))
    good = Outgoing(str(dataset.SOPInstanceUID), encode(dataset))
    first, second = destination_of(orthanc).store([Outgoing("1.2.3.4", b"no DICOM at all"), good])
    assert not first.stored
    assert second.stored
    assert list(held(orthanc, dataset.StudyInstanceUID)) == [good.sop_instance_uid]


def test_a_wrong_password_is_refused(orthanc: Orthanc) -> None:
    wrong = Credentials.from_json({"type": "basic", "username": "ponte", "password": "wrong"})
    with pytest.raises(AccessRefused):
        list(StowDestination(orthanc.dicomweb_url, credentials=wrong).store([Outgoing("1.2.3", b"x")]))


def test_a_rendered_study_has_its_pdf_beside_it(
    orthanc: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read from Orthanc, rendered, stored there twice: one more instance, with the very PDF inside."""
    study = uid("stow render")
    for number in (1, 2, 3):
        orthanc.upload(encode(make_ct(number, series=79, StudyInstanceUID=study)))
    auth, output = tmp_path / "auth.json", tmp_path / "out.pdf"
    auth.write_text(json.dumps(orthanc.credentials))
    arguments = ["render", f"{orthanc.dicomweb_url}/studies/{study}", "-o", output, "--auth-file", auth]
    answers = []
    for attempt in range(2):
        monkeypatch.setattr(sys, "argv", ["ponte", *map(str, arguments), "--store", "source", "--json"])
        with pytest.raises(SystemExit) as caught:
            command.main()
        assert caught.value.code == 0
        report = json.loads(capsys.readouterr().out)
        answers.append(report["stored"])
        assert (report["instances"], report["shown"], report["left_out"]) == (3 + attempt, 3, attempt)
    assert answers[0]["status"] == "stored"

    found = held(orthanc, study)
    (added,) = [data for data in found.values() if open_instance(data).Modality == "DOC"]
    dataset = pydicom.dcmread(BytesIO(added))
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == output.read_bytes()
    assert len(found) == 4
    assert dataset.PatientName == make_ct().PatientName
    assert dataset.SOPInstanceUID == answers[0]["sop_instance_uid"]
    assert answers == [answers[0]] * 2
