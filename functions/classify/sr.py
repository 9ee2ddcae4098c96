"""The findings of one image as a structured report: TID 1500, in Comprehensive 3D SR (PS3.16, PS3.3 A.35.13).

IHE AIR wants qualitative findings of a machine in that class; Comprehensive and Enhanced SR hold the same
tree for a PACS that knows no 3D. What is said of patient and study is copied as the image has it, byte for
byte. The same image and model make the same bytes, UIDs and times too: to send one again changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from highdicom import ContributingEquipment, sr
from highdicom.sr.value_types import TextContentItem
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID

from classify.findings import SCHEME, SCHEME_NAME, SCHEME_UID, Finding
from classify.manifest import Manifest
from ponte import attributes
from ponte.destination import Outgoing
from ponte.encapsulated import MANUFACTURER, REQUIRED, StudyHeader, document_uid, whole_instance
from ponte.errors import InvalidAttribute
from ponte.quiet import quiet
from ponte.uid import is_valid_uid

SrClass = Literal["comprehensive3d", "comprehensive", "enhanced"]

NOTICE: Final = "Not a medical device. Unverified machine output, for research; not for diagnosis."
SERIES_DESCRIPTION: Final = "AI result, UNVERIFIED, not a medical device"
FLAG_DESCRIPTION: Final = "Unverified machine output; not a medical device"
SERIES_NUMBER: Final = 9901
VERSION: Final = "0.1.0"

_DECIMALS: Final = 4
_LONGEST_CODE, _LONGEST_TEXT = 16, 64
_NO_DATE, _NO_TIME = "19000101", "000000"
_DATES = (("ContentDate", "ContentTime"), ("AcquisitionDate", "AcquisitionTime"),
          ("SeriesDate", "SeriesTime"), ("StudyDate", "StudyTime"))  # fmt: skip

_STANDING = {True: "at or above its threshold", False: "below its threshold"}
_COMMENT = Code("121106", "DCM", "Comment")
_PRESENCE = Code("121052", "DCM", "Presence of property")
_PRESENT = Code("52101004", "SCT", "Present")
_CHEST = Code("816094009", "SCT", "Chest")
_CHEST_X_RAY = Code("399208008", "SCT", "Plain chest X-ray")
_PROCESSING = Code("109102", "DCM", "Processing Equipment")
_NO_UNITS = Code("1", "UCUM", "no units")
_ENGLISH = Code("en-US", "RFC5646", "English (United States)")
# Names of our own: the nearest of the standard, Certainty of Finding and Probability, claim too much.
_SCORE = Code("score", SCHEME, "Model score (0.5 = threshold; not a probability)")
_OUTPUT = Code("output", SCHEME, "Model output (sigmoid, not calibrated)")
_THRESHOLD = Code("threshold", SCHEME, "Threshold of the model output")


@dataclass(frozen=True, slots=True)
class Reported:
    """One image, and what the model said of it. `header` is that of the image's own bytes."""

    dataset: Dataset
    header: StudyHeader
    findings: Sequence[Finding]
    manifest: Manifest


def make_report(reported: Reported, sr_class: SrClass = "comprehensive3d") -> Outgoing:
    """The report of one image, in a new series of its study.

    Raises `InvalidAttribute` where the image has no usable UIDs.
    """
    return whole_instance(_document(reported, sr_class), reported.header)


