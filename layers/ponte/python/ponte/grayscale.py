"""The grayscale attributes of a dataset, read for one frame (PS3.3 C.11, functional groups C.7.6.16.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage

from ponte import attributes, groups
from ponte.description import PixelDescription
from ponte.display import Chain, Lut, Modality, Rescale, Stored, Voi, VoiFunction, Window
from ponte.suv import suv_factor

_RETIRED_BIPLANE_ANGIOGRAPHY = UID("1.2.840.10008.5.1.4.1.1.12.3")
_ANGIOGRAPHY = frozenset(
    {XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage, _RETIRED_BIPLANE_ANGIOGRAPHY}
)
_PADDING = {
    "PixelData": ("PixelPaddingValue", "PixelPaddingRangeLimit"),
    "FloatPixelData": ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    "DoubleFloatPixelData": ("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
}
_FUNCTIONS: dict[str, VoiFunction] = {"LINEAR_EXACT": "LINEAR_EXACT", "SIGMOID": "SIGMOID"}


ATTRIBUTES: Final = (
    "SOPClassUID",
    "PixelIntensityRelationship",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    *(keyword for pair in _PADDING.values() for keyword in pair),
    "PresentationLUTShape",
    "SegmentationType",
    "MaximumFractionalValue",
    "SegmentSequence",
    "RadiopharmaceuticalInformationSequence",
    "RealWorldValueMappingSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""All that is read for the display of an image in which each of the sequences is absent or empty."""

FIRST_OF_WINDOWS: Final = "first of several windows"
REAL_WORLD: Final = "real world values not applied"
SUV_WHITE: Final = 5.0
"""The SUV shown white where a PET image has no window; 0 is black."""


@dataclass(frozen=True, slots=True)
class Display:
    """How one frame is displayed. Where `own` is false, the VOI of the chain has still to be found."""

    chain: Chain
    own: bool
    notes: tuple[str, ...]


def stored_of(description: PixelDescription) -> Stored:
    return Stored(bits=description.bits_stored, signed=description.signed)


def modality_of(dataset: Dataset, frame_index: int, stored: Stored) -> Modality:
    """Modality LUT, or rescale; identity where neither is there or the slope is unusable.

    Also identity for angiography whose values are a display's already: its LUT leads back to X-ray intensity
    and is not for display (PS3.3 C.8.7.1.1.2).
    """
    relationship = attributes.text(dataset, "PixelIntensityRelationship").upper()
    if relationship in ("LOG", "DISP") and attributes.text(dataset, "SOPClassUID") in _ANGIOGRAPHY:
        return Rescale()
    for place in groups.places(dataset, frame_index, "PixelValueTransformationSequence"):
        for item in attributes.items(place, "ModalityLUTSequence"):
            if (lut := _lut(item, signed=stored.signed, little=_little(dataset))) is not None:
                return lut
        slope = attributes.to_float(attributes.first(place, "RescaleSlope"))
        intercept = attributes.to_float(attributes.first(place, "RescaleIntercept"))
        if slope is not None or intercept is not None:
            return Rescale(1.0 if slope is None or slope == 0 else slope, intercept or 0.0)
    return Rescale()


def voi_of(dataset: Dataset, frame_index: int, *, signed: bool) -> tuple[Voi | None, bool]:
    """VOI LUT, or the first window that is not degenerate, or None (PS3.3 C.11.2); whether there are others.

    A segmentation has neither, and says what its largest value is (PS3.3 C.8.20.2).
    """
    for place in groups.places(dataset, frame_index, "FrameVOILUTSequence"):
        for item in attributes.items(place, "VOILUTSequence"):
            if (lut := _lut(item, signed=signed, little=_little(dataset))) is not None:
                return lut, False
        if windows := _windows(place):
            return windows[0], len(windows) > 1
    return _window_of_segments(dataset), False


def padding_of(dataset: Dataset, description: PixelDescription) -> tuple[float, float] | None:
    """The range of stored values that pad the image (PS3.3 C.7.5.1.1.2), in the sign of the stored values."""
    value, limit = _PADDING[description.keyword]
    one = attributes.to_float(attributes.first(dataset, value))
    if one is None:
        return None
    other = attributes.to_float(attributes.first(dataset, limit))
    ends = sorted(_in_sign(end, description) for end in (one, one if other is None else other))
    return ends[0], ends[1]


def display_of(dataset: Dataset, description: PixelDescription, frame_index: int) -> Display:
    """All that the dataset says of the display of one gray frame; understood once for a series."""
    said = attributes.excerpt(dataset, ATTRIBUTES)
    return read_display(dataset, description, frame_index) if said is None else _remembered(said, description)


@lru_cache(maxsize=64)
def _remembered(said: attributes.Excerpt, description: PixelDescription) -> Display:
    """Without a sequence, thus without functional groups: what holds for one frame holds for all."""
    return read_display(attributes.dataset_of(said), description, 0)


