"""Which window a frame is shown by, and what the notes say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ponte.display import Window
from ponte.image import Image
from tests.unit.ponte.samples import opened

VALUES = np.array([[0, 100, 200, 300]], np.uint16)


def test_the_notes_say_that_there_are_more_windows() -> None:
    dataset = opened(VALUES, WindowCenter=[100, 500], WindowWidth=[200, 1000])
    picture = Image(dataset).picture(0)
    assert (picture.window, picture.notes) == (Window(100, 200), ("first of several windows",))


def test_degenerate_windows_are_passed_over_and_not_counted() -> None:
    dataset = opened(VALUES, WindowCenter=[1, 100], WindowWidth=[0, 200])
    assert (Image(dataset).picture(0).window, Image(dataset).picture(0).notes) == (Window(100, 200), ())


def test_more_centers_than_widths_are_no_error() -> None:
    dataset = opened(VALUES, WindowCenter=[100, 500, 900], WindowWidth=200)
    assert Image(dataset).picture(0).window == Window(100, 200)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", [0, 96, 223, 255]),  # ((x - 124.5) / 199 + 0.5) * 255
        ("LINEAR_EXACT", [0, 96, 223, 255]),  # ((x - 125) / 200 + 0.5) * 255
        ("SIGMOID", [19, 96, 208, 247]),  # 255 / (1 + exp(-4 (x - 125) / 200))
        ("CUBIC", [0, 96, 223, 255]),
    ],
)
def test_the_function_of_the_window_is_used(function: str, expected: list[int]) -> None:
    dataset = opened(VALUES, WindowCenter=125, WindowWidth=200, VOILUTFunction=function)
    pixels = Image(dataset).picture(0).pixels.astype(int)
    assert np.abs(pixels - [expected]).max() <= 1


def test_linear_exact_is_no_linear() -> None:
    """A width of 1 is a threshold for LINEAR and a ramp for LINEAR_EXACT, whose width may be below 1."""
    for function, width, expected in (
        ("LINEAR", 1, 0),
        ("LINEAR_EXACT", 2, 64),
        ("LINEAR_EXACT", 0.5, 0),
    ):
        dataset = opened(VALUES, WindowCenter=100.5, WindowWidth=width, VOILUTFunction=function)
        assert abs(int(Image(dataset).picture(0).pixels[0, 1]) - expected) <= 1


def frames(*levels: int, **attributes: Any) -> Dataset:
    """Frames of a ramp to a level each, in 16 bits and without a window."""
    values = np.concatenate([np.linspace(0, level, 64).astype(np.uint16).reshape(8, 8) for level in levels])
    return opened(values, Rows=8, NumberOfFrames=len(levels), **attributes)


def test_frames_share_one_window_from_the_data() -> None:
    image = Image(frames(100, 4000, 1000))
    pictures = [image.picture(index) for index in (2, 0, 1)]
    assert len({picture.window for picture in pictures}) == 1
    assert pictures[0].notes == ("window from the data",)
    assert [int(picture.pixels.max()) for picture in pictures] == [64, 6, 255]


def test_the_shared_window_does_not_depend_on_which_frame_comes_first() -> None:
    levels = range(100, 3000, 100)
    first, last = Image(frames(*levels)), Image(frames(*levels))
    assert first.picture(0).window == last.picture(len(levels) - 1).window


def test_frames_with_a_rescale_of_their_own_share_a_window_in_modality_values() -> None:
    groups = []
    for slope in (1, 10):
        item, group = Dataset(), Dataset()
        item.RescaleSlope, item.RescaleIntercept = slope, 0
        group.PixelValueTransformationSequence = Sequence([item])
        groups.append(group)
    image = Image(frames(1000, 1000, PerFrameFunctionalGroupsSequence=Sequence(groups)))
    pictures = [image.picture(index) for index in (0, 1)]
    assert pictures[0].window == pictures[1].window
    assert int(pictures[0].pixels.max()) * 9 < int(pictures[1].pixels.max())


def floats(values: Any, **attributes: Any) -> Dataset:
    dataset = opened(np.zeros((1, len(values)), np.uint16), **attributes)
    del dataset.PixelData
    dataset.FloatPixelData = np.array(values, "<f4").tobytes()
    dataset.BitsAllocated = 32
    return dataset


def test_float_padding_is_black_and_has_no_say_in_the_window() -> None:
    dataset = floats(
        [-1e6, -9e5, 0.0, 0.5, 1.0], FloatPixelPaddingValue=-1e6, FloatPixelPaddingRangeLimit=-8e5
    )
    picture = Image(dataset).picture(0)
    assert picture.window is not None
    assert picture.window.center - picture.window.width / 2 >= 0
    assert picture.pixels[0].tolist()[:2] == [0, 0]


def segmentation(kind: str, **attributes: Any) -> Dataset:
    return opened(np.array([[0, 1, 2, 4]], np.uint8), SegmentationType=kind, **attributes)


def test_fractions_of_a_segment_reach_white_at_the_largest() -> None:
    dataset = segmentation("FRACTIONAL", MaximumFractionalValue=4)
    assert Image(dataset).picture(0).pixels.tolist() == [[0, 64, 128, 255]]


def test_the_labels_of_segments_are_told_apart() -> None:
    segments = [Dataset() for _ in range(4)]
    for number, segment in enumerate(segments, 1):
        segment.SegmentNumber = number
    dataset = segmentation("LABELMAP", SegmentSequence=Sequence(segments))
    assert Image(dataset).picture(0).pixels.tolist() == [[0, 64, 128, 255]]


def test_real_world_values_are_a_note_where_nothing_else_rescales() -> None:
    for slope, notes in ((None, ("real world values not applied",)), (2, ())):
        dataset = opened(VALUES, WindowCenter=100, WindowWidth=200)
        dataset.RealWorldValueMappingSequence = Sequence([Dataset()])
        if slope:
            dataset.RescaleSlope, dataset.RescaleIntercept = slope, 0
        assert Image(dataset).picture(0).notes == notes


def test_padding_that_the_header_does_not_speak_of_has_no_say_in_the_window() -> None:
    """Around a CT stands -2000, far below air."""
    values = np.full((20, 20), -2000, np.int16)
    values[5:15, 5:15] = np.linspace(-1000, 500, 100).reshape(10, 10)
    picture = Image(opened(values)).picture(0)
    assert picture.window is not None
    assert picture.window.center - picture.window.width / 2 == pytest.approx(-1000, abs=40)
    assert not picture.pixels[0].any()


@pytest.mark.parametrize("values", [[[0, 0, 1000]], [[0, 1, 2, 3] * 10]])
def test_the_lowest_of_few_values_is_no_padding(values: list[list[int]]) -> None:
    picture = Image(opened(np.array(values, np.uint16))).picture(0)
    assert sorted({picture.pixels.min(), picture.pixels.max()}) == [0, 255]