def _document(reported: Reported, sr_class: SrClass) -> Dataset:
    sr_class_of = {
        "comprehensive3d": sr.Comprehensive3DSR,
        "comprehensive": sr.ComprehensiveSR,
        "enhanced": sr.EnhancedSR,
    }
    image, model = _evidence(reported), reported.manifest
    content = f"{model.identity}\n{sr_class}"
    with quiet():
        own: Dataset = sr_class_of[sr_class](
            evidence=[image],
            content=_tree(reported, image),
            series_instance_uid=document_uid(image.StudyInstanceUID, content, "ai-series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=document_uid(image.SOPInstanceUID, content, "ai-report"),
            instance_number=_instance_number(reported.dataset),
            manufacturer=MANUFACTURER,
            manufacturer_model_name="classify",
            software_versions=VERSION,
            device_serial_number="1",
            series_description=SERIES_DESCRIPTION,
            is_complete=True,
            is_final=False,
            is_verified=False,
            contributing_equipment=[_equipment(model)],
        )
    return _finished(own, reported.dataset)


def _evidence(reported: Reported) -> Dataset:
    """What the report refers to; who the patient is comes from the header, when all is written."""
    image = Dataset()
    for keyword in REQUIRED:
        setattr(image, keyword, "")
    with quiet():
        for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
            value = attributes.text(reported.dataset, keyword)
            if not is_valid_uid(value):
                raise InvalidAttribute(f"{attributes.describe(keyword)} is not a UID", code="BAD_UID")
            setattr(image, keyword, value)
    image.StudyInstanceUID = reported.header.study_instance_uid
    return image


def _tree(reported: Reported, image: Dataset) -> Dataset:
    model = reported.manifest
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_device_uid(model), name=model.name, manufacturer_name=MANUFACTURER, model_name=model.name
    )
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(sr.CodedConcept("121007", "DCM", "Device"), device)
        ),
        procedure_reported=_procedure(reported.dataset),
        imaging_measurements=[_group(finding, image, model) for finding in reported.findings],
        title=Code("126000", "DCM", "Imaging Measurement Report"),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(
            sr.CodedConcept.from_code(_ENGLISH)
        ),
    )
    root: Dataset = report[0]
    root.ContentSequence.append(
        TextContentItem(_COMMENT, NOTICE, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    )
    return root


def _group(finding: Finding, image: Dataset, model: Manifest) -> Any:
    """TID 1501: what the label means, the algorithm (TID 4019), its numbers.

    Presence is said only at or above the threshold; below it nothing is said, since that is not absence.
    """
    numbers = [(_OUTPUT, finding.probability), (_SCORE, finding.score), (_THRESHOLD, finding.threshold)]
    present = [sr.QualitativeEvaluation(_PRESENCE, _PRESENT)] if finding.at_threshold else None
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=document_uid(image.SOPInstanceUID, f"{model.identity}\n{finding.label}", "ai-finding"),
            identifier=f"{finding.label}: {_STANDING[finding.at_threshold]}",
        ),
        finding_type=finding.code,
        finding_sites=[sr.FindingSite(_CHEST)],
        algorithm_id=sr.AlgorithmIdentification(
            name=model.name,
            version=model.version,
            parameters=[f"model sha256 {model.onnx_sha256}", f"pre-processing {model.preprocessing}", NOTICE],
        ),
        measurements=[
            sr.Measurement(name, round(value, _DECIMALS), _NO_UNITS)
            for name, value in numbers
            if value is not None
        ],
        qualitative_evaluations=present,
        source_images=[sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )


def _procedure(dataset: Dataset) -> Code:
    """The procedure as the image itself names it, in ASCII; else the radiograph of a chest."""
    with quiet():
        for item in attributes.items(dataset, "ProcedureCodeSequence"):
            value, scheme, meaning = (
                attributes.text(item, name) for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
            )
            fits = len(value) <= _LONGEST_CODE >= len(scheme) and len(meaning) <= _LONGEST_TEXT
            if value and scheme and meaning and fits and (value + scheme + meaning).isascii():
                return Code(value, scheme, meaning)
    return _CHEST_X_RAY


def _device_uid(model: Manifest) -> str:
    return document_uid("", model.identity, "ai-device")


def _equipment(model: Manifest) -> Any:
    """The algorithm as a contributor, with a Device UID of its own, as IHE AIR has it."""
    equipment = ContributingEquipment(
        manufacturer="TorchXRayVision" if model.torchxrayvision else MANUFACTURER,
        purpose_of_reference=_PROCESSING,
        manufacturer_model_name=model.name,
        software_versions=model.version,
        contribution_description=NOTICE,
    )
    equipment.DeviceUID = UID(_device_uid(model))
    return equipment


def _finished(own: Dataset, source: Dataset) -> Dataset:
    """Without the time of this run, and with what highdicom leaves to its callers."""
    with quiet():
        own.ContentDate, own.ContentTime = _moment(source)
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SpecificCharacterSet"):
        if keyword in own:
            delattr(own, keyword)
    for item in own.ContributingEquipmentSequence:
        item.pop("ContributionDateTime", None)
    own.CompletionFlagDescription = FLAG_DESCRIPTION
    own.CodingSchemeIdentificationSequence = [_scheme()]
    return own


@cache
def _scheme() -> Dataset:
    scheme = Dataset()
    scheme.CodingSchemeDesignator, scheme.CodingSchemeUID = SCHEME, SCHEME_UID
    scheme.CodingSchemeName, scheme.CodingSchemeResponsibleOrganization = SCHEME_NAME, SCHEME_NAME
    return scheme


def _moment(source: Dataset) -> tuple[str, str]:
    """That of the image: with the time of this run, a repeat would be another document of the same UID."""
    for date_name, time_name in _DATES:
        date, time = attributes.text(source, date_name), attributes.text(source, time_name)
        if len(date) == 8 and date.isascii() and date.isdigit():
            whole, _, _ = time.partition(".")
            usable = len(whole) == 6 and whole.isascii() and whole.isdigit()
            return date, whole if usable else _NO_TIME
    return _NO_DATE, _NO_TIME


def _instance_number(source: Dataset) -> int:
    with quiet():
        number = attributes.to_int(attributes.first(source, "InstanceNumber"))
    return number if number is not None and 0 < number < 1 << 31 else 1
