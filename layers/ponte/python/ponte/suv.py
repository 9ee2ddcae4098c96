"""Standardised uptake value by body weight, where the header of a PET image allows it (PS3.3 C.8.9).

The factor is only given where all that it stands on is there and agrees: a wrong SUV is worse than none.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage

from ponte import attributes

_LEAST_DOSE: Final = 1e6
"""In Bq. Less is a dose that was written in MBq."""
_MOST_HALF_LIVES: Final = 10.0
_GRAMS: Final = 1000.0
_MOMENT = re.compile(r"(\d{8})(\d{2})(\d{2})(\d{2})(?:\.\d*)?(?:[+-]\d{4})?")
_ZONE = re.compile(r"[+-]\d{4}$")


def suv_factor(dataset: Dataset) -> float | None:
    """What Bq/ml are multiplied with to become g/ml; None where the header does not allow it."""
    if attributes.text(dataset, "SOPClassUID") != PositronEmissionTomographyImageStorage:
        return None
    corrections = attributes.values(dataset, "CorrectedImage")
    if attributes.text(dataset, "Units") != "BQML" or not {"ATTN", "DECY"} <= set(map(str, corrections)):
        return None
    items = attributes.items(dataset, "RadiopharmaceuticalInformationSequence")
    weight = attributes.to_float(attributes.first(dataset, "PatientWeight")) or 0.0
    if attributes.text(dataset, "DecayCorrection") != "START" or len(items) != 1 or not weight > 0:
        return None
    dose = _dose_at_start(dataset, items[0])
    return weight * _GRAMS / dose if dose else None


def _dose_at_start(dataset: Dataset, item: Dataset) -> float | None:
    """What is left of the dose, in Bq, at the moment that the image is corrected to."""
    dose = attributes.to_float(attributes.first(item, "RadionuclideTotalDose")) or 0.0
    half_life = attributes.to_float(attributes.first(item, "RadionuclideHalfLife")) or 0.0
    given, start = _given(dataset, item), _start(dataset)
    if dose < _LEAST_DOSE or not half_life > 0 or given is None or start is None:
        return None
    passed = (start - given).total_seconds() / half_life
    return dose * math.pow(0.5, passed) if 0 <= passed <= _MOST_HALF_LIVES else None


def _given(dataset: Dataset, item: Dataset) -> datetime | None:
    """When the dose was given: date and time, or a time on the day of the series."""
    whole = attributes.text(item, "RadiopharmaceuticalStartDateTime")
    if whole:
        zone = _ZONE.search(whole)
        same = zone is None or zone.group() == attributes.text(dataset, "TimezoneOffsetFromUTC")
        return _moment(whole) if same else None
    return _moment(
        attributes.text(dataset, "SeriesDate") + attributes.text(item, "RadiopharmaceuticalStartTime")
    )


def _start(dataset: Dataset) -> datetime | None:
    """When the scan started. A series time after the acquisition is that of a later processing: no start."""
    series = _moment(attributes.text(dataset, "SeriesDate") + attributes.text(dataset, "SeriesTime"))
    acquired = _moment(
        attributes.text(dataset, "AcquisitionDate") + attributes.text(dataset, "AcquisitionTime")
    )
    return series if series is not None and acquired is not None and series <= acquired else None


def _moment(text: str) -> datetime | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime.strptime("".join(found.groups()), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
