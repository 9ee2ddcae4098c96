"""What has no pages of its own, named in words: plans, structures, presentation states, key objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicVoiceAudioWaveformStorage,
    EncapsulatedCDAStorage,
    EncapsulatedMTLStorage,
    EncapsulatedOBJStorage,
    EncapsulatedSTLStorage,
    GeneralAudioWaveformStorage,
    KeyObjectSelectionDocumentStorage,
    RTIonPlanStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from ponte import attributes
from ponte.quiet import quiet
from render.documents.codes import class_name, meaning_of
from render.documents.words import Words, words_of
from render.pdf import PdfWriter
from render.sheet import Document
from render.texts import Texts

_MOST_NAMES: Final = 8
_MOST_LETTERS: Final = 200
_PRESENTATION_STATES: Final = "1.2.840.10008.5.1.4.1.1.11."
_AUDIO: Final = frozenset({BasicVoiceAudioWaveformStorage, GeneralAudioWaveformStorage})
_ENCAPSULATED: Final = frozenset(
    {
        EncapsulatedCDAStorage,
        EncapsulatedMTLStorage,
        EncapsulatedOBJStorage,
        EncapsulatedSTLStorage,
    }
)

Parts = Callable[[Dataset, Words], list[str]]


def draw(dataset: Dataset, writer: PdfWriter, texts: Texts, *, anonymize: bool) -> Document:
    """No pages: a title. It holds counts, and only without `anonymize` what people wrote."""
    del writer
    words = words_of(texts)
    with quiet():
        return _named(dataset, words, anonymize)


def _named(dataset: Dataset, words: Words, anonymize: bool) -> Document:
    uid = attributes.text(dataset, "SOPClassUID")
    counts, written = _PARTS.get(uid, (_nothing, _label))
    if uid.startswith(_PRESENTATION_STATES):
        counts, written = _referenced_images, _content_label
    parts = [class_name(uid, words), *counts(dataset, words)]
    if not anonymize:
        parts.extend(part for part in written(dataset, words) if part)
    title = " · ".join(parts)
    return Document(_clipped(title), left_out=_left_out(uid, words))


def _left_out(uid: str, words: Words) -> str:
    if uid in _AUDIO:
        return words.audio_left_out
    return words.kind_left_out if uid in _ENCAPSULATED else ""


def _clipped(title: str) -> str:
    return title if len(title) <= _MOST_LETTERS else title[: _MOST_LETTERS - 1].rstrip() + "…"


def _nothing(dataset: Dataset, words: Words) -> list[str]:
    del dataset, words
    return []


def _label(dataset: Dataset, words: Words) -> list[str]:
    """What most documents have for a name."""
    del words
    keywords = ("DocumentTitle", "ContentLabel", "ContentDescription")
    return [text for keyword in keywords if (text := attributes.text(dataset, keyword))][:1]


def _content_label(dataset: Dataset, words: Words) -> list[str]:
    del words
    return [attributes.text(dataset, "ContentLabel"), attributes.text(dataset, "ContentDescription")]


def _counted(count: int, words: str) -> list[str]:
    return [words.format(count)] if count else []


def _structures(dataset: Dataset, words: Words) -> list[str]:
    return _counted(len(attributes.items(dataset, "StructureSetROISequence")), words.structures)


def _structure_names(dataset: Dataset, words: Words) -> list[str]:
    del words
    names = [
        attributes.text(item, "ROIName") for item in attributes.items(dataset, "StructureSetROISequence")
    ]
    return [attributes.text(dataset, "StructureSetLabel"), _enumerated(names)]


def _beams(dataset: Dataset, words: Words) -> list[str]:
    beams = attributes.items(dataset, "BeamSequence") or attributes.items(dataset, "IonBeamSequence")
    return _counted(len(beams), words.beams)


def _plan_label(dataset: Dataset, words: Words) -> list[str]:
    del words
    label, name = attributes.text(dataset, "RTPlanLabel"), attributes.text(dataset, "RTPlanName")
    return [label, name if name != label else ""]


def _segments(dataset: Dataset, words: Words) -> list[str]:
    return _counted(len(attributes.items(dataset, "SegmentSequence")), words.segments)


def _segment_names(dataset: Dataset, words: Words) -> list[str]:
    del words
    segments = attributes.items(dataset, "SegmentSequence")
    return [_enumerated([attributes.text(segment, "SegmentLabel") for segment in segments])]


def _referenced_images(dataset: Dataset, words: Words) -> list[str]:
    """Images that a presentation state is for (PS3.3 C.11.11)."""
    series = attributes.items(dataset, "ReferencedSeriesSequence")
    return _counted(
        sum(len(attributes.items(item, "ReferencedImageSequence")) for item in series), words.images
    )


def _key_objects(dataset: Dataset, words: Words) -> list[str]:
    """Objects that are referenced in the content of a selection (PS3.16 TID 2010)."""
    content = attributes.items(dataset, "ContentSequence")
    return _counted(
        sum(len(attributes.items(item, "ReferencedSOPSequence")) for item in content), words.images
    )


def _key_title(dataset: Dataset, words: Words) -> list[str]:
    """The concept, which says what the selection is for, and its description."""
    del words
    content = attributes.items(dataset, "ContentSequence")
    described = [attributes.text(item, "TextValue") for item in content if "TextValue" in item]
    return [meaning_of(dataset, "ConceptNameCodeSequence"), *(" ".join(text.split()) for text in described)]


def _enumerated(names: list[str]) -> str:
    """The first names, and how many more there are."""
    shown = [name for name in names if name]
    more = len(shown) - _MOST_NAMES
    return ", ".join(shown[:_MOST_NAMES]) + (f" +{more}" if more > 0 else "")


_PARTS: Final[dict[str, tuple[Parts, Parts]]] = {
    RTStructureSetStorage: (_structures, _structure_names),
    RTPlanStorage: (_beams, _plan_label),
    RTIonPlanStorage: (_beams, _plan_label),
    SegmentationStorage: (_segments, _segment_names),
    "1.2.840.10008.5.1.4.1.1.66.7": (_segments, _segment_names),  # Label Map Segmentation Storage
    KeyObjectSelectionDocumentStorage: (_key_objects, _key_title),
}
