"""What has no pages: a title in words, and nothing of a person when anonymous."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicVoiceAudioWaveformStorage,
    EncapsulatedCDAStorage,
    EncapsulatedSTLStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RawDataStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from render.documents import drawer_of
from render.pdf import PdfWriter
from render.sheet import Document
from render.texts import TEXTS, Language
from tests.factories import make_dataset

CANARY = "CANARY"


def of(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def listed(dataset: Dataset, *, language: Language = "en", anonymize: bool = False) -> Document:
    drawer = drawer_of(dataset.SOPClassUID)
    document = drawer(dataset, PdfWriter(BytesIO()), TEXTS[language], anonymize=anonymize)
    assert document is not None
    assert not document.sheets
    return document


REFERENCES = [of(ReferencedImageSequence=[of(), of()]), of(ReferencedImageSequence=[of()])]
CASES = [
    (
        make_dataset(
            RTStructureSetStorage,
            StructureSetLabel=CANARY,
            StructureSetROISequence=[of(ROIName="Heart"), of(ROIName="Lung")],
        ),
        "RT Structure Set · structures: 2 · CANARY · Heart, Lung",
        "Estruturas de radioterapia · estruturas: 2",
    ),
    (
        make_dataset(RTPlanStorage, RTPlanLabel=CANARY, BeamSequence=[of()]),
        "RT Plan · beams: 1 · CANARY",
        "Plano de radioterapia · feixes: 1",
    ),
    (
        make_dataset(
            SegmentationStorage, SegmentSequence=[of(SegmentLabel=f"{CANARY} {n}") for n in range(10)]
        ),
        "Segmentation · segments: 10 · " + ", ".join(f"{CANARY} {n}" for n in range(8)) + " +2",
        "Segmentação · segmentos: 10",
    ),
    (
        make_dataset(
            GrayscaleSoftcopyPresentationStateStorage,
            ContentLabel=CANARY,
            ReferencedSeriesSequence=REFERENCES,
        ),
        "Grayscale Softcopy Presentation State · images: 3 · CANARY",
        "Estado de apresentação em tons de cinza · imagens: 3",
    ),
    (
        make_dataset(
            KeyObjectSelectionDocumentStorage,
            ConceptNameCodeSequence=[of(CodeMeaning="For Referring Provider")],
            ContentSequence=[of(TextValue=CANARY), of(ReferencedSOPSequence=[of()])],
        ),
        "Key object selection · images: 1 · For Referring Provider · CANARY",
        "Seleção de imagens-chave · imagens: 1",
    ),
    (make_dataset(RawDataStorage, ContentLabel=CANARY), "Raw Data · CANARY", "Dados brutos"),
    (make_dataset("1.2.3.4", DocumentTitle=CANARY), "1.2.3.4 · CANARY", "1.2.3.4"),
]


@pytest.mark.parametrize(("dataset", "title", "anonymous"), CASES, ids=lambda value: str(value)[:24])
def test_it_has_a_title_in_words(dataset: Dataset, title: str, anonymous: str) -> None:
    assert listed(dataset) == Document(title)
    assert listed(dataset, language="pt-BR", anonymize=True) == Document(anonymous)


@pytest.mark.parametrize(
    "uid", [EncapsulatedCDAStorage, EncapsulatedSTLStorage, BasicVoiceAudioWaveformStorage]
)
def test_what_paper_cannot_hold_says_why(uid: str) -> None:
    document = listed(make_dataset(uid, DocumentTitle=CANARY), anonymize=True)
    assert document.left_out
    assert CANARY not in document.title


def test_a_title_without_end_is_cut() -> None:
    dataset = make_dataset(RawDataStorage, DocumentTitle="z" * 900)
    assert len(listed(dataset).title) == 200
