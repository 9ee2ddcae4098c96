"""A picture becomes what a page of the PDF holds: the compressed image and the bands of text around it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import imagecodecs
import numpy as np
import numpy.typing as npt

from ponte.display import Window
from ponte.image import Picture
from ponte.study import InstanceAttributes, SeriesAttributes, StudyAttributes
from render.pdf import A4_LANDSCAPE, A4_PORTRAIT, Canvas, Colour, PageImage
from render.texts import Texts
from render.typeface import BOLD, REGULAR, Typeface

JPEG_QUALITY = 90
IMAGE_NAME = "I"
PRINT_DPI = 200
"""Gray levels in print need no more; what a code stream holds beyond that is not decoded."""
POINTS_PER_INCH = 72
NO_SERIES = SeriesAttributes()
"""Stands for the series of what could not be read at all: its pages come last."""

MARGIN = 30.0
GRAY: Colour = (0.38, 0.42, 0.46)
RULE: Colour = (0.78, 0.81, 0.83)
ACCENT: Colour = (0.05, 0.36, 0.45)
PALE: Colour = (0.945, 0.955, 0.96)
_BAND = 27.0  # height of each band, rule included
_GAP = 8.0  # between a band and the image
_UP = 2  # PNG filter type "up": each row as its difference to the one above


def useful_halvings(columns: int, rows: int, pixel_aspect: float) -> int:
    """How often the pixels of a picture may be halved and still print at `PRINT_DPI`."""
    tall = rows * pixel_aspect
    _, _, width, height = _area(A4_LANDSCAPE if columns > tall else A4_PORTRAIT)
    printed = min(width / columns, height / tall) * PRINT_DPI / POINTS_PER_INCH
    return max(0, int(-math.log2(printed))) if printed > 0 else 0


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


@dataclass(frozen=True, slots=True)
class PageRecord:
    """What is kept of a page until all are known: a few numbers, and attributes that its series shares.

    `image` is the number of the image in the PDF, 0 on a page that says why there is none (`reason`).
    """

    series: SeriesAttributes
    instance: InstanceAttributes
    frame_number: int
    frame_count: int
    slice_position_mm: float | None = None
    pixel_aspect: float = 1.0
    image: int = 0
    columns: int = 0
    rows: int = 0
    window: Window | None = None
    notes: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""

    @property
    def unreadable(self) -> bool:
        """True where not even the series is known."""
        return self.series is NO_SERIES

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


def _none_last(value: float | None) -> tuple[bool, float]:
    return (value is None, value or 0)


def series_title(series: SeriesAttributes, texts: Texts) -> str:
    """`Series 3 (CT)`."""
    number = series.series_number
    name = texts.series_without_number if number is None else texts.series.format(number)
    return f"{name} ({series.modality})" if series.modality else name


@dataclass(frozen=True, slots=True)
class PageFrame:
    """Draws the pages that hold one frame each. The text is always text, never pixels."""

    study: StudyAttributes
    texts: Texts
    page_count: int
    _heads: dict[tuple[SeriesAttributes, float], Canvas] = field(default_factory=dict, init=False)

    def image_page(self, record: PageRecord, page_number: int) -> tuple[Canvas, tuple[float, float]]:
        """The picture as large as A4 allows, upright or lying as the picture is, between the bands."""
        tall = record.rows * record.pixel_aspect  # drawn as wide and as high as it is, never resampled
        size = A4_LANDSCAPE if record.columns > tall else A4_PORTRAIT
        canvas = Canvas()
        left, bottom, width, height = _area(size)
        scale = min(width / record.columns, height / tall)
        drawn_width, drawn_height = record.columns * scale, tall * scale
        x, y = left + (width - drawn_width) / 2, bottom + (height - drawn_height) / 2
        canvas.image(IMAGE_NAME, x, y, drawn_width, drawn_height)
        self._bands(canvas, size, record, page_number)
        return canvas, size

    def notice_page(self, record: PageRecord, page_number: int) -> tuple[Canvas, tuple[float, float]]:
        """A page in the place of a picture that could not be had, with the reason in words."""
        canvas = Canvas()
        texts = self.texts
        left, bottom, width, height = _area(A4_PORTRAIT)
        box_height, inner = 132.0, 22.0
        y = bottom + (height - box_height) / 2
        canvas.rectangle(left, y, width, box_height, PALE)
        canvas.rectangle(left, y, 4, box_height, ACCENT)
        x, room, top = left + inner, width - 2 * inner, y + box_height
        canvas.text(x, top - 32, texts.notice_title, BOLD, 15)
        reason = f"{texts.reason_label}: {texts.reason(record.reason)} ({record.reason})"
        canvas.text(x, top - 56, REGULAR.clip(reason, 10.5, room), REGULAR, 10.5)
        for index, line in enumerate(REGULAR.wrap(record.detail, 8.5, room, 2)):
            canvas.text(x, top - 74 - 11 * index, line, REGULAR, 8.5, GRAY)
        canvas.text(x, top - 112, texts.notice_body, REGULAR, 10.5)
        self._bands(canvas, A4_PORTRAIT, record, page_number)
        return canvas, A4_PORTRAIT

    def _bands(self, canvas: Canvas, size: tuple[float, float], record: PageRecord, number: int) -> None:
        key = record.series, size[0]
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = self._head(record, size)
        canvas.draw(head)
        page = self.texts.page.format(number, self.page_count)
        left, right = MARGIN, size[0] - MARGIN
        line = self._line(record)
        _opposed(canvas, left, right, MARGIN + 2, (line, REGULAR, 8.5), (page, REGULAR, 8.5))

    def _head(self, record: PageRecord, size: tuple[float, float]) -> Canvas:
        """The upper band and both rules: the same on every page of a series."""
        canvas = Canvas()
        left, right, top = MARGIN, size[0] - MARGIN, size[1] - MARGIN
        series, study = record.series, self.study
        name = self.texts.unreadable if record.unreadable else series_title(series, self.texts)
        title = _joined(name, series.series_description)
        dated = _joined(study.patient_id, self.texts.date(study.study_date))
        _opposed(canvas, left, right, top - 8, (title, BOLD, 9.5), (study.patient_name, BOLD, 9.5))
        _opposed(
            canvas, left, right, top - 20, (study.study_description, REGULAR, 8.5), (dated, REGULAR, 8.5)
        )
        canvas.line(left, top - _BAND, right, top - _BAND, 0.6, RULE)
        canvas.line(left, MARGIN + 14, right, MARGIN + 14, 0.6, RULE)
        return canvas

    def _line(self, record: PageRecord) -> str:
        """`Instance 12 · Frame 3 of 50 · Window C 40 W 400 · Position -12.5 mm`."""
        texts, instance, parts = self.texts, record.instance, list[str]()
        if instance.instance_number is not None:
            parts.append(texts.instance.format(instance.instance_number))
        if record.frame_count > 1:
            parts.append(texts.frame.format(record.frame_number, record.frame_count))
        if record.window is not None:
            window = texts.number(record.window.center), texts.number(record.window.width)
            parts.append(texts.window.format(*window))
        parts.extend(texts.notes.get(note, note) for note in record.notes)
        if record.slice_position_mm is not None:
            parts.append(texts.position.format(texts.number(record.slice_position_mm)))
        return _joined(*parts)


def _area(size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of what the bands leave free."""
    bottom = MARGIN + 14 + _GAP
    return MARGIN, bottom, size[0] - 2 * MARGIN, size[1] - MARGIN - _BAND - _GAP - bottom


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _opposed(
    canvas: Canvas,
    left: float,
    right: float,
    y: float,
    first: tuple[str, Typeface, float],
    second: tuple[str, Typeface, float],
) -> None:
    """Two texts on one line, at its ends; where both are long, each keeps its half."""
    room = right - left - 14
    (text, face, size), (other, other_face, other_size) = first, second
    wanted, other_wanted = face.width(text, size), other_face.width(other, other_size)
    other_room = max(room / 2, room - wanted)
    canvas.text(left, y, face.clip(text, size, max(room / 2, room - other_wanted)), face, size)
    clipped = other_face.clip(other, other_size, other_room)
    canvas.text_right(right, y, clipped, other_face, other_size)
