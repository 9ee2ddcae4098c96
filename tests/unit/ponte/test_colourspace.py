"""Colour spaces: what the code stream says is believed, whatever the dataset says of it."""

from __future__ import annotations

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit

from ponte.colourspace import contradicts, is_transformed, jpeg_colour
from ponte.image import Image
from ponte.instance import open_instance
from tests.unit.ponte.samples import bundled, opened

RED = np.full((16, 16, 3), (250, 20, 10), np.uint8)
NOTE = "colour space of the code stream used"
ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
BROKEN = [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\x4f\xff\x51\x00", b"\xff\xd8\xff\xee\x00"]
SAYS_RGB, SAYS_YBR = "RGB", "YBR_FULL_422"


def jpeg(coded: str, subsampling: str = "444") -> bytes:
    """A JPEG without JFIF's marker, which says nothing of its colour space."""
    data = bytes(
        imagecodecs.jpeg8_encode(RED, 95, colorspace="RGB", outcolorspace=coded, subsampling=subsampling)
    )
    for marker in (b"\xff\xe0", b"\xff\xee"):
        if data[2:4] == marker:
            data = data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]
    return data


def named(data: bytes, names: bytes) -> bytes:
    """The same JPEG with other names of its components, in the frame and in the scan."""
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    whole = bytearray(data)
    for index, name in enumerate(names):
        whole[frame + 10 + 3 * index] = whole[scan + 5 + 2 * index] = name
    return bytes(whole)


def shown(
    data: bytes, photometric: str, syntax: UID = JPEGBaseline8Bit
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """The mean colour, and the notes."""
    dataset: Dataset = opened(RED, photometric="RGB")
    dataset.PhotometricInterpretation = photometric
    dataset.PixelData = encapsulate([data])
    dataset.file_meta.TransferSyntaxUID = syntax
    picture = Image(dataset).picture(0)
    return picture.pixels.reshape(-1, 3).mean(axis=0).astype(np.int64), picture.notes


@pytest.mark.parametrize(
    ("data", "said", "notes"),
    [
        (jpeg("YCBCR"), SAYS_YBR, ()),
        (jpeg("RGB"), SAYS_RGB, ()),
        (jpeg("YCBCR", "422"), SAYS_RGB, (NOTE,)),
        (b"\xff\xd8" + JFIF + jpeg("YCBCR")[2:], SAYS_RGB, (NOTE,)),
        (b"\xff\xd8" + ADOBE_RGB + jpeg("RGB")[2:], SAYS_YBR, (NOTE,)),
        (named(jpeg("RGB"), b"RGB"), SAYS_YBR, (NOTE,)),
        (named(jpeg("RGB"), b"RGB"), "YBR_PARTIAL_420", (NOTE,)),
    ],
)
def test_red_is_red_whatever_the_dataset_says(data: bytes, said: str, notes: tuple[str, ...]) -> None:
    colour, found = shown(data, said)
    assert np.abs(colour - RED[0, 0]).max() <= 6
    assert found == notes


@pytest.mark.parametrize(
    ("transformed", "said", "notes"),
    [
        (True, "YBR_RCT", ()),
        (True, "RGB", ()),
        (True, "YBR_FULL", (NOTE,)),
        (False, "RGB", ()),
        (False, "YBR_RCT", (NOTE,)),
    ],
)
def test_a_transform_that_the_decoder_undoes_is_not_undone_again(
    transformed: bool, said: str, notes: tuple[str, ...]
) -> None:
    data = bytes(imagecodecs.jpeg2k_encode(RED, 0, reversible=True, codecformat="j2k", mct=transformed))
    assert is_transformed(data) is transformed
    colour, found = shown(data, said, JPEG2000Lossless)
    assert colour.tolist() == RED[0, 0].tolist()
    assert found == notes


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\x4f\xff\x51\x00", b"\xff\xd8\xff\xee\x00"]
)
def test_a_broken_code_stream_says_nothing(data: bytes) -> None:
    assert jpeg_colour(data) is None
    assert not is_transformed(data)
    assert not contradicts(data, "RGB")


def test_a_lossless_jpeg_says_nothing_of_its_colour() -> None:
    assert jpeg_colour(b"\xff\xd8\xff\xc3\x00\x11\x08\x00\x10\x00\x10\x03R\x11\x00G\x11\x00B\x11\x00") is None


def test_the_planes_of_ybr_full_may_be_apart() -> None:
    ybr = np.array([[[76, 85, 255], [150, 44, 21]]], np.uint8)
    dataset = opened(ybr, photometric="YBR_FULL", PlanarConfiguration=1)
    dataset.PixelData = ybr.transpose(2, 0, 1).tobytes()
    pixels = Image(dataset).picture(0).pixels.astype(int)
    assert np.abs(pixels - [[[255, 0, 0], [0, 255, 0]]]).max() <= 2


def test_ybr_partial_422_has_its_own_range() -> None:
    """PS3.3 C.7.6.3.1.2: black is Y 16, white is Y 235; red is Y 82, CB 90, CR 240."""
    dataset = opened(np.zeros((1, 4, 3), np.uint8), photometric="YBR_PARTIAL_422")
    dataset.PixelData = bytes([16, 235, 128, 128, 82, 82, 90, 240])
    pixels = Image(dataset).picture(0).pixels.astype(int)
    assert np.abs(pixels - [[[0, 0, 0], [255, 255, 255], [255, 0, 0], [255, 0, 0]]]).max() <= 2


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"])
def test_the_red_bar_of_the_bundled_files_is_red(name: str) -> None:
    pixels = Image(open_instance(bundled(name))).picture(0).pixels
    red, green, blue = (int(value) for value in pixels[5, 50])
    assert red > 200 > 60 > max(green, blue)


@pytest.mark.parametrize("signed", [False, True])
def test_samples_that_the_code_stream_calls_signed_are(signed: bool) -> None:
    """Some scanners write Pixel Representation 0 over signed samples: air came out white."""
    values = np.array([[0, 500, 1000, 1500]], np.int16 if signed else np.uint16) - 1000 * signed
    dataset = opened(values.astype(np.uint16), WindowCenter=values.mean() + 0.5, WindowWidth=1501)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data = imagecodecs.jpeg2k_encode(values, 0, reversible=True, codecformat="j2k")
    dataset.PixelData = encapsulate([bytes(data)])
    assert Image(dataset).picture(0).pixels.tolist() == [[0, 85, 170, 255]]
