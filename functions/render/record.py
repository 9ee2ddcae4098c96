"""What is kept of everything that gets onto a page, until all of it is known."""

from __future__ import annotations

from dataclasses import dataclass

from ponte.display import Window
from ponte.geometry import UNKNOWN, FrameGeometry
from ponte.pixelgrid import PixelGrid
from ponte.study import InstanceAttributes, SeriesAttributes
from ponte.video import VideoDescription
from render.pdf import Colour
from render.sheet import Document
from render.texts import Texts

NO_SERIES = SeriesAttributes()
"""Stands for the series of what could not be read at all: its pages come last."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A segment on a picture: the handle of its stencil, None where it is empty, and what the legend says."""

    image: int | None
    colour: Colour
    legend: str


@dataclass(frozen=True, slots=True)
class Record:
    """One frame, or one document: a few numbers, and attributes that its series shares.

    `image` is the handle of the image in the `ImageStore`, None where there is a `document`, or a `reason`
    why there is none. `columns` and `rows` are those of the frame, in whatever resolution it is kept. With
    `video`, the image is the poster frame of one. Not `as_stored` is what a presentation state shows.
    With `frames`, the image is the source of these frames of a segmentation, and `overlays` are drawn on it.
    """

    series: SeriesAttributes
    instance: InstanceAttributes
    frame_number: int
    frame_count: int
    slice_position_mm: float | None = None
    geometry: FrameGeometry = UNKNOWN
    columns: int = 0
    rows: int = 0
    image: int | None = None
    window: Window | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""
    document: Document | None = None
    video: VideoDescription | None = None
    grid: PixelGrid | None = None
    as_stored: bool = True
    frames: tuple[int, ...] = ()
    overlays: tuple[Overlay, ...] = ()

    @property
    def unreadable(self) -> bool:
        """True where not even the series is known."""
        return self.series is NO_SERIES

    @property
    def height(self) -> float:
        """How high the picture is, in widths of its pixels."""
        return self.rows * self.geometry.pixel_aspect

    @property
    def width_mm(self) -> float | None:
        """How wide the picture is in millimetres, where that is known."""
        spacing = self.geometry.spacing_mm
        return None if spacing is None else spacing * self.columns

    @property
    def order(self) -> tuple[object, ...]:
        """Series by number, instances by number, then by position, then frames; what has no number last."""
        series, instance = self.series, self.instance
        return (
            self.unreadable,
            *_none_last(series.series_number),
            series.series_instance_uid,
            *_none_last(instance.instance_number),
            *_none_last(instance.slice_position_mm),
            instance.sop_instance_uid,
            self.frame_number,
        )


@dataclass(slots=True)
class SeriesTally:
    """A series and what came of it: instances received, images shown, things not shown or not wanted."""

    attributes: SeriesAttributes
    received: int = 0
    shown: int = 0
    not_shown: int = 0
    left_out: int = 0


def _none_last(value: float | None) -> tuple[bool, float]:
    return (value is None, value or 0)


def series_title(series: SeriesAttributes, texts: Texts) -> str:
    """`Series 3 (CT)`."""
    number = series.series_number
    name = texts.series_without_number if number is None else texts.series.format(number)
    return f"{name} ({series.modality})" if series.modality else name
