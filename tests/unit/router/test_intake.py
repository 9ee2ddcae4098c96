"""What is answered to a C-STORE, and what is there then."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pydicom
import pytest

from ponte.quarantine import FolderQuarantine
from router import writeback
from router.intake import DiskLimits
from router.reception import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    INVALID_UID,
    OUT_OF_RESOURCES,
    SUCCESS,
    Asked,
    RefusedInstance,
)
from tests.factories import make_ct, make_report
from tests.unit.router.store import FACTS, LITTLE, Store, dataset_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path)
    yield found
    found.close()


def test_a_sound_instance_is_kept_as_it_came_as_a_part_10_file(store: Store) -> None:
    instance = make_ct()
    assert store.send(instance) == SUCCESS
    assert store.bytes_of(instance.SOPInstanceUID) == dataset_of(instance)
    row = store.kept(instance.SOPInstanceUID)
    assert row is not None
    read = pydicom.dcmread(store.spool.path_of(row.place))
    assert read.file_meta.MediaStorageSOPInstanceUID == instance.SOPInstanceUID
    assert read.file_meta.SourceApplicationEntityTitle == "MODALITY"
    assert read == instance
    assert row.durable_at >= row.received_at


def test_an_identical_duplicate_is_a_success_and_one_copy(store: Store) -> None:
    assert [store.send(make_ct()), store.send(make_ct())] == [SUCCESS, SUCCESS]
    assert len(store.files()) == 1
    assert store.count() == 1


def test_another_content_under_the_same_uid_is_kept_in_quarantine(store: Store) -> None:
    first, second = make_ct(), make_ct(PatientID="OTHER")
    assert [store.send(first), store.send(second), store.send(second)] == [SUCCESS] * 3
    assert store.bytes_of(first.SOPInstanceUID) == dataset_of(first)
    assert store.quarantined() == ["UID_CONFLICT"]


def test_an_image_without_pixels_does_not_match_and_is_kept_in_quarantine(store: Store) -> None:
    instance = make_ct()
    del instance.PixelData
    assert [store.send(instance), store.send(instance)] == [DOES_NOT_MATCH] * 2
    assert store.quarantined() == ["NO_PIXEL_DATA"]
    assert store.files() == []


def test_an_association_of_which_nothing_was_kept_has_a_row_all_the_same(store: Store) -> None:
    instance = make_ct()
    del instance.PixelData
    store.send(instance)
    query = "SELECT calling_ae_title, count(*) FROM associations a JOIN quarantined ON association_id = a.id"
    assert store.committer.run(lambda database: database.run(query).fetchone()) == ("MODALITY", 1)


def test_an_instance_that_has_no_pixels_by_nature_is_kept(store: Store) -> None:
    assert store.send(make_report()) == SUCCESS


@pytest.mark.parametrize("wrong", ["class", "instance"])
def test_a_dataset_that_is_not_what_the_command_says_does_not_match(store: Store, wrong: str) -> None:
    instance = make_ct()
    sop_class = "1.2.840.10008.5.1.4.1.1.4" if wrong == "class" else instance.SOPClassUID
    uid = "1.2.3" if wrong == "instance" else instance.SOPInstanceUID
    assert store.store(dataset_of(instance), sop_class, uid) == DOES_NOT_MATCH
    assert store.quarantined() == ["COMMAND_MISMATCH"]
    assert store.files() == []


def test_a_dataset_that_was_cut_cannot_be_understood(store: Store) -> None:
    instance = make_ct()
    cut = dataset_of(instance)[:-10]
    assert store.store(cut, instance.SOPClassUID, instance.SOPInstanceUID) == CANNOT_UNDERSTAND
    assert store.quarantined() == ["TRUNCATED"]
    assert store.files() == []


def test_a_uid_that_is_none_is_refused_before_the_dataset(store: Store) -> None:
    with pytest.raises(RefusedInstance) as refused:
        store.store(b"", "1.2.840.10008.5.1.4.1.1.2", "../../x")
    assert refused.value.status == INVALID_UID
    assert store.files() == []


def test_who_sent_it_is_in_the_file_so_that_rows_can_be_built_from_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    instance = make_ct()
    store.send(instance)
    before = store.kept(instance.SOPInstanceUID)
    store.close()
    (tmp_path / ".spool/router.db").unlink()
    again = Store(tmp_path)
    after = again.kept(instance.SOPInstanceUID)
    again.close()
    assert before is not None
    assert after is not None
    assert after.source_ae_title == before.source_ae_title == "MODALITY"
    assert replace(after, received_at=0, durable_at=0) == replace(
        before, received_at=0, durable_at=0, association_id=None
    )


def test_files_and_folders_are_their_owners_alone(store: Store, tmp_path: Path) -> None:
    store.send(make_ct())
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / ".spool").rglob("*")}
    assert modes == {0o700, 0o600}


def test_associations_are_refused_when_the_disk_is_low_or_it_stops(tmp_path: Path) -> None:
    store = Store(tmp_path, limits=DiskLimits(1 << 60, 0))
    assert store.intake.refuses_associations() == "disk"
    store.intake.stop()
    assert store.intake.refuses_associations() == "stopping"
    store.close()


def test_instances_are_refused_when_the_disk_is_nearly_full(tmp_path: Path) -> None:
    store = Store(tmp_path, limits=DiskLimits(0, 1 << 60))
    with pytest.raises(RefusedInstance) as refused:
        store.send(make_ct())
    assert refused.value.status == OUT_OF_RESOURCES
    store.close()


def test_an_abandoned_dataset_leaves_nothing(store: Store) -> None:
    instance = make_ct()
    asked = Asked(FACTS, instance.SOPClassUID, instance.SOPInstanceUID, LITTLE)
    reception = store.intake.begin(asked)
    reception.write(dataset_of(instance)[:1000])
    reception.abandon()
    reception.abandon()
    assert (store.files(), store.count()) == ([], 0)


def test_a_conflict_that_cannot_be_kept_is_no_success(store: Store) -> None:
    store.send(make_ct())
    store.intake.quarantine = FolderQuarantine(store.spool.folder.parent, budget_bytes=1)
    assert store.send(make_ct(PatientID="OTHER")) == OUT_OF_RESOURCES
    broken = make_ct(2)
    del broken.PixelData
    assert store.send(broken) == DOES_NOT_MATCH
    assert store.quarantined() == []


def test_a_duplicate_whose_file_somebody_took_away_is_kept_again(store: Store) -> None:
    instance = make_ct()
    store.send(instance)
    row = store.kept(instance.SOPInstanceUID)
    assert row is not None
    store.spool.remove(row.place)
    assert store.send(instance) == SUCCESS
    assert store.bytes_of(instance.SOPInstanceUID) == dataset_of(instance)


def test_the_first_of_two_at_once_under_one_uid_is_kept(store: Store) -> None:
    results: list[int] = []

    def send(patient: str) -> None:
        results.append(store.send(make_ct(PatientID=patient)))

    threads = [Thread(target=send, args=(f"P{number % 2}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [SUCCESS] * 8
    assert len(store.files()) == 1
    assert store.quarantined() == ["UID_CONFLICT"]


def test_no_patient_data_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    store.send(make_ct())
    store.send(make_ct(PatientID="CANARY-ID-2"))
    broken = make_ct(2)
    del broken.PixelData
    store.send(broken)
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    assert "CANAR" not in logged
    assert broken.SOPInstanceUID not in logged


def test_a_disk_that_cannot_be_asked_is_no_disk_to_fill(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(5, "gone")

    monkeypatch.setattr(os, "statvfs", fail)
    assert store.intake.refuses_associations() == "disk"
    with pytest.raises(RefusedInstance) as refused:
        store.send(make_ct())
    assert refused.value.status == OUT_OF_RESOURCES


def test_nothing_is_committed_after_the_end(tmp_path: Path) -> None:
    store = Store(tmp_path)
    instance = make_ct()
    asked = Asked(FACTS, instance.SOPClassUID, instance.SOPInstanceUID, LITTLE)
    reception = store.intake.begin(asked)
    reception.write(dataset_of(instance))
    store.close()
    assert reception.finish() == OUT_OF_RESOURCES
    again = Store(tmp_path)
    assert (again.count(), again.files()) == (0, [])
    again.close()


@pytest.mark.parametrize(("number", "status"), [(errno.EIO, OUT_OF_RESOURCES), (errno.ENOSYS, SUCCESS)])
def test_a_disk_that_fails_while_more_arrives_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def fail(*_: object) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(writeback, "_sync_file_range", fail)
    instance = make_ct(size=1024)
    if status == SUCCESS:
        assert store.send(instance) == SUCCESS
        return
    with pytest.raises(RefusedInstance) as refused:
        store.send(instance)
    assert refused.value.status == status
    assert store.files() == []


def test_what_happened_is_counted(store: Store) -> None:
    store.send(make_ct())
    store.send(make_ct())
    store.send(make_ct(PatientID="OTHER"))
    counters = store.counters.snapshot()
    title = FACTS.calling_ae_title
    assert counters[f'ponte_cstore_total{{calling_ae="{title}",status="0000"}}'] == 3
    assert store.counters.value("ponte_store_seconds_bucket") == 3
    assert 0 < store.counters.value("ponte_store_seconds_sum") < 60
    assert counters['ponte_instances_total{settlement="kept"}'] == 1
    assert counters['ponte_instances_total{settlement="duplicate"}'] == 1
    assert counters['ponte_quarantine_total{reason="UID_CONFLICT"}'] == 1
    assert store.counters.value("ponte_received_bytes_total") > 3 * 8192
