"""Which way a frame lies in the patient, and how large its pixels are there.

PS3.3 C.7.6.2 (plane), 10.7 (spacing), C.7.6.1.1.1 (orientation), C.8.5.5 (regions), C.8.11.7 (mammography).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from pydicom.dataset import Dataset

from ponte import attributes, groups

Calibration = Literal["patient", "imager", "region"]
"""Whose millimetres: the patient's own, those at the detector, or those of an ultrasound's region."""

_OPPOSITE: Final = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
_AXES: Final = (("L", "R"), ("P", "A"), ("H", "F"))  # of the patient: towards more, towards less
_OBLIQUE: Final = 0.25  # the part of a direction below which an axis is not named
_MOST_LETTERS: Final = 3
_CENTIMETRES: Final = 3
_TISSUE: Final = 1
_MM_A_CM: Final = 10.0
_LEAST_MM, _MOST_MM = 1e-4, 100.0
_VIEWS: Final = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
    "399196006": "XCCL",
    "Y-X1770": "XCCL",
}
_SEQUENCES: Final = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "SequenceOfUltrasoundRegions",
    "ViewCodeSequence",
)
_ATTRIBUTES: Final = (
    *_SEQUENCES,
    "ImageOrientationPatient",
    "PatientOrientation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelSpacingCalibrationType",
    "NominalScannedPixelSpacing",
    "ImageLaterality",
    "Laterality",
    "ViewPosition",
    "PixelAspectRatio",
)


@dataclass(frozen=True, slots=True)
class FrameGeometry:
    """`edges` are the letters of the left, top, right and bottom edge, "" where unknown.

    `spacing_mm` is the distance between columns, in mm, None where nobody says it or where rows have another
    one that `pixel_aspect` does not explain. `laterality` is R, L, B or ""; `view` a short code as CC, AP.
    `pixel_aspect` is height over width of a pixel as it should be seen.
    """

    edges: tuple[str, str, str, str] = ("", "", "", "")
    spacing_mm: float | None = None
    calibration: Calibration = "patient"
    laterality: str = ""
    view: str = ""
    pixel_aspect: float = 1.0


UNKNOWN: Final = FrameGeometry()


def geometry_of(dataset: Dataset, frame_index: int) -> FrameGeometry:
    """What the dataset says of the geometry of a frame; understood once for all that say the same."""
    said = attributes.excerpt(dataset, _ATTRIBUTES)
    return _read(dataset, frame_index) if said is None else _remembered(said)


@lru_cache(maxsize=64)
def _remembered(said: attributes.Excerpt) -> FrameGeometry:
    return _read(attributes.dataset_of(said), 0)


def _read(dataset: Dataset, frame_index: int) -> FrameGeometry:
    spacing, calibration = _spacing(dataset, frame_index)
    return FrameGeometry(
        _edges(dataset, frame_index),
        spacing,
        calibration,
        _laterality(dataset, frame_index),
        _view(dataset),
        groups.pixel_aspect(dataset),
    )


def _edges(dataset: Dataset, frame_index: int) -> tuple[str, str, str, str]:
    """Rows run to the right, columns down; the other edges are opposite (PS3.3 C.7.6.1.1.1)."""
    name = "ImageOrientationPatient"
    cosines = groups.floats(dataset, frame_index, "PlaneOrientationSequence", name, 6)
    if cosines:
        right, bottom = direction(cosines[:3]), direction(cosines[3:])
    else:
        said = [str(value).upper() for value in attributes.values(dataset, "PatientOrientation")]
        right, bottom = said if len(said) == 2 and all(map(_is_direction, said)) else ("", "")
    return opposite(right), opposite(bottom), right, bottom


def direction(cosines: tuple[float, ...]) -> str:
    """The letters of a direction in the patient, the largest part first: `L`, `PH`, `LAF`; "" for none."""
    parts = sorted(zip(cosines, _AXES, strict=True), key=lambda part: -abs(part[0]))
    named = [axis[value < 0] for value, axis in parts if abs(value) >= _OBLIQUE]
    return "".join(named[:_MOST_LETTERS])


def opposite(letters: str) -> str:
    """The letters of the other way."""
    return "".join(_OPPOSITE[letter] for letter in letters)


def _is_direction(letters: str) -> bool:
    return len(letters) <= _MOST_LETTERS and set(letters) <= set(_OPPOSITE)


def _spacing(dataset: Dataset, frame_index: int) -> tuple[float | None, Calibration]:
    """The distance between columns: the patient's where known, else the detector's (PS3.3 10.7.1.1)."""
    in_patient = groups.floats(dataset, frame_index, "PixelMeasuresSequence", "PixelSpacing", 2)
    at_detector = attributes.floats(dataset, "ImagerPixelSpacing")
    at_detector = at_detector if len(at_detector) == 2 else ()
    calibrated = attributes.text(dataset, "PixelSpacingCalibrationType").upper() in ("GEOMETRY", "FIDUCIAL")
    if in_patient and (calibrated or in_patient != at_detector):
        return _millimetres(in_patient), "patient"
    if at_detector:
        return _millimetres(at_detector), "imager"
    return _spacing_of_region(dataset), "region"


def _millimetres(sides: tuple[float, ...]) -> float | None:
    return sides[1] if all(_LEAST_MM <= side <= _MOST_MM for side in sides) else None


def _spacing_of_region(dataset: Dataset) -> float | None:
    """Of an ultrasound with one region of tissue, in square centimetres."""
    regions = attributes.items(dataset, "SequenceOfUltrasoundRegions")
    if len(regions) != 1:
        return None
    (region,) = regions
    units = [attributes.first(region, f"PhysicalUnits{axis}Direction") for axis in "XY"]
    deltas = [attributes.to_float(attributes.first(region, f"PhysicalDelta{axis}")) for axis in "XY"]
    kind = attributes.first(region, "RegionSpatialFormat")
    if units != [_CENTIMETRES] * 2 or kind != _TISSUE or deltas[0] is None or deltas[1] is None:
        return None
    across, down = (abs(delta) * _MM_A_CM for delta in deltas if delta is not None)
    return _millimetres((down, across)) if abs(across - down) <= across / 100 else None


def _laterality(dataset: Dataset, frame_index: int) -> str:
    for place in groups.places(dataset, frame_index, "FrameAnatomySequence"):
        for keyword in ("FrameLaterality", "ImageLaterality", "Laterality"):
            if (letter := attributes.text(place, keyword).upper()) in ("R", "L", "B"):
                return letter
    return ""


def _view(dataset: Dataset) -> str:
    """View Position, or the view's code where that says it shorter."""
    for item in attributes.items(dataset, "ViewCodeSequence")[:1]:
        if code := _VIEWS.get(attributes.text(item, "CodeValue")):
            return code
    return attributes.text(dataset, "ViewPosition").upper()[:8]