def read_display(dataset: Dataset, description: PixelDescription, frame_index: int) -> Display:
    """As `display_of`, from the dataset itself."""
    stored = stored_of(description)
    modality = modality_of(dataset, frame_index, stored)
    signed = stored.signed or (isinstance(modality, Rescale) and modality.intercept < 0)
    voi, others = voi_of(dataset, frame_index, signed=signed)
    notes: list[str] = [FIRST_OF_WINDOWS] if others else []
    if isinstance(modality, Rescale) and (factor := suv_factor(dataset)) is not None:
        voi = voi or Window(SUV_WHITE / factor / 2, SUV_WHITE / factor, "LINEAR_EXACT")
        notes.extend([_suv(voi, factor)] if isinstance(voi, Window) else [])
    if modality == Rescale() and _has_real_world_values(dataset, frame_index):
        notes.append(REAL_WORLD)
    padding, inverted = padding_of(dataset, description), is_inverted(dataset, description.photometric)
    chain = Chain(stored, modality, voi or Window(0, 1), padding, inverted)
    return Display(chain, voi is not None, tuple(notes))


def is_inverted(dataset: Dataset, photometric: str) -> bool:
    """MONOCHROME1 and Presentation LUT Shape INVERSE say the same; together they still invert once."""
    shape = attributes.text(dataset, "PresentationLUTShape").upper()
    return photometric == "MONOCHROME1" or shape == "INVERSE"


def _windows(place: Dataset) -> list[Window]:
    """The windows that are not degenerate."""
    function = _FUNCTIONS.get(attributes.text(place, "VOILUTFunction").upper(), "LINEAR")
    centers, widths = attributes.floats(place, "WindowCenter"), attributes.floats(place, "WindowWidth")
    pairs = zip(centers, widths, strict=False)
    windows = [Window(center, width, function) for center, width in pairs]
    return [window for window in windows if not window.is_degenerate]


def _window_of_segments(dataset: Dataset) -> Window | None:
    kind = attributes.text(dataset, "SegmentationType").upper()
    white = 0.0
    if kind == "FRACTIONAL":
        white = attributes.to_float(attributes.first(dataset, "MaximumFractionalValue")) or 0.0
    elif kind == "LABELMAP":
        segments = attributes.items(dataset, "SegmentSequence")
        numbers = [attributes.to_float(attributes.first(item, "SegmentNumber")) for item in segments]
        white = max((number for number in numbers if number is not None), default=0.0)
    return Window(white / 2, white, "LINEAR_EXACT") if white > 0 else None


def _has_real_world_values(dataset: Dataset, frame_index: int) -> bool:
    name = "RealWorldValueMappingSequence"
    first = next(groups.places(dataset, frame_index, name))
    return first is not dataset or bool(attributes.items(dataset, name))


def _suv(window: Window, factor: float) -> str:
    """`SUV 0.0..5.0`: from black to white."""
    ends = sorted((window.center + side * window.width / 2) * factor for side in (-1, 1))
    return f"SUV {ends[0]:.1f}..{ends[1]:.1f}"


def _lut(item: Dataset, *, signed: bool, little: bool) -> Lut | None:
    """A LUT of the sequence's item, None where it is broken. 0 entries mean 65536."""
    descriptor = [attributes.to_int(value) for value in attributes.values(item, "LUTDescriptor")]
    if len(descriptor) != 3 or None in descriptor:
        return None
    count, first_mapped, bits = (int(value or 0) for value in descriptor)
    count = count & 0xFFFF or 1 << 16
    entries = _entries(attributes.values(item, "LUTData"), count, little=little)
    if entries is None or not 1 <= bits <= 16:
        return None
    if signed and first_mapped > 0x7FFF:
        first_mapped -= 1 << 16
    elif not signed and first_mapped < 0:
        first_mapped += 1 << 16
    return Lut(first_mapped, bits, entries.astype("<u2").tobytes())


def _entries(values: tuple[Any, ...], count: int, *, little: bool) -> Any:
    """LUT Data as US values, as OW bytes, or as OW bytes with two entries of 8 bits a word."""
    if len(values) == 1 and isinstance(values[0], bytes):
        raw = values[0]
        if len(raw) >= count * 2:
            return np.frombuffer(raw, "<u2" if little else ">u2", count)
        return np.frombuffer(raw, np.uint8, count) if len(raw) >= count else None
    numbers = [attributes.to_int(value) for value in values]
    if len(numbers) < count or None in numbers:
        return None
    return np.array(numbers[:count], np.int64) & 0xFFFF


def _little(dataset: Dataset) -> bool:
    return dataset.original_encoding[1] is not False


def _in_sign(value: float, description: PixelDescription) -> float:
    """Files write padding in the other sign than the pixels have."""
    span = 1 << description.bits_allocated
    if description.is_float:
        return value
    if description.signed and value >= span >> 1:
        return value - span
    if not description.signed and value < 0:
        return value + span
    return value
