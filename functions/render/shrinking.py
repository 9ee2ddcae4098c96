"""An image made smaller, to fit into so many bytes: fewer pixels first, lower quality second."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from render.page_image import JPEG_QUALITY
from render.pdf import PageImage

_STEP: Final = 0.84  # of width and height: a third fewer pixels each time
_ENOUGH: Final = 320  # pixels of the longer side below which quality goes before more of them do
_LEAST: Final = 48
_QUALITIES: Final = (75, 60, 45, 30)

Pixels = npt.NDArray[np.uint8]


def shrunk(image: PageImage, room: int) -> PageImage:
    """The JPEG `image` in at most `room` bytes, or as small as it gets; itself where it fits."""
    if len(image.data) <= room:
        return image
    pixels = _decoded(image)
    smallest = image
    for scale, quality in _attempts(image, room):
        smallest = _encoded(image, pixels, scale, quality)
        if len(smallest.data) <= room:
            break
    return smallest


def _attempts(image: PageImage, room: int) -> Iterator[tuple[float, int]]:
    """Scales and qualities in turn. Bytes go with the pixels: the first is near what is needed."""
    longer = max(image.columns, image.rows)
    first = math.sqrt(room / len(image.data)) / _STEP
    scale = min(1.0, max(first, _ENOUGH / longer))
    while scale * longer > _ENOUGH:
        yield scale, JPEG_QUALITY
        scale *= _STEP
    scale = min(1.0, _ENOUGH / longer)
    yield from ((scale, quality) for quality in (JPEG_QUALITY, *_QUALITIES))
    while scale * longer > _LEAST:
        scale *= _STEP
        yield scale, _QUALITIES[-1]


def _decoded(image: PageImage) -> Pixels:
    if image.color_space == "DeviceGray":
        return imagecodecs.jpeg8_decode(image.data)
    return imagecodecs.jpeg8_decode(image.data, outcolorspace="RGB")


def _encoded(image: PageImage, pixels: Pixels, scale: float, quality: int) -> PageImage:
    columns, rows = (max(1, round(side * scale)) for side in (image.columns, image.rows))
    smaller = PillowImage.fromarray(pixels).resize((columns, rows), PillowImage.Resampling.LANCZOS)
    data: Any = imagecodecs.jpeg8_encode(np.asarray(smaller), level=quality, subsampling="444")
    return replace(image, columns=columns, rows=rows, data=bytes(data), parameters="")
