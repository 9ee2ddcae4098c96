"""The cases that broke the old system, each by its name, against the values that were meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRBigEndian

from classify.pixels import SCALE, Reading, read_radiograph
from ponte.errors import PonteError
from tests.unit.classify.images import SIDE, as_jpeg2000, make_dx, picture, reopened

CLOSE = 1e-3


def read(dataset: FileDataset) -> tuple[npt.NDArray[np.float32], Reading]:
    radiograph = read_radiograph(reopened(dataset))
    return radiograph.model_input(SIDE), radiograph.reading


def meant(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.float64]:
    """What TorchXRayVision's `normalize` makes of values that keep to `bits`: nothing is resized here."""
    return (2 * (values.astype(np.float64) / ((1 << bits) - 1)) - 1) * SCALE


def assert_close(image: npt.NDArray[np.float32], expected: npt.NDArray[np.float64]) -> None:
    np.testing.assert_allclose(image, expected, rtol=0, atol=CLOSE)


# Stored values of up to twice the declared maximum


def test_jpeg2000_of_12_bits_under_a_header_of_11() -> None:
    values = picture(12)
    image, reading = read(as_jpeg2000(make_dx(values, bits=11), values, precision=12))

    assert_close(image, meant(values, 12))
    assert (reading.bits_stored, reading.bits_stored_corrected, reading.corrected) == (11, 12, True)


def test_uncompressed_data_of_13_bits_under_a_header_of_12() -> None:
    values = picture(13)
    image, reading = read(make_dx(values, bits=12))

    assert_close(image, meant(values, 13))
    assert reading.bits_stored_corrected == 13


def test_a_single_pixel_beyond_the_header_does_not_wrap() -> None:
    values = picture(12)
    values[100, 100] = 4096
    image, reading = read(make_dx(values, bits=12))

    assert_close(image, meant(values, 13))
    assert reading.bits_stored_corrected == 13


def test_a_retired_overlay_in_bit_12_is_no_value() -> None:
    values = picture(12)
    dataset = make_dx(values | np.uint16(1 << 12) * (values % 2), bits=12)
    dataset.add_new(0x60000010, "US", SIDE)
    dataset.add_new(0x60000011, "US", SIDE)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    image, reading = read(dataset)

    assert_close(image, meant(values, 12))
    assert reading.overlay_bits_masked
    assert reading.bits_stored_corrected is None


def test_a_rescale_slope_of_2_does_not_widen_the_range() -> None:
    image, reading = read(make_dx(RescaleSlope=2, RescaleIntercept=0, WindowCenter=4095, WindowWidth=8191))

    assert_close(image, meant(picture(12), 12))
    assert reading.range == "stored"


def test_a_voi_lut_of_16_bits_is_not_used() -> None:
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = [4096, 0, 16], [min(value * 16, 65520) for value in range(4096)]
    lut["LUTDescriptor"].VR, lut["LUTData"].VR = "US", "OW"
    lut["LUTData"].value = np.arange(4096, dtype="<u2").tobytes()
    image, reading = read(make_dx(VOILUTSequence=[lut]))

    assert_close(image, meant(picture(12), 12))
    assert not reading.corrected


def test_padding_of_65535_in_12_bits_is_background() -> None:
    values = picture(12)
    padded = values.copy()
    padded[:10] = 0xFFFF
    dataset = make_dx(padded, bits=12)
    dataset.add_new(0x00280120, "US", 0xFFFF)
    image, reading = read(dataset)

    values[:10] = padded[10:].min()
    assert_close(image, meant(values, 12))
    assert (reading.padding_removed, reading.bits_stored_corrected) == (True, None)


# Values that were read without an error, and wrong


@pytest.mark.parametrize("extended", [True, False], ids=["sign_extended", "upper_bits_zero"])
def test_signed_12_bits(extended: bool) -> None:
    values = picture(12)
    signed = values.astype(np.int16) - np.int16(2048)
    dataset = make_dx(signed if extended else signed.view(np.uint16) & np.uint16(0x0FFF), bits=12)
    dataset.PixelRepresentation = 1
    image, reading = read(dataset)

    assert_close(image, meant(values, 12))
    assert (reading.low, reading.high, reading.corrected) == (-2048, 2047, False)


