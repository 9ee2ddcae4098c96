"""Profiles made by Little CMS, and what becomes of those that are not what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import ImageCms
from pydicom.dataset import Dataset

from ponte.errors import InvalidAttribute
from ponte.icc import MAX_BYTES, profile_of
from ponte.image import Image
from tests.unit.ponte.samples import opened

NOTE = "colour profile of the image unusable"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
COLOURS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


def changed(offset: int, value: bytes) -> bytes:
    return SRGB[:offset] + value + SRGB[offset + len(value) :]


def colour_image(profile: bytes, **attributes: Any) -> Image:
    return Image(opened(COLOURS, photometric="RGB", ICCProfile=profile, **attributes))


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0" * 9])
def test_the_profile_of_an_image_is_carried_without_its_padding(padding: bytes) -> None:
    image = colour_image(SRGB + padding)
    assert image.icc_profile == SRGB
    assert image.picture(0).notes == ()


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        SRGB[:-20],
        LAB,
        changed(36, b"ACSP"),
        changed(8, b"\x05"),
        changed(12, b"link"),
        changed(16, b"CMYK"),
        changed(16, b"GRAY"),
        changed(20, b"RGB "),
        changed(0, b"\xff\xff\xff\xff"),
        changed(0, b"\0\0\0\0"),
        changed(128, b"\0\0\0\0"),
        changed(128, b"\0\0\xff\xff"),
        changed(136, b"\xff\xff\xff\xf0"),
        SRGB + bytes(MAX_BYTES),
    ],
)
def test_what_is_no_profile_of_the_image_is_left_out_and_said(profile: bytes) -> None:
    image = colour_image(profile)
    assert image.icc_profile is None
    assert image.picture(0).notes == (NOTE,)


def test_the_error_says_the_size_and_nothing_of_the_profile() -> None:
    dataset = Dataset()
    dataset.ICCProfile = b"SILVA^MARIA "
    with pytest.raises(InvalidAttribute) as caught:
        profile_of(dataset, 3)
    assert "SILVA" not in str(caught.value)


def test_the_profile_of_the_first_optical_path_counts() -> None:
    path = Dataset()
    path.ICCProfile = SRGB
    dataset = Dataset()
    dataset.OpticalPathSequence = [path]
    assert profile_of(dataset, 3) == SRGB


def test_a_gray_image_has_none() -> None:
    image = Image(opened(COLOURS[..., 0], ICCProfile=SRGB))
    assert image.icc_profile is None
    assert NOTE not in image.picture(0).notes


def test_an_image_without_a_profile_says_nothing() -> None:
    image = Image(opened(COLOURS, photometric="RGB"))
    assert image.icc_profile is None
    assert image.picture(0).notes == ()
