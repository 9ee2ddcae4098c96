"""Functional groups: what each frame of an enhanced image says, and where its plane lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from ponte import groups
from ponte.display import Window
from ponte.image import Image
from tests.unit.ponte.samples import opened

TWO_FRAMES = np.array([[10, 100], [10, 100]], np.int16)
AXIAL = [1, 0, 0, 0, 1, 0]


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def group(keyword: str, **attributes: Any) -> Dataset:
    """A functional group of one sequence with one item."""
    return item(**{keyword: Sequence([item(**attributes)])})


def enhanced(shared: Dataset | None, frames: list[Dataset], **attributes: Any) -> Dataset:
    """Two frames of one row; `frames` are their groups."""
    sequences: dict[str, Any] = {"PerFrameFunctionalGroupsSequence": Sequence(frames)}
    if shared is not None:
        sequences["SharedFunctionalGroupsSequence"] = Sequence([shared])
    return opened(TWO_FRAMES, NumberOfFrames=2, Rows=1, **sequences, **attributes)


def test_the_frames_own_rescale_comes_before_the_shared_one() -> None:
    shared = group("PixelValueTransformationSequence", RescaleSlope=1, RescaleIntercept=0)
    own = group("PixelValueTransformationSequence", RescaleSlope=2, RescaleIntercept=-20)
    image = Image(enhanced(shared, [Dataset(), own], WindowCenter=90.5, WindowWidth=181))
    assert image.picture(0).pixels.tolist() == [[14, 142]]
    assert image.picture(1).pixels.tolist() == [[0, 255]]


def test_a_group_without_a_window_leaves_it_to_the_shared_one() -> None:
    shared = group("FrameVOILUTSequence", WindowCenter=50, WindowWidth=100)
    image = Image(enhanced(shared, [group("FrameVOILUTSequence"), Dataset()], WindowCenter=1, WindowWidth=2))
    assert [image.picture(index).window for index in (0, 1)] == [Window(50, 100)] * 2


def test_fewer_groups_than_frames_are_no_error() -> None:
    image = Image(enhanced(None, [group("FrameVOILUTSequence", WindowCenter=50, WindowWidth=100)]))
    assert image.picture(0).window == Window(50, 100)
    assert image.picture(1).notes == ("window from the data",)


def test_each_frame_of_an_enhanced_image_has_its_own_position() -> None:
    shared = group("PlaneOrientationSequence", ImageOrientationPatient=AXIAL)
    frames = [group("PlanePositionSequence", ImagePositionPatient=[0, 0, z]) for z in (-10, 2.5)]
    image = Image(enhanced(shared, frames))
    assert [image.slice_position_mm(index) for index in (0, 1)] == [-10, 2.5]


def test_the_plane_of_a_cine_says_nothing_of_its_frames() -> None:
    dataset = opened(
        TWO_FRAMES, NumberOfFrames=2, Rows=1, ImagePositionPatient=[0, 0, 7], ImageOrientationPatient=AXIAL
    )
    assert Image(dataset).slice_position_mm(1) is None
    dataset.NumberOfFrames = 1
    assert groups.slice_position_mm(dataset) == 7


@pytest.mark.parametrize(
    ("orientation", "offsets", "expected"),
    [
        (AXIAL, [0, 2.5], [7, 9.5]),
        (AXIAL, [7, 9.5], [7, 9.5]),
        ([-1, 0, 0, 0, 1, 0], [0, 2.5], [-7, -4.5]),
        ([-1, 0, 0, 0, 1, 0], [7, 4.5], [-7, -4.5]),
        (AXIAL, [0], [7, None]),
    ],
)
def test_the_offsets_of_a_dose_grid_go_along_its_normal(
    orientation: list[int], offsets: list[float], expected: list[float | None]
) -> None:
    dataset = opened(
        TWO_FRAMES,
        NumberOfFrames=2,
        Rows=1,
        ImagePositionPatient=[0, 0, 7],
        ImageOrientationPatient=orientation,
        GridFrameOffsetVector=offsets if len(offsets) > 1 else offsets[0],
    )
    assert [groups.slice_position_mm(dataset, index) for index in (0, 1)] == expected


def test_reconstructed_nuclear_slices_lie_a_spacing_apart() -> None:
    detector = item(ImagePositionPatient=[0, 0, 100], ImageOrientationPatient=AXIAL)
    dataset = opened(
        TWO_FRAMES,
        NumberOfFrames=2,
        Rows=1,
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
        SpacingBetweenSlices=-4,
        DetectorInformationSequence=Sequence([detector]),
    )
    assert [groups.slice_position_mm(dataset, index) for index in (0, 1)] == [100, 96]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "DYNAMIC", "EMISSION"]
    assert groups.slice_position_mm(dataset, 1) is None


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, 1.0),
        ({"PixelAspectRatio": [2, 1]}, 2.0),
        ({"PixelAspectRatio": [4, 5], "PixelSpacing": [0.5, 0.5]}, 0.8),
        ({"PixelSpacing": [0.5, 0.25]}, 2.0),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, 2.0),
        ({"PixelSpacing": [0.5, 0.5], "ImagerPixelSpacing": [0.2, 0.1]}, 1.0),
        ({"PixelAspectRatio": [0, 1]}, 1.0),
        ({"PixelAspectRatio": [1000, 1]}, 1.0),
        ({"PixelSpacing": [-1, 1]}, 1.0),
        ({"PixelSpacing": 0.5}, 1.0),
    ],
)
def test_the_aspect_of_a_pixel_is_its_height_over_its_width(
    attributes: dict[str, Any], expected: float
) -> None:
    assert Image(opened(TWO_FRAMES, **attributes)).geometry(0).pixel_aspect == expected


def test_the_aspect_of_an_enhanced_image_stands_in_its_groups() -> None:
    shared = group("PixelMeasuresSequence", PixelSpacing=[3, 1])
    assert Image(enhanced(shared, [Dataset(), Dataset()])).geometry(0).pixel_aspect == 3.0
