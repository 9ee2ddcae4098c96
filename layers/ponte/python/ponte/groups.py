"""Functional groups: what an enhanced image says of all its frames, or of one (PS3.3 C.7.6.16).

pydicom does not merge them. An attribute of a frame stands in the frame's own groups, in the shared ones, or,
in files that keep to the older classes, in the dataset itself; whoever asks takes the first that serves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.framegroups import group_of, has_groups

_MOST_ASPECT: Final = 10.0


class Plane(NamedTuple):
    """The unit normal of a plane, and where the plane lies along it, in mm (PS3.3 C.7.6.2.1.1)."""

    normal: tuple[float, float, float]
    position_mm: float


def places(dataset: Dataset, frame_index: int, keyword: str) -> Iterator[Dataset]:
    """The places that may describe a frame, the most specific first (PS3.3 C.7.6.16.1).

    First the frame's own functional group, then the shared one, then the dataset itself.
    """
    group = group_of(dataset, frame_index)
    if group is not None:
        yield from attributes.items(group, keyword)[:1]
    for shared in attributes.items(dataset, "SharedFunctionalGroupsSequence")[:1]:
        yield from attributes.items(shared, keyword)[:1]
    yield dataset


def floats(dataset: Dataset, frame_index: int, sequence: str, keyword: str, count: int) -> tuple[float, ...]:
    """`count` numbers of an attribute, from the first place that has so many; none where none has."""
    for place in places(dataset, frame_index, sequence):
        numbers = attributes.floats(place, keyword)
        if len(numbers) == count:
            return numbers
    return ()


def slice_position_mm(dataset: Dataset, frame_index: int = 0) -> float | None:
    """Where the frame's plane lies along its normal; None without a plane.

    A frame of several has a position where its own group, the offsets of a dose grid (PS3.3 C.8.8.3.2) or the
    spacing of reconstructed nuclear slices gives one: that of the first frame says nothing of the others.
    """
    plane = _plane(dataset, frame_index)
    if plane is not None:
        if _is_single(dataset) or has_groups(dataset):
            return plane.position_mm
        return _offset_of_dose(dataset, frame_index, plane)
    return _position_of_nuclear_slice(dataset, frame_index)


def pixel_aspect(dataset: Dataset) -> float:
    """Height over width of a pixel: of the aspect ratio, or of the spacing between rows and columns.

    PS3.3 C.7.6.3.1.7 and 10.7.1.3. What no detector has is taken for a square.
    """
    ratio = attributes.floats(dataset, "PixelAspectRatio")
    spacing = floats(dataset, 0, "PixelMeasuresSequence", "PixelSpacing", 2)
    imager = attributes.floats(dataset, "ImagerPixelSpacing")
    for sides in (ratio, spacing, imager):
        if len(sides) == 2 and min(sides) > 0:
            aspect = sides[0] / sides[1]
            return aspect if 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT else 1.0
    return 1.0


def _plane(dataset: Dataset, frame_index: int) -> Plane | None:
    position = floats(dataset, frame_index, "PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = floats(dataset, frame_index, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    if not position or not orientation:
        return None
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.hypot(*normal)
    if not length > 0:
        return None
    x, y, z = (component / length for component in normal)
    return Plane((x, y, z), math.sumprod((x, y, z), position))


def _is_single(dataset: Dataset) -> bool:
    return (attributes.to_int(attributes.first(dataset, "NumberOfFrames")) or 1) == 1


def _offset_of_dose(dataset: Dataset, frame_index: int, plane: Plane) -> float | None:
    """Offsets start at 0 and go along the normal, or are coordinates along the patient's own axis."""
    offsets = attributes.floats(dataset, "GridFrameOffsetVector")
    if frame_index >= len(offsets):
        return None
    along = 1.0 if offsets[0] == 0 else math.copysign(1.0, sum(plane.normal))
    return plane.position_mm + along * (offsets[frame_index] - offsets[0])


def _position_of_nuclear_slice(dataset: Dataset, frame_index: int) -> float | None:
    """The detector item holds the plane of the first slice (PS3.3 C.8.4.11)."""
    spacing = attributes.to_float(attributes.first(dataset, "SpacingBetweenSlices"))
    kind = attributes.values(dataset, "ImageType")
    detectors = attributes.items(dataset, "DetectorInformationSequence")
    if spacing is None or "RECON TOMO" not in kind or len(detectors) != 1:
        return None
    plane = _plane(detectors[0], 0)
    return None if plane is None else plane.position_mm + spacing * frame_index
