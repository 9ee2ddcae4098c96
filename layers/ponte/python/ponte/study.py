"""What the cover, the bands and the order of pages need to know; never raises on a broken value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from ponte import attributes
from ponte.groups import slice_position_mm
from ponte.quiet import BROKEN_INPUT, quiet


@dataclass(frozen=True, slots=True)
class StudyAttributes:
    """Text as it stands in the dataset (dates `YYYYMMDD`, names as `FAMILY GIVEN`); "" where absent."""

    study_instance_uid: str = ""
    patient_name: str = ""
    patient_id: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    accession_number: str = ""
    institution_name: str = ""
    referring_physician_name: str = ""
    requested_procedure: str = ""

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Self:
        with quiet():
            return cls(
                study_instance_uid=attributes.text(dataset, "StudyInstanceUID"),
                patient_name=person_name(dataset, "PatientName"),
                patient_id=attributes.text(dataset, "PatientID"),
                patient_birth_date=attributes.text(dataset, "PatientBirthDate"),
                patient_sex=attributes.text(dataset, "PatientSex"),
                study_date=attributes.text(dataset, "StudyDate"),
                study_time=attributes.text(dataset, "StudyTime"),
                study_description=attributes.text(dataset, "StudyDescription"),
                accession_number=attributes.text(dataset, "AccessionNumber"),
                institution_name=attributes.text(dataset, "InstitutionName"),
                referring_physician_name=person_name(dataset, "ReferringPhysicianName"),
                requested_procedure=attributes.text(dataset, "RequestedProcedureDescription"),
            )

    def anonymous(self) -> Self:
        """A copy that says nothing of patient or study."""
        return type(self)()


@dataclass(frozen=True, slots=True)
class SeriesAttributes:
    """One series. `series_instance_uid` groups pages; it is not for display."""

    series_instance_uid: str = ""
    series_number: int | None = None
    modality: str = ""
    series_description: str = ""
    body_part_examined: str = ""

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Self:
        with quiet():
            return cls(
                series_instance_uid=attributes.text(dataset, "SeriesInstanceUID"),
                series_number=attributes.to_int(attributes.first(dataset, "SeriesNumber")),
                modality=attributes.text(dataset, "Modality"),
                series_description=attributes.text(dataset, "SeriesDescription"),
                body_part_examined=attributes.text(dataset, "BodyPartExamined"),
            )

    def anonymous(self) -> Self:
        """A copy without the description, which people fill with names."""
        return type(self)(
            series_instance_uid=self.series_instance_uid,
            series_number=self.series_number,
            modality=self.modality,
            body_part_examined=self.body_part_examined,
        )


@dataclass(frozen=True, slots=True)
class InstanceAttributes:
    """One instance. `slice_position_mm` is the place of its first frame along the normal of the plane."""

    sop_instance_uid: str = ""
    sop_class_uid: str = ""
    instance_number: int | None = None
    slice_position_mm: float | None = None

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Self:
        with quiet():
            return cls(
                sop_instance_uid=attributes.text(dataset, "SOPInstanceUID"),
                sop_class_uid=attributes.text(dataset, "SOPClassUID"),
                instance_number=attributes.to_int(attributes.first(dataset, "InstanceNumber")),
                slice_position_mm=slice_position_mm(dataset),
            )


def person_name(dataset: Dataset, keyword: str) -> str:
    """A name as people read it: the alphabetic group, then the others in parentheses (PS3.5 6.2.1)."""
    value = attributes.first(dataset, keyword)
    if not isinstance(value, PersonName):
        return ""
    try:
        groups = [_display(group) for group in (value.alphabetic, value.ideographic, value.phonetic)]
    except BROKEN_INPUT:
        return ""
    first, *others = [group for group in groups if group] or [""]
    return " ".join([first, *(f"({other})" for other in others)])


def _display(group: str) -> str:
    """`FAMILY^GIVEN^MIDDLE^PREFIX^SUFFIX` without carets, empty components and padding."""
    return " ".join(part.strip() for part in group.split("^") if part.strip())
