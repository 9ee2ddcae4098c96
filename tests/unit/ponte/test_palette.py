"""Palettes: plain and segmented, wide and narrow entries, and those that colour part of a gray image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ponte.display import Stored
from ponte.errors import InvalidAttribute
from ponte.image import Image
from ponte.palette import palette_of
from tests.unit.ponte.samples import opened

EIGHT = Stored(bits=8, signed=False)


def with_palette(dataset: Dataset, descriptor: list[int], data: bytes, prefix: str = "") -> Dataset:
    """The same table for the three colours."""
    for colour in ("Red", "Green", "Blue"):
        dataset.add_new(
            f"{colour}PaletteColorLookupTableDescriptor", "SS" if descriptor[1] < 0 else "US", descriptor
        )
        setattr(dataset, f"{prefix}{colour}PaletteColorLookupTableData", data)
    return dataset


def reds(dataset: Dataset, stored: Stored = EIGHT) -> list[int]:
    table: list[int] = palette_of(dataset, stored)[:, 0].tolist()
    return table


def image(values: Any, **attributes: Any) -> Dataset:
    return opened(np.array([values]), photometric="PALETTE COLOR", **attributes)


def words(*entries: int) -> bytes:
    return np.array(entries, "<u2").tobytes()


@pytest.mark.parametrize(
    ("descriptor", "data"),
    [
        ([4, 0, 8], bytes([0, 85, 170, 255])),
        ([4, 0, 8], words(0, 85, 170, 255)),
        ([4, 0, 16], words(0, 85 << 8, 170 << 8, 255 << 8)),
        ([4, 0, 16], words(0, 85, 170, 255)),
        ([4, 0, 16], bytes([0, 85, 170, 255])),
        ([0, 0, 16], words(0, 85 << 8, 170 << 8, 255 << 8)),
        ([0, 0, 8], bytes([0, 85, 170, 255])),
    ],
)
def test_entries_are_read_by_their_length_whatever_the_descriptor_says(
    descriptor: list[int], data: bytes
) -> None:
    """PS3.3 C.7.6.3.1.5: 8 or 16 bits an entry, and 0 entries are 65536, which files write for 256 too."""
    table = reds(with_palette(image(np.arange(4, dtype=np.uint8)), descriptor, data))
    assert table[:6] == [0, 85, 170, 255, 255, 255]
    assert len(table) == 256


def test_a_full_palette_of_65536_entries_is_used_whole() -> None:
    data = np.arange(1 << 16, dtype="<u2").tobytes()
    dataset = with_palette(image(np.array([0, 0x8000, 0xFFFF], np.uint16)), [0, 0, 16], data)
    assert Image(dataset).picture(0).pixels[0, :, 1].tolist() == [0, 0x80, 0xFF]


def test_values_outside_the_palette_take_its_ends() -> None:
    table = reds(with_palette(image(np.zeros(2, np.uint8)), [2, 10, 8], bytes([7, 9])))
    assert [table[index] for index in (0, 10, 11, 255)] == [7, 7, 9, 9]


def test_the_first_value_mapped_may_be_negative() -> None:
    dataset = with_palette(image(np.array([-2, -1, 0], np.int16)), [3, -2, 8], bytes([10, 20, 30, 0]))
    assert Image(dataset).picture(0).pixels[0, :, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("bits", [8, 16])
def test_segments_are_expanded(bits: int) -> None:
    """PS3.3 C.7.9.2 by hand: a discrete segment, a line, the same two again by an indirect one."""
    scale = 1 if bits == 8 else 256
    direct = [0, 2, 0, 10 * scale, 1, 4, 50 * scale]
    segments = [*direct, 2, 2, 0, 0, *([0, 0] if bits == 8 else [])]
    data = np.array(segments, np.uint8 if bits == 8 else "<u2").tobytes()
    dataset = with_palette(image(np.zeros(2, np.uint8)), [12, 0, bits], data, "Segmented")
    assert reds(dataset)[:13] == [0, 10, 20, 30, 40, 50, 0, 10, 20, 30, 40, 50, 50]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes([1, 4, 50, 0]),  # a line from nowhere
        bytes([9, 1, 1, 1]),  # no such segment
        bytes([0, 1, 7, 2, 9, 0, 0, 0, 0, 0, 0, 0]) + bytes([2, 1, 3, 0, 0, 0]),  # an indirect one to itself
        bytes([0, 1, 7, 2, 9, 200, 0, 0, 0, 0]),  # one that leads outside
    ],
)
def test_broken_segments_are_an_error_of_ours(data: bytes) -> None:
    dataset = with_palette(image(np.zeros(2, np.uint8)), [0, 0, 8], data, "Segmented")
    with pytest.raises(InvalidAttribute, match="palette"):
        Image(dataset).picture(0)


def test_segments_never_expand_beyond_the_palette() -> None:
    line = bytes([0, 1, 0, 1, 255, 200])
    data = line + bytes([2, 255, 0, 0, 0, 0]) * 9
    dataset = with_palette(image(np.zeros(2, np.uint8)), [256, 0, 8], data + b"\0\0", "Segmented")
    assert max(reds(dataset)) <= 200


def supplemental(values: Any, first_mapped: int, **attributes: Any) -> Dataset:
    dataset = opened(np.array([values]), WindowCenter=50, WindowWidth=100, **attributes)
    with_palette(dataset, [2, first_mapped, 8], bytes([10, 20]))
    dataset.RedPaletteColorLookupTableData = bytes([200, 250])
    return dataset


@pytest.mark.parametrize("presentation", ["COLOR", "MIXED"])
def test_a_supplemental_palette_colours_the_upper_values(presentation: str) -> None:
    dataset = supplemental(
        np.array([0, 99, 1000, 1001, 2000], np.uint16), 1000, PixelPresentation=presentation
    )
    picture = Image(dataset).picture(0)
    expected = [[0, 0, 0], [255, 255, 255], [200, 10, 10], [250, 20, 20], [250, 20, 20]]
    assert picture.pixels.tolist() == [expected]
    assert picture.window is not None


def test_a_supplemental_palette_of_signed_values_starts_below_zero() -> None:
    dataset = supplemental(np.array([-600, -500, -499], np.int16), -500, PixelPresentation="COLOR")
    assert Image(dataset).picture(0).pixels.tolist() == [[[0, 0, 0], [200, 10, 10], [250, 20, 20]]]


@pytest.mark.parametrize("presentation", ["MONOCHROME", "TRUE_COLOR", ""])
def test_without_pixel_presentation_the_image_stays_gray(presentation: str) -> None:
    dataset = supplemental(np.array([0, 99], np.uint16), 0, PixelPresentation=presentation)
    assert Image(dataset).picture(0).pixels.tolist() == [[0, 255]]


def test_a_broken_supplemental_palette_leaves_the_image_gray() -> None:
    dataset = supplemental(np.array([0, 99], np.uint16), 0, PixelPresentation="COLOR")
    del dataset.BluePaletteColorLookupTableData
    assert Image(dataset).picture(0).pixels.tolist() == [[0, 255]]
