"""The saliency picture: on request, downscaled, marked."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest

from classify.overlay import make_overlay
from ponte.destination import Outgoing
from tests.unit.classify.images import make_dx, picture
from tests.unit.classify.models import CELLS, TARGETS
from tests.unit.classify.reports import reported

HOT = (1, 5)


def overlay(side: int = 224, logits: list[float] | None = None) -> Outgoing | None:
    cam = np.full((len(TARGETS), CELLS, CELLS), -1, np.float32)
    cam[:, HOT[0], HOT[1]] = 3
    return make_overlay(reported(make_dx(picture(12, side)), logits=logits), cam)


def pixels(outgoing: Outgoing | None) -> Any:
    assert outgoing is not None
    assert isinstance(outgoing.content, bytes)
    return pydicom.dcmread(BytesIO(outgoing.content)).pixel_array


def test_red_is_where_the_map_is_high() -> None:
    drawn = pixels(overlay()).astype(int)

    redness = drawn[..., 0] - drawn[..., 2]
    cell = 224 // CELLS
    hot = redness[HOT[0] * cell : (HOT[0] + 1) * cell, HOT[1] * cell : (HOT[1] + 1) * cell]
    assert hot.mean() > 40
    assert abs(redness[5 * cell :, : 3 * cell]).max() == 0


def test_a_large_radiograph_becomes_a_small_picture() -> None:
    assert pixels(overlay(1500)).shape == (1024, 1024, 3)


def test_nothing_at_its_threshold_is_no_picture() -> None:
    assert overlay(logits=[-9.0] * len(TARGETS)) is None


def test_it_says_what_it_is_and_a_repeat_is_the_same() -> None:
    outgoing, again = overlay(), overlay()
    assert outgoing is not None
    assert outgoing == again
    document = pydicom.dcmread(BytesIO(outgoing.content))  # type: ignore[arg-type]
    assert "not a medical device" in document.SeriesDescription
    assert "Not a medical device" in document.ImageComments
    assert document.BurnedInAnnotation == "YES"
    assert document.SourceImageSequence[0].ReferencedSOPInstanceUID == make_dx().SOPInstanceUID


@pytest.mark.parametrize("labels", [("Mass", "Nodule")])
def test_the_finding_of_the_highest_score_is_drawn(labels: tuple[str, str]) -> None:
    cam = np.zeros((2, CELLS, CELLS), np.float32)
    cam[1, 6, 6] = 1
    said = reported(make_dx(), logits=[0.0, 3.0], targets=list(labels), thresholds=[0.2, 0.2])

    drawn = pixels(make_overlay(said, cam)).astype(int)
    assert (drawn[-10:, -10:, 0] - drawn[-10:, -10:, 2]).mean() > 40
