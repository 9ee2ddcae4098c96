"""Studies in a ZIP: found by content, named where they cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from ponte.errors import BadMember, InvalidRequest, StudyNotFound, UnsafeArchive
from ponte.zipsource import ZipSource
from tests.factories import STUDY_UID, encode, make_ct
from tests.hazards.archives import GOOD, Builder, archive

OTHER_UID = "1.2.3.4"
OTHER = encode(make_ct(StudyInstanceUID=OTHER_UID))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exam.zip"


def test_a_study_is_found_by_content_and_its_bytes_are_the_members(path: Path) -> None:
    path.write_bytes(
        archive({**GOOD, "x/other": OTHER, "note.txt": b"text", "n.zip": archive({"c": GOOD["a.dcm"]})})
    )
    source = ZipSource(path)
    assert source.studies() == {OTHER_UID: 1, STUDY_UID: 3}
    found = list(source.instances(STUDY_UID))
    assert [(one.origin, one.read()) for one in found] == [*GOOD.items(), ("n.zip/c", GOOD["a.dcm"])]
    assert [one.origin for one in source.instances(OTHER_UID)] == ["x/other"]


def test_a_study_named_late_in_the_header_is_found(path: Path) -> None:
    late = encode(make_ct(ReferencedImageSequence=[make_ct(size=1024, StudyInstanceUID=OTHER_UID)]))
    path.write_bytes(archive({"late": late}))
    assert ZipSource(path).studies() == {STUDY_UID: 1}


def test_a_member_of_many_pieces_is_had_to_its_end(path: Path) -> None:
    large = encode(make_ct(size=2048))
    path.write_bytes(archive({"large": large}))
    (one,) = ZipSource(path).instances(STUDY_UID)
    assert one.read() == large
    path.write_bytes(Builder().add(b"large", large, crc=1).bytes())
    (one,) = ZipSource(path).instances(STUDY_UID)
    with pytest.raises(BadMember):
        one.read()


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"crc": 1}, "ZIP_CRC"), ({"flags": 1}, "ZIP_ENCRYPTED"), ({"method": 99}, "ZIP_METHOD")],
)
def test_a_member_that_cannot_be_had_comes_with_every_study(
    changes: dict[str, int], code: str, path: Path
) -> None:
    """Even where its bytes look whole: the checksum says that they are not those of the sender."""
    path.write_bytes(Builder().add(b"bad", GOOD["a.dcm"], **changes).add(b"b.dcm", GOOD["b.dcm"]).bytes())  # type: ignore[arg-type]
    bad, good = ZipSource(path).instances(STUDY_UID)
    assert (bad.data, good.read()) == (b"", GOOD["b.dcm"])
    with pytest.raises(BadMember) as caught:
        bad.read()
    assert caught.value.code == code


def test_dicom_that_cannot_be_read_comes_with_every_study(path: Path) -> None:
    path.write_bytes(archive({"cut": GOOD["a.dcm"][:300], "b.dcm": GOOD["b.dcm"]}))
    assert [one.origin for one in ZipSource(path).instances(STUDY_UID)] == ["cut", "b.dcm"]


def test_a_study_that_is_not_there(path: Path) -> None:
    path.write_bytes(archive())
    with pytest.raises(StudyNotFound):
        list(ZipSource(path).instances("1.2.3"))
    with pytest.raises(InvalidRequest):
        list(ZipSource(path).instances("not a UID"))


def test_an_archive_that_may_not_be_read_is_no_source(path: Path) -> None:
    path.write_bytes(archive() + archive())
    with pytest.raises(UnsafeArchive):
        ZipSource(path)
