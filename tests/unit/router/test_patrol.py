"""A disk that forgets is found out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from router import patrol
from tests.factories import make_ct
from tests.unit.router.organised import House
from tests.unit.router.test_adoption import LONG_AGO


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    for number in range(3):
        found.store.send(make_ct(number))
    found.organise()
    yield found
    found.close()


def file_of(house: House, instance: FileDataset) -> Path:
    row = house.store.kept(instance.SOPInstanceUID)
    assert row is not None
    return house.store.spool.path_of(row.place)


def outcomes(house: House) -> dict[str, float]:
    found = house.store.counters.snapshot()
    prefix = 'ponte_patrolled_total{outcome="'
    return {name.removeprefix(prefix)[:-2]: value for name, value in found.items() if name.startswith(prefix)}


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [alarm for record in caplog.records if (alarm := getattr(record, "alarm", ""))]


def test_what_is_as_it_was_received_stays(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.go_round()
    assert outcomes(house) == {"sound": 3}
    assert house.store.count() == 3
    assert alarms(caplog) == []


def test_what_has_changed_is_put_away_with_an_alarm_and_taken_when_it_is_sent_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    instance = make_ct(1)
    path = file_of(house, instance)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    house.go_round()
    assert outcomes(house) == {"sound": 2, "damaged": 1}
    assert alarms(caplog) == ["DIGEST_MISMATCH"]
    assert house.store.quarantined() == ["DIGEST_MISMATCH"]
    assert not path.exists()
    assert [len(files) for files in house.tree().values()] == [2]
    house.store.send(instance)
    house.organise()
    assert house.store.count() == 3
    assert [len(files) for files in house.tree().values()] == [3]


def test_what_is_gone_is_an_alarm_once_and_adopted_again_from_its_folder(
    tmp_path: Path, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    instance = make_ct(1)
    path = file_of(house, instance)
    path.unlink()
    house.go_round()
    house.go_round()
    assert alarms(caplog) == ["INSTANCE_MISSING"]
    assert house.store.kept(instance.SOPInstanceUID) is None
    house.pass_time(LONG_AGO)
    house.adoption = house.new_adoption()
    house.adopt()
    assert house.store.kept(instance.SOPInstanceUID) is not None
    assert [len(files) for files in house.tree().values()] == [3]
    assert [entry["image_count"] for entry in house.entries().values()] == [3]


def test_what_cannot_be_read_is_an_alarm_and_stays(house: House, caplog: pytest.LogCaptureFixture) -> None:
    path = file_of(house, make_ct(1))
    path.rename(path.with_suffix(".aside"))
    path.mkdir()
    house.go_round()
    assert alarms(caplog) == ["UNREADABLE"]
    assert house.store.count() == 3


def test_what_was_removed_meanwhile_is_no_alarm(house: House, caplog: pytest.LogCaptureFixture) -> None:
    walking = house.new_patrol()
    assert walking.step()
    house.confirm_all()
    house.remove()
    while walking.step():
        pass
    assert outcomes(house) == {"sound": 1, "removed": 2}
    assert alarms(caplog) == []


def test_it_reads_no_faster_than_it_may_and_ends_when_it_is_asked_to(house: House) -> None:
    waits: list[float] = []

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 2

    walking = house.new_patrol(pause=pause)
    assert [walking.step(), walking.step()] == [True, False]
    size = file_of(house, make_ct(0)).stat().st_size
    assert waits[0] == pytest.approx(size / (1 << 20), rel=0.2)
    while walking.step():
        pass
    assert outcomes(house) == {"sound": 3}


def test_a_round_goes_on_after_a_restart_and_rests_when_it_is_done(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patrol, "_PAGE", 1)
    first = house.new_patrol()
    first.step()
    walking = house.new_patrol()
    while walking.step():
        pass
    assert outcomes(house) == {"sound": 3}
    assert not walking.step()
    house.pass_time(3600)
    assert walking.step()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_instance_that_is_sent_again_is_whole(house: House, when: str) -> None:
    """The link in its folder is taken away with it, so that the name is free."""
    instance = make_ct(2)
    path = file_of(house, instance)
    path.write_bytes(path.read_bytes()[:-10])
    if when == "before":
        house.store.send(instance)
    house.go_round()
    house.store.send(instance)
    house.organise()
    house.go_round()
    assert house.store.count() == 3
    assert house.store.bytes_of(instance.SOPInstanceUID)
