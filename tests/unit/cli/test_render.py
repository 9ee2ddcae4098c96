"""`ponte render` as a shell sees it: files, exit codes, and what is on which stream."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pikepdf
import pytest

from cli import main as command
from cli.sources import split_study
from tests.hazards.archives import Builder
from tests.unit.render.studies import STUDY, damaged, gray, report

OTHER = STUDY + ".99"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit code of `ponte` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["ponte", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        command.main()
    return int(caught.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study").mkdir()
    for number in (1, 2):
        (tmp_path / "study" / f"{number}.dcm").write_bytes(gray(number, PatientName="SILVA^JOÃO"))
    return tmp_path / "study"


def test_a_folder_becomes_a_pdf(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.pdf"
    assert run(monkeypatch, "render", folder, "-o", output) == 0
    with pikepdf.open(output) as pdf:
        assert len(pdf.pages) == 3
    said = capsys.readouterr()
    assert said.out.startswith(f"{output}: 3 pages, 2 of 2 images")
    assert said.err == ""


def test_a_zip_becomes_a_pdf_and_a_bad_member_has_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    zipped = Builder().add(b"1.dcm", gray(1)).add(b"2.dcm", gray(2), crc=1).add(b"Thumbs.db", b"x").bytes()
    (tmp_path / "exam.zip").write_bytes(zipped)
    output = tmp_path / "out.pdf"
    assert run(monkeypatch, "render", tmp_path / "exam.zip", "-o", output, "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["instances"], answer["shown"], answer["partial"]) == (2, 1, True)
    assert [entry["reason"] for entry in answer["not_shown"]] == ["ZIP_CRC"]
    with pikepdf.open(output) as pdf:
        assert len(pdf.pages) == 3


def test_a_zip_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "exam.zip").write_bytes(b"<html>")
    assert run(monkeypatch, "render", tmp_path / "exam.zip", "-o", tmp_path / "out.pdf") == 3
    assert "NOT_A_ZIP" in capsys.readouterr().err
    assert not (tmp_path / "out.pdf").exists()


def test_json_is_one_object_alone_on_standard_output(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.dcm").write_bytes(damaged(3))
    output = tmp_path / "out.pdf"
    assert run(monkeypatch, "render", folder, "-o", output, "--json", "--no-cover") == 1
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert said.err == ""
    assert list(answer) == [
        "pdf",
        "bytes",
        "pages",
        "instances",
        "frames",
        "shown",
        "not_shown",
        "partial",
        "seconds",
        "left_out",
    ]
    assert answer["pdf"] == str(output)
    assert answer["bytes"] == output.stat().st_size
    assert (answer["pages"], answer["instances"], answer["shown"], answer["partial"]) == (3, 3, 2, True)
    (missing,) = answer["not_shown"]
    assert {"sop_instance_uid", "reason", "detail"} <= set(missing)
    assert missing["reason"] == "PIXEL_LENGTH"
    assert list(answer["seconds"]) == ["fetch", "decode", "encode", "write", "total"]


def test_several_studies_are_listed_and_nothing_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "other.dcm").write_bytes(gray(3, StudyInstanceUID=OTHER))
    output = tmp_path / "out.pdf"
    assert run(monkeypatch, "render", folder, "-o", output) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"  {STUDY}  (2 instances)\n" in said.err
    assert f"  {OTHER}  (1 instances)\n" in said.err
    assert not output.exists()


def test_one_of_several_studies_can_be_chosen(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other.dcm").write_bytes(gray(3, StudyInstanceUID=OTHER))
    output = tmp_path / "out.pdf"
    assert run(monkeypatch, "render", folder, "-o", output, "--study", OTHER, "--no-cover") == 0
    with pikepdf.open(output) as pdf:
        assert len(pdf.pages) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["render", "nowhere", "-o", "x.pdf"], "nowhere does not exist"),
        (["render", ".", "-o", "no/such/folder/x.pdf", "--study", STUDY], "cannot be written"),
        (["render", ".", "-o", ".", "--study", STUDY], "is a folder"),
        (["render", ".", "-o", "x.pdf", "--study", "not-a-uid"], "is not a UID"),
        (["render", ".", "-o", "x.pdf", "--auth-file", "x"], "--auth-file is for a DICOMweb address"),
        (["render", "http://127.0.0.1:1/x", "-o", "x.pdf", "--auth-file", "none"], "none cannot be read"),
        (["render", ".", "-o", "x.pdf", "--workers", "0"], "--workers"),
        (["render", ".", "-o", "x.pdf", "--lang", "fr"], "--lang"),
        (["render", "."], "--output"),
    ],
)
def test_bad_usage_is_exit_code_2_and_one_clear_word(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert expected in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("items", "code"),
    [([report(1)], "NOT_AN_IMAGE"), ([damaged(1)], "PIXEL_LENGTH"), ([], "STUDY_NOT_FOUND")],
)
def test_where_nothing_can_be_shown_the_exit_code_is_3_and_what_was_there_stays(
    items: list[bytes],
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, output = tmp_path / "study", tmp_path / "out.pdf"
    folder.mkdir()
    for number, item in enumerate(items):
        (folder / f"{number}.dcm").write_bytes(item)
    output.write_bytes(b"the one before")
    assert run(monkeypatch, "render", folder, "-o", output) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"ponte: {code}: ")
    assert said.err.count("\n") == 1
    assert output.read_bytes() == b"the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.pdf", "study"]


def test_the_pdf_may_be_written_into_the_folder_that_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "render", folder, "-o", folder / "out.pdf") == 0
    assert run(monkeypatch, "render", folder, "-o", folder / "out.pdf") == 0


def test_anonymous_and_english_reach_the_pdf(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.pdf"
    assert run(monkeypatch, "render", folder, "-o", output, "--anonymize", "--lang", "en") == 0
    with pikepdf.open(output) as pdf:
        assert str(pdf.docinfo["/Title"]) == "Study images"
        assert b"SILVA" not in pdf.pages[0].Contents.read_bytes()


def test_lossless_reaches_the_pdf(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.pdf"
    assert run(monkeypatch, "render", folder, "-o", output, "--lossless", "--no-cover") == 0
    with pikepdf.open(output) as pdf:
        assert str(pdf.pages[0].Resources.XObject.I.Filter) == "/FlateDecode"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://h/dicom-web", ("http://h/dicom-web", None)),
        ("http://h/dicom-web/studies/1.2.3", ("http://h/dicom-web", "1.2.3")),
        ("http://h/dicom-web/studies/1.2.3/", ("http://h/dicom-web", "1.2.3")),
        (
            "http://h/client-api/patients?studyUID={study}",
            ("http://h/client-api/patients?studyUID={study}", None),
        ),
        ("http://h/studies/x", ("http://h/studies/x", None)),
    ],
)
def test_the_study_may_stand_in_the_address(address: str, expected: tuple[str, str | None]) -> None:
    assert split_study(address) == expected


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, cli.main\n"
        "sys.argv = ['ponte', '--help']\n"
        "try:\n    cli.main.main()\nexcept SystemExit as error:\n    assert not error.code\n"
        "heavy = {'numpy', 'pydicom', 'PIL', 'imagecodecs', 'boto3'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert "render" in answer.stdout


def test_progress_is_shown_on_a_terminal_and_only_on_standard_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert run(monkeypatch, "render", folder, "-o", tmp_path / "out.pdf", "--json") == 0
    said = capsys.readouterr()
    assert "instances" in said.err
    assert json.loads(said.out)["pages"] == 3