def test_signed_values_beyond_the_header() -> None:
    values = picture(13).astype(np.int16) - np.int16(4096)
    dataset = make_dx(values, bits=12)
    dataset.PixelRepresentation = 1
    image, reading = read(dataset)

    assert_close(image, meant(picture(13), 13))
    assert reading.bits_stored_corrected == 13


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("slope", [1, -1])
def test_slope_below_0_turns_the_picture_and_monochrome1_turns_it_after_that(
    photometric: str, slope: int
) -> None:
    image, reading = read(
        make_dx(PhotometricInterpretation=photometric, RescaleSlope=slope, RescaleIntercept=0)
    )

    turned = (slope < 0) != (photometric == "MONOCHROME1")
    assert_close(image, meant(picture(12), 12) * (-1 if turned else 1))
    assert reading.inverted is turned


def test_12_bits_under_a_header_of_16_by_the_window_that_fits() -> None:
    image, reading = read(make_dx(picture(12), bits=16, WindowCenter=2048, WindowWidth=4096))

    assert reading.range == "window"
    assert (reading.low, reading.high) == (0, 4096)
    assert_close(image, (2 * (picture(12).astype(np.float64) / 4096) - 1) * SCALE)


@pytest.mark.parametrize(
    ("centre", "width"),
    [(None, None), (32768, 65536), (60000, 4000), (2048, 0), (2048, 100)],
    ids=["none", "of_the_header", "elsewhere", "no_width", "too_narrow"],
)
def test_12_bits_under_a_header_of_16_without_a_window_that_fits(
    centre: int | None, width: int | None
) -> None:
    window: dict[str, Any] = {} if width is None else {"WindowCenter": centre, "WindowWidth": width}
    image, reading = read(make_dx(picture(12), bits=16, **window))

    low, high = np.percentile(picture(12), (0.5, 99.5))
    assert reading.range == "percentiles"
    assert (reading.low, reading.high) == (low, high)
    expected = (2 * (picture(12).clip(low, high) - low) / (high - low) - 1) * SCALE
    assert_close(image, expected)
    assert reading.corrected


# Images that need nothing are read as TorchXRayVision reads them


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_consistent_image_is_read_as_torchxrayvision_reads_it(bits: int, photometric: str) -> None:
    image, reading = read(make_dx(bits=bits, PhotometricInterpretation=photometric))

    values = picture(bits)
    if photometric == "MONOCHROME1":
        values = np.uint16((1 << bits) - 1) - values
    assert_close(image, meant(values, bits))
    assert not reading.corrected


def test_stored_bits_at_the_upper_end_of_the_container() -> None:
    image, reading = read(make_dx(picture(12) << 4, bits=12, HighBit=15))

    assert_close(image, meant(picture(12), 12))
    assert not reading.corrected


def test_big_endian() -> None:
    dataset = make_dx()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = picture(12).astype(">u2").tobytes()

    assert_close(read(dataset)[0], meant(picture(12), 12))


# Refused, with a reason


def _colour() -> FileDataset:
    dataset = make_dx(np.zeros((SIDE, SIDE, 3), np.uint8), bits=8)
    dataset.PhotometricInterpretation = "RGB"
    return dataset


def _frames() -> FileDataset:
    dataset = make_dx(NumberOfFrames=2)
    dataset.PixelData = picture().tobytes() * 2
    return dataset


def _without_pixels() -> FileDataset:
    dataset = make_dx()
    del dataset.PixelData
    return dataset


@pytest.mark.parametrize(
    ("dataset", "code"),
    [
        (_colour(), "NOT_AN_IMAGE"),
        (_frames(), "CANNOT_DECODE"),
        (_without_pixels(), "NOT_AN_IMAGE"),
        (make_dx(np.full((SIDE, SIDE), 7, np.uint16)), "FLAT"),
        (make_dx(np.arange(SIDE * SIDE, dtype=np.uint32).reshape(SIDE, SIDE), bits=32), "CANNOT_DECODE"),
        (make_dx(PixelData=b"\0\0"), "PIXEL_LENGTH"),
    ],
    ids=["colour", "several_frames", "no_pixels", "one_value", "32_bits", "pixels_missing"],
)
def test_what_is_no_radiograph_is_refused(dataset: FileDataset, code: str) -> None:
    with pytest.raises(PonteError) as raised:
        read(dataset)

    assert raised.value.code == code


def test_a_square_of_one_value_is_refused_although_the_image_is_not() -> None:
    values = np.full((SIDE, 2 * SIDE), 7, np.uint16)
    values[:, 0] = 2000
    radiograph = read_radiograph(reopened(make_dx(values)))

    with pytest.raises(PonteError) as raised:
        radiograph.model_input(SIDE)
    assert raised.value.code == "FLAT"
