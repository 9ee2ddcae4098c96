"""DC-27 to DC-32 and DC-42 to DC-45: attributes and pixel data that do not go together, made here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import (
    BasicTextSRStorage,
    EnhancedCTImageStorage,
    GeneralECGWaveformStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    RTDoseStorage,
    RTPlanStorage,
    VideoEndoscopicImageStorage,
)

from tests.factories import encode, make_ct, make_dataset
from tests.hazards.hostile import END, ITEM, compressed, raw_items, small

LENGTH, REFUSED, EMPTY, NO_IMAGE = "PIXEL_LENGTH", "CANNOT_DECODE", "NO_PIXEL_DATA", "NOT_AN_IMAGE"
FRAME = bytes(imagecodecs.jpeg8_encode(np.tile(np.arange(64, dtype=np.uint8), (64, 1))))


def lying(**attributes: Any) -> Callable[[], bytes]:
    """A native CT with these attributes."""
    return lambda: encode(make_ct(2, **attributes))


def lying_compressed(**attributes: Any) -> Callable[[], bytes]:
    """A JPEG of 64x64 with these attributes."""
    return lambda: compressed(small(64, **attributes), JPEGBaseline8Bit, FRAME)


def frames_of_letters() -> bytes:
    """pydicom will not write them."""
    data = encode(make_ct(2, NumberOfFrames=123))
    element = b"\x28\x00\x08\x00IS\x04\x00"
    return data.replace(element + b"123 ", element + b"abc ")


def without_pixels(sop_class_uid: str, modality: str) -> Callable[[], bytes]:
    return lambda: encode(make_dataset(sop_class_uid, number=2, Modality=modality))


def image_without_pixels() -> bytes:
    dataset = make_ct(2)
    del dataset.PixelData
    return encode(dataset)


def floating(sop_class_uid: str, keyword: str, values: Any) -> Callable[[], bytes]:
    """Pixels in Float or Double Float Pixel Data."""

    def make() -> bytes:
        dataset = make_ct(2, SOPClassUID=sop_class_uid, BitsAllocated=values.dtype.itemsize * 8)
        for name in (
            "PixelData",
            "BitsStored",
            "HighBit",
            "PixelRepresentation",
            "WindowCenter",
            "WindowWidth",
        ):
            delattr(dataset, name)
        setattr(dataset, keyword, values.tobytes())
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        return encode(dataset)

    return make


def dose() -> bytes:
    dataset = make_ct(2, SOPClassUID=RTDoseStorage, Modality="RTDOSE", DoseGridScaling=0.001)
    dataset.file_meta.MediaStorageSOPClassUID = RTDoseStorage
    return encode(dataset)


def with_bytes(change: Callable[[bytes], bytes], **attributes: Any) -> Callable[[], bytes]:
    """A native CT whose pixel data went through `change`."""

    def make() -> bytes:
        dataset: FileDataset = make_ct(2, **attributes)
        dataset.PixelData = change(dataset.PixelData)
        return encode(dataset)

    return make


def five_thousand_bytes() -> bytes:
    """4x4 pixels, and so many bytes as 156 such images have."""
    return encode(make_ct(2, size=16, Rows=4, Columns=4, PixelData=bytes(range(250)) * 20))


RAMP = np.linspace(0, 1, 4096, dtype=np.float64)

CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "dc-27 -5 frames": (lying(NumberOfFrames="-5"), REFUSED),
    "dc-27 -5 frames, compressed": (lying_compressed(NumberOfFrames="-5"), REFUSED),
    "dc-28 'abc' frames": (frames_of_letters, REFUSED),
    "dc-29 0 frames": (lying(NumberOfFrames="0"), REFUSED),
    "dc-29 0 frames, compressed": (lying_compressed(NumberOfFrames="0"), REFUSED),
    "dc-30 0 rows": (lying(Rows=0), REFUSED),
    "dc-30 0 rows, compressed": (lying_compressed(Rows=0), REFUSED),
    "dc-30 0 columns": (lying(Columns=0), REFUSED),
    "dc-31 33 bits": (lying(BitsAllocated=33), REFUSED),
    "dc-31 33 bits, compressed": (lying_compressed(BitsAllocated=33), REFUSED),
    "dc-31 33 bits stored of 16": (lying(BitsStored=33), REFUSED),
    "dc-32 65535 samples": (lying(SamplesPerPixel=65535), REFUSED),
    "dc-32 65535 samples, compressed": (lying_compressed(SamplesPerPixel=65535), REFUSED),
    "dc-42 an image without pixels": (image_without_pixels, EMPTY),
    "dc-42 an enhanced image without pixels": (without_pixels(EnhancedCTImageStorage, "CT"), EMPTY),
    "dc-42 a video without pixels": (without_pixels(VideoEndoscopicImageStorage, "ES"), EMPTY),
    "dc-42 a report": (without_pixels(BasicTextSRStorage, "SR"), NO_IMAGE),
    "dc-42 a presentation state": (
        without_pixels(GrayscaleSoftcopyPresentationStateStorage, "PR"),
        NO_IMAGE,
    ),
    "dc-42 key objects": (without_pixels(KeyObjectSelectionDocumentStorage, "KO"), NO_IMAGE),
    "dc-42 a plan": (without_pixels(RTPlanStorage, "RTPLAN"), NO_IMAGE),
    "dc-42 a waveform": (without_pixels(GeneralECGWaveformStorage, "ECG"), NO_IMAGE),
    "dc-42 float pixel data count": (
        floating(ParametricMapStorage, "FloatPixelData", RAMP.astype(np.float32)),
        "",
    ),
    "dc-42 double float pixel data count": (
        floating(ParametricMapStorage, "DoubleFloatPixelData", RAMP),
        "",
    ),
    "dc-42 a dose counts": (dose, ""),
    "dc-43 empty": (with_bytes(lambda _: b""), EMPTY),
    "dc-43 empty, compressed": (lambda: raw_items(small(), JPEG2000Lossless, END), EMPTY),
    "dc-43 a table and no fragment": (
        lambda: raw_items(small(), JPEG2000Lossless, ITEM + b"\0\0\0\0" + END),
        LENGTH,
    ),
    "dc-44 a line short": (with_bytes(lambda data: data[:-128]), LENGTH),
    "dc-44 a pixel short": (with_bytes(lambda data: data[:-2]), LENGTH),
    "dc-44 a frame short": (with_bytes(lambda data: data * 2, NumberOfFrames=3), LENGTH),
    "dc-45 a pad byte": (with_bytes(lambda data: data + b"\0\0"), ""),
    "dc-45 three times as much": (with_bytes(lambda data: data * 3), ""),
    "dc-45 5,000 bytes in 4x4": (five_thousand_bytes, ""),
    "dc-45 three frames of one, compressed": (
        lambda: compressed(small(64), JPEGBaseline8Bit, FRAME, FRAME, FRAME),
        "",
    ),
    "dc-45 three frames of two, compressed": (
        lambda: compressed(small(64, NumberOfFrames=2), JPEGBaseline8Bit, FRAME, FRAME, FRAME),
        "",
    ),
}
"""What is made, and the reason it is refused for; "" where it has a picture of each frame of the header."""
