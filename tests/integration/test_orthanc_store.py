"""A real Orthanc keeps what STOW-RS and its own interface gave it, and gives it back byte for byte."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from cli import main as command
from infra.local.orthanc import Orthanc
from ponte.destination import Outcome, Outgoing
from ponte.dicomweb import Credentials, DicomWebSource
from ponte.errors import AccessRefused
from ponte.instance import open_instance
from ponte.orthanc import OrthancDestination
from ponte.scan import scan
from ponte.stow import StoreLimits, StowDestination
from ponte_net.scu import Peer, Scu
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


def test_its_own_interface_keeps_the_very_bytes_and_knows_them_again(tmp_path: Path) -> None:
    study = uid("rest")
    sent = {
        str(dataset.SOPInstanceUID): encode(dataset)
        for dataset in (make_ct(number, series=80, StudyInstanceUID=study) for number in range(1, 4))
    }
    outgoing = [Outgoing(name, data) for name, data in sent.items()]
    with Orthanc(tmp_path, overwrite=False) as orthanc:
        destination = OrthancDestination(orthanc.url, credentials=credentials_of(orthanc))
        assert list(destination.store(outgoing)) == [Outcome(name, "stored") for name in sent]
        assert held(orthanc, study) == sent
        again = [Outcome(name, "stored", "It had the instance already") for name in sent]
        assert list(destination.store(outgoing)) == again

        name, data = next(iter(sent.items()))
        (other,) = destination.store([Outgoing(name, data[:-1] + bytes([data[-1] ^ 1]))])
        assert (other.status, other.reason, other.retryable) == ("refused", 0x0111, False)
        (preamble,) = destination.store([Outgoing(name, b"MZ" + data[2:])])
        assert preamble == again[0]
        assert held(orthanc, study) == sent


def test_its_own_interface_knows_what_came_by_c_store(tmp_path: Path) -> None:
    """Orthanc writes anew what comes by C-STORE; what a pixel or a letter changes is another instance."""
    with Orthanc(tmp_path, overwrite=False, dimse=True) as orthanc:
        for name in ("CT_small.dcm", "JPEG2000.dcm", "rtplan.dcm", "reportsi.dcm", "MR_small_RLE.dcm"):
            data = Path(str(get_testdata_file(name))).read_bytes()
            verdict = scan([data])
            uid = verdict.sop_instance_uid or ""
            first = Outgoing(
                uid,
                data,
                verdict.sop_class_uid or "",
                verdict.transfer_syntax_uid or "",
                verdict.dataset_start or 0,
            )
            (stored,) = Scu(Peer("127.0.0.1", orthanc.dicom_port, "ORTHANC")).store([first])
            assert stored.stored
            check_what_it_knows(orthanc, uid, data)


def check_what_it_knows(orthanc: Orthanc, uid: str, data: bytes) -> None:
    destination = OrthancDestination(orthanc.url, credentials=credentials_of(orthanc))
    (known,) = destination.store([Outgoing(uid, b"II*\0" + data[4:])])
    assert known == Outcome(uid, "stored", "It had the instance already")
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.StudyID = "OTHER"
    others = [encode(dataset)]
    if "PixelData" in dataset:
        at = len(data) - 200
        others.append(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    for other in others:
        (outcome,) = destination.store([Outgoing(uid, other)])
        assert (outcome.status, outcome.reason) == ("refused", 0x0111)


def test_its_own_interface_refuses_what_it_cannot_read_and_takes_the_next(orthanc: Orthanc) -> None:
    dataset = make_ct(1, series=81, StudyInstanceUID=uid("rest broken"))
    good = Outgoing(str(dataset.SOPInstanceUID), encode(dataset))
    destination = OrthancDestination(orthanc.url, credentials=credentials_of(orthanc))
    first, second = destination.store([Outgoing("1.2.3.4", b"no DICOM at all"), good])
    assert (first.status, first.retryable) == ("refused", False)
    assert second.stored


def test_a_wrong_password_fails_the_check_of_either(orthanc: Orthanc) -> None:
    wrong = Credentials.from_json({"type": "basic", "username": "ponte", "password": "wrong"})
    right = credentials_of(orthanc)
    for open_one, url in ((StowDestination, orthanc.dicomweb_url), (OrthancDestination, orthanc.url)):
        open_one(url, credentials=right).check()
        with pytest.raises(AccessRefused):
            open_one(url, credentials=wrong).check()
