"""The report of one image: what it says, what it never says, and that a repeat is the same bytes."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import highdicom as hd
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ImplicitVRLittleEndian,
)

from classify.sr import NOTICE, SERIES_DESCRIPTION, VERSION, SrClass, make_report
from ponte.errors import PonteError
from ponte.scan import scan
from render.version import PRODUCT
from tests.unit.classify.images import make_cr, make_dx
from tests.unit.classify.models import TARGETS
from tests.unit.classify.reports import reported

CLASSES: dict[SrClass, str] = {
    "comprehensive3d": Comprehensive3DSRStorage,
    "comprehensive": ComprehensiveSRStorage,
    "enhanced": EnhancedSRStorage,
}


def read(content: Any) -> Dataset:
    return pydicom.dcmread(BytesIO(content))


def values_of(group: Dataset) -> dict[str, Any]:
    """Meaning of the concept name of each item, to what it says."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            item.MeasuredValueSequence[0].NumericValue
            if item.ValueType == "NUM"
            else item.ConceptCodeSequence[0].CodeMeaning
            if item.ValueType == "CODE"
            else item.get("TextValue", item.get("UID"))
        )
        for item in group.ContentSequence
        if "ConceptNameCodeSequence" in item
    }


def groups_of(document: Dataset) -> list[dict[str, Any]]:
    (measurements,) = [
        item
        for item in document.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]
    return [values_of(group) for group in measurements.ContentSequence]


@pytest.mark.parametrize("sr_class", CLASSES)
def test_highdicom_reads_every_finding_back(sr_class: SrClass) -> None:
    said = reported(make_dx())
    outgoing = make_report(said, sr_class)

    document: Any = hd.sr.srread(BytesIO(bytes(outgoing.content)))  # type: ignore[arg-type]
    groups = document.content.get_image_measurement_groups()

    assert document.SOPClassUID == CLASSES[sr_class] == outgoing.sop_class_uid
    assert [group.finding_type.value for group in groups] == [f.code.value for f in said.findings]
    assert [group.get_measurements()[0].value for group in groups] == pytest.approx(
        [finding.probability for finding in said.findings], abs=1e-4
    )
    assert len(groups) == len(TARGETS)


def test_it_is_complete_preliminary_and_unverified_and_says_what_it_is_not() -> None:
    document = read(make_report(reported(make_dx())).content)

    assert document.CompletionFlag == "COMPLETE"
    assert document.PreliminaryFlag == "PRELIMINARY"
    assert document.VerificationFlag == "UNVERIFIED"
    assert "VerifyingObserverSequence" not in document
    assert document.SeriesDescription == SERIES_DESCRIPTION
    assert document.ContentSequence[-1].TextValue == NOTICE
    assert "not a medical device" in document.CompletionFlagDescription


def test_presence_is_said_of_findings_at_their_threshold_alone_and_absence_of_none() -> None:
    said = reported(make_dx())
    groups = groups_of(read(make_report(said).content))

    present = [group["Tracking Identifier"] for group in groups if "Presence of property" in group]
    reached = [finding.label for finding in said.findings if finding.at_threshold]
    assert present == [f"{label}: at or above its threshold" for label in reached]
    others = [group["Tracking Identifier"] for group in groups if "Presence of property" not in group]
    assert all(text.endswith(": below its threshold") for text in others)
    assert 0 < len(present) < len(groups)
    assert {group.get("Presence of property") for group in groups} == {None, "Present"}


def test_each_group_names_the_algorithm_its_version_and_the_digest_of_the_model() -> None:
    said = reported(make_dx())
    for group in groups_of(read(make_report(said).content)):
        assert group["Algorithm Name"] == said.manifest.name
        assert group["Algorithm Version"] == said.manifest.version
    text = bytes(make_report(said).content)  # type: ignore[arg-type]
    assert f"model sha256 {said.manifest.onnx_sha256}".encode() in text


