"""PALETTE COLOR: the three tables of the dataset as one table of RGB (PS3.3 C.7.6.3.1.5, C.7.9.2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from ponte.display import TABLE_BITS, Stored
from ponte.errors import InvalidAttribute
from ponte.quiet import BROKEN_INPUT


def palette_of(dataset: Dataset, stored: Stored) -> npt.NDArray[np.uint8]:
    """A table of shape (2^bits, 3) from bit patterns to RGB; segmented palettes are expanded.

    Raises `InvalidAttribute` where the palette is absent or broken.
    """
    if stored.bits > TABLE_BITS:
        raise InvalidAttribute(f"Bits Stored (0028,0101) is {stored.bits}; expected at most {TABLE_BITS}")
    numbers = stored.values(np.arange(1 << stored.bits))
    try:
        colours = apply_color_lut(numbers, dataset)
    except BROKEN_INPUT as error:
        raise InvalidAttribute("The palette is absent or cannot be read") from error
    wide = colours.dtype.itemsize > 1 and colours.max() > 0xFF
    return (colours >> 8 if wide else colours).astype(np.uint8)[..., :3]
