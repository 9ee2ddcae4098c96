"""Which part of a picture may hold text that was burned into it, as far as the header tells.

A stated policy, not a search for text. An ultrasound is trusted within its calibrated regions alone
(PS3.3 C.8.5.5), whatever it says of itself; a secondary capture where it says that nothing is burned in
(C.7.6.1.1.8, Burned In Annotation); everything else unless it says that something is, or that it is a screen.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import (
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameSingleBitSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from ponte import attributes

_CAPTURES: Final = frozenset(
    {
        SecondaryCaptureImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        MultiFrameSingleBitSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)
_ULTRASOUND: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.3",
        "1.2.840.10008.5.1.4.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.6",
        "1.2.840.10008.5.1.4.1.1.6.1",
        "1.2.840.10008.5.1.4.1.1.6.2",
    }
)
_SIDES: Final = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")


class Region(NamedTuple):
    """A rectangle of pixels, both ends included, from 0."""

    left: int
    top: int
    right: int
    bottom: int


def trusted_regions(dataset: Dataset) -> tuple[Region, ...] | None:
    """The regions without burned-in text; None for all of it, none at all where nothing is trusted."""
    says = attributes.text(dataset, "BurnedInAnnotation").upper()
    sop_class, modality = attributes.text(dataset, "SOPClassUID"), attributes.text(dataset, "Modality")
    if sop_class in _ULTRASOUND or modality in ("US", "IVUS"):
        found = map(_region, attributes.items(dataset, "SequenceOfUltrasoundRegions"))
        return tuple(region for region in found if region is not None)
    kinds = {str(kind).upper() for kind in attributes.values(dataset, "ImageType")}
    if says == "YES" or any("SCREEN" in kind for kind in kinds):
        return ()
    return () if sop_class in _CAPTURES and says != "NO" else None


def masked(pixels: npt.NDArray[np.uint8], regions: tuple[Region, ...]) -> npt.NDArray[np.uint8]:
    """The picture, black outside the regions."""
    shown = np.zeros_like(pixels)
    for left, top, right, bottom in regions:
        place = slice(top, bottom + 1), slice(left, right + 1)
        shown[place] = pixels[place]
    return shown


def _region(item: Dataset) -> Region | None:
    sides = [attributes.to_int(attributes.first(item, keyword)) for keyword in _SIDES]
    if any(side is None or side < 0 for side in sides):
        return None
    left, top, right, bottom = (side or 0 for side in sides)
    return Region(left, top, right, bottom) if left < right and top < bottom else None
