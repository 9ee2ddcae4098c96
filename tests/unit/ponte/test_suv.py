"""SUV by body weight: a factor by hand, and no factor where anything it stands on is missing or disagrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import PositronEmissionTomographyImageStorage

from ponte.display import Window
from ponte.image import Image
from ponte.suv import suv_factor
from tests.unit.ponte.samples import opened


def pet(*, dose: dict[str, Any] | None = None, **attributes: Any) -> Dataset:
    """70 kg, 400 MBq, one half-life before the scan: 70 000 g over 200 000 000 Bq, 0.00035 g/Bq."""
    item = Dataset()
    given: dict[str, Any] = {
        "RadionuclideTotalDose": 400e6,
        "RadionuclideHalfLife": 3600,
        "RadiopharmaceuticalStartTime": "090000.00",
        **(dose or {}),
    }
    for keyword, value in given.items():
        setattr(item, keyword, value)
    header: dict[str, Any] = {
        "SOPClassUID": PositronEmissionTomographyImageStorage,
        "Units": "BQML",
        "CorrectedImage": ["NORM", "ATTN", "DECY"],
        "DecayCorrection": "START",
        "PatientWeight": 70,
        "SeriesDate": "20260122",
        "SeriesTime": "100000",
        "AcquisitionDate": "20260122",
        "AcquisitionTime": "101000",
        "RadiopharmaceuticalInformationSequence": Sequence([item]),
        **attributes,
    }
    return opened(np.array([[0, 1000, 2000, 20000]], np.uint16), **header)


def test_the_factor_is_weight_over_the_dose_that_is_left() -> None:
    assert suv_factor(pet()) == pytest.approx(70_000 / 200e6)


def test_the_moment_of_injection_may_be_given_whole() -> None:
    dose = {"RadiopharmaceuticalStartDateTime": "20260121100000.0", "RadionuclideHalfLife": 86400}
    assert suv_factor(pet(dose=dose)) == pytest.approx(70_000 / 200e6)


def test_without_a_window_suv_0_to_5_are_shown() -> None:
    dataset = pet(RescaleSlope=2, RescaleIntercept=0)
    picture = Image(dataset).picture(0)
    white = 5 / 0.00035
    assert picture.window is not None
    assert picture.window.center == pytest.approx(white / 2)
    assert picture.window.width == pytest.approx(white)
    assert picture.notes == ("SUV 0.0..5.0",)
    assert picture.pixels.tolist() == [[0, round(2000 / white * 255), round(4000 / white * 255), 255]]


def test_the_window_of_the_header_is_kept_and_said_in_suv() -> None:
    picture = Image(pet(WindowCenter=10000, WindowWidth=20000)).picture(0)
    assert picture.window == Window(10000, 20000)
    assert picture.notes == ("SUV 0.0..7.0",)


@pytest.mark.parametrize(
    "changed",
    [
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
        {"Units": "CNTS"},
        {"CorrectedImage": ["DECY"]},
        {"CorrectedImage": "ATTN"},
        {"DecayCorrection": "ADMIN"},
        {"DecayCorrection": "NONE"},
        {"PatientWeight": 0},
        {"PatientWeight": None},
        {"SeriesTime": "110000"},  # of a later processing
        {"SeriesTime": "083000"},  # before the injection
        {"SeriesTime": ""},
        {"AcquisitionTime": ""},
        {"SeriesDate": "20260230"},
        {"RadiopharmaceuticalInformationSequence": None},
        {"dose": {"RadionuclideTotalDose": 400}},  # in MBq
        {"dose": {"RadionuclideTotalDose": None}},
        {"dose": {"RadionuclideHalfLife": 0}},
        {"dose": {"RadionuclideHalfLife": 60}},  # sixty half-lives: nothing would be left
        {"dose": {"RadiopharmaceuticalStartTime": ""}},
        {"dose": {"RadiopharmaceuticalStartDateTime": "20260122090000+0300"}},
    ],
)
def test_there_is_no_factor_where_something_is_missing_or_disagrees(changed: dict[str, Any]) -> None:
    assert suv_factor(pet(**changed)) is None
