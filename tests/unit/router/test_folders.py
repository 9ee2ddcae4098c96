"""Names that come from a patient and are safe on every system (FS-09), whatever a modality sends."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from ponte.quiet import BROKEN_INPUT, quiet
from ponte.scan import Scanner
from router.folders import Folders, file_name, folder_name, is_study_folder, safe_part
from router.intake import CHARACTER_SET, KEPT_TAGS, PATIENT_NAME, chunks_of
from router.text import person_name, text_value
from tests.corpus import CORPUS, rows
from tests.factories import STUDY_UID, make_ct
from tests.unit.router.organised import House
from tests.unit.router.store import dataset_of

MADE_AT = datetime(2026, 1, 22, 14, 15, 30)  # noqa: DTZ001  already in the time of the place


def test_a_folder_is_named_as_by_the_old_router() -> None:
    assert folder_name(MADE_AT, "12345", "DOE^JOHN") == "20260122_141530_12345_DOE_JOHN"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("DOE^JOHN", "DOE_JOHN"),
        ("DOE^JOHN^^DR", "DOE_JOHN_DR"),
        ("../../etc/passwd", "etc_passwd"),
        ("..\\..\\windows", "windows"),
        ("a\0b\r\nc", "a_b_c"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("שלום", "שלום"),
        ("山田^太郎", "山田_太郎"),
        ("Conceic\u0327a\u0303o", "Conceição"),
        ("trailing...", "trailing"),
        ("  . _ ", "UNKNOWN"),
        ("", "UNKNOWN"),
        ('a:b*c?d"e<f>g|h', "a_b_c_d_e_f_g_h"),
        ("\ud800", "UNKNOWN"),
        ("\uff0f\u2215", "UNKNOWN"),
    ],
)
def test_a_part_of_a_name_holds_nothing_that_leads_elsewhere(text: str, safe: str) -> None:
    assert safe_part(text) == safe


@given(st.text(max_size=400))
def test_any_text_becomes_a_part_of_a_name(text: str) -> None:
    part = safe_part(text)
    assert 0 < len(part.encode()) <= 64
    assert not set(part) & set('/\\:*?"<>|\0\r\n\u202e\u2066')
    assert part == part.strip("._ ")
    assert all(char.isprintable() for char in part)


def test_a_long_name_is_cut_between_characters() -> None:
    assert safe_part("é" * 300) == "é" * 32
    assert len(folder_name(MADE_AT, "I" * 300, "山" * 300).encode()) <= 145


@pytest.mark.parametrize(
    ("modality", "name"),
    [
        (b"CT", "CT.1.2.3.dcm"),
        (b"CT ", "CT.1.2.3.dcm"),
        (None, "UN.1.2.3.dcm"),
        (b"", "UN.1.2.3.dcm"),
        (b"AUX", "AUX_.1.2.3.dcm"),
        (b"con", "con_.1.2.3.dcm"),
        (b"COM1", "COM1_.1.2.3.dcm"),
        (b"../../x", "x.1.2.3.dcm"),
        (b"\xff\0\r\n", "UN.1.2.3.dcm"),
        (b"M" * 300, f"{'M' * 16}.1.2.3.dcm"),
    ],
)
def test_a_file_is_named_by_modality_and_uid(modality: bytes | None, name: str) -> None:
    assert file_name(modality, "1.2.3") == name


@pytest.mark.parametrize("name", ["", ".spool", "..", "_QUARANTINE", "a/b", "a\0b", "_INVALID_NO_PIXELS"])
def test_a_folder_that_is_no_studys_is_told_apart(name: str) -> None:
    assert not is_study_folder(name)


@pytest.mark.parametrize(
    ("value", "character_set", "name"),
    [
        (b"DOE^JOHN ", None, "DOE^JOHN"),
        ("Concei\u00e7\u00e3o".encode("latin-1"), b"ISO_IR 100", "Conceição"),
        ("Люкceмбypг".encode("iso8859_5"), b"ISO_IR 144", "Люкceмбypг"),
        (b"Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe6\x9d\xb1", b"ISO_IR 192", "Wang^XiaoDong"),
        (b"=\xcd\xf5^\xd0\xa1\xb6\xab", b"GB18030", "王^小东"),
        (b"=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", b"\\ISO 2022 IR 87", "山田^太郎"),
        (b"\xff\xfe", b"ISO_IR 192", "\ufffd\ufffd"),
        (b"DOE", b"NO SUCH SET", "DOE"),
        (b"\x1b\x1b\x1b", b"ISO 2022 IR 87", None),
    ],
)
def test_names_are_decoded_by_their_character_set(
    value: bytes, character_set: bytes | None, name: str | None
) -> None:
    assert name is None or person_name(value, character_set) == name
    assert isinstance(person_name(value, character_set), str)


@given(st.binary(max_size=64), st.binary(max_size=40))
def test_no_value_and_no_character_set_is_an_error(value: bytes, character_set: bytes) -> None:
    assert isinstance(text_value(value, character_set), str)
    assert isinstance(person_name(value, character_set), str)


@pytest.mark.corpus
def test_names_of_real_files_are_decoded_as_pydicom_does() -> None:
    """Every character set that there is a file of."""
    assert CORPUS is not None
    names = [found for row in rows() if (found := both_names(CORPUS / row["file"]))]
    assert len(names) > 100
    assert [ours for ours, pydicoms in names if ours not in pydicoms] == []
    assert all(is_study_folder(folder_name(MADE_AT, "ID", ours)) for ours, _ in names)


def both_names(path: Path) -> tuple[str, list[str]] | None:
    """A patient's name as we decode it, and its groups as pydicom does; None where either reads nothing."""
    scanner = Scanner(keep=KEPT_TAGS)
    for chunk in chunks_of(path):
        scanner.feed(chunk)
    verdict = scanner.finish()
    raw = verdict.values.get(PATIENT_NAME)
    if verdict.reason or not raw:
        return None
    try:
        with quiet():
            whole = str(dcmread(path, force=True, stop_before_pixels=True).get("PatientName", ""))
    except BROKEN_INPUT:
        return None
    ours = person_name(raw, verdict.values.get(CHARACTER_SET))
    return ours, [group.strip() for group in whole.split("=")]


