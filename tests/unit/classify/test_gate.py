"""What gets to the model, and the reason of each that does not."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from classify.gate import Gate, Skip
from classify.sr import make_report
from tests.unit.classify.images import make_cr, make_dx
from tests.unit.classify.reports import reported
from tests.unit.classify.test_overlay import overlay

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS", "ignore:The value length")


def reason_of(dataset: Dataset, gate: Gate | None = None) -> str | None:
    skip = (gate or Gate()).judge(dataset)
    assert skip is None or skip.detail
    return skip.reason if isinstance(skip, Skip) else None


def coded(meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99TEST", meaning
    return [item]


@pytest.mark.parametrize("make", [make_dx, make_cr])
@pytest.mark.parametrize("part", ["CHEST", "chest pa", "TORAX", "Tórax", "THORAX", "PECHO", "PULMÃO", "LUNG"])
def test_a_chest_gets_in_in_three_languages(make: Callable[..., FileDataset], part: str) -> None:
    assert reason_of(make(BodyPartExamined=part)) is None


def test_a_region_by_code_or_what_people_wrote_will_do() -> None:
    assert reason_of(make_dx(BodyPartExamined="", AnatomicRegionSequence=coded("Chest"))) is None
    assert reason_of(make_cr(BodyPartExamined="", SeriesDescription="RX TÓRAX PA")) is None
    assert reason_of(make_cr(BodyPartExamined="", ProtocolName="Thorax a.p. liegend")) is None


@pytest.mark.parametrize("view", ["PA", "AP", "ap", "AP SUPINE", "", "PA ERECT"])
def test_frontal_views_and_unnamed_ones_get_in(view: str) -> None:
    assert reason_of(make_dx(ViewPosition=view)) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"SOPClassUID": CTImageStorage}, "NOT_A_RADIOGRAPH"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, "NOT_A_RADIOGRAPH"),
        ({"SOPClassUID": DigitalMammographyXRayImageStorageForPresentation}, "NOT_A_RADIOGRAPH"),
        ({"Modality": "MG"}, "NOT_A_RADIOGRAPH"),
        ({"Modality": "SR"}, "NOT_A_RADIOGRAPH"),
        ({"SOPClassUID": DigitalXRayImageStorageForProcessing}, "FOR_PROCESSING"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR_PROCESSING"),
        ({"NumberOfFrames": 2}, "SEVERAL_FRAMES"),
        ({"BodyPartExamined": "HAND"}, "NOT_CHEST"),
        ({"BodyPartExamined": "HAND", "SeriesDescription": "CHEST"}, "NOT_CHEST"),
        ({"BodyPartExamined": "", "AnatomicRegionSequence": coded("Knee")}, "NOT_CHEST"),
        ({"BodyPartExamined": ""}, "BODY_PART_UNKNOWN"),
        ({"ViewPosition": "LL"}, "NOT_FRONTAL"),
        ({"ViewPosition": "Lateral"}, "NOT_FRONTAL"),
        ({"ViewPosition": "LAO"}, "NOT_FRONTAL"),
        ({"ViewPosition": "", "ViewCodeSequence": coded("Lateral projection")}, "NOT_FRONTAL"),
        ({"ViewPosition": "", "SeriesDescription": "TORAX PERFIL"}, "NOT_FRONTAL"),
        ({"SOPInstanceUID": ""}, "BAD_UID"),
        ({"StudyInstanceUID": "x"}, "BAD_UID"),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else value,
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_everything_else_is_skipped_with_its_reason(change: dict[str, Any], reason: str) -> None:
    assert reason_of(make_dx(**change)) == reason


def test_the_operator_may_let_in_what_names_no_part_or_has_another_word() -> None:
    assert reason_of(make_dx(BodyPartExamined=""), Gate(any_body_part=True)) is None
    assert reason_of(make_dx(BodyPartExamined="BRUSTKORB"), Gate(words=("BRUST",))) is None
    assert reason_of(make_dx(ViewPosition="LL"), Gate(any_body_part=True)) == "NOT_FRONTAL"


def test_our_own_results_never_come_in_again() -> None:
    report = make_report(reported(make_dx())).content
    picture = overlay()
    assert picture is not None
    for content in (report, picture.content):
        assert isinstance(content, bytes)
        assert reason_of(pydicom.dcmread(BytesIO(content)), Gate(any_body_part=True)) == "OWN_RESULT"


def test_no_reason_holds_a_value_of_the_image() -> None:
    skip = Gate().judge(make_dx(BodyPartExamined="CANARY"))
    assert skip is not None
    assert "CANARY" not in skip.detail
