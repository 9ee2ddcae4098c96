"""Which images the model is asked about: frontal chest radiographs for people to look at, and nothing else.

The model answers any picture with eighteen numbers, a hand as well as a chest. What does not get in has a
reason. Reports and secondary captures are of other classes, ours among them: nothing that comes out of here
can come in again.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)

from ponte import attributes
from ponte.chest import CHEST, plain
from ponte.encapsulated import MANUFACTURER
from ponte.quiet import quiet
from ponte.uid import is_valid_uid

_CLASSES = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
    }
)
_MODALITIES = frozenset({"CR", "DX"})
_DESCRIPTIONS = ("ProtocolName", "SeriesDescription", "AcquisitionDeviceProcessingDescription")
_FRONTAL = frozenset({"AP", "PA"})
_NOT_FRONTAL = frozenset(
    {
        "LL", "RL", "LLD", "RLD", "LLO", "RLO", "LAO", "RAO", "LPO", "RPO", "LAT", "LATERAL", "PERFIL", "OBL",
        "OBLIQUE", "OBLIQUA", "OBLICUA",
    }
)  # fmt: skip
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@dataclass(frozen=True, slots=True)
class Skip:
    """Why an image is not classified. Neither text holds anything of the patient."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Gate:
    """`words` stand for a chest in what is said of the body part; `any_body_part` asks for none."""

    words: tuple[str, ...] = CHEST
    any_body_part: bool = False

    def judge(self, dataset: Dataset) -> Skip | None:
        """None for what may be classified."""
        with quiet():
            return (
                _not_a_radiograph(dataset)
                or _not_for_people(dataset)
                or (None if self.any_body_part else self._not_a_chest(dataset))
                or _not_frontal(dataset)
            )

    def _not_a_chest(self, dataset: Dataset) -> Skip | None:
        """By what the image says of the body part; only where it says nothing, by what people wrote."""
        said = [attributes.text(dataset, "BodyPartExamined"), *_regions(dataset)]
        if not any(said):
            said = [attributes.text(dataset, keyword) for keyword in _DESCRIPTIONS]
        if any(word in plain(text) for text in said for word in self.words):
            return None
        if any(said[:1]):
            return Skip("NOT_CHEST", "Body Part Examined (0018,0015) names another part")
        if _regions(dataset):
            return Skip("NOT_CHEST", "Anatomic Region Sequence (0008,2218) names another part")
        return Skip("BODY_PART_UNKNOWN", "Nothing says which part of the body it is")


def _not_a_radiograph(dataset: Dataset) -> Skip | None:
    sop_class_uid = attributes.text(dataset, "SOPClassUID")
    if attributes.text(dataset, "Manufacturer") == MANUFACTURER and sop_class_uid not in _CLASSES:
        return Skip("OWN_RESULT", "Ponte made it")
    if sop_class_uid not in _CLASSES or attributes.text(dataset, "Modality") not in _MODALITIES:
        return Skip("NOT_A_RADIOGRAPH", "Neither class nor Modality (0008,0060) is that of CR or DX")
    wrong = [keyword for keyword in _UIDS if not is_valid_uid(attributes.text(dataset, keyword))]
    if wrong:
        return Skip("BAD_UID", f"{attributes.describe(wrong[0])} is absent or no UID")
    return None


def _not_for_people(dataset: Dataset) -> Skip | None:
    for_processing = attributes.text(dataset, "SOPClassUID") == DigitalXRayImageStorageForProcessing
    if for_processing or plain(attributes.text(dataset, "PresentationIntentType")) == "FOR PROCESSING":
        return Skip("FOR_PROCESSING", "Presentation Intent Type (0008,0068) is FOR PROCESSING")
    frames = attributes.to_int(attributes.first(dataset, "NumberOfFrames"))
    if frames is not None and frames > 1:
        return Skip("SEVERAL_FRAMES", f"Number of Frames (0028,0008) is {frames}; expected 1")
    return None


def _not_frontal(dataset: Dataset) -> Skip | None:
    """The thresholds were found on PA and AP. What says nothing of its view gets in."""
    if said := _words(attributes.text(dataset, "ViewPosition")):
        place = attributes.describe("ViewPosition")
    elif said := [
        word
        for item in attributes.items(dataset, "ViewCodeSequence")
        for word in _words(attributes.text(item, "CodeMeaning"))
    ]:
        place = attributes.describe("ViewCodeSequence")
    else:
        said = [word for keyword in _DESCRIPTIONS for word in _words(attributes.text(dataset, keyword))]
        place = "What people wrote of the series"
    if _NOT_FRONTAL.isdisjoint(said) or not _FRONTAL.isdisjoint(said):
        return None
    return Skip("NOT_FRONTAL", f"{place} names a lateral or oblique view; expected PA or AP")


def _regions(dataset: Dataset) -> list[str]:
    return [
        attributes.text(item, "CodeMeaning") for item in attributes.items(dataset, "AnatomicRegionSequence")
    ]


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in plain(text)).split()
