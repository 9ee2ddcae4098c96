"""What is taken away, when, and what stays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from router import organiser_rows as rows
from router import removal
from tests.factories import STUDY_UID, make_ct, uid
from tests.unit.router.organised import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.close()


def test_nothing_goes_while_somebody_needs_it(house: House) -> None:
    house.store.send(make_ct())
    house.complete()
    house.remove()
    assert house.store.count() == 1
    assert [len(files) for files in house.tree().values()] == [1]
    assert house.entries()[STUDY_UID]["sent"] is False


def test_what_all_have_goes_at_once_with_its_names_and_its_entry_stays(house: House) -> None:
    for number in range(3):
        house.store.send(make_ct(number))
    house.complete()
    before = house.entries()[STUDY_UID]
    house.confirm_all()
    house.remove()
    house.organise()
    assert (house.store.files(), house.tree(), house.store.count()) == ([], {}, 0)
    assert house.entries() == {STUDY_UID: {**before, "sent": True, "sent_at": "20260122_141636"}}


def test_what_all_have_goes_alone(house: House) -> None:
    first, second = make_ct(1), make_ct(2)
    house.store.send(first)
    house.store.send(second)
    house.complete()
    house.destinations.confirmed = {1}
    house.remove()
    assert list(house.tree().values()) == [[f"CT.{second.SOPInstanceUID}.dcm"]]
    house.organise()
    entry = house.entries()[STUDY_UID]
    assert (entry["image_count"], entry["sent"]) == (2, False)


def test_a_study_is_not_sent_while_more_of_it_may_come(house: House) -> None:
    house.store.send(make_ct())
    house.organise()
    house.confirm_all()
    house.remove()
    house.organise()
    assert house.store.count() == 0
    assert house.entries()[STUDY_UID]["sent"] is False
    house.complete()
    house.organise()
    assert house.entries()[STUDY_UID]["sent"] is True


def test_late_images_of_a_sent_study_are_counted_on_and_make_it_unsent(house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    house.destinations.confirmed = {1}
    house.remove()
    house.store.send(make_ct(2))
    house.organise()
    entry = house.entries()[STUDY_UID]
    assert (entry["image_count"], entry["sent"], entry["sent_at"]) == (2, False, None)
    assert list(house.tree()) == [entry["folder"]]


def test_an_instance_that_comes_again_after_it_went_is_counted_once(house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    house.destinations.confirmed = {1}
    house.remove()
    house.store.send(make_ct(1))
    house.organise()
    assert house.entries()[STUDY_UID]["image_count"] == 1
    assert [len(files) for files in house.tree().values()] == [1]


def test_an_instance_that_comes_again_while_its_former_self_goes_has_a_name(house: House) -> None:
    """Its former name is still to be taken away: that of the new one stays."""
    instance = make_ct(1)
    house.store.send(instance)
    house.organise()
    house.rows(rows.confirm, 1, house.day())
    house.rows(rows.mark_removed, [1])
    house.store.send(instance)
    house.organise()
    house.remove()
    assert list(house.tree().values()) == [[f"CT.{instance.SOPInstanceUID}_2.dcm"]]
    assert house.store.bytes_of(instance.SOPInstanceUID)


def test_retention_keeps_what_all_have_for_a_time(tmp_path: Path) -> None:
    house = House(tmp_path, keep_s=3600)
    house.store.send(make_ct())
    house.complete()
    house.confirm_all()
    house.remove()
    house.organise()
    assert (house.store.count(), house.entries()[STUDY_UID]["sent"]) == (1, True)
    house.pass_time(3600)
    house.remove()
    assert (house.store.count(), house.tree()) == (0, {})
    house.close()


@pytest.fixture
def many(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """More than are asked for at once, of which the last can go."""
    monkeypatch.setattr(removal, "BATCH", 8)
    for number in range(20):
        house.store.send(make_ct(number, size=4))
    house.organise()
    house.destinations.confirmed = {20}
    return house


def test_a_hint_is_asked_before_its_turn(many: House) -> None:
    many.remover.hint(20)
    many.remover.hint(9999)
    many.remover.step()
    assert many.store.count() == 19


def test_everything_is_asked_in_turn_without_hints(many: House) -> None:
    many.remover.step()
    assert many.store.count() == 20
    many.remover.step()
    many.remover.step()
    assert many.store.count() == 19
    for _ in range(3):  # and from the beginning again
        many.destinations.confirmed.add(1)
        many.remover.step()
    assert many.store.count() == 18


def test_a_file_that_cannot_be_removed_holds_up_no_other(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.store.send(make_ct(1))
    house.store.send(make_ct(2, StudyInstanceUID=uid("other")))
    house.organise()
    first, second = house.tree()
    (house.root / first / house.tree()[first][0]).unlink()
    (house.root / first).rmdir()
    (house.root / first).write_bytes(b"in the way")
    house.confirm_all()
    house.remove()
    assert "NOT_REMOVED" in [getattr(record, "alarm", "") for record in caplog.records]
    assert "CANAR" not in caplog.text
    assert second not in house.tree()
    (house.root / first).unlink()
    house.remove()
    assert house.store.files() == []
