"""An image as a presentation state shows it: its values, its shutter, its area, its turn (PS3.4 N.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from ponte.display import WHITE, Chain, full_window
from ponte.geometry import FrameGeometry
from ponte.image import Image, Picture
from ponte.presentation import PresentationState, Shutter

_APPLIED: Final = "presentation state applied"
_NOT_DRAWN: Final = "its annotations are not drawn"

Pixels = npt.NDArray[np.uint8]
Grid = npt.NDArray[np.int64]
ChainOf = Callable[[Chain], Chain]


@dataclass(frozen=True)
class PresentedImage:
    """One image through one state. The displayed area is that of its first frame, for all of them."""

    image: Image
    state: PresentationState
    sop_instance_uid: str

    @property
    def frame_count(self) -> int:
        return self.image.frame_count

    @property
    def columns(self) -> int:
        return self._size[0]

    @property
    def rows(self) -> int:
        return self._size[1]

    def covers(self, frame_index: int) -> bool:
        """True where the state is for this frame."""
        return self.state.covers(self.sop_instance_uid, frame_index + 1)

    def slice_position_mm(self, frame_index: int) -> float | None:
        return self.image.slice_position_mm(frame_index)

    def geometry(self, frame_index: int) -> FrameGeometry:
        """As of the image, turned and flipped with it."""
        found = self.image.geometry(frame_index)
        edges = list(found.edges)
        for _ in range(self.state.rotation // 90):
            edges = [edges[3], *edges[:3]]  # clockwise: what was below is now at the left
        if self.state.flipped:
            edges[0], edges[2] = edges[2], edges[0]
        left, top, right, bottom = edges
        found = replace(found, edges=(left, top, right, bottom))
        if self.state.rotation % 180 == 0:
            return found
        spacing = None if found.spacing_mm is None else found.spacing_mm * found.pixel_aspect
        return replace(found, spacing_mm=spacing, pixel_aspect=1 / found.pixel_aspect)

    def picture(self, frame_index: int) -> Picture:
        """Frame `frame_index`, from 0. Raises as `Image.picture`."""
        gray = self.image.samples == 1 and self.image.photometric != "PALETTE COLOR"
        shown = self.image.shown_by(frame_index, self._chain(frame_index)) if gray else None
        picture = shown or self.image.picture(frame_index)
        pixels = self._turned(self._cropped(self._shuttered(picture.pixels)))
        return Picture(np.ascontiguousarray(pixels), picture.window, (*picture.notes, *self._notes()))

    def _chain(self, frame_index: int) -> ChainOf:
        state, uid = self.state, self.sop_instance_uid

        def change(chain: Chain) -> Chain:
            modality = state.modality_for(signed=chain.stored.signed)
            voi = state.voi_for(uid, frame_index + 1, signed=chain.stored.signed)
            found = voi or full_window(chain.stored, modality)
            presentation = state.presentation_lut
            return replace(
                chain, modality=modality, voi=found, inverted=state.inverted, presentation=presentation
            )

        return change

    def _notes(self) -> tuple[str, ...]:
        state = self.state
        drawn = (_NOT_DRAWN,) if state.annotations or state.left else ()
        return (_APPLIED, *drawn)

    @cached_property
    def _area(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom within the image, from 0, the last two beyond the area."""
        whole = (0, 0, self.image.columns, self.image.rows)
        area = self.state.area_for(self.sop_instance_uid, 1)
        if area is None:
            return whole
        columns = sorted((area.top_left[0], area.bottom_right[0]))
        rows = sorted((area.top_left[1], area.bottom_right[1]))
        left, top = max(columns[0] - 1, 0), max(rows[0] - 1, 0)
        right, bottom = min(columns[1], self.image.columns), min(rows[1], self.image.rows)
        return (left, top, right, bottom) if left < right and top < bottom else whole

    @property
    def _size(self) -> tuple[int, int]:
        left, top, right, bottom = self._area
        columns, rows = right - left, bottom - top
        return (rows, columns) if self.state.rotation % 180 else (columns, rows)

    def _shuttered(self, pixels: Pixels) -> Pixels:
        shutter = self.state.shutter
        if shutter is None:
            return pixels
        shown = np.full_like(pixels, round(shutter.gray * WHITE))
        seen = _seen(shutter, *pixels.shape[:2])
        shown[seen] = pixels[seen]
        return shown

    def _cropped(self, pixels: Pixels) -> Pixels:
        left, top, right, bottom = self._area
        return pixels[top:bottom, left:right]

    def _turned(self, pixels: Pixels) -> Pixels:
        turned = np.rot90(pixels, -(self.state.rotation // 90))
        return turned[:, ::-1] if self.state.flipped else turned


def _seen(shutter: Shutter, rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """True for pixels that every shape of the shutter holds (PS3.3 C.7.6.11)."""
    row, column = np.mgrid[1 : rows + 1, 1 : columns + 1]
    seen = np.ones((rows, columns), bool)
    if shutter.rectangle is not None:
        left, top, right, bottom = shutter.rectangle
        seen &= (column >= left) & (column <= right) & (row >= top) & (row <= bottom)
    if shutter.circle is not None:
        x, y, radius = shutter.circle
        seen &= (column - x) ** 2 + (row - y) ** 2 <= radius**2
    if len(shutter.polygon) > 2:
        seen &= _within(shutter, column, row)
    return seen


def _within(shutter: Shutter, column: Grid, row: Grid) -> npt.NDArray[np.bool_]:
    """Even-odd rule: an odd number of the polygon's edges to the right."""
    inside = np.zeros(column.shape, bool)
    corners = shutter.polygon
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if y1 == y2:
            continue
        crossing = (row > min(y1, y2)) & (row <= max(y1, y2))
        inside ^= crossing & (column <= (x2 - x1) * (row - y1) / (y2 - y1) + x1)
    return inside
