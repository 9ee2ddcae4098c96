"""A radiograph's stored values, and the range in which the model is to see them.

TorchXRayVision divides by the largest value that Bits Stored allows, and refuses an image that has a larger
one. Real files break that in both directions, so here the pixels are believed more than the header: what was
corrected is said in `Reading`, and an image that needs nothing is read exactly as there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from classify.resizing import FloatImage, center_crop, resize
from ponte import attributes
from ponte.codecs import HALVING, IMAGE_CODECS
from ponte.colourspace import has_signed_samples
from ponte.description import PixelDescription
from ponte.errors import InvalidAttribute, NotAnImage
from ponte.overlays import overlays_of
from ponte.pixels import PixelReader, unsigned
from ponte.quiet import quiet

SCALE: Final = 1024.0
"""The model sees -1024 (black) to 1024 (white)."""

_EMPTY_SHARE: Final = 8  # a picture of less than this part of its range is not what the range was made for
_PERCENTILES: Final = (0.5, 99.5)
_WIDTHS: Final = (0.25, 4.0)  # a window that fits has between these times the width of what is there
_MOST_BITS: Final = 16

RangeKind = Literal["stored", "window", "percentiles"]
Integers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """How an image was read. `low` and `high` are the stored values that became black and white.

    `bits_stored_corrected` is set where pixels exceed what the header declares. `range` is `stored` for all
    that these bits allow, `window` or `percentiles` where the picture fills next to nothing of it: a choice
    of ours, which TorchXRayVision does not make.
    """

    rows: int
    columns: int
    bits_stored: int
    bits_stored_corrected: int | None
    signed: bool
    range: RangeKind
    low: float
    high: float
    inverted: bool
    overlay_bits_masked: bool = False
    padding_removed: bool = False

    @property
    def corrected(self) -> bool:
        """True where the header alone would have led to another picture, or to none."""
        return self.bits_stored_corrected is not None or self.range != "stored" or self.padding_removed

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Radiograph:
    """`values` has shape (rows, columns): integers as they are stored, signed where the image is."""

    values: Integers = field(repr=False)
    reading: Reading

    def model_input(self, size: int) -> FloatImage:
        """The square in the middle, (size, size), on the scale of -1024 to 1024.

        Raises `InvalidAttribute` where the square is of one value.
        """
        square = center_crop(self.values)
        if square.min() == square.max():
            raise _flat()
        r = self.reading
        middle, half = (r.low + r.high) / 2, (r.high - r.low) / 2
        image = np.subtract(square, middle, dtype=np.float32)
        if r.range != "stored" or r.padding_removed:
            np.clip(image, -half, half, out=image)
        image *= (-SCALE if r.inverted else SCALE) / half
        return resize(image, size)


def read_radiograph(dataset: Dataset) -> Radiograph:
    """Read the only frame. The dataset is as `ponte.instance.open_instance` gives it.

    Raises `NotAnImage` for colour, bits and floats, `InvalidAttribute` for several frames or one value
    throughout, and what `PixelReader.frame` raises.
    """
    d = _description(dataset)
    reader = PixelReader(dataset, d)
    if d.transfer_syntax_uid in HALVING and not d.signed:
        d = replace(d, signed=has_signed_samples(reader.code_stream(0)))
    values, bits, masked = _numbers(reader.frame(0).values, dataset, d)
    values, padded = _without_padding(values, bits, dataset, d)
    low, high = int(values.min()), int(values.max())
    if low == high:
        raise _flat()
    needed = _bits_for(low, high, signed=d.signed)
    widened = max(needed, bits)
    kind, black, white = _range(values, widened, dataset, d, span=high - low)
    return Radiograph(
        values,
        Reading(
            rows=d.rows,
            columns=d.columns,
            bits_stored=d.bits_stored,
            bits_stored_corrected=widened if widened != d.bits_stored else None,
            signed=d.signed,
            range=kind,
            low=black,
            high=white,
            inverted=_inverted(dataset, d),
            overlay_bits_masked=masked,
            padding_removed=padded,
        ),
    )


def _description(dataset: Dataset) -> PixelDescription:
    d = PixelDescription.from_dataset(dataset, "PixelData") if "PixelData" in dataset else None
    if d is None or d.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise NotAnImage("The instance has no gray pixels of whole numbers; a radiograph has")
    if d.bits_allocated not in (8, _MOST_BITS):
        raise InvalidAttribute(f"Bits Allocated (0028,0100) is {d.bits_allocated}; expected 8 or 16")
    if d.frames != 1:
        raise InvalidAttribute(f"Number of Frames (0028,0008) is {d.frames}; expected 1")
    return d


def _numbers(containers: Integers, dataset: Dataset, d: PixelDescription) -> tuple[Integers, int, bool]:
    """The stored values, the bits that they are to be understood by, and whether overlays were masked.

    Bits above the stored ones are kept: they may be values. They are cut off only where the dataset says
    that an overlay is in them (PS3.3 C.9.2, retired in 2004).
    """
    shift = 0 if d.transfer_syntax_uid in IMAGE_CODECS else d.high_bit + 1 - d.bits_stored
    with quiet():
        embedded = [overlay.bit for overlay in overlays_of(dataset, d) if not overlay.data]
    patterns = unsigned(containers)
    if embedded:
        wanted = ((1 << d.bits_stored) - 1) << shift
        patterns = patterns & patterns.dtype.type(wanted & ((1 << patterns.dtype.itemsize * 8) - 1))
    if shift:
        patterns = patterns >> shift
    return (_signed(patterns, d.bits_stored) if d.signed else patterns), d.bits_stored, bool(embedded)


def _signed(patterns: Integers, bits: int) -> Integers:
    """Two's complement: of the stored bits where nothing stands above them, else of the whole container."""
    container = patterns.dtype.itemsize * 8
    if bits < container and int(patterns.max()) < 1 << bits:
        gap = container - bits
        return (patterns << gap).view(f"i{patterns.dtype.itemsize}") >> gap
    return patterns.view(f"i{patterns.dtype.itemsize}")


