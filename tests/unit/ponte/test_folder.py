"""Studies in folders as people keep them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ponte import folder
from ponte.errors import InvalidRequest, LimitExceeded, SourceUnavailable, StudyNotFound
from ponte.folder import FolderSource
from tests.factories import STUDY_UID, encode, make_ct
from tests.unit.ponte.samples import bundled

OTHER_UID = "1.2.3.4"


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def origins(path: Path, uid: str = STUDY_UID) -> list[str]:
    return [one.origin for one in FolderSource(path).instances(uid)]


def test_a_study_is_found_in_all_folders_below_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "a/10.dcm", "a/1.txt", "IMG0001"):
        write(tmp_path / name, encode(make_ct()))
    write(tmp_path / "a/other.dcm", encode(make_ct(StudyInstanceUID=OTHER_UID)))
    assert origins(tmp_path) == ["IMG0001", "a/1.txt", "a/10.dcm", "b/2"]
    assert origins(tmp_path, OTHER_UID) == ["a/other.dcm"]
    assert FolderSource(tmp_path).studies() == {STUDY_UID: 4, OTHER_UID: 1}
    assert FolderSource(tmp_path).count(STUDY_UID) == 4


def test_the_bytes_are_the_files(tmp_path: Path) -> None:
    data = encode(make_ct())
    write(tmp_path / "one.dcm", data)
    assert next(FolderSource(tmp_path).instances(STUDY_UID)).data == data


def test_a_single_file_is_a_source_too(tmp_path: Path) -> None:
    path = write(tmp_path / "one.dcm", encode(make_ct()))
    assert origins(path) == ["one.dcm"]


def test_a_file_without_preamble_is_found_by_its_content(tmp_path: Path) -> None:
    write(tmp_path / "bare", bundled("ExplVR_LitEndNoMeta.dcm"))
    (uid,) = FolderSource(tmp_path).studies()
    assert origins(tmp_path, uid) == ["bare"]


@pytest.mark.parametrize("name", ["image_dfl.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm"])
def test_every_encoding_is_recognised(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, bundled(name))
    assert sum(FolderSource(tmp_path).studies().values()) == 1


def test_what_is_no_dicom_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "one.dcm", encode(make_ct()))
    write(tmp_path / "report.pdf", b"%PDF-1.7 " * 100)
    write(tmp_path / "empty", b"")
    write(tmp_path / "zeros", b"\0" * 5000)
    write(tmp_path / "text.dcm", b"hello")
    for name in ("DICOMDIR", "Thumbs.db", ".DS_Store", "__MACOSX/one.dcm"):
        write(tmp_path / name, encode(make_ct()))
    assert origins(tmp_path) == ["one.dcm"]


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/two.dcm", encode(make_ct()))
    inside = write(tmp_path / "inside/one.dcm", encode(make_ct())).parent
    (inside / "link.dcm").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    (inside / "away").symlink_to(outside.parent)
    assert origins(inside) == ["one.dcm"]


def test_dicom_that_cannot_be_read_is_handed_out_and_not_lost(tmp_path: Path) -> None:
    whole = encode(make_ct())
    write(tmp_path / "a.dcm", whole)
    write(tmp_path / "b.dcm", whole[:300])
    assert origins(tmp_path) == ["a.dcm", "b.dcm"]


def test_a_study_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    write(tmp_path / "broken.dcm", encode(make_ct())[:300])
    with pytest.raises(StudyNotFound):
        origins(tmp_path)


def test_a_path_that_is_not_there_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        FolderSource(tmp_path / "DOE_JOHN")
    assert "DOE" not in str(caught.value)


def test_a_uid_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        origins(tmp_path, "../..")


def test_a_file_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "one.dcm", encode(make_ct()))
    monkeypatch.setattr(folder, "FILE_LIMIT", 1000)
    with pytest.raises(LimitExceeded):
        origins(tmp_path)


def test_a_file_that_goes_away_meanwhile_is_named_without_its_path(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, encode(make_ct())) for name in ("a.dcm", "b.dcm"))
    found = FolderSource(tmp_path).instances(STUDY_UID)
    assert next(found).origin == first.name
    second.unlink()
    with pytest.raises(SourceUnavailable) as caught:
        next(found)
    assert "b.dcm" not in str(caught.value)
