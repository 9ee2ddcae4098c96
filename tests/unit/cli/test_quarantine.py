"""`ponte quarantine`: nothing goes on, and nothing is removed, but what was asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ponte.quarantine import FolderQuarantine, QuarantineRecord
from tests.destinations import Recorder
from tests.factories import encode, make_ct
from tests.hazards.archives import archive
from tests.unit.cli.test_render import run

CT = encode(make_ct(1))
UID = str(make_ct(1).SOPInstanceUID)
REFUSED = QuarantineRecord("DESTINATION_REFUSED", "no", name="a\x1b[31m.dcm", sha256="00")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs `ponte quarantine ... --json` and answers the exit code and the object."""

    def go(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
        code = run(monkeypatch, "quarantine", *arguments, "--json")
        return code, json.loads(capsys.readouterr().out)

    return go


@pytest.fixture
def kept(tmp_path: Path) -> list[str]:
    quarantine = FolderQuarantine(tmp_path)
    return [
        quarantine.keep(REFUSED, [CT]),
        quarantine.keep(QuarantineRecord("NOT_DICOM", "text"), [b"text"]),
        quarantine.keep(QuarantineRecord("ZIP_EMPTY", "x", kind="archive"), [archive()]),
    ]


@pytest.fixture
def destination(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: recorder)
    return recorder


def test_all_entries_are_listed_with_their_reasons(kept: list[str], tmp_path: Path, said: Any) -> None:
    code, answer = said("list", "--root", tmp_path)
    assert code == 0
    assert {entry["id"] for entry in answer["entries"]} == set(kept)
    reasons = {entry["record"]["reason"] for entry in answer["entries"]}
    assert reasons == {"DESTINATION_REFUSED", "NOT_DICOM", "ZIP_EMPTY"}


def test_for_people_nothing_is_printed_that_acts_on_a_terminal(
    kept: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "quarantine", "list", "--root", tmp_path) == 0
    assert run(monkeypatch, "quarantine", "show", kept[0], "--root", tmp_path) == 0
    out = capsys.readouterr().out
    assert "3 in quarantine" in out
    assert "\x1b" not in out


def test_one_is_shown_in_full(kept: list[str], tmp_path: Path, said: Any) -> None:
    code, answer = said("show", kept[0], "--root", tmp_path)
    assert (code, answer["id"], answer["size_bytes"], answer["released"]) == (0, kept[0], len(CT), None)


def test_what_is_released_is_sent_and_what_cannot_be_is_refused(
    kept: list[str], tmp_path: Path, said: Any, destination: Recorder
) -> None:
    code, answer = said("release", *kept[:2], "--root", tmp_path, "--to", "x")
    assert code == 1
    assert [one["status"] for one in answer["released"]] == ["stored", "not_sent"]
    assert answer["released"][1]["detail"].startswith("NOT_DICOM")
    assert destination.held == {UID: CT}
    code, answer = said("release", kept[1], "--root", tmp_path, "--to", "x")
    assert code == 3


def test_a_released_archive_is_ingested_with_the_ledger(
    kept: list[str], tmp_path: Path, said: Any, destination: Recorder
) -> None:
    options = ("--root", tmp_path, "--to", "x", "--state-db", tmp_path / "db")
    assert said("release", kept[2], *options)[0] == 0
    assert len(destination.held) == 2
    assert said("release", kept[2], *options)[1]["released"][0]["status"] == "stored"
    assert set(destination.asked.values()) == {1}


def test_an_id_that_is_not_there_sends_nothing(
    kept: list[str],
    tmp_path: Path,
    destination: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for verb in (
        ("release", kept[0], "../x", "--to", "x"),
        ("purge", kept[0], "f" * 32, "--yes"),
        ("show", "x"),
    ):
        assert run(monkeypatch, "quarantine", *verb, "--root", tmp_path) == 2
    assert destination.batches == []
    assert len(list(FolderQuarantine(tmp_path).list())) == 3


def test_what_is_purged_is_gone_and_the_rest_is_not(kept: list[str], tmp_path: Path, said: Any) -> None:
    code, answer = said("purge", kept[1], "--root", tmp_path, "--yes")
    assert (code, answer) == (0, {"purged": [kept[1]]})
    assert {entry.id for entry in FolderQuarantine(tmp_path).list()} == {kept[0], kept[2]}


def test_without_a_yes_nothing_is_removed(
    kept: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    assert run(monkeypatch, "quarantine", "purge", kept[0], "--root", tmp_path) == 3
    assert len(list(FolderQuarantine(tmp_path).list())) == 3


def test_by_age_and_by_release(
    kept: list[str], tmp_path: Path, said: Any, destination: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said("purge", "--older-than", "30d", "--root", tmp_path, "--yes")[1] == {"purged": []}
    said("release", kept[0], "--root", tmp_path, "--to", "x")
    assert said("purge", "--released", "--older-than", "1h", "--root", tmp_path, "--yes")[1] == {"purged": []}
    assert said("purge", "--released", "--root", tmp_path, "--yes")[1] == {"purged": [kept[0]]}

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(days=31)

    monkeypatch.setattr("cli.quarantine.datetime", Later)
    assert set(said("purge", "--older-than", "30d", "--root", tmp_path, "--yes")[1]["purged"]) == set(
        kept[1:]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("purge",),
        ("purge", "0" * 32, "--released"),
        ("purge", "--older-than", "soon"),
        ("purge", "--older-than", "-1d"),
    ],
)
def test_a_purge_that_does_not_say_what_is_refused(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, "quarantine", *arguments, "--root", tmp_path, "--yes") == 2


def test_a_root_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "quarantine", "list", "--root", tmp_path / "none") == 2
