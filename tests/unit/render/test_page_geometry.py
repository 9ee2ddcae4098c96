"""Pages of images whose frames have positions of their own, or whose pixels are no squares."""

from __future__ import annotations

import numpy as np
import pikepdf
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from tests.unit.render.studies import gray
from tests.unit.render.test_study import BARE, pixels_of, rendered, text_of

AXIAL = [1, 0, 0, 0, 1, 0]


def drawn_size(page: pikepdf.Page) -> tuple[float, float]:
    """Width and height that the image is drawn with, in points."""
    matrices = [line.operands for line in pikepdf.parse_content_stream(page) if str(line.operator) == "cm"]
    assert len(matrices) == 1
    return float(matrices[0][0]), float(matrices[0][3])


@pytest.mark.parametrize(
    ("ratio", "landscape"), [([1, 1], True), ([2, 1], False), ([1, 2], True), ([65, 64], True)]
)
def test_pixels_are_drawn_as_high_as_they_are_and_never_resampled(ratio: list[int], landscape: bool) -> None:
    values = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)
    _, pdf = rendered(gray(1, values, PixelAspectRatio=ratio), options=BARE)
    (page,) = pdf.pages
    width, height = drawn_size(page)
    assert height / width == pytest.approx(12 / 16 * ratio[0] / ratio[1], rel=1e-3)
    assert pixels_of(page).shape == values.shape
    box = [float(number) for number in page.MediaBox]
    assert (box[2] > box[3]) is landscape
    assert width < box[2]
    assert height < box[3]


def test_each_page_of_an_enhanced_image_says_its_own_position() -> None:
    groups = []
    for z in (-10, 2.5):
        place, group = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, z]
        group.PlanePositionSequence = Sequence([place])
        groups.append(group)
    item = gray(
        1,
        np.zeros((2, 4, 4), np.uint16),
        PerFrameFunctionalGroupsSequence=Sequence(groups),
        ImageOrientationPatient=AXIAL,
    )
    _, pdf = rendered(item, options=BARE)
    texts = [text_of(page) for page in pdf.pages]
    assert "Position -10.0 mm" in texts[0] or "Position -10 mm" in texts[0]
    assert "Position 2.5 mm" in texts[1]