def _without_padding(
    values: Integers, bits: int, dataset: Dataset, d: PixelDescription
) -> tuple[Integers, bool]:
    """Padding that no stored value can be is the background, not a reason to doubt Bits Stored.

    Padding within the range is left as it is, as TorchXRayVision does (PS3.3 C.7.5.1.1.2).
    """
    least, most = _limits(bits, signed=d.signed)
    with quiet():
        padding = attributes.to_int(attributes.first(dataset, "PixelPaddingValue"))
    if padding is None or least <= padding <= most:
        return values, False
    bytes_ = values.dtype.itemsize * 8
    stored = padding % (1 << bytes_)
    if d.signed and stored >= 1 << (bytes_ - 1):
        stored -= 1 << bytes_
    if least <= stored <= most:
        return values, False
    padded = values == stored
    if not padded.any() or padded.all():
        return values, False
    kept = values[~padded]
    background = kept.max() if _inverted(dataset, d) else kept.min()
    return np.where(padded, background, values), True


def _limits(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def _bits_for(low: int, high: int, *, signed: bool) -> int:
    """The fewest bits that hold both."""
    if not signed:
        return high.bit_length()
    return max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0) + 1


def _range(
    values: Integers, bits: int, dataset: Dataset, d: PixelDescription, *, span: int
) -> tuple[RangeKind, float, float]:
    """What becomes black and white before any inversion."""
    least, most = _limits(bits, signed=d.signed)
    if span >= (most - least) / _EMPTY_SHARE:
        return "stored", float(least), float(most)
    middle = float(np.median(values))
    window = _window(dataset)
    if window and window[0] < middle < window[1]:
        share = (window[1] - window[0]) / span
        if _WIDTHS[0] <= share <= _WIDTHS[1]:
            return "window", *window
    low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
    if low == high:
        low, high = float(values.min()), float(values.max())
    return "percentiles", low, high


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The first window, as stored values; None where it, or the rescale before it, cannot be used."""
    with quiet():
        centre, width = (
            attributes.to_float(attributes.first(dataset, name)) for name in ("WindowCenter", "WindowWidth")
        )
        slope, intercept = _rescale(dataset)
    if centre is None or width is None or width < 1 or not slope:
        return None
    edges = sorted((value - intercept) / slope for value in (centre - width / 2, centre + width / 2))
    return edges[0], edges[1]


def _rescale(dataset: Dataset) -> tuple[float, float]:
    slope, intercept = (
        attributes.to_float(attributes.first(dataset, name)) for name in ("RescaleSlope", "RescaleIntercept")
    )
    return (1.0 if slope is None else slope), intercept or 0.0


def _inverted(dataset: Dataset, d: PixelDescription) -> bool:
    """A slope below 0 turns the picture round; MONOCHROME1 turns it round after that (PS3.3 C.7.6.3.1.2)."""
    with quiet():
        slope, _ = _rescale(dataset)
    return (slope < 0) != (d.photometric == "MONOCHROME1")


def _flat() -> InvalidAttribute:
    return InvalidAttribute("Every pixel of the image has one value", code="FLAT")
