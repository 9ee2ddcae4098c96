"""`ponte ingest`: one object, the right exit code, and nothing touched that should not be."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ponte.destination import Outcome
from ponte.errors import AccessRefused, DestinationUnavailable, StorageFull
from ponte.quarantine import FolderQuarantine
from tests.destinations import Recorder
from tests.factories import encode, make_ct
from tests.hazards.archives import GOOD, archive
from tests.unit.cli.test_render import run

A = GOOD["a.dcm"]
UID = str(make_ct(1).SOPInstanceUID)


@pytest.fixture
def destination(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """What every `--to` opens."""
    recorder = Recorder()
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: recorder)
    return recorder


@pytest.fixture
def ingested(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, list[dict[str, Any]]]]:
    """Runs `ponte ingest --to x --json` and answers the exit code and the archives."""

    def go(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
        code = run(monkeypatch, "ingest", *arguments, "--to", "x", "--json")
        return code, json.loads(capsys.readouterr().out)["archives"]

    return go


def zipped(folder: Path, name: str = "exam.zip", **members: bytes) -> Path:
    path = folder / name
    path.write_bytes(archive(members or GOOD))
    return path


def test_a_good_archive_is_done(tmp_path: Path, destination: Recorder, ingested: Any) -> None:
    path = zipped(tmp_path)
    code, (answer,) = ingested(path)
    assert code == 0
    assert (answer["path"], answer["verdict"], answer["totals"]["delivered"]) == (str(path), "done", 2)
    assert [entry["destination"]["status"] for entry in answer["entries"]] == ["stored"] * 2
    assert list(destination.held.values()) == list(GOOD.values())


def test_one_that_is_quarantined_makes_it_partial_and_is_kept(
    tmp_path: Path, destination: Recorder, ingested: Any
) -> None:
    kept = tmp_path / "kept"
    code, (answer,) = ingested(zipped(tmp_path, a=A, b=A[:-10]), "--quarantine", kept)
    assert (code, answer["verdict"]) == (1, "partial")
    (entry,) = FolderQuarantine(kept).list()
    assert (entry.record.reason, entry.id) == ("TRUNCATED", answer["entries"][1]["quarantine_id"])


@pytest.mark.parametrize("data", [archive()[:-5], archive({"Thumbs.db": b"x"}), b"no ZIP"])
def test_an_archive_of_which_nothing_goes_on_is_kept_as_a_whole(
    data: bytes, tmp_path: Path, destination: Recorder, ingested: Any
) -> None:
    path, kept = tmp_path / "CANARY.zip", tmp_path / "kept"
    path.write_bytes(data)
    code, (answer,) = ingested(path, "--quarantine", kept)
    assert (code, answer["verdict"]) == (1, "quarantined")
    (entry,) = FolderQuarantine(kept).list()
    assert (entry.id, entry.record.kind, entry.record.reason) == (
        answer["quarantine_id"],
        "archive",
        answer["reason"],
    )
    with FolderQuarantine(kept).open(entry.id) as stream:
        assert stream.read() == data
    assert path.read_bytes() == data
    assert not [p for p in kept.rglob("*") if "CANARY" in p.name]


def test_several_archives_are_answered_in_turn(tmp_path: Path, destination: Recorder, ingested: Any) -> None:
    paths = [zipped(tmp_path, "1.zip"), zipped(tmp_path, "2.zip", x=b"text"), zipped(tmp_path, "3.zip")]
    code, answers = ingested(*paths)
    assert code == 1
    assert [answer["verdict"] for answer in answers] == ["done", "quarantined", "done"]
    assert {entry["verdict"] for entry in answers[2]["entries"]} == {"duplicate"}


def test_a_destination_that_is_not_there_leaves_everything_undone(
    tmp_path: Path,
    destination: Recorder,
    ingested: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    destination.missing = DestinationUnavailable("The server cannot be reached")
    code, answers = ingested(
        zipped(tmp_path, "1.zip"), zipped(tmp_path, "2.zip"), "--state-db", tmp_path / "db"
    )
    assert code == 3
    assert [answer["error"]["code"] for answer in answers] == ["PACS_ERROR"] * 2
    assert destination.batches == []
    assert run(monkeypatch, "ingest", tmp_path / "1.zip", "--to", "x") == 3
    assert "1.zip: interrupted: 0 accepted" in capsys.readouterr().out


def test_one_that_breaks_off_says_what_it_had_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ingested: Any
) -> None:
    breaks = Recorder({UID: [AccessRefused("401")]})
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: breaks)
    path = zipped(tmp_path, b=GOOD["b.dcm"], a=A)
    code, (answer,) = ingested(path, "--state-db", tmp_path / "db")
    assert (code, answer["verdict"], answer["entries"]) == (3, "partial", [])
    whole = Recorder()
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: whole)
    code, (answer,) = ingested(path, "--state-db", tmp_path / "db")
    assert (code, answer["verdict"]) == (0, "done")
    assert list(whole.held) == [UID]


def test_a_rehearsal_touches_neither_ledger_nor_network_nor_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a destination was opened")

    monkeypatch.setattr("cli.destinations.open_destination", never)
    path = zipped(tmp_path, a=A, b=A, c=b"text")
    options = ("--to", "x", "--state-db", tmp_path / "db", "--quarantine", tmp_path / "q")
    assert run(monkeypatch, "ingest", path, *options, "--dry-run", "--json") == 1
    (answer,) = json.loads(capsys.readouterr().out)["archives"]
    assert [e["verdict"] for e in answer["entries"]] == ["accepted", "duplicate", "quarantined"]
    assert answer["dry_run"] is True
    assert list(tmp_path.iterdir()) == [path]
    assert run(monkeypatch, "ingest", path, "--dry-run", "--report", tmp_path / "reports") == 1
    assert f"{path}: dry run: partial: 1 accepted" in capsys.readouterr().out
    (page,) = (tmp_path / "reports").glob("*.html")
    assert "Simulação: nada foi enviado" in page.read_text(encoding="utf-8")


def test_the_report_is_kept_as_json_and_page_under_a_name_of_ours(
    tmp_path: Path, destination: Recorder, ingested: Any
) -> None:
    reports = tmp_path / "reports"
    _, (answer,) = ingested(zipped(tmp_path, "CANARY.zip"), "--report", reports, "--lang", "en")
    written = sorted(reports.iterdir())
    assert [path.suffix for path in written] == [".html", ".json"]
    assert not [path for path in written if "CANARY" in path.name]
    assert "Ingest report" in written[0].read_text()
    kept = json.loads(written[1].read_text())
    assert (kept["verdict"], kept["sha256"]) == ("done", answer["sha256"])
    assert "sop_instance_uid_sha256" in kept["entries"][0]
    assert UID not in written[0].read_text() + written[1].read_text()


def test_for_people_it_prints_what_did_not_go_on_and_the_sums(
    tmp_path: Path, destination: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = zipped(tmp_path, a=A, b=A, c=b"text")
    assert run(monkeypatch, "ingest", path, "--to", "x") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"duplicate    {path}/b"
    assert lines[1].startswith(f"quarantined  {path}/c: NOT_DICOM: ")
    assert lines[2] == f"{path}: partial: 1 accepted, 1 duplicate, 0 skipped, 1 quarantined, 1 delivered"


@pytest.mark.parametrize("policy", ["uid_then_sha256", "sha256_only", "uid_only"])
def test_the_policy_is_the_ledgers(policy: str, tmp_path: Path, destination: Recorder, ingested: Any) -> None:
    other = encode(make_ct(1, PatientComments="another"))
    _, (answer,) = ingested(zipped(tmp_path, a=A, b=other), "--policy", policy)
    expected = {"uid_then_sha256": "quarantined", "sha256_only": "accepted", "uid_only": "duplicate"}
    assert answer["entries"][1]["verdict"] == expected[policy]


def test_an_archive_that_another_process_has_in_hand_is_left_to_it(
    tmp_path: Path, destination: Recorder, ingested: Any
) -> None:
    path = zipped(tmp_path)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, (answer,) = ingested(path)
    assert (code, answer["error"]["code"]) == (3, "LEDGER_BUSY")
    assert destination.batches == []


def test_a_ledger_that_breaks_is_an_error_and_no_traceback(
    tmp_path: Path, destination: Recorder, ingested: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("ponte.sqlitestore.SqliteStore.together", breaks)
    code, (answer,) = ingested(zipped(tmp_path), "--state-db", tmp_path / "db")
    assert (code, answer["error"]["code"]) == (3, "LEDGER_BUSY")


@pytest.mark.parametrize(
    "what", ["nothing", "folder", "instance", "no destination", "report", "foreign", "no folder"]
)
def test_bad_usage_is_one_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, options = zipped(tmp_path), ["--to", "http://127.0.0.1:1/dicom-web"]
    if what == "nothing":
        path = tmp_path / "none.zip"
    elif what == "folder":
        path = tmp_path
    elif what == "instance":
        path = tmp_path / "a.dcm"
        path.write_bytes(A)
    elif what == "no destination":
        options = []
    elif what == "report":
        options += ["--report", str(path)]
    elif what == "no folder":
        options += ["--state-db", str(tmp_path / "none" / "state.db")]
    else:
        with sqlite3.connect(tmp_path / "db") as other:
            other.execute("CREATE TABLE processed (x)")
        other.close()
        options += ["--state-db", str(tmp_path / "db")]
    assert run(monkeypatch, "ingest", path, *options) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_an_answer_that_is_refused_is_said_with_the_destinations_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ingested: Any
) -> None:
    refuses = Recorder({UID: [Outcome(UID, "refused", "no such class", 0x0122)]})
    monkeypatch.setattr("cli.destinations.open_destination", lambda *_, **__: refuses)
    code, (answer,) = ingested(zipped(tmp_path))
    assert code == 1
    entry = answer["entries"][0]
    assert (entry["verdict"], entry["reason"]) == ("quarantined", "DESTINATION_REFUSED")
    assert entry["destination"] == {"status": "refused", "detail": "no such class", "reason": 0x0122}


def test_what_one_destination_has_is_no_duplicate_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = {"http://one/dicom-web": Recorder(), "http://two/dicom-web": Recorder()}
    monkeypatch.setattr("cli.destinations.open_destination", lambda to, **_: servers[to])
    path, words = zipped(tmp_path), []
    for to in (*servers, *servers):
        run(monkeypatch, "ingest", path, "--to", to, "--state-db", tmp_path / "db", "--json")
        (answer,) = json.loads(capsys.readouterr().out)["archives"]
        words.append({entry["verdict"] for entry in answer["entries"]})
    assert words == [{"accepted"}, {"accepted"}, {"duplicate"}, {"duplicate"}]
    assert all(len(server.held) == 2 for server in servers.values())


def test_a_report_that_cannot_be_written_is_said_beside_what_was_done(
    tmp_path: Path, destination: Recorder, ingested: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cli.ingest._write_report", full)
    code, (answer,) = ingested(zipped(tmp_path), "--report", tmp_path / "reports")
    assert (code, answer["error"]["code"], answer["totals"]["delivered"]) == (1, "STORAGE_FULL", 2)


def test_a_quarantine_without_room_is_an_error_of_the_run(
    tmp_path: Path, destination: Recorder, ingested: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageFull("The quarantine holds its bytes")

    monkeypatch.setattr(FolderQuarantine, "keep", full)
    path = tmp_path / "exam.zip"
    for data in (archive()[:-5], archive({"a": b"text"})):
        path.write_bytes(data)
        code, (answer,) = ingested(path, "--quarantine", tmp_path / "kept")
        assert (code, answer["verdict"], answer["error"]["code"]) == (3, "partial", "STORAGE_FULL")
