"""Segmentations: which frame shows which segments, upon which image (PS3.3 C.8.20)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ponte import attributes, groups
from ponte.errors import LimitExceeded
from ponte.quiet import quiet

MOST_LABELS: Final = 64
"""Segments of one frame of a label map; a frame with more of them is no anatomy to be outlined."""

_CLASSES: Final = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
_LABELMAP, _FRACTIONAL = "LABELMAP", "FRACTIONAL"
_LONGEST: Final = 64  # characters of a label, as LO has them (PS3.5 6.2)
_WORD: Final = 65535.0
_XYZ_OF_D50: Final = (0.9642, 1.0, 0.8249)
_TO_SRGB: Final = (  # from XYZ of D50, with Bradford's adaptation to D65 (IEC 61966-2-1)
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)

Mask = npt.NDArray[np.bool_]
Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as its item describes it; `colour` is sRGB, 0 to 1, None where none is recommended."""

    number: int
    label: str = ""
    meaning: str = ""
    colour: Rgb | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """The image that a frame was derived from; `frame_number` is 0 where it names none."""

    sop_instance_uid: str
    frame_number: int = 0


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What a segmentation says of its segments and of the values of its pixels."""

    kind: str
    segments: Mapping[int, Segment]
    background: int = 0
    maximum: int = 1
    _dataset: Dataset = field(default_factory=Dataset, repr=False)

    @property
    def is_fractional(self) -> bool:
        return self.kind == _FRACTIONAL

    def references(self, frame_index: int) -> tuple[Reference, ...]:
        """The images that a frame names as its source (PS3.3 C.7.6.16.2.6)."""
        with quiet():
            for place in groups.places(self._dataset, frame_index, "DerivationImageSequence"):
                if found := tuple(_references(place)):
                    return found
        return ()

    def number(self, frame_index: int) -> int | None:
        """The segment of a frame that is of one; None in a label map."""
        with quiet():
            for place in groups.places(self._dataset, frame_index, "SegmentIdentificationSequence"):
                number = attributes.to_int(attributes.first(place, "ReferencedSegmentNumber"))
                if number is not None:
                    return number
        return None

    def masks(self, values: npt.NDArray[Any], number: int | None) -> Iterator[tuple[int, Mask]]:
        """A mask for each segment of a frame's stored `values`, (rows, columns), one after the other.

        `number` is that of the frame. A fractional segment is where at least half of the maximum is. A label
        map has the segments that it holds, without the background. Raises `LimitExceeded` for more than
        `MOST_LABELS` of them.
        """
        if self.kind == _LABELMAP:
            labels = [int(label) for label in np.unique(values) if label != self.background]
            if len(labels) > MOST_LABELS:
                raise LimitExceeded(f"The frame has {len(labels)} segments; the limit is {MOST_LABELS}")
            yield from ((label, values == label) for label in labels)
        elif number is not None:
            yield number, values >= -(-self.maximum // 2) if self.is_fractional else values != 0


def is_segmentation(sop_class_uid: str) -> bool:
    """True for both classes of them."""
    return sop_class_uid in _CLASSES


def segmentation_of(dataset: Dataset) -> Segmentation | None:
    """The segmentation that `dataset` is, if it is one whose type is known."""
    with quiet():
        if not is_segmentation(attributes.text(dataset, "SOPClassUID")):
            return None
        kind = attributes.text(dataset, "SegmentationType")
        if kind not in ("BINARY", _FRACTIONAL, _LABELMAP):
            return None
        segments = {segment.number: segment for segment in _segments(dataset)}
        background = attributes.to_int(attributes.first(dataset, "PixelPaddingValue"))
        maximum = attributes.to_int(attributes.first(dataset, "MaximumFractionalValue"))
    return Segmentation(kind, segments, background or 0, max(maximum or 255, 1), dataset)


def colour_of(lab: tuple[float, ...]) -> Rgb | None:
    """sRGB of Recommended Display CIELab Value, three words (PS3.3 C.10.7.1.1); None for anything else."""
    if len(lab) != 3 or not all(0 <= word <= _WORD for word in lab):
        return None
    lightness, a, b = lab[0] / _WORD * 100, lab[1] / _WORD * 255 - 128, lab[2] / _WORD * 255 - 128
    middle = (lightness + 16) / 116
    powers = (middle + a / 500, middle, middle - b / 200)
    xyz = [white * _linear(power) for white, power in zip(_XYZ_OF_D50, powers, strict=True)]
    red, green, blue = (
        _gamma(sum(factor * part for factor, part in zip(row, xyz, strict=True))) for row in _TO_SRGB
    )
    return red, green, blue


def _linear(power: float) -> float:
    return power**3 if power > 6 / 29 else 3 * (6 / 29) ** 2 * (power - 4 / 29)


def _gamma(light: float) -> float:
    light = min(max(light, 0.0), 1.0)
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def _references(place: Dataset) -> Iterator[Reference]:
    for item in attributes.items(place, "SourceImageSequence"):
        uid = attributes.text(item, "ReferencedSOPInstanceUID")
        frames = attributes.values(item, "ReferencedFrameNumber") or (0,)
        for frame in frames if uid else ():
            yield Reference(uid, attributes.to_int(frame) or 0)


def _segments(dataset: Dataset) -> Iterator[Segment]:
    for item in attributes.items(dataset, "SegmentSequence"):
        number = attributes.to_int(attributes.first(item, "SegmentNumber"))
        if number is None:
            continue
        kinds = attributes.items(item, "SegmentedPropertyTypeCodeSequence")
        label = attributes.text(item, "SegmentLabel")[:_LONGEST]
        meaning = attributes.text(kinds[0], "CodeMeaning")[:_LONGEST] if kinds else ""
        colour = colour_of(attributes.floats(item, "RecommendedDisplayCIELabValue"))
        yield Segment(number, label, meaning, colour)
