"""The one way from a radiograph to the model's square, in numpy alone.

TorchXRayVision's documented path is `XRayCenterCrop`, then `XRayResizer(224)`: scikit-image's `resize` of
order 1 with an anti-aliasing Gaussian and mode `constant`, by which the border is drawn towards 0. Both steps
are linear and separable, so that they are two products with banded matrices.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, floor
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]

_TRUNCATE: Final = 4.0  # standard deviations at which scipy ends a Gaussian


class _Band(NamedTuple):
    """What one pixel of the answer is made of: `weights` of the pixels from `start` on."""

    start: int
    weights: FloatImage


def center_crop(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The square in the middle, as TorchXRayVision cuts it: a view."""
    rows, columns = values.shape[:2]
    side = min(rows, columns)
    top, left = rows // 2 - side // 2, columns // 2 - side // 2
    return values[top : top + side, left : left + side]


def resize(image: FloatImage, size: int) -> FloatImage:
    """(rows, columns) to (size, size), equal to scikit-image's `resize` to the rounding of floats.

    As there, nothing leaves the range of the input.
    """
    rows, columns = image.shape
    gathered = np.empty((size, columns), np.float32)
    for index, (start, weights) in enumerate(_bands(rows, size)):
        gathered[index] = weights @ image[start : start + len(weights)]
    resized = np.empty((size, size), np.float32)
    for index, (start, weights) in enumerate(_bands(columns, size)):
        resized[:, index] = gathered[:, start : start + len(weights)] @ weights
    return _within(resized, float(image.min()), float(image.max()))


def _within(resized: FloatImage, low: float, high: float) -> FloatImage:
    """Clipped to the input's range, which 0 widens only where the border came as far as that."""
    if not low <= 0 <= high and resized.min() <= 0 <= resized.max():
        low, high = min(low, 0.0), max(high, 0.0)
    return resized.clip(low, high)


@lru_cache(maxsize=64)
def _bands(length: int, size: int) -> tuple[_Band, ...]:
    factor = length / size
    kernel = _gaussian(max(0.0, (factor - 1) / 2))
    return tuple(_band((index + 0.5) * factor - 0.5, length, kernel) for index in range(size))


def _gaussian(sigma: float) -> npt.NDArray[np.float64]:
    radius = int(_TRUNCATE * sigma + 0.5)
    if not radius:
        return np.ones(1)
    values = [exp(-0.5 * (x / sigma) ** 2) for x in range(-radius, radius + 1)]
    return np.array(values) / sum(values)


def _band(position: float, length: int, kernel: npt.NDArray[np.float64]) -> _Band:
    """Between the two pixels next to `position`, each of them smoothed; there is nothing beyond the edges."""
    first, radius = floor(position), len(kernel) // 2
    weights = np.zeros(len(kernel) + 1)
    if first >= 0:
        weights[:-1] += (1 - (position - first)) * kernel
    if first + 1 < length:
        weights[1:] += (position - first) * kernel
    start = first - radius
    inside = slice(max(0, -start), min(len(weights), length - start))
    return _Band(max(0, start), weights[inside].astype(np.float32))
