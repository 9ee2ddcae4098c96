"""What becomes of the DICOM_ROOT of an older router."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import FileDataset

from router import adoption
from tests.factories import STUDY_UID, encode, make_ct, uid
from tests.unit.router.organised import QUIET_S, House
from tests.unit.router.store import dataset_of

OLD = "20250912_090003_OLD-ID_DOE_JOHN"
LONG_AGO = 1_700_000_000


def put(path: Path, content: bytes, *, modified: float = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (modified, modified))
    return path


def old_file(root: Path, instance: FileDataset, folder: str = "", name: str = "") -> Path:
    return put(root / folder / (name or f"CT.{instance.SOPInstanceUID}.dcm"), encode(instance))


def old_metadata(root: Path, **entries: Any) -> None:
    (root / ".metadata.json").write_text(json.dumps(entries), encoding="utf-8")


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "folder": OLD, "patient_id": "OLD-ID", "patient_name": "DOE_JOHN", "study_uid": STUDY_UID,
        "study_date": "20250912", "study_time": "085900", "modality": "CT", "created_at": "20250912_090003",
        "image_count": 3, "study_description": "CRANIO", "sent": False, "sent_at": None,
    } | changes  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[], House]]:
    houses: list[House] = []

    def start() -> House:
        """Start it, as often as wanted."""
        if houses:
            houses.pop().close()
        houses.append(House(tmp_path))
        return houses[-1]

    yield start
    for house in houses:
        house.close()


def test_an_unsent_study_is_kept_in_its_folder_under_its_entry(
    tmp_path: Path, opened: Callable[[], House]
) -> None:
    files = [old_file(tmp_path, make_ct(number), OLD) for number in range(3)]
    inodes = [file.stat().st_ino for file in files]
    old_metadata(tmp_path, **{STUDY_UID: entry()})
    house = opened()
    house.adopt()
    assert house.store.count() == 3
    assert house.tree() == {OLD: sorted(file.name for file in files)}
    assert [file.stat().st_ino for file in files] == inodes
    assert house.entries() == {STUDY_UID: entry()}
    house.pass_time(QUIET_S)
    house.organise()
    assert [part.completed_by for part in house.parts()] == ["association"]


def test_a_sent_study_is_known_and_not_sent_again(tmp_path: Path, opened: Callable[[], House]) -> None:
    left = old_file(tmp_path, make_ct(), OLD)
    old_metadata(tmp_path, **{STUDY_UID: entry(sent=True, sent_at="20250912_090500")})
    house = opened()
    house.adopt()
    assert house.store.count() == 0
    assert left.exists()
    assert house.entries()[STUDY_UID] == entry(sent=True, sent_at="20250912_090500")


def test_late_images_of_a_sent_study_are_a_supplement_in_its_folder(
    tmp_path: Path, opened: Callable[[], House]
) -> None:
    old_metadata(tmp_path, **{STUDY_UID: entry(sent=True, sent_at="20250912_090500")})
    house = opened()
    house.store.send(make_ct(9))
    house.complete()
    assert list(house.tree()) == [OLD]
    assert house.entries()[STUDY_UID] == entry(image_count=4)
    assert [part.part for part in house.parts()] == [2]


def test_loose_files_become_a_study(tmp_path: Path, opened: Callable[[], House]) -> None:
    instance = make_ct()
    loose = old_file(tmp_path, instance, name="whatever.DCM")
    house = opened()
    house.adopt()
    assert not loose.exists()
    (files,) = house.tree().values()
    assert files == [f"CT.{instance.SOPInstanceUID}.dcm"]
    assert house.store.bytes_of(instance.SOPInstanceUID) in encode(instance)


def test_folders_without_metadata_keep_their_names(tmp_path: Path, opened: Callable[[], House]) -> None:
    instance = make_ct()
    old_file(tmp_path, instance, OLD, name="1.dcm")
    house = opened()
    house.adopt()
    assert house.tree() == {OLD: [f"CT.{instance.SOPInstanceUID}.dcm"]}
    found = house.entries()[STUDY_UID]
    assert (found["folder"], found["created_at"], found["image_count"]) == (OLD, "20250912_090003", 1)


def test_two_studies_in_one_folder_are_parted(tmp_path: Path, opened: Callable[[], House]) -> None:
    old_file(tmp_path, make_ct(1), OLD)
    old_file(tmp_path, make_ct(2, StudyInstanceUID=uid("other")), OLD)
    house = opened()
    house.adopt()
    assert sorted(len(files) for files in house.tree().values()) == [1, 1]
    assert OLD in house.tree()


def test_what_does_not_pass_goes_to_quarantine_with_its_reason(
    tmp_path: Path, opened: Callable[[], House], caplog: pytest.LogCaptureFixture
) -> None:
    without_pixels = make_ct(1)
    del without_pixels.PixelData
    bad = [
        old_file(tmp_path, without_pixels, OLD),
        put(tmp_path / OLD / "CANARY-NAME.dcm", b"no dicom at all"),
        put(tmp_path / "cut.dcm", encode(make_ct(2))[:-9]),
    ]
    house = opened()
    house.adopt()
    assert house.store.quarantined() == ["NOT_DICOM", "NO_PIXEL_DATA", "TRUNCATED"]
    assert not any(file.exists() for file in bad)
    assert house.store.count() == 0
    assert "CANAR" not in caplog.text


def test_another_content_under_a_uid_that_is_kept_goes_to_quarantine(
    tmp_path: Path, opened: Callable[[], House]
) -> None:
    house = opened()
    house.store.send(make_ct())
    old_file(tmp_path, make_ct(PatientID="OTHER"))
    house.adopt()
    assert house.store.quarantined() == ["UID_CONFLICT"]
    assert not list(tmp_path.glob("*.dcm"))


def test_nothing_else_is_touched(tmp_path: Path, opened: Callable[[], House]) -> None:
    secret = put(tmp_path.parent / f"{tmp_path.name}-elsewhere" / "secret.dcm", encode(make_ct(7)))
    others = [
        put(tmp_path / "notes.txt", b"x"),
        put(tmp_path / OLD / "report.pdf", b"x"),
        put(tmp_path / OLD / "deeper" / "a.dcm", encode(make_ct(8))),
        put(tmp_path / "_QUARANTINE" / "b.dcm", encode(make_ct(9))),
        put(tmp_path / ".hidden" / "c.dcm", encode(make_ct(10))),
        put(tmp_path / "d.dcm" / "README", b"a folder of such a name"),
    ]
    (tmp_path / "link.dcm").symlink_to(secret)
    (tmp_path / "linked").symlink_to(secret.parent)
    os.mkfifo(tmp_path / "pipe.dcm")
    house = opened()
    house.adopt()
    assert house.store.count() == 0
    assert all(path.exists() for path in [*others, secret, tmp_path / "link.dcm", tmp_path / "pipe.dcm"])


def test_a_file_that_is_still_written_is_left_until_it_rests(
    tmp_path: Path, opened: Callable[[], House]
) -> None:
    """FS-01."""
    house = opened()
    young = put(tmp_path / "young.dcm", encode(make_ct()), modified=house.day() - 5)
    house.adopt()
    assert (house.store.count(), young.exists()) == (0, True)
    house.pass_time(60)
    house.adopt()
    house.adopt()
    assert (house.store.count(), young.exists()) == (1, False)


def test_a_file_from_the_future_is_taken(tmp_path: Path, opened: Callable[[], House]) -> None:
    """FS-08: the clock was moved back."""
    house = opened()
    put(tmp_path / "future.dcm", encode(make_ct()), modified=house.day() + 86_400)
    house.adopt()
    assert house.store.count() == 1


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path: Path, opened: Callable[[], House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FS-05."""
    first, second = make_ct(1), make_ct(2)
    path = old_file(tmp_path, first, name="a.dcm")
    scan = adoption._scan

    def replacing(file: Path) -> Any:
        verdict = scan(file)
        put(tmp_path / "b", encode(second)).replace(path)
        monkeypatch.setattr(adoption, "_scan", scan)
        return verdict

    monkeypatch.setattr(adoption, "_scan", replacing)
    house = opened()
    house.adopt()
    house.adopt()
    assert house.store.kept(first.SOPInstanceUID) is None
    assert house.store.kept(second.SOPInstanceUID) is not None


