"""The grayscale attributes of a dataset, read for one frame (PS3.3 C.11, functional groups C.7.6.16.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage

from ponte import attributes, groups
from ponte.display import Lut, Modality, Rescale, Stored, Voi, VoiFunction, Window
from ponte.pixels import PixelDescription

_RETIRED_BIPLANE_ANGIOGRAPHY = UID("1.2.840.10008.5.1.4.1.1.12.3")
_ANGIOGRAPHY = frozenset(
    {XRayAngiographicImageStorage, XRayRadiofluoroscopicImageStorage, _RETIRED_BIPLANE_ANGIOGRAPHY}
)
_FUNCTIONS: dict[str, VoiFunction] = {"LINEAR_EXACT": "LINEAR_EXACT", "SIGMOID": "SIGMOID"}


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


def voi_of(dataset: Dataset, frame_index: int, *, signed: bool) -> Voi | None:
    """VOI LUT, or the first window that is not degenerate, or None (PS3.3 C.11.2)."""
    for place in groups.places(dataset, frame_index, "FrameVOILUTSequence"):
        for item in attributes.items(place, "VOILUTSequence"):
            if (lut := _lut(item, signed=signed, little=_little(dataset))) is not None:
                return lut
        if (window := _window(place)) is not None:
            return window
    return None


def padding_of(dataset: Dataset, description: PixelDescription) -> tuple[int, int] | None:
    """The range of stored values that pad the image (PS3.3 C.7.5.1.1.2), in the sign of the stored values."""
    one = attributes.to_int(attributes.first(dataset, "PixelPaddingValue"))
    if one is None:
        return None
    other = attributes.to_int(attributes.first(dataset, "PixelPaddingRangeLimit"))
    ends = sorted(_in_sign(end, description) for end in (one, one if other is None else other))
    return ends[0], ends[1]


def is_inverted(dataset: Dataset, photometric: str) -> bool:
    """MONOCHROME1 and Presentation LUT Shape INVERSE say the same; together they still invert once."""
    shape = attributes.text(dataset, "PresentationLUTShape").upper()
    return photometric == "MONOCHROME1" or shape == "INVERSE"


def _window(place: Dataset) -> Window | None:
    name = attributes.text(place, "VOILUTFunction").upper()
    centers, widths = attributes.floats(place, "WindowCenter"), attributes.floats(place, "WindowWidth")
    for center, width in zip(centers, widths, strict=False):
        window = Window(center, width, _FUNCTIONS.get(name, "LINEAR"))
        if not window.is_degenerate:
            return window
    return None


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


def _in_sign(value: int, description: PixelDescription) -> int:
    """Files write padding in the other sign than the pixels have."""
    span = 1 << description.bits_allocated
    if description.signed and value >= span >> 1:
        return value - span
    if not description.signed and value < 0:
        return value + span
    return value
