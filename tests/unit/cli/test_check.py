"""`ponte check`: a verdict for each file and each member of a ZIP, and an exit code that sums them up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.factories import encode, make_ct
from tests.hazards.archives import GOOD, Builder, archive
from tests.unit.cli.test_render import run

CT = encode(make_ct())


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `ponte check --json` and answers the exit code and what was printed."""

    def check(*paths: Path) -> tuple[int, dict[str, Any]]:
        code = run(monkeypatch, "check", *paths, "--json")
        return code, json.loads(capsys.readouterr().out)

    return check


def test_a_file_is_answered_in_full(tmp_path: Path, checked: Any) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(CT)
    code, answer = checked(path)
    assert code == 0
    (entry,) = answer.pop("files")
    assert answer == {"accepted": 1, "quarantined": 0}
    digest = entry.pop("sha256")
    assert len(digest) == 64
    assert entry == {
        "path": str(path),
        "verdict": "accepted",
        "reason": None,
        "detail": "",
        "notes": [],
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance_uid": make_ct().SOPInstanceUID,
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
    }


def test_a_folder_is_walked_and_one_bad_file_is_exit_code_1(tmp_path: Path, checked: Any) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cut.dcm").write_bytes(CT[:-2])
    (tmp_path / "a").write_bytes(CT)
    (tmp_path / "Thumbs.db").write_bytes(b"thumbs")
    code, answer = checked(tmp_path)
    found = {Path(entry["path"]).name: (entry["verdict"], entry["reason"]) for entry in answer["files"]}
    assert found == {
        "a": ("accepted", None),
        "Thumbs.db": ("quarantined", "IGNORED_NAME"),
        "cut.dcm": ("quarantined", "TRUNCATED"),
    }
    assert (code, answer["accepted"], answer["quarantined"]) == (1, 1, 2)


def test_the_members_of_a_zip_are_listed_behind_its_path(tmp_path: Path, checked: Any) -> None:
    (tmp_path / "exam.zip").write_bytes(archive({**GOOD, "note.txt": b"text"}))
    code, answer = checked(tmp_path)
    assert code == 1
    assert [(Path(e["path"]).relative_to(tmp_path).as_posix(), e["reason"]) for e in answer["files"]] == [
        ("exam.zip/a.dcm", None),
        ("exam.zip/b.dcm", None),
        ("exam.zip/note.txt", "NOT_DICOM"),
    ]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("login.zip", b"<html>log in</html>", "NOT_A_ZIP"),
        ("empty.ZIP", b"", "NOT_A_ZIP"),
        ("cut.zip", archive()[:-30], "ZIP_TRUNCATED"),
        ("two.zip", archive() + archive(), "ZIP_AMBIGUOUS"),
        ("no-name", archive()[:-1], "ZIP_TRUNCATED"),
    ],
)
def test_an_archive_that_is_refused_is_one_entry(
    name: str, data: bytes, reason: str, tmp_path: Path, checked: Any
) -> None:
    (tmp_path / name).write_bytes(data)
    code, answer = checked(tmp_path / name)
    assert code == 1
    assert [(e["path"], e["verdict"], e["reason"]) for e in answer["files"]] == [
        (str(tmp_path / name), "quarantined", reason)
    ]


def test_fs_03_what_is_no_regular_file_is_named_and_not_followed(tmp_path: Path, checked: Any) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.dcm").write_bytes(CT)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a.dcm")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "two\nlines").write_bytes(CT)
    code, answer = checked(tmp_path)
    found = {Path(entry["path"]).name: entry["reason"] for entry in answer["files"]}
    assert found == {
        "fifo": "NOT_REGULAR",
        "gone": "SYMLINK",
        "link": "SYMLINK",
        "loop": "SYMLINK",
        "two\nlines": None,
        "a.dcm": None,
    }
    assert code == 1


def test_nothing_to_check_is_exit_code_3(tmp_path: Path, checked: Any) -> None:
    assert checked(tmp_path) == (3, {"files": [], "accepted": 0, "quarantined": 0})


def test_a_path_that_is_not_there_is_bad_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "check", tmp_path / "nothing") == 2
    assert capsys.readouterr().out == ""


def test_people_get_a_line_for_each_that_no_name_can_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Builder().add(b"a\r\n\x1b[31m.dcm", CT).add(b"b.dcm", CT[:200]).bytes()
    (tmp_path / "a\nb.zip").write_bytes(data)
    assert run(monkeypatch, "check", tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"accepted     {tmp_path}/a_b.zip/a___[31m.dcm"
    assert lines[1].startswith(f"quarantined  {tmp_path}/a_b.zip/b.dcm: TRUNCATED: ")
    assert lines[2:] == ["1 accepted, 1 quarantined"]


def test_nothing_of_the_patient_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(0, len(CT), len(CT) // 40):
        (tmp_path / f"{number}.dcm").write_bytes(CT[:number])
    assert run(monkeypatch, "check", tmp_path) == 1
    captured = capsys.readouterr()
    assert "CANAR" not in (captured.out + captured.err).upper()
