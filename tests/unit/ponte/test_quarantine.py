"""What is kept is kept once, durably and privately, and goes on only where it can."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ponte import quarantine as module
from ponte.dedup import Finding, Ledger, Policy
from ponte.destination import Outcome
from ponte.errors import InvalidRequest, StorageFull
from ponte.ingesting.release import Exit, release
from ponte.memorystore import MemoryStore
from ponte.quarantine import FolderQuarantine, QuarantineRecord, Release
from ponte.scan import scan
from tests.destinations import Recorder
from tests.factories import encode, make_ct, make_dataset
from tests.hazards.archives import GOOD, archive

CONFLICT = QuarantineRecord("UID_CONFLICT", "known", name="CANARY^NAME/../x", sha256="00")
NO_PIXELS = QuarantineRecord("NO_PIXEL_DATA", "none", sha256="00")
WHOLE = QuarantineRecord("ZIP_EMPTY", "nothing", kind="archive")
CT = encode(make_ct(1))
UID = str(make_ct(1).SOPInstanceUID)
RELEASED = Release("2026-01-22T14:15:30+00:00", "pacs", "stored")


@pytest.fixture
def quarantine(tmp_path: Path) -> FolderQuarantine:
    return FolderQuarantine(tmp_path / "kept")


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_what_is_kept_is_found_again_with_its_record(quarantine: FolderQuarantine) -> None:
    kept_id = quarantine.keep(CONFLICT, iter([CT[:10], CT[10:]]))
    (kept,) = quarantine.list()
    assert (kept.id, kept.record, kept.size_bytes, kept.released) == (kept_id, CONFLICT, len(CT), None)
    assert quarantine.show(kept_id) == kept
    with quarantine.open(kept_id) as stream:
        assert stream.read() == CT


def test_each_reason_has_its_folder_and_no_name_is_a_path(
    tmp_path: Path, quarantine: FolderQuarantine
) -> None:
    for record, content in ((CONFLICT, [CT]), (NO_PIXELS, [CT]), (WHOLE, [b"PK"])):
        quarantine.keep(record, content)
    quarantine.keep(QuarantineRecord("NOT_DICOM", "text"), [b"text"])
    folders = {(str(p.parent.relative_to(tmp_path / "kept")), p.suffix) for p in files(tmp_path)}
    assert folders == {
        ("_QUARANTINE/UID_CONFLICT", ".dcm"),
        ("_QUARANTINE/UID_CONFLICT", ".json"),
        ("_INVALID_NO_PIXELS", ".dcm"),
        ("_INVALID_NO_PIXELS", ".json"),
        ("_QUARANTINE/ZIP_EMPTY", ".zip"),
        ("_QUARANTINE/ZIP_EMPTY", ".json"),
        ("_QUARANTINE/NOT_DICOM", ".bin"),
        ("_QUARANTINE/NOT_DICOM", ".json"),
    }
    assert not [path for path in files(tmp_path) if "CANAR" in path.name]
    for path in tmp_path.glob("kept/**/*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("reason", ["../../etc", "a/b", "", "lower", "X" * 50])
def test_a_reason_that_is_no_code_is_never_a_folder(reason: str, quarantine: FolderQuarantine) -> None:
    with pytest.raises(ValueError, match="code"):
        quarantine.keep(QuarantineRecord(reason, ""), [b"x"])


def test_the_same_bytes_for_the_same_reason_are_kept_once(
    tmp_path: Path, quarantine: FolderQuarantine
) -> None:
    first = quarantine.keep(CONFLICT, [CT])
    assert quarantine.keep(CONFLICT, [CT]) == first
    assert quarantine.keep(NO_PIXELS, [CT]) != first
    assert quarantine.keep(CONFLICT, [CT, b"more"]) != first
    assert len(files(tmp_path)) == 6


def test_what_was_released_and_comes_again_is_to_be_decided_anew(quarantine: FolderQuarantine) -> None:
    kept_id = quarantine.keep(CONFLICT, [CT])
    quarantine.mark_released(kept_id, RELEASED)
    assert quarantine.show(kept_id).released == RELEASED
    assert quarantine.keep(CONFLICT, [CT]) == kept_id
    assert quarantine.show(kept_id).released is None


def test_without_bytes_the_reason_is_kept_for_each_place(quarantine: FolderQuarantine) -> None:
    records = [QuarantineRecord("ZIP_BOMB", "large", origin="x", place=place) for place in ("1", "2", "1")]
    ids = [quarantine.keep(record, None) for record in records]
    assert len(set(ids)) == 2
    with pytest.raises(InvalidRequest, match="no bytes"):
        quarantine.open(ids[0])


def test_what_another_process_keeps_and_purges_counts_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (FolderQuarantine(tmp_path, budget_bytes=2 * len(CT)) for _ in range(2))
    first = one.keep(CONFLICT, [CT])
    other.keep(CONFLICT, [b"x" * len(CT)])
    monkeypatch.setattr(module, "_COUNT_AGAIN_S", 0.0)
    with pytest.raises(StorageFull):
        one.keep(CONFLICT, [b"y" * len(CT)])
    other.purge(first)
    one.keep(CONFLICT, [b"y" * len(CT)])


def test_the_budget_is_for_all_and_what_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    quarantine = FolderQuarantine(tmp_path, budget_bytes=2 * len(CT))
    first = quarantine.keep(CONFLICT, [CT])
    quarantine.keep(NO_PIXELS, [CT])
    for candidate in (quarantine, FolderQuarantine(tmp_path, budget_bytes=2 * len(CT))):
        with pytest.raises(StorageFull):
            candidate.keep(QuarantineRecord("EMPTY", ""), [b"x"])
    assert len(files(tmp_path)) == 4
    quarantine.purge(first)
    quarantine.keep(QuarantineRecord("EMPTY", ""), [b"x"])


def test_a_disk_that_is_full_is_said_so_and_leaves_nothing(
    tmp_path: Path, quarantine: FolderQuarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        quarantine.keep(CONFLICT, [CT])
    monkeypatch.undo()
    assert files(tmp_path) == []


def test_bytes_are_on_the_disk_before_the_record_that_makes_them_count(
    quarantine: FolderQuarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_sync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        done.append(f"-> {target.suffix}")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    quarantine.keep(CONFLICT, [CT])
    order = [step if step.startswith("->") else Path(step).suffix or "folder" for step in done]
    assert order[-5:] == [".part", "-> .dcm", ".part", "-> .json", "folder"]


@pytest.mark.parametrize("wrong", ["../x", "0" * 32, "", "*", "0" * 31 + "g"])
def test_an_id_that_is_not_there_is_refused(wrong: str, quarantine: FolderQuarantine) -> None:
    quarantine.keep(CONFLICT, [CT])
    for act in (quarantine.show, quarantine.open, quarantine.purge):
        with pytest.raises(InvalidRequest, match="not in the quarantine"):
            act(wrong)


def test_a_damaged_record_hides_neither_itself_nor_the_others(
    tmp_path: Path, quarantine: FolderQuarantine
) -> None:
    first, second = quarantine.keep(CONFLICT, [CT]), quarantine.keep(NO_PIXELS, [CT])
    next(tmp_path.rglob(f"{first}.json")).write_text("{")
    damaged, sound = sorted(quarantine.list(), key=lambda kept: kept.id != first)
    assert (damaged.id, damaged.record.reason) == (first, "UID_CONFLICT")
    assert "damaged" in damaged.record.detail
    assert sound.id == second
    quarantine.purge(first)
    assert [kept.id for kept in quarantine.list()] == [second]
    assert len(files(tmp_path)) == 2


def record_of(data: bytes, reason: str) -> QuarantineRecord:
    verdict = scan([data])
    return QuarantineRecord(reason, "", sha256=verdict.sha256, sop_instance_uid=verdict.sop_instance_uid)


def test_a_conflict_that_is_released_is_sent_marked_and_known(quarantine: FolderQuarantine) -> None:
    destination, ledger = Recorder(), Ledger(MemoryStore(), Policy.UID_THEN_SHA256)
    ledger.claim(UID, "another", "x")
    ledger.confirm(UID, "another", "x")
    record = record_of(CT, "UID_CONFLICT")
    kept_id = quarantine.keep(record, [CT])
    done = release(quarantine, kept_id, Exit(destination, "pacs", ledger))
    assert (done.status, done.destination) == ("stored", "pacs")
    assert "only the destination can show" in done.detail
    assert destination.held == {UID: CT}
    assert quarantine.show(kept_id).released == done
    assert ledger.claim(UID, record.sha256 or "", "y").finding is Finding.DUPLICATE


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(make_dataset("1.2.840.10008.5.1.4.1.1.2")), "NO_PIXEL_DATA"),
        (CT[:-10], "TRUNCATED"),
        (b"text", "NOT_DICOM"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_reason(
    data: bytes, reason: str, quarantine: FolderQuarantine
) -> None:
    destination = Recorder()
    kept_id = quarantine.keep(QuarantineRecord(reason, ""), [data])
    done = release(quarantine, kept_id, Exit(destination, "pacs"))
    assert done.status == "not_sent"
    assert done.detail.startswith(reason)
    assert destination.batches == []
    assert quarantine.show(kept_id).released is None


def test_a_record_without_bytes_cannot_be_released(quarantine: FolderQuarantine) -> None:
    kept_id = quarantine.keep(QuarantineRecord("ZIP_BOMB", ""), None)
    assert release(quarantine, kept_id, Exit(Recorder(), "pacs")).status == "not_sent"


def test_a_destination_that_refuses_again_leaves_it_in_quarantine(quarantine: FolderQuarantine) -> None:
    destination = Recorder({UID: [Outcome(UID, "refused", "does not match", 0xA900)]})
    kept_id = quarantine.keep(record_of(CT, "DESTINATION_REFUSED"), [CT])
    done = release(quarantine, kept_id, Exit(destination, "pacs"))
    assert (done.status, done.detail) == ("refused", "does not match")
    assert quarantine.show(kept_id).released is None


def test_an_archive_that_is_released_is_ingested_anew(quarantine: FolderQuarantine) -> None:
    destination = Recorder()
    kept_id = quarantine.keep(WHOLE, [archive()])
    done = release(quarantine, kept_id, Exit(destination, "pacs"))
    assert done.status == "stored"
    assert list(destination.held.values()) == list(GOOD.values())
    broken = quarantine.keep(WHOLE, [archive()[:-3]])
    assert release(quarantine, broken, Exit(destination, "pacs")).detail.startswith("ZIP_TRUNCATED")
    mixed = quarantine.keep(WHOLE, [archive({"new": encode(make_ct(9)), "text": b"text"})])
    done = release(quarantine, mixed, Exit(destination, "pacs"))
    assert (done.status, done.detail) == ("partial", "1 delivered, 0 known, 1 quarantined")
    assert quarantine.show(mixed).released is None
