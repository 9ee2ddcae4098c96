"""JPEG frames that go into the PDF as they are: the same picture, and nothing of whom it shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import jpeg8_encode
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from ponte.image import Image
from ponte.instance import open_instance
from ponte.jpeg import bare_baseline
from render import srgb
from render.pdf import A4_PORTRAIT, Canvas, DocumentInfo, PageImage, PdfWriter
from render.study import RenderOptions
from tests.unit.ponte.samples import bundled, opened
from tests.unit.render.studies import STUDY, encoded
from tests.unit.render.test_pages_seen import images_of, written

BARE = RenderOptions(cover_page=False)
NAME = b"SILVA^MARIA"
Pixels = npt.NDArray[np.uint8]


def picture(samples: int) -> Pixels:
    """Smooth colours that tell RGB from YCbCr."""
    y, x = np.mgrid[0:120, 0:160]
    planes = [x * 255 // 160, y * 255 // 120, 255 - x * 255 // 160][:samples]
    pixels = np.stack(planes, axis=-1).astype(np.uint8)
    return pixels if samples == 3 else pixels[..., 0]


def instance(frame: bytes, photometric: str, pixels: Pixels, **attributes: Any) -> bytes:
    dataset = opened(pixels, photometric="RGB" if pixels.ndim == 3 else "MONOCHROME2", **attributes)
    dataset.PhotometricInterpretation = photometric
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, STUDY + ".1"
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return encoded(dataset)


def commented(frame: bytes) -> bytes:
    """With a name in a comment and in an application segment, as devices write them."""
    segments = [bytes([0xFF, marker, 0, len(NAME) + 2]) + NAME for marker in (0xFE, 0xE1)]
    return frame[:2] + b"".join(segments) + frame[2:]


def rgb_without_marker() -> bytes:
    """Components that are RGB, and nothing in the stream that says so."""
    frame = bytes(
        jpeg8_encode(picture(3), level=90, colorspace="RGB", outcolorspace="RGB", subsampling="444")
    )
    start = frame.find(b"\xff\xee")
    if start >= 0:
        frame = frame[:start] + frame[start + 16 :]
    return frame.replace(
        b"\x03R\x11\x00G\x11\x00B\x11\x00", b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"
    ).replace(b"\x03R\x00G\x00B\x00", b"\x03\x01\x00\x02\x00\x03\x00")


FRAMES = {
    "ybr-422": (bytes(jpeg8_encode(picture(3), level=90, subsampling="422")), "YBR_FULL_422", 3),
    "ybr-444": (bytes(jpeg8_encode(picture(3), level=90, subsampling="444")), "YBR_FULL_422", 3),
    "rgb": (rgb_without_marker(), "RGB", 3),
    "gray": (bytes(jpeg8_encode(picture(1), level=90)), "MONOCHROME2", 1),
}


@pytest.mark.pdftools
@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("anonymize", [False, True])
def test_poppler_shows_what_the_decoder_shows(tmp_path: Path, name: str, anonymize: bool) -> None:
    frame, photometric, samples = FRAMES[name]
    data = instance(commented(frame), photometric, picture(samples), BurnedInAnnotation="NO")
    image, pdf = Image(open_instance(data)), tmp_path / "study.pdf"
    assert image.jpeg(0) is not None
    written(pdf, data, options=RenderOptions(cover_page=False, anonymize=anonymize))
    (seen,) = images_of(pdf, tmp_path)
    difference = np.abs(seen.astype(int) - image.picture(0).pixels.astype(int))
    assert difference.max() <= 2
    assert np.abs(seen.astype(int) - picture(samples)).mean() <= 4
    assert NAME not in pdf.read_bytes()


@pytest.mark.pdftools
@pytest.mark.parametrize("name", ["ybr-422", "ybr-444", "rgb"])
def test_a_profile_of_srgb_changes_nothing_of_what_a_jpeg_shows(tmp_path: Path, name: str) -> None:
    """The colour transform is told by the stream's own marker, the meaning of the colours by the profile."""
    frame, photometric, samples = FRAMES[name]
    data = instance(frame, photometric, picture(samples), ICCProfile=srgb.profile())
    image, path = Image(open_instance(data)), tmp_path / "study.pdf"
    jpeg, profile = image.jpeg(0), image.icc_profile
    assert jpeg is not None
    assert profile is not None
    passed = PageImage(image.columns, image.rows, "DeviceRGB", "DCTDecode", jpeg[0], icc_profile=profile)
    with path.open("wb") as out:
        writer, canvas = PdfWriter(out), Canvas()
        canvas.image("I", 50, 50, 200, 150)
        writer.add_page(canvas, A4_PORTRAIT, [("I", writer.add_image(passed))])
        writer.finish(DocumentInfo("t", "p", "en", datetime(2026, 1, 2, tzinfo=UTC)))
    (seen,) = images_of(path, tmp_path)
    assert np.abs(seen.astype(int) - image.picture(0).pixels.astype(int)).max() <= 3


