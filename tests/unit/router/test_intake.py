"""What is answered to a C-STORE, and what is there then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from router.reception import CANNOT_UNDERSTAND, DOES_NOT_MATCH, INVALID_UID, SUCCESS, RefusedInstance
from tests.factories import make_ct, make_report
from tests.unit.router.store import Store, dataset_of


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
