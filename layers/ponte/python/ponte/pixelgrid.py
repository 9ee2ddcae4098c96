"""Where the pixels of a frame lie in the patient: what two frames must share to lie on one another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.dataset import Dataset

from ponte import attributes, groups
from ponte.framegroups import has_groups

_SHIFT: Final = 0.1  # of a pixel: how far apart two first pixels may be
_TURN: Final = 5e-4  # of a cosine: a quarter of a pixel over 512
_STRETCH: Final = 5e-4  # of the spacing

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PixelGrid:
    """The plane of a frame (PS3.3 C.7.6.2). `spacing_mm` is between rows, then columns."""

    frame_of_reference_uid: str
    orientation: Numbers
    spacing_mm: Numbers
    position: Numbers

    @property
    def depth_mm(self) -> float:
        """Where the plane lies along its normal."""
        (a, b, c), (d, e, f) = self.orientation[:3], self.orientation[3:]
        return math.sumprod((b * f - c * e, c * d - a * f, a * e - b * d), self.position)

    def matches(self, other: PixelGrid) -> bool:
        """True where pixel lies upon pixel, within a tenth of one at the first, half of one at the last."""
        if self.frame_of_reference_uid != other.frame_of_reference_uid:
            return False
        pixel = min(self.spacing_mm)
        return (
            all(abs(a - b) <= _SHIFT * pixel for a, b in zip(self.position, other.position, strict=True))
            and all(abs(a - b) <= _TURN for a, b in zip(self.orientation, other.orientation, strict=True))
            and all(
                abs(a - b) <= _STRETCH * a for a, b in zip(self.spacing_mm, other.spacing_mm, strict=True)
            )
        )


def pixel_grid_of(dataset: Dataset, frame_index: int) -> PixelGrid | None:
    """The grid of a frame; None where the dataset does not say all of it. Read within `quiet()`."""
    frames = attributes.to_int(attributes.first(dataset, "NumberOfFrames")) or 1
    if frames > 1 and not has_groups(dataset):
        return None
    position = groups.floats(dataset, frame_index, "PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = groups.floats(
        dataset, frame_index, "PlaneOrientationSequence", "ImageOrientationPatient", 6
    )
    spacing = groups.floats(dataset, frame_index, "PixelMeasuresSequence", "PixelSpacing", 2)
    if not (position and orientation and spacing and min(spacing) > 0):
        return None
    shared = _shared(attributes.text(dataset, "FrameOfReferenceUID"), orientation, spacing)
    return PixelGrid(*shared, position)


@lru_cache(maxsize=256)
def _shared(uid: str, orientation: Numbers, spacing: Numbers) -> tuple[str, Numbers, Numbers]:
    """The same objects for all frames of a series: there are thousands of them."""
    return uid, orientation, spacing
