"""A chest that nobody has: CT slices drawn from ellipses, in Hounsfield units."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

SIZE = 512
SLICES = 60
PIXEL_MM = 0.75
SLICE_MM = 5.0
SEED = 20_260_101
AIR, LUNG, FAT, MUSCLE, BLOOD, LIVER, SPONGY, BONE = -1000, -840, -95, 45, 80, 110, 400, 650
NOISE_HU = 14.0
EDGE_MM = (SIZE - 1) / 2 * PIXEL_MM
RIBS = 11

Slice = npt.NDArray[np.float32]


class Canvas:
    """One slice in HU. Places are in mm from the middle: x to the patient's left, y to the back."""

    def __init__(self) -> None:
        self.values: Slice = np.full((SIZE, SIZE), AIR, np.float32)

    def fill(
        self,
        place: tuple[float, float],
        half_axes: tuple[float, float],
        hu: float,
        *,
        angle: float = 0.0,
        over: float | None = None,
    ) -> None:
        """Fill an ellipse, turned by `angle` radians; with `over`, only where the slice has that value."""
        (x, y), (width, height) = place, half_axes
        if min(half_axes) <= 0:
            return
        reach = max(half_axes)
        rows, columns = _span(y, reach), _span(x, reach)
        dx = _positions(columns)[np.newaxis, :] - x
        dy = _positions(rows)[:, np.newaxis] - y
        across = (dx * math.cos(angle) + dy * math.sin(angle)) / width
        along = (dy * math.cos(angle) - dx * math.sin(angle)) / height
        inside = across**2 + along**2 <= 1
        window = self.values[rows, columns]
        if over is not None:
            inside &= window == over
        window[inside] = hu


def _span(middle: float, reach: float) -> slice:
    """The rows or columns that can be within `reach` of `middle`."""
    first = math.floor((middle - reach + EDGE_MM) / PIXEL_MM)
    last = math.ceil((middle + reach + EDGE_MM) / PIXEL_MM)
    return slice(max(first, 0), min(last + 1, SIZE))


def _positions(span: slice) -> npt.NDArray[np.float64]:
    return np.arange(span.start, span.stop) * PIXEL_MM - EDGE_MM


def _dome(level: float, start: float, end: float) -> float:
    """How much of an organ's width is left at this level: an ellipsoid from `start` to `end` of the stack."""
    middle, half = (start + end) / 2, (end - start) / 2
    return math.sqrt(max(0.0, 1 - ((level - middle) / half) ** 2))


def slice_hu(index: int) -> Slice:
    """Slice `index` (0 the lowest), shape (512, 512), in HU, without noise."""
    canvas, level = Canvas(), index / (SLICES - 1)
    _draw_wall(canvas, level)
    _draw_lungs(canvas, level)
    _draw_abdomen(canvas, level)
    _draw_heart_and_vessels(canvas, level)
    _draw_bones(canvas, level)
    _draw_table(canvas)
    return canvas.values


def _draw_wall(canvas: Canvas, level: float) -> None:
    taper = 1 - 0.1 * level
    canvas.fill((0, 0), (165 * taper, 115), FAT)
    canvas.fill((0, 1), (152 * taper, 103), MUSCLE)
    canvas.fill((0, 2), (134 * taper, 90), FAT)


def _draw_lungs(canvas: Canvas, level: float) -> None:
    scale = _dome(level, 0.08, 1.12)
    for side in (-1, 1):
        canvas.fill((side * 66, 4), (52 * scale, 78 * scale), LUNG, angle=side * 0.12)
        for branch in range(14):
            angle = 0.7 * branch + 2.3 * level
            reach = (8 + 3.4 * branch) * scale
            place = (side * 58 + reach * math.cos(angle), 4 + 1.3 * reach * math.sin(angle))
            canvas.fill(place, (3.2 - 0.12 * branch, 2.2 - 0.08 * branch), MUSCLE, angle=angle, over=LUNG)


def _draw_abdomen(canvas: Canvas, level: float) -> None:
    liver = _dome(level, -0.5, 0.34)
    canvas.fill((-56, -6), (68 * liver, 74 * liver), LIVER, angle=0.25)
    spleen = _dome(level, -0.3, 0.26)
    canvas.fill((88, 34), (28 * spleen, 40 * spleen), LIVER - 5, angle=-0.4)
    canvas.fill((48, -40), (38 * spleen, 26 * spleen), MUSCLE - 10)
    canvas.fill((46, -52), (20 * spleen, 9 * spleen), AIR)


def _draw_heart_and_vessels(canvas: Canvas, level: float) -> None:
    canvas.fill((0, -12), (24, 40), FAT, over=LUNG)
    heart = _dome(level, 0.14, 0.62)
    canvas.fill((20, -26), (58 * heart, 46 * heart), MUSCLE, angle=0.5)
    canvas.fill((30, -24), (30 * heart, 24 * heart), BLOOD, angle=0.5)
    canvas.fill((16, 46), (12, 12), BLOOD)  # descending aorta
    if level > 0.55:
        canvas.fill((-10, -18), (15, 14), BLOOD)  # ascending aorta
        canvas.fill((0, 12), (9, 8), AIR)  # trachea


def _draw_bones(canvas: Canvas, level: float) -> None:
    canvas.fill((0, 66), (21, 17), BONE)  # vertebra, its canal and its process
    canvas.fill((0, 66), (18, 14), SPONGY)
    canvas.fill((0, 88), (14, 13), BONE)
    canvas.fill((0, 88), (9, 8), MUSCLE - 20)
    canvas.fill((0, 104), (4, 11), BONE)
    canvas.fill((0, -94), (18, 5), SPONGY)  # sternum
    width = 141 * (1 - 0.1 * level)
    for rib in range(RIBS):
        turn = math.tau * (rib + 0.5 + 1.6 * level) / RIBS
        place = (width * math.cos(turn), 95 * math.sin(turn) + 2)
        if abs(place[0]) > 24:
            along = math.atan2(95 * math.cos(turn), -width * math.sin(turn))
            canvas.fill(place, (10, 4.5), BONE, angle=along)
            canvas.fill(place, (7, 2.5), SPONGY, angle=along)


def _draw_table(canvas: Canvas) -> None:
    canvas.fill((0, 134), (180, 14), 120, over=AIR)
    canvas.fill((0, 131), (178, 12), AIR, over=120)


def slices() -> npt.NDArray[np.uint16]:
    """All slices as stored values, shape (60, 512, 512), HU + 1024; the same at every call."""
    noise = np.random.default_rng(SEED)
    stored = np.empty((SLICES, SIZE, SIZE), np.uint16)
    for index in range(SLICES):
        values = _soften(slice_hu(index))
        values += noise.standard_normal(values.shape, dtype=np.float32) * np.float32(NOISE_HU)
        stored[index] = np.clip(np.rint(values) + 1024, 0, 4095)
    return stored


def _soften(values: Slice) -> Slice:
    """Blur edges over three pixels in each direction, as a scanner's kernel does."""
    for axis in (0, 1):
        values = (np.roll(values, 1, axis) + 2 * values + np.roll(values, -1, axis)) / np.float32(4)
    return values
