"""Stored values to gray levels: modality LUT, VOI LUT or window, inversion last (PS3.3 C.11, PS3.4 N.2).

Pure functions. For stored values of up to 16 bits the whole chain is one table, made once for many frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[Any]
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

WHITE: Final = 255
TABLE_BITS: Final = 16
"""Wider stored values are computed pixel by pixel."""

_INT64 = 64
_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.5
_LEVELS = 16  # an image of fewer different values is a drawing: its lowest is no padding
_SAMPLE = 1 << 20  # values that percentiles of a wide image are taken from


@dataclass(frozen=True, slots=True)
class Window:
    """A VOI window, in modality units. Window Width of LINEAR is at least 1, of the others above 0."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"

    @property
    def is_degenerate(self) -> bool:
        return self.width < 1 if self.function == "LINEAR" else self.width <= 0


@dataclass(frozen=True, slots=True)
class Rescale:
    """Rescale Slope and Intercept (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True)
class Lut:
    """A Modality or VOI LUT (PS3.3 C.11.1.1.1, C.11.2.1.1): `data` holds 16-bit little endian entries."""

    first_mapped: int
    bits: int
    data: bytes

    def entries(self) -> npt.NDArray[np.uint16]:
        return np.frombuffer(self.data, "<u2")

    @property
    def full_scale(self) -> int:
        """The largest output there can be; entries wider than declared count."""
        return max((1 << self.bits) - 1, int(self.entries().max()))


Modality = Rescale | Lut
Voi = Window | Lut


@dataclass(frozen=True, slots=True)
class Stored:
    """How stored values are to be read: `bits` of them count, two's complement where `signed`."""

    bits: int
    signed: bool

    def values(self, patterns: Integers) -> npt.NDArray[np.int64]:
        """Bit patterns to numbers (PS3.5 8.1.1)."""
        numbers = patterns.astype(np.int64)
        if self.signed and self.bits < _INT64:
            numbers[numbers >= 1 << (self.bits - 1)] -= 1 << self.bits
        return numbers


@dataclass(frozen=True, slots=True)
class Chain:
    """The grayscale chain of one frame. `padding` is a range of stored values, shown black.

    `presentation` is a Presentation LUT over all that the VOI gives (PS3.3 C.11.6.1).
    """

    stored: Stored
    modality: Modality
    voi: Voi
    padding: tuple[float, float] | None
    inverted: bool
    presentation: Lut | None = None


def apply_modality(stored: npt.NDArray[Any], modality: Modality) -> Floats:
    """Stored values to modality units: HU for CT. PS3.3 C.11.1."""
    if isinstance(modality, Rescale):
        return np.asarray(stored, np.float64) * modality.slope + modality.intercept
    return _look_up(stored, modality).astype(np.float64)


def apply_voi(values: Floats, voi: Voi) -> Floats:
    """Modality values to [0, 1]. PS3.3 C.11.2."""
    if isinstance(voi, Lut):
        return _look_up(np.rint(values), voi) / float(voi.full_scale)
    return apply_window(values, voi)


def apply_window(values: Floats, window: Window) -> Floats:
    """Modality values to [0, 1] by the window's function.

    The window is not degenerate. PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2
    (LINEAR_EXACT).
    """
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - center) / width, -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))
    if window.function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def render_values(stored: npt.NDArray[Any], chain: Chain) -> Gray:
    """Numbers to gray levels, pixel by pixel: wide integers and floats. Same shape."""
    with np.errstate(all="ignore"):  # NaN and infinity are values that float pixel data may hold
        shown = apply_voi(apply_modality(stored, chain.modality), chain.voi)
    shown = np.where(np.isfinite(shown), shown, 0.0)
    if chain.presentation is not None:
        entries = chain.presentation.entries()
        shown = entries[np.rint(shown * (len(entries) - 1)).astype(np.int64)] / chain.presentation.full_scale
    if chain.inverted:
        shown = 1.0 - shown
    gray = np.floor(shown * WHITE + 0.5).astype(np.uint8)
    if chain.padding is not None:
        gray[is_padding(stored, chain.padding)] = 0
    return gray


@lru_cache(maxsize=64)
def gray_table(chain: Chain) -> Gray:
    """A table of 2^bits entries from bit patterns to gray levels; read only."""
    patterns = np.arange(1 << chain.stored.bits)
    table = render_values(chain.stored.values(patterns), chain)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=64)
