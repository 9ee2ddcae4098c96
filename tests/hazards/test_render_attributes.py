"""DC-25 to DC-34, DC-42 to DC-45: attributes that lie about the pixels give no picture and cost no memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from ponte.errors import PonteError
from ponte.image import Image
from ponte.instance import open_instance
from tests.factories import encode, make_ct

MEMORY = 32 << 20


def code_of(dataset: FileDataset) -> str:
    data = encode(dataset)
    tracemalloc.start()
    try:
        with pytest.raises(PonteError) as caught:
            Image(open_instance(data)).picture(0)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert "CANARY" not in str(caught.value)
    return caught.value.code


def encapsulated(dataset: FileDataset, frame: bytes) -> FileDataset:
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return dataset


def test_dc_25_a_huge_image_without_the_bytes_is_short() -> None:
    assert code_of(make_ct(Rows=65535, Columns=65535)) == "PIXEL_LENGTH"


def test_dc_25_a_huge_compressed_image_is_beyond_the_budget() -> None:
    dataset = encapsulated(make_ct(Rows=65535, Columns=65535), b"\xff\xd8\xff\xd9")
    assert code_of(dataset) == "PIXEL_BUDGET"


def test_dc_26_two_thousand_million_frames_are_short() -> None:
    assert code_of(make_ct(NumberOfFrames=2_000_000_000)) == "PIXEL_LENGTH"


@pytest.mark.parametrize("value", ["-5", "0"])
def test_dc_27_29_a_number_of_frames_that_cannot_be_is_refused(value: str) -> None:
    assert code_of(make_ct(NumberOfFrames=value)) == "CANNOT_DECODE"


def test_dc_28_a_number_of_frames_that_is_no_number_is_refused() -> None:
    data = encode(make_ct(NumberOfFrames=123))
    element = b"\x28\x00\x08\x00IS\x04\x00"
    assert data.count(element + b"123 ") == 1
    with pytest.raises(PonteError, match="Number Of Frames"):
        Image(open_instance(data.replace(element + b"123 ", element + b"abc ")))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", 0),
        ("Columns", 0),
        ("BitsAllocated", 33),
        ("BitsAllocated", 12),
        ("BitsAllocated", 0),
        ("BitsStored", 33),
        ("BitsStored", 0),
        ("SamplesPerPixel", 65535),
        ("SamplesPerPixel", 0),
        ("SamplesPerPixel", 2),
        ("PixelRepresentation", 7),
        ("HighBit", 99),
    ],
)
def test_dc_30_32_numbers_outside_their_range_are_refused(keyword: str, value: int) -> None:
    assert code_of(make_ct(**{keyword: value})) == "CANNOT_DECODE"


@pytest.mark.parametrize(
    "keyword", ["Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "PhotometricInterpretation"]
)
def test_dc_30_what_is_absent_is_named(keyword: str) -> None:
    dataset = make_ct()
    delattr(dataset, keyword)
    assert code_of(dataset) == "CANNOT_DECODE"


@pytest.mark.parametrize("value", ["FUZZ", "HSV", "RGB", "A" * 16])
def test_dc_32_a_photometric_interpretation_that_does_not_fit_is_refused(value: str) -> None:
    assert code_of(make_ct(PhotometricInterpretation=value)) == "CANNOT_DECODE"


@pytest.mark.parametrize("size", [b"\xff\xdc\xff\xdc", b"\x00\x41\x00\x40"])
def test_dc_33_34_a_codestream_of_another_size_is_never_decoded(size: bytes) -> None:
    jpeg = b"\xff\xd8\xff\xc0\x00\x0b\x08" + size + b"\x01\x01\x11\x00\xff\xd9"
    assert code_of(encapsulated(make_ct(), jpeg)) == "PIXEL_HEADER_MISMATCH"


def test_dc_42_43_an_image_without_pixels_is_damaged() -> None:
    dataset = make_ct()
    del dataset.PixelData
    assert code_of(dataset) == "NO_PIXEL_DATA"
    assert code_of(make_ct(PixelData=b"")) == "NO_PIXEL_DATA"


def test_dc_44_pixels_that_are_short_by_one_line_give_no_picture() -> None:
    whole = make_ct().PixelData
    assert code_of(make_ct(PixelData=whole[:-128])) == "PIXEL_LENGTH"
    assert code_of(make_ct(PixelData=whole[:-2])) == "PIXEL_LENGTH"


def test_dc_45_pixels_in_excess_give_the_frames_of_the_header_alone() -> None:
    whole = make_ct().PixelData
    image = Image(open_instance(encode(make_ct(PixelData=whole * 3))))
    assert image.frame_count == 1
    expected = Image(open_instance(encode(make_ct()))).picture(0).pixels
    assert np.array_equal(image.picture(0).pixels, expected)
