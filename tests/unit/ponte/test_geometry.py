"""Directions in the patient, and how large a pixel is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ponte.geometry import direction, geometry_of, opposite
from tests.unit.ponte.samples import opened

PIXELS = np.zeros((4, 4), np.uint16)


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("cosines", "letters"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, -1, 0), "A"),
        ((0, 0, 1), "H"),
        ((0, 0, -1), "F"),
        ((0.8, -0.6, 0), "LA"),
        ((-0.3, 0.2, 0.93), "HR"),
        ((0.58, 0.58, -0.58), "LPF"),
        ((0, 0, 0), ""),
    ],
)
def test_a_direction_has_letters(cosines: tuple[float, ...], letters: str) -> None:
    assert direction(cosines) == letters
    assert direction(tuple(-one for one in cosines)) == opposite(letters)


@pytest.mark.parametrize(
    ("orientation", "edges"),
    [
        ([1, 0, 0, 0, 1, 0], ("R", "A", "L", "P")),
        ([0, 1, 0, 0, 0, -1], ("A", "H", "P", "F")),
        ([1, 0, 0, 0, 0, -1], ("R", "H", "L", "F")),
    ],
)
def test_axial_sagittal_and_coronal(orientation: list[float], edges: tuple[str, ...]) -> None:
    assert geometry_of(opened(PIXELS, ImageOrientationPatient=orientation), 0).edges == edges


def test_patient_orientation_where_there_is_no_plane() -> None:
    assert geometry_of(opened(PIXELS, PatientOrientation=["P", "FL"]), 0).edges == ("A", "HR", "P", "FL")
    assert geometry_of(opened(PIXELS, PatientOrientation=["X", "F"]), 0).edges == ("", "", "", "")


@pytest.mark.parametrize(
    ("attributes", "spacing", "calibration"),
    [
        ({"PixelSpacing": [0.5, 0.7]}, 0.7, "patient"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, 0.2, "imager"),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, 0.2, "imager"),
        ({"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2]}, 0.15, "patient"),
        ({"PixelSpacing": [0, 0]}, None, "patient"),
        ({}, None, "region"),
    ],
)
def test_whose_millimetres(attributes: dict[str, Any], spacing: float | None, calibration: str) -> None:
    found = geometry_of(opened(PIXELS, **attributes), 0)
    assert found.spacing_mm == spacing
    assert spacing is None or found.calibration == calibration


def test_an_ultrasound_with_one_region_of_tissue_has_its_spacing() -> None:
    region = item(
        RegionSpatialFormat=1,
        PhysicalUnitsXDirection=3,
        PhysicalUnitsYDirection=3,
        PhysicalDeltaX=0.025,
        PhysicalDeltaY=-0.025,
    )
    found = geometry_of(opened(PIXELS, SequenceOfUltrasoundRegions=[region]), 0)
    assert found.spacing_mm == pytest.approx(0.25)
    assert geometry_of(opened(PIXELS, SequenceOfUltrasoundRegions=[region, region]), 0).spacing_mm is None


def test_a_view_by_its_code_and_by_its_name() -> None:
    coded = opened(PIXELS, ViewCodeSequence=[item(CodeValue="R-10226")], ImageLaterality="L")
    assert (geometry_of(coded, 0).laterality, geometry_of(coded, 0).view) == ("L", "MLO")
    assert geometry_of(opened(PIXELS, ViewPosition="AP"), 0).view == "AP"
