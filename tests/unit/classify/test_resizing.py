"""Against scikit-image, by vectors that were made with it (`golden.py`)."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from classify.resizing import center_crop, resize
from tests.unit.classify.golden import FILE, POINTS, SIZE, radiograph

VECTORS = json.loads(FILE.read_text())
CLOSE = 1e-3  # on the scale of -1024 to 1024


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: "x".join(map(str, v["shape"])))
def test_equals_the_crop_and_resize_of_torchxrayvision(vector: dict[str, Any]) -> None:
    values = radiograph(tuple(vector["shape"]), bright=vector["bright"]).astype(np.float32)

    resized = resize(center_crop((2 * (values / 4095) - 1) * 1024), SIZE)

    expected = np.reshape(np.array(vector["values"]), (len(POINTS), len(POINTS)))
    np.testing.assert_allclose(resized[np.ix_(POINTS, POINTS)], expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (201, 300), (300, 201), (3, 3)])
def test_the_crop_is_the_square_in_the_middle(shape: tuple[int, int]) -> None:
    values = np.arange(shape[0] * shape[1]).reshape(shape)
    side = min(shape)
    top, left = shape[0] // 2 - side // 2, shape[1] // 2 - side // 2

    assert np.array_equal(center_crop(values), values[top : top + side, left : left + side])


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = radiograph((SIZE, SIZE)).astype(np.float32)

    assert np.array_equal(resize(image, SIZE), image)
