"""What people find in DICOM_ROOT while studies come, and after."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from router import organiser_rows as rows
from router.database import Database
from router.organiser import BATCH
from router.savepoint import run_apart
from tests.factories import STUDY_UID, make_ct, make_report, uid
from tests.unit.router.organised import LIMIT_S, QUIET_S, House

FOLDER = "20260122_141532_CANARY-ID-1_CANARIO_Conceição"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.close()


def test_a_study_has_a_folder_named_by_time_patient_and_name(house: House) -> None:
    first, second = make_ct(1), make_report()
    house.store.send(first)
    house.store.send(second)
    house.organise()
    assert house.tree() == {FOLDER: [f"CT.{first.SOPInstanceUID}.dcm", f"SR.{second.SOPInstanceUID}.dcm"]}


def test_a_name_is_the_very_file_of_the_spool_for_its_owner_alone(house: House) -> None:
    instance = make_ct()
    house.store.send(instance)
    house.organise()
    row = house.store.kept(instance.SOPInstanceUID)
    assert row is not None
    file = house.root / FOLDER / f"CT.{instance.SOPInstanceUID}.dcm"
    assert file.samefile(house.store.spool.path_of(row.place))
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_metadata_has_the_keys_and_formats_of_the_old_router(house: House) -> None:
    house.store.send(make_ct(1))
    house.store.send(make_ct(2))
    house.organise()
    expected = {
        STUDY_UID: {
            "folder": FOLDER,
            "patient_id": "CANARY-ID-1",
            "patient_name": "CANARIO^Conceição",
            "study_uid": STUDY_UID,
            "study_date": "20260122",
            "study_time": "141530",
            "modality": "CT",
            "created_at": "20260122_141532",
            "image_count": 2,
            "study_description": "CANARY STUDY",
            "sent": False,
            "sent_at": None,
        }
    }
    written = (house.root / ".metadata.json").read_bytes()
    assert written == json.dumps(expected, indent=2).encode()
    assert stat.S_IMODE((house.root / ".metadata.json").stat().st_mode) == 0o600


def test_metadata_without_studies_is_an_empty_object(house: House) -> None:
    house.organise()
    assert (house.root / ".metadata.json").read_bytes() == b"{}"


def test_the_count_is_of_what_came_and_lives(house: House) -> None:
    counts = []
    for number in range(1, 4):
        house.store.send(make_ct(number))
        house.store.send(make_ct(number))
        house.organise()
        counts.append(house.entries()[STUDY_UID]["image_count"])
    assert counts == [1, 2, 3]


def test_a_batch_that_is_full_is_followed_by_the_next(house: House) -> None:
    for number in range(BATCH + 3):
        house.store.send(make_ct(number, size=4))
    house.organise()
    assert house.study(STUDY_UID).image_count == BATCH + 3
    assert len(house.tree()[FOLDER]) == BATCH + 3


def test_two_studies_of_one_name_in_one_second_have_two_folders(house: House) -> None:
    house.store.send(make_ct(1))
    house.store.send(make_ct(2, StudyInstanceUID=uid("other")))
    house.organise()
    assert list(house.tree()) == [FOLDER, f"{FOLDER}_2"]


def test_a_folder_that_somebody_else_made_is_not_used(house: House) -> None:
    (house.root / FOLDER).mkdir()
    house.store.send(make_ct())
    house.organise()
    assert {name: len(files) for name, files in house.tree().items()} == {FOLDER: 0, f"{FOLDER}_2": 1}


def test_a_file_that_somebody_else_put_there_stays_as_it_is(house: House) -> None:
    instance = make_ct(2)
    house.store.send(make_ct(1))
    house.organise()
    other = house.root / FOLDER / f"CT.{instance.SOPInstanceUID}.dcm"
    other.write_bytes(b"not ours")
    house.store.send(instance)
    house.organise()
    assert other.read_bytes() == b"not ours"
    assert f"CT.{instance.SOPInstanceUID}_2.dcm" in house.tree()[FOLDER]
    assert len(house.tree()[FOLDER]) == 3


def test_what_belongs_to_no_study_is_no_patients_and_in_no_metadata(house: House) -> None:
    instance = make_ct()
    del instance.StudyInstanceUID
    house.store.send(instance)
    house.organise()
    assert list(house.tree()) == ["20260122_141532_NO_STUDY_NO_STUDY"]
    assert house.entries() == {}


def test_a_study_is_complete_after_the_associations_end_and_a_quiet_time(house: House) -> None:
    house.store.send(make_ct())
    house.organise()
    house.pass_time(2 * QUIET_S)
    house.organise()
    assert house.parts() == []  # its association is open
    house.end_association()
    house.organise()
    house.pass_time(QUIET_S - 5)
    house.organise()
    assert house.parts() == []
    house.pass_time(5)
    house.organise()
    (part,) = house.parts()
    assert (part.study_instance_uid, part.part, part.completed_by) == (STUDY_UID, 1, "association")
    assert house.rows(rows.members, STUDY_UID, 1) == [1]


def test_an_association_without_end_cannot_hold_a_study_for_ever(house: House) -> None:
    house.store.send(make_ct())
    house.organise()
    house.pass_time(LIMIT_S)
    house.organise()
    assert [part.completed_by for part in house.parts()] == ["limit"]


def test_somebody_may_say_that_a_study_is_complete(house: House) -> None:
    house.store.send(make_ct())
    house.organise()
    assert house.organiser.complete(STUDY_UID)
    assert not house.organiser.complete(STUDY_UID)
    assert [part.completed_by for part in house.parts()] == ["hand"]


def test_late_images_are_a_part_of_their_own_in_the_same_folder(house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    house.store.send(make_ct(2))
    house.complete()
    assert [(part.part, part.completion) for part in house.parts()] == [(1, 1), (2, 2)]
    assert [house.rows(rows.members, STUDY_UID, part) for part in (1, 2)] == [[1], [2]]
    assert {name: len(files) for name, files in house.tree().items()} == {FOLDER: 2}


def test_an_association_of_a_former_process_holds_no_study(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.store.send(make_ct())
    house.organise()
    house.close()
    house = House(tmp_path)
    house.organise()
    house.pass_time(QUIET_S)
    house.organise()
    assert [part.completed_by for part in house.parts()] == ["association"]
    house.close()


def test_a_jump_of_the_days_time_completes_nothing(house: House) -> None:
    """FI-28."""
    house.store.send(make_ct())
    house.organise()
    house.end_association()
    house.organise()
    house.day.seconds += 86_400
    house.organise()
    assert house.parts() == []
    house.day.seconds -= 2 * 86_400
    house.organise()
    house.pass_time(QUIET_S)
    house.organise()
    assert len(house.parts()) == 1


def test_names_that_were_lost_are_made_again_at_the_next_start(tmp_path: Path) -> None:
    house = House(tmp_path)
    for number in range(3):
        house.store.send(make_ct(number))
    house.organise()
    before = house.tree()
    house.close()
    for file in list((tmp_path / FOLDER).iterdir())[:2]:
        file.unlink()
    house = House(tmp_path)
    house.organise()
    assert house.tree() == before
    assert house.study(STUDY_UID).image_count == 3
    house.close()


@pytest.mark.parametrize("removed", [False, True])
def test_rows_that_are_lost_leave_folders_and_counts_as_they_were(tmp_path: Path, removed: bool) -> None:
    """FI-11."""
    house = House(tmp_path)
    for number in range(4):
        house.store.send(make_ct(number))
    house.organise()
    if removed:
        house.destinations.confirmed = {1, 2}
        house.remove()
        house.organise()
    before, entries = house.tree(), house.entries()
    house.close()
    for file in (tmp_path / ".spool").glob("router.db*"):
        file.unlink()
    house = House(tmp_path)
    house.organise()
    assert house.tree() == before
    assert house.entries() == entries
    house.close()


def test_rows_that_are_lost_while_it_runs_are_built_again(house: House) -> None:
    """FI-11."""
    house.store.send(make_ct(1))
    house.organise()
    for file in (house.root / ".spool").glob("router.db*"):
        file.unlink()
    house.store.send(make_ct(2))
    house.organise()
    house.organise()
    assert house.entries()[STUDY_UID]["image_count"] == 2
    assert {name: len(files) for name, files in house.tree().items()} == {FOLDER: 2}


def test_what_cannot_be_linked_is_an_alarm_and_tried_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.store.send(make_ct(1))
    house.organise()
    house.remover.hint(1)
    house.destinations.confirmed = {1}
    house.remove()  # the folder is gone with its last name
    (house.root / FOLDER).write_bytes(b"in the way")
    house.store.send(make_ct(2))
    house.organise()
    assert "NOT_LINKED" in [getattr(record, "alarm", "") for record in caplog.records]
    assert "CANAR" not in caplog.text
    (house.root / FOLDER).unlink()
    house.pass_time(30)
    house.organise()
    assert {name: len(files) for name, files in house.tree().items()} == {FOLDER: 1}


def test_an_error_of_ours_fails_alone(house: House) -> None:
    def fail(database: Database) -> None:
        rows.move(database, "nobody", 1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_apart(house.store.committer, fail)
    assert house.rows(rows.position, "nobody") is None
    assert house.store.send(make_ct()) == 0
