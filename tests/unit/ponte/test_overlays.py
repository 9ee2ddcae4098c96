"""Overlays are drawn where they are asked for: each by hand on a picture of a few pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ponte.image import Image
from ponte.instance import open_instance
from tests.factories import encode
from tests.unit.ponte.samples import opened

BLACK = np.zeros((3, 4), np.uint8)
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


def overlaid(plane: Any, group: int = 0x6000, *, on: Dataset | None = None, **elements: Any) -> Dataset:
    """`plane` of (rows, columns), or of (frames, rows, columns), as an overlay of the dataset."""
    dataset = opened(BLACK) if on is None else on
    packed = np.packbits(plane, bitorder="little").tobytes()
    tags: dict[int, tuple[str, Any]] = {
        0x0010: ("US", plane.shape[-2]),
        0x0011: ("US", plane.shape[-1]),
        0x0040: ("CS", "G"),
        0x0050: ("SS", elements.get("origin", [1, 1])),
        0x0100: ("US", 1),
        0x0102: ("US", 0),
        0x3000: ("OW", packed + b"\0" * (len(packed) % 2)),
    }
    for name, element in (("frames", 0x0015), ("frame_origin", 0x0051)):
        if name in elements:
            tags[element] = ("IS" if name == "frames" else "US", elements[name])
    for element, (vr, value) in tags.items():
        dataset.add_new(group << 16 | element, vr, value)
    return dataset


def drawn(dataset: Dataset, frame_index: int = 0) -> list[list[int]]:
    """The overlays as ones."""
    pixels = Image(open_instance(encode(dataset))).picture(frame_index, overlays=True).pixels  # type: ignore[arg-type]
    return (pixels // 255).tolist()  # type: ignore[no-any-return]


def test_overlays_are_left_out_unless_asked_for() -> None:
    image = Image(overlaid(CROSS))
    assert not image.picture(0).pixels.any()
    assert image.picture(0, overlays=True).pixels.max() == 255


def test_the_first_bit_is_the_first_pixel() -> None:
    assert drawn(overlaid(CROSS)) == [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ([1, 2], [[0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0]]),
        ([0, 0], [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]),
        ([3, 4], [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
        ([3, 3], [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
        ([-20, 100], [[0] * 4] * 3),
    ],
)
def test_what_lies_outside_the_image_is_cut_off(origin: list[int], expected: list[list[int]]) -> None:
    assert drawn(overlaid(CROSS, origin=origin)) == expected


def test_an_overlay_may_be_larger_than_the_image() -> None:
    assert drawn(overlaid(np.ones((9, 9), np.uint8), origin=[-1, -1])) == [[1] * 4] * 3


def test_several_groups_are_drawn() -> None:
    dataset = overlaid(CROSS)
    overlaid(CROSS, 0x60FE, on=dataset, origin=[1, 2])
    assert drawn(dataset) == [[0, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 0]]


def three_frames() -> Dataset:
    return opened(np.zeros((9, 4), np.uint8), Rows=3, NumberOfFrames=3)


def test_a_single_overlay_lies_over_every_frame() -> None:
    dataset = overlaid(CROSS, on=three_frames())
    assert drawn(dataset, 0) == drawn(dataset, 2) == [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]


def test_each_frame_of_an_overlay_lies_over_its_frame_of_the_image() -> None:
    """3 x 3 planes do not start at whole bytes."""
    planes = np.stack([CROSS, 1 - CROSS])
    dataset = overlaid(planes, on=three_frames(), frames=2, frame_origin=2)
    assert drawn(dataset, 0) == [[0] * 4] * 3
    assert drawn(dataset, 1) == [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0]]
    assert drawn(dataset, 2) == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]]


def test_an_unused_bit_of_the_pixels_is_an_overlay() -> None:
    values = np.array([[0x1000, 0x0FFF, 0x0000, 0x1000]], np.uint16)
    dataset = opened(values, BitsStored=12, HighBit=11, WindowCenter=40960, WindowWidth=2)
    for element, vr, value in ((0x10, "US", 1), (0x11, "US", 4), (0x100, "US", 16), (0x102, "US", 12)):
        dataset.add_new(0x6000 << 16 | element, vr, value)
    assert drawn(dataset) == [[1, 0, 0, 1]]
    dataset[0x60000102].value = 11
    assert drawn(dataset) == [[0, 0, 0, 0]]  # a stored bit is no overlay


def test_colour_pictures_have_overlays_too() -> None:
    dataset = overlaid(CROSS, on=opened(np.zeros((3, 4, 3), np.uint8), photometric="RGB"))
    assert Image(dataset).picture(0, overlays=True).pixels[1, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("element", "vr", "value"),
    [(0x3000, "OW", b"\0"), (0x3000, "OW", b""), (0x0010, "US", 0), (0x0015, "IS", -2), (0x0010, "LO", "x")],
)
def test_a_broken_overlay_is_left_out(element: int, vr: str, value: Any) -> None:
    dataset = overlaid(CROSS)
    dataset.add_new(0x6000 << 16 | element, vr, value)
    assert not Image(dataset).picture(0, overlays=True).pixels.any()
