"""A picture becomes what a page of the PDF holds: a compressed image."""

from __future__ import annotations

import imagecodecs
import numpy as np
import numpy.typing as npt

from ponte.image import Picture
from render.pdf import PageImage

JPEG_QUALITY = 90
_UP = 2  # PNG filter type "up": each row as its difference to the one above


def encode_page_image(picture: Picture, lossless: bool) -> PageImage:
    """Compress the pixels, (rows, columns) gray or (rows, columns, 3) RGB, for a page.

    JPEG at quality 90 without chroma subsampling: half the colour resolution would blur the coloured lines
    and letters of an ultrasound or of a fused image, and costs less than a third of the bytes to keep.
    Lossless is Flate over PNG's up-predictor (PDF 32000-1, 7.4.4.4).
    """
    rows, columns = picture.pixels.shape[:2]
    colors = 1 if picture.pixels.ndim == 2 else 3
    if not lossless:
        data = imagecodecs.jpeg8_encode(picture.pixels, level=JPEG_QUALITY, subsampling="444")
        return PageImage(columns, rows, color_space(colors), "DCTDecode", bytes(data))
    parameters = f"/DecodeParms << /Predictor 15 /Colors {colors} /BitsPerComponent 8 /Columns {columns} >>"
    return PageImage(columns, rows, color_space(colors), "FlateDecode", _flate(picture.pixels), parameters)


def color_space(samples: int) -> str:
    """The device colour space of a picture with so many samples a pixel (PDF 32000-1, 8.6.4)."""
    return "DeviceGray" if samples == 1 else "DeviceRGB"


def _flate(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Every row as its difference to the row above, after the byte that says so, deflated.

    By ISA-L's level 1: 0.28 to 0.43 of the time of zlib's, and 0.8 to 2.3 of a JPEG's, by the image. Its
    level 0 is a little faster and takes up to half as many bytes again.
    """
    lines = pixels.reshape(len(pixels), -1)
    filtered = np.empty((lines.shape[0], lines.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = lines[0]
    np.subtract(lines[1:], lines[:-1], out=filtered[1:, 1:])
    return bytes(imagecodecs.isal_encode(filtered, level=1))