@pytest.mark.pdftools
@pytest.mark.parametrize(
    "name",
    ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm",
     "SC_rgb_small_odd_jpeg.dcm", "SC_jpeg_no_color_transform.dcm", "SC_jpeg_no_color_transform_2.dcm"],
)  # fmt: skip
def test_poppler_shows_bundled_files_as_the_decoder_does(tmp_path: Path, name: str) -> None:
    dataset = open_instance(bundled(name))
    dataset.StudyInstanceUID = STUDY
    data, pdf = encoded(dataset), tmp_path / "study.pdf"
    image = Image(open_instance(data))
    assert image.jpeg(0) is not None
    written(pdf, data, options=BARE)
    seen = images_of(pdf, tmp_path)[0]
    difference = np.abs(seen.astype(int) - image.picture(0).pixels.astype(int))
    assert difference.mean() <= 2


def test_a_window_or_an_inversion_is_not_passed_over() -> None:
    frame, _, samples = FRAMES["gray"]
    windowed = instance(frame, "MONOCHROME2", picture(samples), WindowCenter=100, WindowWidth=80)
    inverted = instance(frame, "MONOCHROME1", picture(samples))
    plain = instance(frame, "MONOCHROME2", picture(samples))
    found = [Image(open_instance(data)).jpeg(0) for data in (windowed, inverted, plain)]
    assert [one is None for one in found] == [True, True, False]


def test_a_lossless_page_is_decoded(tmp_path: Path) -> None:
    frame, photometric, samples = FRAMES["ybr-422"]
    pdf = tmp_path / "study.pdf"
    data = instance(frame, photometric, picture(samples))
    written(pdf, data, options=RenderOptions(cover_page=False, lossless=True))
    assert b"DCTDecode" not in pdf.read_bytes()


GRAY = FRAMES["gray"][0]


@pytest.mark.parametrize(
    "frame",
    [
        GRAY[:-2],
        GRAY[: len(GRAY) // 2],
        GRAY + GRAY,
        GRAY.replace(b"\xff\xc0", b"\xff\xc2"),
        GRAY.replace(b"\xff\xc0", b"\xff\xc9"),
        GRAY.replace(b"\xff\xc4", b"\xff\xe5"),
        GRAY[:-2] + GRAY[GRAY.index(b"\xff\xda") :],
        b"",
        b"\xff\xd8\xff",
    ],
    ids=["no-end", "half", "two", "progressive", "arithmetic", "no-tables", "two-scans", "empty", "start"],
)
def test_what_readers_might_show_otherwise_is_decoded(frame: bytes) -> None:
    assert bare_baseline(frame, 1, rgb=False) is None


def test_padding_after_the_end_is_dropped() -> None:
    assert bare_baseline(GRAY + b"\0", 1, rgb=False) == bare_baseline(GRAY, 1, rgb=False)
    assert bare_baseline(GRAY, 3, rgb=False) is None


def test_the_profile_within_a_jpeg_is_not_passed_on() -> None:
    """Nor is anything else that devices write there: the dataset's profile is checked, that one is not."""
    segment = b"\xff\xe2\x00\x10ICC_PROFILE\x00\x01\x01"
    assert bare_baseline(GRAY[:2] + segment + GRAY[2:], 1, rgb=False) == bare_baseline(GRAY, 1, rgb=False)


def test_four_components_are_never_passed_on() -> None:
    four = np.dstack([picture(3), picture(1)])
    frame = bytes(jpeg8_encode(four, level=90, colorspace="CMYK", outcolorspace="CMYK"))
    assert [bare_baseline(frame, samples, rgb=True) for samples in (1, 3)] == [None, None]