def container_table(chain: Chain, container_bits: int, shift: int) -> Gray:
    """As `gray_table`, from whole containers: whatever stands in the unused bits, the answer is the same.

    `shift` is the number of unused bits below the stored ones (PS3.5 8.1.1).
    """
    repeats = 1 << (container_bits - chain.stored.bits - shift)
    table = np.tile(np.repeat(gray_table(chain), 1 << shift), repeats)
    table.setflags(write=False)
    return table


def is_padding(stored: npt.NDArray[Any], padding: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """True for values within the padding range, ends included (PS3.3 C.7.5.1.1.2)."""
    low, high = padding
    return np.asarray((stored >= low) & (stored <= high))


def window_from_table(patterns: Integers, chain_less_voi: Chain) -> Window:
    """A window from the data of a narrow image, by its histogram: exact, whatever the size.

    One value far below all others is padding that the header does not speak of, as around a CT.
    """
    chain = chain_less_voi
    counts = np.bincount(patterns.ravel(), minlength=1 << chain.stored.bits)
    stored = chain.stored.values(np.arange(len(counts)))
    if chain.padding is not None and counts[~is_padding(stored, chain.padding)].any():
        counts[is_padding(stored, chain.padding)] = 0
    values = apply_modality(stored, chain.modality)
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    low, high = _percentiles(values, counts)
    present = values[counts > 0]
    if len(present) > _LEVELS and present[1] - present[0] > (high - present[1]) / 2:
        counts[values == present[0]] = 0
        low, high = _percentiles(values, counts)
    return _between(low, high, float(present[0]), float(present[-1]))


def _percentiles(values: Floats, counts: Integers) -> tuple[float, float]:
    """What the middle of the data spans; `values` are sorted."""
    share = np.cumsum(counts) * (100.0 / counts.sum())
    low, high = (float(values[np.searchsorted(share, percent)]) for percent in (_LOW_PERCENT, _HIGH_PERCENT))
    return low, high


def window_from_values(stored: npt.NDArray[Any], chain_less_voi: Chain) -> Window:
    """A window from the data of a wide image: integers of 32 bits, floats."""
    values = stored.ravel()[:: max(1, stored.size // _SAMPLE)]
    kept = values[np.isfinite(values)]
    if chain_less_voi.padding is not None:
        outside = kept[~is_padding(kept, chain_less_voi.padding)]
        kept = outside if outside.size else kept
    if not kept.size:
        return Window(0.0, 1.0, "LINEAR_EXACT")
    with np.errstate(all="ignore"):
        values = apply_modality(kept, chain_less_voi.modality)
    low, high = np.percentile(values, (_LOW_PERCENT, _HIGH_PERCENT))
    return _between(float(low), float(high), float(values.min()), float(values.max()))


def spanning(windows: Sequence[Window]) -> Window:
    """The window from the lowest black to the highest white of some."""
    low = min(window.center - window.width / 2 for window in windows)
    high = max(window.center + window.width / 2 for window in windows)
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")


def full_window(stored: Stored, modality: Modality) -> Window:
    """The window that shows all that can be stored, black to white: identity for 8 unsigned bits."""
    values = apply_modality(stored.values(np.array([0, (1 << stored.bits) - 1])), Rescale())
    if stored.signed:
        values = np.array([-(1 << (stored.bits - 1)), (1 << (stored.bits - 1)) - 1], np.float64)
    if isinstance(modality, Lut):
        low, high = 0.0, float(modality.full_scale)
    else:
        low, high = sorted(float(value) for value in apply_modality(values, modality))
    return Window((low + high) / 2, (high - low) or 1.0, "LINEAR_EXACT")


def _between(low: float, high: float, least: float, most: float) -> Window:
    """Low to black, high to white; a flat image is shown mid-gray."""
    if high <= low:
        low, high = least, most
    if high <= low:
        return Window(low, 1.0, "LINEAR_EXACT")
    return Window((low + high) / 2, high - low, "LINEAR_EXACT")


def _look_up(values: npt.NDArray[Any], lut: Lut) -> npt.NDArray[np.uint16]:
    """Values before the first entry take the first, values after the last the last."""
    entries: npt.NDArray[np.uint16] = lut.entries()
    indices = np.clip(np.asarray(values, np.float64) - lut.first_mapped, 0, len(entries) - 1)
    shown: npt.NDArray[np.uint16] = entries[indices.astype(np.int64)]
    return shown