def test_the_same_file_twice_is_one_instance(tmp_path: Path, opened: Callable[[], House]) -> None:
    """FS-06."""
    old_file(tmp_path, make_ct(), name="a.dcm")
    old_file(tmp_path, make_ct(), name="b.dcm")
    old_file(tmp_path, make_ct(), OLD)
    house = opened()
    house.adopt()
    assert house.store.count() == 1
    assert [len(files) for files in house.tree().values()] == [1]
    assert house.entries()[STUDY_UID]["image_count"] == 1


def test_a_second_start_does_nothing_twice(tmp_path: Path, opened: Callable[[], House]) -> None:
    old_file(tmp_path, make_ct(1), OLD)
    old_file(tmp_path, make_ct(2))
    old_metadata(tmp_path, **{STUDY_UID: entry(image_count=1)})
    house = opened()
    house.adopt()
    tree, entries = house.tree(), house.entries()
    house = opened()
    house.adopt()
    assert (house.tree(), house.entries(), house.store.count()) == (tree, entries, 2)
    assert house.store.counters.snapshot() == {}


def test_a_file_that_cannot_be_linked_is_copied(
    tmp_path: Path, opened: Callable[[], House], monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = make_ct()
    path = old_file(tmp_path, instance, OLD)
    inode = path.stat().st_ino

    def refuse(self: Any, path: Path, file: Path) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(adoption._SecondName, "__init__", refuse)
    house = opened()
    house.adopt()
    assert house.tree() == {OLD: [path.name]}
    assert path.stat().st_ino != inode
    assert house.store.bytes_of(instance.SOPInstanceUID) in encode(instance)


def test_a_folder_that_goes_away_is_an_alarm_and_no_end(
    tmp_path: Path, opened: Callable[[], House], caplog: pytest.LogCaptureFixture
) -> None:
    """FS-07."""
    old_file(tmp_path, make_ct(1))
    old_file(tmp_path, make_ct(2), "A-CANARY")
    old_file(tmp_path, make_ct(3), "B")
    house = opened()
    assert house.adoption.step()
    shutil.rmtree(tmp_path / "A-CANARY")
    house.adopt()
    assert house.store.count() == 2
    assert "NOT_ADOPTED" in [getattr(record, "alarm", "") for record in caplog.records]
    assert "CANARY" not in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"1.2": 3}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"null",
        b'{"studies": {}}',
        b'{"\\ud800": {}}',
    ],
)
def test_metadata_that_cannot_be_read_is_set_aside_and_files_are_sent(
    tmp_path: Path, opened: Callable[[], House], content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    old_file(tmp_path, make_ct(), OLD)
    (tmp_path / ".metadata.json").write_bytes(content)
    house = opened()
    house.adopt()
    assert "METADATA_DAMAGED" in [getattr(record, "alarm", "") for record in caplog.records]
    assert house.store.count() == 1
    assert list(house.entries()) == [STUDY_UID]
    (aside,) = tmp_path.glob(".metadata.json.damaged-*")
    assert aside.read_bytes() == content


@pytest.mark.parametrize(
    "changes",
    [
        {"folder": "../elsewhere"}, {"folder": "/etc"}, {"folder": None}, {"folder": ".spool"}, {"folder": 7},
        {"folder": "x" * 300}, {"folder": "\ud800"}, {"folder": "symlink"}, {"image_count": "many"},
        {"image_count": -5}, {"image_count": 10**30}, {"sent": "yes"}, {"extra": {"of": "a script"}},
    ],
)  # fmt: skip
def test_odd_entries_are_kept_and_lead_nowhere(
    tmp_path: Path, opened: Callable[[], House], changes: dict[str, Any]
) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (tmp_path / "symlink").symlink_to(outside)
    old_metadata(tmp_path, **{STUDY_UID: entry(**changes)})
    house = opened()
    house.store.send(make_ct())
    house.organise()
    assert list(tmp_path.parent.glob("elsewhere*")) == []
    assert list(outside.iterdir()) == []
    (tmp_path / "symlink").unlink()
    found = house.entries()[STUDY_UID]
    assert found["sent"] is False
    assert list(house.tree()) == [found["folder"]]
    assert found.get("extra") == changes.get("extra")


def without_head(instance: FileDataset) -> bytes:
    return dataset_of(instance)


def with_preamble(instance: FileDataset) -> bytes:
    return b"MZ" + b"x" * 126 + encode(instance)[128:]


def with_meta_of_another(instance: FileDataset) -> bytes:
    other = make_ct(99)
    return encode(other)[: -len(dataset_of(other))] + dataset_of(instance)


def with_meta_that_lies(instance: FileDataset) -> bytes:
    """Of its own length."""
    data = bytearray(encode(instance))
    data[140] ^= 2
    return bytes(data)


@pytest.mark.parametrize("made", [without_head, with_preamble, with_meta_of_another, with_meta_that_lies])
def test_what_is_no_part_10_file_is_kept_as_one_with_the_same_dataset(
    tmp_path: Path, opened: Callable[[], House], made: Callable[[FileDataset], bytes]
) -> None:
    instance = make_ct()
    file = put(tmp_path / OLD / f"CT.{instance.SOPInstanceUID}.dcm", made(instance))
    house = opened()
    house.adopt()
    row = house.store.kept(instance.SOPInstanceUID)
    assert row is not None
    assert house.store.bytes_of(instance.SOPInstanceUID) == dataset_of(instance)
    assert hashlib.sha256(dataset_of(instance)).digest() == row.sha256
    kept = pydicom.dcmread(house.store.spool.path_of(row.place))
    assert kept.preamble == bytes(128)
    assert kept.file_meta.MediaStorageSOPInstanceUID == instance.SOPInstanceUID
    assert house.tree() == {OLD: [file.name]}
    house = opened()
    assert house.store.findings.adopted == 0
    house.adopt()
    assert house.store.count() == 1


def test_what_the_spool_lost_comes_back_from_its_folder(tmp_path: Path, opened: Callable[[], House]) -> None:
    instance = make_ct()
    house = opened()
    house.store.send(instance)
    house.organise()
    row = house.store.kept(instance.SOPInstanceUID)
    assert row is not None
    house.store.spool.path_of(row.place).unlink()
    house = opened()
    assert (house.store.findings.missing, house.store.count()) == (1, 0)
    house.pass_time(LONG_AGO)
    house.adopt()
    assert house.store.bytes_of(instance.SOPInstanceUID) in encode(instance)
    assert house.entries()[STUDY_UID]["image_count"] == 1
    assert [len(files) for files in house.tree().values()] == [1]


def test_a_folder_that_others_could_look_into_is_closed(tmp_path: Path, opened: Callable[[], House]) -> None:
    old_file(tmp_path, make_ct(1), OLD).chmod(0o644)
    old_file(tmp_path, make_ct(2, StudyInstanceUID=uid("other")), "other").chmod(0o644)
    old_metadata(tmp_path, **{STUDY_UID: entry()})
    for name in (OLD, "other"):
        (tmp_path / name).chmod(0o755)
    house = opened()
    house.adopt()
    paths = [path for name in (OLD, "other") for path in (tmp_path / name, *(tmp_path / name).iterdir())]
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o700, 0o600] * 2


def test_what_the_old_folder_held_is_not_changed(tmp_path: Path, opened: Callable[[], House]) -> None:
    """I4: the bytes of every file are in the spool before its name goes."""
    files = [old_file(tmp_path, make_ct(number)) for number in range(5)]
    digests = {hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    house = opened()
    house.adopt()
    kept = [house.store.spool.path_of(place).read_bytes() for place in house.store.spool.places()]
    assert {hashlib.sha256(data).hexdigest() for data in kept} == digests
