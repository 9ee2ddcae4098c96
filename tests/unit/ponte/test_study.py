"""Attributes for the cover and the order of pages, from datasets that are not always right."""

from __future__ import annotations

import dataclasses

import pytest
from pydicom.dataset import Dataset

from ponte.instance import open_instance
from ponte.study import InstanceAttributes, SeriesAttributes, StudyAttributes
from tests.factories import encode, make_ct, make_dataset
from tests.unit.ponte.samples import BUNDLED

CT = "1.2.840.10008.5.1.4.1.1.2"


def read(dataset: Dataset) -> Dataset:
    return open_instance(encode(dataset))  # type: ignore[arg-type]


def test_a_study_is_described_as_text() -> None:
    study = StudyAttributes.from_dataset(read(make_ct()))
    assert study.patient_name == "CANARIO Conceição"
    assert study.patient_id == "CANARY-ID-1"
    assert (study.study_date, study.study_time) == ("20260122", "141530")
    assert study.accession_number == "CANARY-ACC"
    assert study.referring_physician_name == "CANARY Doctor"


def test_anonymous_keeps_nothing_of_patient_or_study() -> None:
    study = StudyAttributes.from_dataset(read(make_ct())).anonymous()
    assert set(dataclasses.astuple(study)) == {""}


def test_an_anonymous_series_keeps_what_orders_and_sorts_it() -> None:
    dataset = read(make_ct(SeriesDescription="CANARY", BodyPartExamined="CHEST"))
    series = SeriesAttributes.from_dataset(dataset)
    assert series.series_description == "CANARY"
    hidden = series.anonymous()
    assert hidden.series_description == ""
    assert (hidden.series_number, hidden.modality, hidden.body_part_examined) == (1, "CT", "CHEST")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada Tarou (山田 太郎) (やまだ たろう)"),
        ("=山田^太郎", "山田 太郎"),
        ("SILVA^^MARIA^^", "SILVA MARIA"),
        ("", ""),
        ("^^^^", ""),
    ],
)
def test_names_are_shown_as_people_read_them(name: str, shown: str) -> None:
    assert StudyAttributes.from_dataset(read(make_ct(PatientName=name))).patient_name == shown


def test_a_name_in_an_older_character_set_is_decoded() -> None:
    data = encode(make_ct(SpecificCharacterSet="ISO_IR 100", PatientName="CONCEIÇÃO^José"))
    assert "CONCEIÇÃO José".encode("latin-1").replace(b" ", b"^") in data
    assert StudyAttributes.from_dataset(open_instance(data)).patient_name == "CONCEIÇÃO José"


def test_an_empty_dataset_gives_empty_attributes() -> None:
    assert StudyAttributes.from_dataset(Dataset()) == StudyAttributes()
    assert SeriesAttributes.from_dataset(Dataset()) == SeriesAttributes()
    assert InstanceAttributes.from_dataset(Dataset()) == InstanceAttributes()


@pytest.mark.parametrize(
    ("element", "broken"),
    [
        (b"\x20\x00\x13\x00IS\x02\x001 ", b"\x20\x00\x13\x00IS\x02\x001A"),
        (b"\x20\x00\x13\x00IS\x02\x001 ", b"\x20\x00\x13\x00IS\x02\x00\xff\xfe"),
        (b"\x08\x00\x20\x00DA\x08\x0020260122", b"\x08\x00\x20\x00DA\x08\x00yesterda"),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192", b"\x08\x00\x05\x00CS\x0a\x00KLINGON 99"),
    ],
)
def test_a_broken_value_never_raises(element: bytes, broken: bytes) -> None:
    data = encode(make_ct())
    assert data.count(element) == 1
    dataset = open_instance(data.replace(element, broken))
    assert StudyAttributes.from_dataset(dataset).patient_id == "CANARY-ID-1"
    assert InstanceAttributes.from_dataset(dataset).instance_number in (1, None)


def test_of_several_values_the_first_counts() -> None:
    dataset = make_dataset(CT)
    dataset.add_new("InstanceNumber", "IS", [7, 8])
    dataset.add_new("StudyDescription", "LO", ["one", "two"])
    assert InstanceAttributes.from_dataset(read(dataset)).instance_number == 7
    assert StudyAttributes.from_dataset(read(dataset)).study_description == "one"


@pytest.mark.parametrize(
    ("orientation", "position", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], [5, 6, 7], 7.0),
        ([0, 1, 0, 0, 0, -1], [5, 6, 7], -5.0),
        ([1, 0, 0, 0, 0, -1], [5, 6, 7], 6.0),
        ([1, 0, 0, 1, 0, 0], [5, 6, 7], None),
        ([1, 0, 0], [5, 6, 7], None),
        ([1, 0, 0, 0, 1, 0], [5, 6], None),
    ],
)
def test_a_slice_has_its_place_along_the_normal(
    orientation: list[int], position: list[int], expected: float | None
) -> None:
    dataset = read(make_ct(ImageOrientationPatient=orientation, ImagePositionPatient=position))
    assert InstanceAttributes.from_dataset(dataset).slice_position_mm == expected


@pytest.mark.parametrize("name", ["rtplan.dcm", "badVR.dcm", "reportsi_with_empty_number_tags.dcm"])
def test_odd_bundled_files_are_described_without_a_fuss(name: str) -> None:
    dataset = open_instance((BUNDLED / name).read_bytes())
    assert StudyAttributes.from_dataset(dataset).study_instance_uid
    assert SeriesAttributes.from_dataset(dataset).modality
    assert InstanceAttributes.from_dataset(dataset).sop_instance_uid
