"""`ponte render --store`: the PDF in the PACS, or the truth about why it is not there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ponte.instance import open_instance
from tests.stub_pacs import Answer, Asked, StubPacs, instances, stub_pacs
from tests.unit.cli.test_render import run
from tests.unit.ponte.test_stow import as_json, parts, said
from tests.unit.render.studies import STUDY, damaged, gray

CANARY = "CANARIO"
STUDIES = "/dicom-web/studies"


@pytest.fixture
def pacs() -> Iterator[StubPacs]:
    with stub_pacs() as stub:
        yield stub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    for number in (1, 2):
        (tmp_path / "study" / f"{number}.dcm").write_bytes(gray(number, PatientName=CANARY, PatientID=CANARY))
    return tmp_path / "study"


def uid_of(asked: Asked) -> str:
    (part,) = parts(asked)
    return str(open_instance(part).SOPInstanceUID)


def accept(asked: Asked) -> Answer:
    return as_json(said({uid_of(asked): None}))


def stored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, dict[str, Any]]:
    """The exit code, and what `--json` says of the storing."""
    code = run(monkeypatch, "render", *arguments, "--json")
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)["stored"]
    return code, answer


def test_the_pdf_is_stored_whole_and_again_as_the_same_instance(
    pacs: StubPacs,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pacs.routes[STUDIES] = accept
    output = tmp_path / "out.pdf"
    command = (folder, "-o", output, "--store", f"{pacs.url}/dicom-web")
    code, answer = stored(monkeypatch, capsys, *command)
    assert (code, answer["status"], answer["detail"]) == (0, "stored", "")
    (part,) = parts(pacs.asked[0])
    dataset = open_instance(part)
    assert dataset.SOPInstanceUID == answer["sop_instance_uid"]
    assert (dataset.StudyInstanceUID, dataset.PatientID) == (STUDY, CANARY)
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == output.read_bytes()
    assert len(dataset.SourceInstanceSequence) == 2

    assert stored(monkeypatch, capsys, *command, "--workers", "1") == (0, answer)
    _, other = stored(monkeypatch, capsys, *command, "--no-cover")
    assert other["sop_instance_uid"] != answer["sop_instance_uid"]
    assert set(tmp_path.iterdir()) == {output, folder}


def test_the_source_itself_can_take_it_with_its_own_credentials_and_a_study_in_the_address(
    pacs: StubPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pacs.routes[f"{STUDIES}/{STUDY}"] = instances(gray(1))
    pacs.routes[STUDIES] = accept
    (tmp_path / "auth.json").write_text('{"type":"bearer","token":"secret"}')
    address = f"{pacs.url}{STUDIES}/{STUDY}"
    code, answer = stored(
        monkeypatch, capsys, address, "-o", tmp_path / "out.pdf", "--store", "source",
        "--auth-file", tmp_path / "auth.json",
    )  # fmt: skip
    assert (code, answer["status"]) == (0, "stored")
    assert [asked.headers["authorization"] for asked in pacs.asked] == ["Bearer secret"] * 2


def test_the_sources_credentials_do_not_go_to_another_address(
    pacs: StubPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pacs.routes[f"{STUDIES}/{STUDY}"] = instances(gray(1))
    pacs.routes["/other/studies"] = accept
    (tmp_path / "auth.json").write_text('{"type":"bearer","token":"secret"}')
    (tmp_path / "other.json").write_text('{"type":"bearer","token":"other"}')
    command = (
        f"{pacs.url}{STUDIES}/{STUDY}", "-o", tmp_path / "out.pdf", "--store", f"{pacs.url}/other",
        "--auth-file", tmp_path / "auth.json",
    )  # fmt: skip
    assert stored(monkeypatch, capsys, *command)[0] == 0
    assert stored(monkeypatch, capsys, *command, "--store-auth-file", tmp_path / "other.json")[0] == 0
    sent = [asked.headers.get("authorization") for asked in pacs.asked if asked.path == "/other/studies"]
    assert sent == [None, "Bearer other"]


def refuse(asked: Asked) -> Answer:
    return as_json(said({}, {uid_of(asked): 0xA700}), 409)


@pytest.mark.parametrize(
    ("route", "status", "detail"),
    [
        (refuse, "refused", "A700H: out of resources"),
        (Answer(200), "unknown", "The answer is empty"),
        (as_json(said({"1.2.3": None})), "unknown", "The server answers 200 and does not name the instance"),
        (Answer(401), "failed", "PACS_ERROR: The server answers 401: our credentials are refused"),
        (Answer(404), "failed", "PACS_ERROR: The server answers 404; expected 200, 202 or 409"),
    ],
)
def test_a_failed_store_is_exit_code_1_with_its_reason_and_keeps_the_pdf(
    route: Any,
    status: str,
    detail: str,
    pacs: StubPacs,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pacs.routes[STUDIES] = route
    output = tmp_path / "out.pdf"
    command = (folder, "-o", output, "--store", f"{pacs.url}/dicom-web")
    code, answer = stored(monkeypatch, capsys, *command)
    assert (code, answer["status"], answer["detail"]) == (1, status, detail)
    assert output.read_bytes().startswith(b"%PDF-")
    assert run(monkeypatch, "render", *command) == 1
    assert f"NOT stored ({status}): {detail}\n" in capsys.readouterr().out


def test_a_warning_is_said_and_counts_as_stored(
    pacs: StubPacs,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pacs.routes[STUDIES] = lambda asked: as_json(said({uid_of(asked): 0xB000}), 202)
    code, answer = stored(
        monkeypatch, capsys, folder, "-o", tmp_path / "o.pdf", "--store", f"{pacs.url}/dicom-web"
    )
    assert (code, answer["status"], answer["detail"]) == (
        0,
        "stored_with_warning",
        "B000H: it changed attributes",
    )


def test_a_partial_pdf_is_stored_and_still_exit_code_1(
    pacs: StubPacs,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pacs.routes[STUDIES] = accept
    (folder / "0.dcm").write_bytes(damaged(3))
    code, answer = stored(
        monkeypatch, capsys, folder, "-o", tmp_path / "o.pdf", "--store", f"{pacs.url}/dicom-web"
    )
    assert (code, answer["status"]) == (1, "stored")


def test_a_study_of_two_patients_is_not_filed_under_one_of_them(
    pacs: StubPacs,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "3.dcm").write_bytes(gray(3, PatientID="SOMEBODY ELSE"))
    code, answer = stored(
        monkeypatch, capsys, folder, "-o", tmp_path / "o.pdf", "--store", f"{pacs.url}/dicom-web"
    )
    assert (code, answer["status"]) == (1, "failed")
    assert "do not agree on Patient ID" in answer["detail"]
    assert pacs.asked == []


def test_a_cut_instance_of_another_study_is_not_what_it_is_filed_under(
    pacs: StubPacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = gray(7, StudyInstanceUID=f"{STUDY}.7")
    pacs.routes[f"{STUDIES}/{STUDY}"] = instances(other[:-1], gray(1))
    pacs.routes[STUDIES] = accept
    code, answer = stored(
        monkeypatch, capsys, f"{pacs.url}{STUDIES}/{STUDY}", "-o", tmp_path / "o.pdf", "--store", "source"
    )
    assert (code, answer["status"]) == (1, "stored")
    assert open_instance(parts(pacs.asked[-1])[0]).StudyInstanceUID == STUDY


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--store", "http://127.0.0.1:1/x", "--anonymize"], "must not be filed under the patient"),
        (["--store", "source"], "where the study comes from one"),
        (["--store", "nowhere"], "--store is a DICOMweb address"),
        (["--store", "http://user:secret@host/x"], "without a user"),
        (["--store", "http://host/{study}"], "takes no instances"),
        (["--store", "http://host/x", "--store-auth-file", "none"], "none cannot be read"),
        (["--store-auth-file", "none"], "--store-auth-file is for --store"),
    ],
)
def test_what_cannot_be_stored_is_bad_usage_before_anything_is_rendered(
    arguments: list[str],
    expected: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "render", folder, "-o", tmp_path / "out.pdf", *arguments) == 2
    heard = capsys.readouterr()
    assert expected in heard.err
    assert "secret" not in heard.err
    assert heard.out == ""
    assert not (tmp_path / "out.pdf").exists()


@pytest.mark.parametrize("status", [200, 409, 500])
def test_nothing_of_the_patient_is_in_the_report_or_in_logs(
    status: int,
    pacs: StubPacs,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("time.sleep", lambda _: None)
    pacs.routes[STUDIES] = Answer(status, CANARY.encode(), {"X-Message": CANARY})
    run(monkeypatch, "render", folder, "-o", tmp_path / "o.pdf", "--store", f"{pacs.url}/dicom-web", "--json")
    heard = capsys.readouterr()
    assert CANARY not in heard.out + heard.err
    assert CANARY not in caplog.text + "".join(repr(vars(record)) for record in caplog.records)