def test_numbers_are_named_for_what_they_are() -> None:
    text = bytes(make_report(reported(make_dx())).content)  # type: ignore[arg-type]

    assert b"not a probability" in text
    assert b"not calibrated" in text
    for claim in (b"Certainty of Finding", b"Probability\0", b"accuracy", b"diagnosis of"):
        assert claim not in text


def test_it_is_in_a_new_series_of_the_same_study_under_the_same_patient() -> None:
    image = make_dx()
    document = read(make_report(reported(image)).content)

    assert document.StudyInstanceUID == image.StudyInstanceUID
    assert document.SeriesInstanceUID != image.SeriesInstanceUID
    assert str(document.PatientName) == "CANARIO^Conceição"
    assert (document.PatientID, document.AccessionNumber) == ("CANARY-ID-1", "CANARY-ACC")
    (evidence,) = document.CurrentRequestedProcedureEvidenceSequence
    (instance,) = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert instance.ReferencedSOPInstanceUID == image.SOPInstanceUID


def test_a_repeat_is_the_same_bytes_whenever_it_is_made() -> None:
    image = make_dx()
    first = make_report(reported(image)).content

    assert make_report(reported(image)).content == first
    times = {str(element.value) for element in read(first).iterall() if element.VR in ("DA", "TM", "DT")} - {
        ""
    }
    assert times == {image.StudyDate, image.StudyTime, image.PatientBirthDate}


def test_uids_follow_image_model_and_class() -> None:
    one, other = make_dx(), make_cr()
    uids = [
        make_report(reported(one)).sop_instance_uid,
        make_report(reported(other)).sop_instance_uid,
        make_report(reported(one), "enhanced").sop_instance_uid,
        make_report(reported(one, version="2")).sop_instance_uid,
    ]
    assert len(set(uids)) == len(uids)
    series = {read(make_report(reported(image)).content).SeriesInstanceUID for image in (one, other)}
    assert len(series) == 1


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^José"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", "王^小東"),
        ("GB18030", "王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    ],
    ids=["latin", "cyrillic", "utf8", "gb18030", "japanese"],
)
def test_names_of_every_character_set_stay_as_they_are(charset: Any, name: str) -> None:
    image = make_dx()
    image.SpecificCharacterSet = charset
    for keyword in ("PatientName", "ReferringPhysicianName"):
        setattr(image, keyword, name)

    document = read(make_report(reported(image)).content)

    assert str(document.PatientName) == name
    assert scan([make_report(reported(image)).content]).accepted  # type: ignore[list-item]


def test_what_an_image_lacks_is_empty_and_not_made_up() -> None:
    image = make_cr()
    for keyword in ("StudyID", "AccessionNumber", "PatientBirthDate", "PatientSex", "StudyTime", "StudyDate"):
        if keyword in image:
            delattr(image, keyword)

    document = read(make_report(reported(image)).content)

    assert document.PatientBirthDate in ("", None)
    assert document.AccessionNumber == ""
    assert document.ContentDate == "19000101"


def test_the_implicit_encoding_of_the_study_is_kept() -> None:
    image = make_dx()
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    outgoing = make_report(reported(image))

    assert read(outgoing.content).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert outgoing.transfer_syntax_uid == ImplicitVRLittleEndian


def test_the_procedure_is_the_one_that_the_image_names() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "RX1", "99HOSP", "RX TORAX PA"

    assert b"RX TORAX PA" in bytes(make_report(reported(make_dx(ProcedureCodeSequence=[code]))).content)  # type: ignore[arg-type]


def test_an_image_without_a_usable_uid_has_no_report() -> None:
    with pytest.raises(PonteError) as raised:
        make_report(reported(make_dx(SeriesInstanceUID="")))
    assert raised.value.code == "BAD_UID"


def test_the_version_is_that_of_the_product() -> None:
    assert f"Ponte {VERSION}" == PRODUCT
