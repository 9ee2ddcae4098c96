"""Pictures of whole instances: small ones made by hand, and pydicom's bundled files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MPEG4HP41

from ponte.display import Window
from ponte.errors import CannotDecode, InvalidAttribute, NotAnImage, PonteError, UnsupportedTransferSyntax
from ponte.image import Image
from ponte.instance import open_instance
from tests.factories import encode, make_colour, make_ct, make_dataset, make_report
from tests.unit.ponte.samples import BUNDLED, bundled, opened

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def gray(dataset: Dataset, **arguments: Any) -> list[int]:
    pixels: list[int] = Image(dataset).picture(0, **arguments).pixels.ravel().tolist()
    return pixels


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    picture = Image(opened(RAMP)).picture(0)
    assert np.array_equal(picture.pixels, RAMP)
    assert picture.notes == ()


def test_monochrome1_is_inverted_after_the_window() -> None:
    assert gray(opened(RAMP, photometric="MONOCHROME1")) == (255 - RAMP).ravel().tolist()
    values = np.array([[0, 100, 200, 255]], np.uint8)
    windowed = opened(values, photometric="MONOCHROME1", WindowCenter=100.5, WindowWidth=101)
    assert gray(windowed) == [255, 128, 0, 0]


def test_presentation_lut_shape_inverse_inverts_once() -> None:
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        dataset = opened(RAMP, photometric=photometric, PresentationLUTShape="INVERSE")
        assert gray(dataset) == (255 - RAMP).ravel().tolist()


def test_the_window_is_applied_to_rescaled_values() -> None:
    values = np.array([[0, 824, 1024, 1064, 1224, 2000]], np.int16)
    dataset = opened(values, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)
    # HU -1024, -200, 0, 40, 200, 976; ((x - 39.5) / 399 + 0.5) * 255
    assert gray(dataset) == [0, 0, 102, 128, 230, 255]


def test_the_callers_window_takes_the_place_of_the_images() -> None:
    dataset = opened(np.array([[0, 50, 99, 100]], np.uint16), WindowCenter=1, WindowWidth=2)
    picture = Image(dataset).picture(0, Window(50, 100))
    assert picture.pixels.tolist() == [[0, 129, 255, 255]]
    assert picture.window == Window(50, 100)


def test_the_first_of_several_windows_is_used() -> None:
    dataset = opened(np.array([[0, 100]], np.uint16), WindowCenter=[50, 500], WindowWidth=[100, 1000])
    assert Image(dataset).picture(0).window == Window(50, 100)


@pytest.mark.parametrize("width", [b"0", b"0.5", b"-3", b"nan", b"", b"wide"])
def test_a_degenerate_window_gives_way_to_one_from_the_data(width: bytes) -> None:
    whole = encode(make_ct())
    element = b"\x28\x00\x51\x10DS\x06\x00"
    assert whole.count(element + b"400.0 ") == 1
    picture = Image(open_instance(whole.replace(element + b"400.0 ", element + width.ljust(6)))).picture(0)
    assert picture.notes == ("window of the image unusable", "window from the data")
    assert [picture.pixels.min(), picture.pixels.max()] == [0, 255]


def test_sixteen_bits_without_a_window_get_one_from_the_data() -> None:
    picture = Image(opened(np.arange(1000, 2024, dtype=np.uint16).reshape(32, 32))).picture(0)
    assert picture.notes == ("window from the data",)
    assert [picture.pixels.min(), picture.pixels.max()] == [0, 255]


def test_padding_is_black_and_has_no_say_in_the_window() -> None:
    values = np.full((8, 8), -2000, np.int16)
    values[2:6, 2:6] = np.arange(16).reshape(4, 4)
    picture = Image(opened(values, PixelPaddingValue=-2000)).picture(0)
    assert picture.window is not None
    assert picture.window.center - picture.window.width / 2 >= 0
    assert not picture.pixels[values == -2000].any()


def test_a_padding_range_in_the_other_sign_is_understood() -> None:
    values = np.array([[-2000, -1990, -1980, 0, 100]], np.int16)
    dataset = opened(values, WindowCenter=0, WindowWidth=4000)
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1985)
    assert gray(dataset)[:2] == [0, 0]
    assert gray(dataset)[2] > 0


def test_signed_values_of_twelve_bits_with_garbage_above_are_extended() -> None:
    values = np.array([[0xF800, 0x0800, 0x0000, 0xA7FF]], np.uint16)
    dataset = opened(
        values, BitsStored=12, HighBit=11, PixelRepresentation=1, WindowCenter=0, WindowWidth=4096
    )
    assert gray(dataset) == [0, 0, 128, 255]


def test_high_bit_says_where_the_stored_bits_are() -> None:
    values = (RAMP.astype(np.uint16) << 4) | 0x9
    dataset = opened(values, BitsStored=8, HighBit=11)
    assert gray(dataset) == RAMP.ravel().tolist()


def test_one_bit_is_black_and_white() -> None:
    dataset = make_dataset("1.2.840.10008.5.1.4.1.1.66.4")
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames, dataset.SamplesPerPixel = 3, 3, 2, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 1, 1, 0, 0
    bits = np.array([[1, 0, 1, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1, 0, 1, 0]], np.uint8)
    dataset.PixelData = np.packbits(bits, bitorder="little").tobytes() + b"\0"
    dataset["PixelData"].VR = "OB"
    image = Image(open_instance(encode(dataset)))
    assert image.picture(0).pixels.tolist() == [[255, 0, 255], [0, 255, 0], [255, 0, 255]]
    assert image.picture(1).pixels.tolist() == [[0, 255, 0], [255, 0, 255], [0, 255, 0]]


def test_thirty_two_bits_are_windowed_without_a_table() -> None:
    values = np.array([[0, 1_000_000, 2_000_000]], np.uint32)
    assert gray(opened(values, WindowCenter=1_000_000, WindowWidth=2_000_000)) == [0, 128, 255]


def test_sixty_four_bits_raise_nothing_strange() -> None:
    values = np.array([[0, 2**40, 2**41]], np.uint64)
    assert gray(opened(values, PixelRepresentation=1))[0] == 0


def test_float_pixels_are_shown_and_nan_is_black() -> None:
    dataset = make_dataset("1.2.840.10008.5.1.4.1.1.30")
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated = 1, 4, 1, 32
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.FloatPixelData = np.array([0.0, 0.5, 1.0, np.nan], np.float32).tobytes()
    picture = Image(open_instance(encode(dataset))).picture(0, Window(0.5, 1.0, "LINEAR_EXACT"))
    assert picture.pixels.tolist() == [[0, 128, 255, 0]]


def test_a_modality_lut_comes_before_the_window() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 0, 16])
    item.add_new("LUTData", "US", [0, 1000, 2000, 4000])
    values = np.array([[0, 1, 2, 3]], np.uint8)
    dataset = opened(values, ModalityLUTSequence=Sequence([item]), WindowCenter=2000.5, WindowWidth=4001)
    assert gray(dataset) == [0, 64, 128, 255]


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_voi_lut_is_used_before_a_window(vr: str) -> None:
    table = [0, 128, 255, 64]
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4, 10, 8])
    item.add_new("LUTData", vr, table if vr == "US" else np.array(table, "<u2").tobytes())
    values = np.array([[0, 10, 11, 12, 13, 99]], np.uint8)
    picture = Image(opened(values, VOILUTSequence=Sequence([item]), WindowCenter=1, WindowWidth=2)).picture(0)
    assert picture.pixels.tolist() == [[0, 0, 128, 255, 64, 64]]
    assert picture.window is None


def test_a_broken_voi_lut_gives_way_to_the_window() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [400, 0, 8])
    item.add_new("LUTData", "US", [1, 2])
    dataset = opened(
        np.array([[0, 99]], np.uint8), VOILUTSequence=Sequence([item]), WindowCenter=50, WindowWidth=100
    )
    assert gray(dataset) == [0, 255]


def test_the_lut_of_angiography_leads_to_intensity_and_is_not_for_display() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 16])
    item.add_new("LUTData", "US", [v * 100 for v in range(256)])
    dataset = opened(
        RAMP,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1",
        PixelIntensityRelationship="LOG",
        ModalityLUTSequence=Sequence([item]),
        WindowCenter=128,
        WindowWidth=256,
    )
    assert gray(dataset) == RAMP.ravel().tolist()


def functional_group(**attributes: Any) -> Dataset:
    voi = Dataset()
    voi.WindowCenter, voi.WindowWidth = attributes["center"], attributes["width"]
    group = Dataset()
    group.FrameVOILUTSequence = Sequence([voi])
    return group


def test_a_frames_own_window_comes_before_the_shared_one() -> None:
    values = np.array([[0, 100]], np.uint16)
    dataset = opened(
        values,
        NumberOfFrames=2,
        PixelData=values.tobytes() * 2,
        SharedFunctionalGroupsSequence=Sequence([functional_group(center=500, width=1000)]),
        PerFrameFunctionalGroupsSequence=Sequence([functional_group(center=50, width=100), Dataset()]),
    )
    image = Image(dataset)
    assert image.picture(0).window == Window(50, 100)
    assert image.picture(1).window == Window(500, 1000)


def test_rgb_is_passed_on_whatever_its_planes() -> None:
    values = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(Image(opened(values, photometric="RGB")).picture(0).pixels, values)
    planes = opened(
        values, photometric="RGB", PlanarConfiguration=1, PixelData=values.transpose(2, 0, 1).tobytes()
    )
    assert np.array_equal(Image(planes).picture(0).pixels, values)


def test_sixteen_bit_colour_keeps_its_high_bits() -> None:
    values = (np.arange(48, dtype=np.uint16).reshape(4, 4, 3) << 8) | 0x7F
    pixels = Image(opened(values, photometric="RGB")).picture(0).pixels
    assert pixels.ravel().tolist() == list(range(48))


def test_ybr_full_becomes_rgb() -> None:
    # PS3.3 C.7.6.3.1.2: pure red is Y 76, CB 85, CR 255; black and white have CB = CR = 128
    values = np.array([[[76, 85, 255], [0, 128, 128], [255, 128, 128]]], np.uint8)
    pixels = Image(opened(values, photometric="YBR_FULL")).picture(0).pixels.astype(int)
    assert np.abs(pixels - [[[255, 0, 0], [0, 0, 0], [255, 255, 255]]]).max() <= 1


def test_ybr_full_422_shares_its_chroma() -> None:
    dataset = opened(np.zeros((1, 2, 3), np.uint8), photometric="YBR_FULL_422")
    dataset.PixelData = bytes([76, 150, 128, 128])
    pixels = Image(dataset).picture(0).pixels
    assert pixels.tolist() == [[[76, 76, 76], [150, 150, 150]]]


def test_a_palette_gives_colour() -> None:
    dataset = opened(np.array([[0, 1, 2]], np.uint8), photometric="PALETTE COLOR")
    for colour, table in (("Red", [255, 0, 0]), ("Green", [0, 255, 0]), ("Blue", [0, 0, 255])):
        descriptor, data = (
            f"{colour}PaletteColorLookupTableDescriptor",
            f"{colour}PaletteColorLookupTableData",
        )
        setattr(dataset, descriptor, [3, 0, 16])
        setattr(dataset, data, np.array([v << 8 for v in table], "<u2").tobytes())
    assert Image(dataset).picture(0).pixels.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


def test_a_missing_palette_is_an_error_of_ours() -> None:
    with pytest.raises(InvalidAttribute, match="palette"):
        Image(opened(RAMP, photometric="PALETTE COLOR")).picture(0)


def test_a_report_is_no_image_and_an_image_without_pixels_is_damaged() -> None:
    with pytest.raises(NotAnImage) as report:
        Image(open_instance(encode(make_report())))
    assert report.value.code == "NOT_AN_IMAGE"
    ct = make_ct()
    del ct.PixelData
    with pytest.raises(NotAnImage) as damaged:
        Image(open_instance(encode(ct)))
    assert damaged.value.code == "NO_PIXEL_DATA"


def test_empty_pixel_data_are_no_pixel_data() -> None:
    with pytest.raises(PonteError) as caught:
        Image(open_instance(encode(make_ct(PixelData=b""))))
    assert caught.value.code == "NO_PIXEL_DATA"


def test_a_frame_that_is_not_there_is_refused() -> None:
    image = Image(open_instance(encode(make_colour())))
    for index in (-1, 1):
        with pytest.raises(InvalidAttribute):
            image.picture(index)


def test_a_window_without_width_is_refused() -> None:
    with pytest.raises(InvalidAttribute, match="Window Width"):
        Image(open_instance(encode(make_ct()))).picture(0, Window(0, 0.5))


def test_video_is_named_as_unsupported() -> None:
    dataset = make_ct()
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0abcd"
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(UnsupportedTransferSyntax, match="MPEG-4"):
        Image(open_instance(encode(dataset))).picture(0)


def test_a_codestream_larger_than_the_header_says_is_never_decoded() -> None:
    data = bundled("SC_rgb_jpeg_dcmtk.dcm")
    start = data.index(b"\xff\xc0\x00\x11\x08")
    bomb = data[: start + 5] + b"\xff\xdc\xff\xdc" + data[start + 9 :]
    with pytest.raises(CannotDecode) as caught:
        Image(open_instance(bomb)).picture(0)
    assert caught.value.code == "PIXEL_HEADER_MISMATCH"


@pytest.mark.parametrize(
    ("compressed", "native"),
    [
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("rtdose_rle.dcm", "rtdose.dcm"),
        ("rtdose_expb.dcm", "rtdose.dcm"),
    ],
)
def test_every_lossless_encoding_of_an_image_gives_the_same_picture(compressed: str, native: str) -> None:
    one, other = Image(open_instance(bundled(compressed))), Image(open_instance(bundled(native)))
    for index in range(one.frame_count):
        assert np.array_equal(one.picture(index).pixels, other.picture(index).pixels)


COLOUR_BARS = [
    "SC_rgb_rle.dcm", "SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jls_lossy_line.dcm", "SC_rgb_jls_lossy_sample.dcm", "SC_ybr_full_422_uncompressed.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_gdcm_KY.dcm",
]  # fmt: skip


@pytest.mark.parametrize("name", COLOUR_BARS)
def test_the_colour_bars_have_their_colours_in_every_encoding(name: str) -> None:
    # The bars from the top, as the uncompressed and the RLE files hold them
    pixels = Image(open_instance(bundled(name))).picture(0).pixels.astype(int)
    expected = [
        (5, (255, 0, 0)),
        (25, (0, 255, 0)),
        (45, (0, 0, 255)),
        (65, (0, 0, 0)),
        (75, (64, 64, 64)),
        (95, (255, 255, 255)),
    ]
    for row, colour in expected:
        assert np.abs(pixels[row, 50] - colour).max() <= 6, (row, pixels[row, 50])


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.dcm")), ids=lambda path: path.name)
def test_every_bundled_file_gives_pictures_or_an_error_of_ours(path: Path) -> None:
    with suppress(PonteError):
        image = Image(open_instance(path.read_bytes()))
        for index in range(image.frame_count):
            picture = image.picture(index)
            assert picture.pixels.dtype == np.uint8
            assert picture.pixels.shape[:2] == (image.rows, image.columns)


@pytest.mark.parametrize("name", ["examples_ybr_color.dcm", "SC_rgb_rle_2frame.dcm", "rtdose_rle.dcm"])
def test_frames_decoded_by_many_threads_are_the_same(name: str) -> None:
    alone, together = Image(open_instance(bundled(name))), Image(open_instance(bundled(name)))
    frames = range(alone.frame_count)
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(together.picture, frames))
    assert all(np.array_equal(pictures[i].pixels, alone.picture(i).pixels) for i in frames)
