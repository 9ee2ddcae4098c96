"""What an anonymous document shows of pictures that may hold burned-in text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage, UltrasoundImageStorage

from ponte.burned_in import Region, masked, trusted_regions

REGIONS = "SequenceOfUltrasoundRegions"


def region(*sides: Any) -> Dataset:
    item = Dataset()
    for keyword, side in zip(("MinX0", "MinY0", "MaxX1", "MaxY1"), sides, strict=True):
        setattr(item, f"RegionLocation{keyword}", side)
    return item


def dataset(sop_class: str, **attributes: Any) -> Dataset:
    made = Dataset()
    made.SOPClassUID = sop_class
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("sop_class", "attributes", "expected"),
    [
        (CTImageStorage, {}, None),
        (CTImageStorage, {"BurnedInAnnotation": "NO"}, None),
        (CTImageStorage, {"BurnedInAnnotation": "YES"}, ()),
        (CTImageStorage, {"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, ()),
        (SecondaryCaptureImageStorage, {}, ()),
        (SecondaryCaptureImageStorage, {"BurnedInAnnotation": "NO"}, None),
        (UltrasoundImageStorage, {"BurnedInAnnotation": "NO"}, ()),
        (UltrasoundImageStorage, {REGIONS: [region(8, 6, 30, 20)]}, (Region(8, 6, 30, 20),)),
        (UltrasoundImageStorage, {REGIONS: [region(30, 6, 8, 20)]}, ()),
        (SecondaryCaptureImageStorage, {"Modality": "US", "BurnedInAnnotation": "NO"}, ()),
    ],
)  # fmt: skip
def test_the_policy(sop_class: str, attributes: dict[str, Any], expected: tuple[Region, ...] | None) -> None:
    assert trusted_regions(dataset(sop_class, **attributes)) == expected


@pytest.mark.parametrize("samples", [1, 3])
def test_outside_the_regions_the_picture_is_black(samples: int) -> None:
    shape = (40, 50) if samples == 1 else (40, 50, 3)
    shown = masked(np.full(shape, 200, np.uint8), (Region(8, 6, 30, 20), Region(45, 35, 400, 400)))
    assert shown[6:21, 8:31].min() == 200
    assert shown[35:, 45:].min() == 200
    assert shown.astype(bool).sum() == (15 * 23 + 5 * 5) * samples