def test_a_value_without_end_is_cut() -> None:
    assert len(text_value(b"x" * 100_000, None)) == 1024


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path / "root")
    yield found
    found.close()


HOSTILE = [
    "CANARY^../../../../tmp/CANARY",
    "CANARY\0NUL",
    "CANARY\r\nInjected: yes",
    "\u202eCANARY\u2066",
    "CON^CANARY",
    "AUX^CANARY",
    "CANARY....",
    "CANARY" * 50,
    "CANARY^山田^שלום",
    "/CANARY/",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_patient_stays_in_the_root_and_out_of_the_log(
    house: House, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    send_named(house, name)
    house.complete()
    house.confirm_all()
    (folder,) = house.tree()
    assert len(folder.encode()) <= 145
    assert [path.name for path in house.root.parent.iterdir()] == ["root"]
    house.remove()
    house.organise()
    assert list(house.entries()) == [STUDY_UID]
    assert "CANAR" not in caplog.text
    assert "20260122" not in caplog.text


def test_another_file_under_a_name_is_left(tmp_path: Path) -> None:
    ours, folders = tmp_path / "ours", Folders(tmp_path)
    ours.write_bytes(b"ours")
    assert folders.link(ours, "folder", "name")
    assert folders.link(ours, "folder", "name")
    (tmp_path / "folder" / "other").write_bytes(b"other")
    assert not folders.link(ours, "folder", "other")
    assert not folders.has(ours, "folder", "other")
    folders.clear("folder")
    folders.unlink("folder", "name")
    folders.unlink("folder", "other")
    folders.clear("folder")
    folders.clear("folder")
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def send_named(house: House, name: str) -> None:
    """With the name's bytes on the wire as they are: pydicom would refuse to write some of these."""
    raw = name.encode()
    raw += b" " * (len(raw) % 2)
    stand_in = b"x" * len(raw)
    with quiet():
        instance = make_ct(1, size=4, PatientName=stand_in.decode())
        data = dataset_of(instance)
    assert data.count(stand_in) == 1
    data = data.replace(stand_in, raw)
    assert house.store.store(data, instance.SOPClassUID, instance.SOPInstanceUID) == 0
