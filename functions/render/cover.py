"""The cover: what the study is, what of it is in the document and where, and what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ponte.study import StudyAttributes
from render.clinic import readable_on
from render.images import ImageStore
from render.layout import MARGIN, Page
from render.options import RequestCodes
from render.pages import ACCENT, GRAY, PALE, RULE
from render.pdf import A4_PORTRAIT, BLACK, Canvas, Colour
from render.record import Record, SeriesTally
from render.sheet import Sheet
from render.texts import Texts
from render.typeface import BOLD, REGULAR, SUBSTITUTE, Typeface
from render.version import PRODUCT

MAX_MISSING_ROWS = 30
_WIDTH, _HEIGHT = A4_PORTRAIT
_LEFT, _RIGHT = MARGIN + 12, _WIDTH - MARGIN - 12
_TOP, _BOTTOM = _HEIGHT - 52, 74.0
_ROW = 16.0
_SERIES_ROW = 40.0  # of a series, with its thumbnail
_THUMBNAIL = 34.0
_LOGO_WIDTH, _LOGO_HEIGHT = 150.0, 48.0
_CODE = 64.0  # side of the code that leads to the job


@dataclass(frozen=True, slots=True)
class MissingRow:
    """One line of the list of what could not be shown. `where` is `Series 3 · Instance 12 · frame 4`."""

    where: str
    reason: str
    detail: str
    video: bool = False


class Logo(NamedTuple):
    """The clinic's logo: its object number in the document, and its shape."""

    number: int
    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class Cover:
    """All that the cover says. With `anonymous`, `study` and `series` hold nothing of the patient."""

    study: StudyAttributes
    anonymous: bool
    codes: RequestCodes
    series: Sequence[SeriesTally]
    missing: Sequence[MissingRow]
    created: datetime
    left_out: int = 0
    reduced: bool = False
    job_url: str = ""
    accent: Colour = ACCENT
    logo: Logo | None = None

    def texts_shown(self) -> str:
        """Every value that came from outside, to see which characters the faces do not have."""
        study = self.study
        values = [
            study.patient_name,
            study.patient_id,
            study.study_description,
            study.accession_number,
            study.institution_name,
            study.referring_physician_name,
            study.requested_procedure,
        ]
        values.extend(tally.attributes.series_description for tally in self.series)
        return "".join(values)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table of series: from `x`, `width` wide, numbers to the right."""

    title: str
    x: float
    width: float
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a series is in the document: its first page, and a picture that stands for it."""

    page: int
    thumbnail: Record | None


class _Sheets:
    """Canvases filled from the top; a new one is begun where the room ends."""

    def __init__(self, texts: Texts, accent: Colour) -> None:
        self._texts = texts
        self.accent = accent
        self.canvases: list[Canvas] = []
        self.resources: list[list[tuple[str, int]]] = []
        self.y = 0.0
        self.begin()

    @property
    def canvas(self) -> Canvas:
        return self.canvases[-1]

    def begin(self) -> None:
        """Begin a sheet; all but the first say that they continue."""
        canvas = Canvas()
        canvas.rectangle(0, _HEIGHT - 8, _WIDTH, 8, self.accent)
        self.canvases.append(canvas)
        self.resources.append([])
        self.y = _TOP
        if len(self.canvases) > 1:
            canvas.text(_LEFT, self.y, self._texts.continued, BOLD, 12, self.accent)
            self.y -= 30

    def image(self, number: int, x: float, y: float, width: float, height: float) -> None:
        """Draw an image of the document on this sheet."""
        name = f"T{len(self.resources[-1])}"
        self.resources[-1].append((name, number))
        self.canvas.image(name, x, y, width, height)

    def make_room(self, height: float) -> bool:
        """True when `height` points did not fit and a new sheet was begun."""
        if self.y - height >= _BOTTOM:
            return False
        self.begin()
        return True


def draw_cover(cover: Cover, pages: Sequence[Page], images: ImageStore, texts: Texts) -> list[Sheet]:
    """Draw the cover on as many A4 sheets as it needs; `pages` are those that follow them.

    Drawn twice: it says on which page a series begins, and so how many sheets it has itself.
    """
    count = len(_draw(cover, _places(pages, 0), images, texts).canvases)
    sheets = _draw(cover, _places(pages, count), images, texts)
    _finish(sheets.canvases, cover, texts, count + len(pages))
    drawn = zip(sheets.canvases, sheets.resources, strict=True)
    return [Sheet(canvas, A4_PORTRAIT, resources, framed=False) for canvas, resources in drawn]


def _draw(cover: Cover, places: Mapping[str, Place], images: ImageStore, texts: Texts) -> _Sheets:
    sheets = _Sheets(texts, cover.accent)
    _draw_corner(sheets, cover)
    _draw_heading(sheets, cover, texts)
    sheets.y = min(sheets.y, _below_corner(cover))
    _draw_facts(sheets, _facts(cover, texts))
    _draw_series(sheets, cover.series, places, images, texts)
    _draw_missing(sheets, cover, texts)
    _draw_remarks(sheets, cover, texts)
    return sheets


def _places(pages: Sequence[Page], before: int) -> dict[str, Place]:
    """Where each series begins, and the picture in its middle."""
    numbers, pictures = dict[str, int](), dict[str, list[Record]]()
    for number, page in enumerate(pages, start=before + 1):
        if page.hung:
            continue
        name = page.first.series.series_instance_uid
        numbers.setdefault(name, number)
        shown = [cell.record for cell in page.cells if cell.record.image is not None]
        pictures.setdefault(name, []).extend(shown)
    return {
        name: Place(number, pictures[name][len(pictures[name]) // 2] if pictures[name] else None)
        for name, number in numbers.items()
    }


def _finish(canvases: Sequence[Canvas], cover: Cover, texts: Texts, page_count: int) -> None:
    """Draw the foot of every sheet."""
    generated = texts.generated.format(texts.moment(cover.created), PRODUCT)
    for number, canvas in enumerate(canvases, start=1):
        canvas.line(_LEFT, 52, _RIGHT, 52, 0.6, RULE)
        canvas.text(_LEFT, 40, texts.limit, BOLD, 8.5, cover.accent)
        canvas.text(_LEFT, 28, generated, REGULAR, 8, GRAY)
        canvas.text_right(_RIGHT, 28, texts.page.format(number, page_count), REGULAR, 8, GRAY)


def _draw_corner(sheets: _Sheets, cover: Cover) -> None:
    """At the right of the heading: the clinic's logo, and below it the job's address as a QR code."""
    top = _TOP + 12
    if cover.logo is not None:
        number, columns, rows = cover.logo
        scale = min(_LOGO_WIDTH / columns, _LOGO_HEIGHT / rows)
        width, height = columns * scale, rows * scale
        sheets.image(number, _RIGHT - width, top - height, width, height)
        top -= height + 8
    if cover.job_url:
        _draw_code(sheets.canvas, cover.job_url, top)


def _below_corner(cover: Cover) -> float:
    """Where the corner ends: facts stand below it."""
    logo = _LOGO_HEIGHT + 8 if cover.logo is not None else 0.0
    code = _CODE + 14 if cover.job_url else 0.0
    return _TOP + 12 - logo - code if logo or code else _TOP


def _draw_code(canvas: Canvas, text: str, top: float) -> None:
    import segno

    matrix = segno.make_qr(text, error="m").matrix
    side = _CODE / len(matrix)
    for row, line in enumerate(matrix):
        for column, dark in enumerate(line):
            if dark:
                x, y = _RIGHT - _CODE + column * side, top - (row + 1) * side
                canvas.rectangle(x, y, side + 0.02, side + 0.02, BLACK)


def _draw_heading(sheets: _Sheets, cover: Cover, texts: Texts) -> None:
    corner = _LOGO_WIDTH if cover.logo is not None else _CODE if cover.job_url else 0.0
    canvas, room = sheets.canvas, _RIGHT - _LEFT - (corner + 12 if corner else 0)
    canvas.text(_LEFT, sheets.y, texts.title, REGULAR, 11, sheets.accent)
    sheets.y -= 28
    headline = texts.anonymous if cover.anonymous else cover.study.patient_name
    size, lines = _headline(headline, room)
    for line in lines:
        canvas.text(_LEFT, sheets.y, line, BOLD, size)
        sheets.y -= size * 1.2
    subtitle = texts.burned_in if cover.anonymous else cover.study.study_description
    for line in REGULAR.wrap(subtitle, 12, room, 2):
        canvas.text(_LEFT, sheets.y, line, REGULAR, 12, GRAY)
        sheets.y -= 16
    sheets.y -= 8


def _headline(text: str, room: float) -> tuple[float, list[str]]:
    """A size at which the whole name is seen, and its lines: a name is cut only beyond all reason."""
    for size in (20.0, 16.0):
        lines = BOLD.wrap(text, size, room, 3)
        if len(lines) <= 2:
            return size, lines
    return 13.0, BOLD.wrap(text, 13, room, 5)


def _facts(cover: Cover, texts: Texts) -> list[tuple[str, str]]:
    """Labels and values; those without a value are left out."""
    study, codes = cover.study, cover.codes
    when = f"{texts.date(study.study_date)} {texts.time(study.study_time)}".strip()
    facts = [
        (texts.patient_id, study.patient_id),
        (texts.study_date, when),
        (texts.birth_date, texts.date(study.patient_birth_date)),
        (texts.accession, study.accession_number),
        (texts.sex, texts.sexes.get(study.patient_sex, study.patient_sex)),
        (texts.referring, study.referring_physician_name),
        (texts.institution, study.institution_name),
        (texts.requested_procedure, study.requested_procedure),
        (texts.exam_id, codes.exam_id),
        (texts.authorisation, codes.cod_autorizacao),
        (texts.procedure, codes.cod_procedimento),
        (texts.study_uid, study.study_instance_uid),
    ]
    return [(label, value) for label, value in facts if value.strip()]


def _draw_facts(sheets: _Sheets, facts: Sequence[tuple[str, str]]) -> None:
    """Two columns of a small label over its value."""
    column = (_RIGHT - _LEFT - 24) / 2
    for first in range(0, len(facts), 2):
        pair = facts[first : first + 2]
        values = [REGULAR.wrap(value, 10.5, column, 2) for _, value in pair]
        for index, ((label, _), lines) in enumerate(zip(pair, values, strict=True)):
            x = _LEFT + index * (column + 24)
            sheets.canvas.text(x, sheets.y, label, REGULAR, 8, GRAY)
            for row, line in enumerate(lines):
                sheets.canvas.text(x, sheets.y - 13.5 - 13 * row, line, REGULAR, 10.5)
        sheets.y -= 19 + 13 * max(map(len, values))
    sheets.y -= 10


def _columns(texts: Texts) -> tuple[_Column, ...]:
    """The table's columns, from the left edge to the right."""
    widths = (
        ("", 44.0, False),
        (texts.number_column, 38.0, False),
        (texts.modality_column, 38.0, False),
        (texts.description_column, _RIGHT - _LEFT - 44 - 38 - 38 - 44 - 58 - 52 - 74, False),
        (texts.page_column, 44.0, True),
        (texts.instances_column, 58.0, True),
        (texts.shown_column, 52.0, True),
        (texts.not_shown_column, 74.0, True),
    )
    x, columns = _LEFT, list[_Column]()
    for title, width, numeric in widths:
        columns.append(_Column(title, x, width, numeric))
        x += width
    return tuple(columns)


def _draw_series(
    sheets: _Sheets,
    series: Sequence[SeriesTally],
    places: Mapping[str, Place],
    images: ImageStore,
    texts: Texts,
) -> None:
    columns = _columns(texts)
    titles = [column.title for column in columns]
    sheets.make_room(18 + _ROW + 2 * _SERIES_ROW)
    _draw_section(sheets, texts.series_heading)
    _draw_row(sheets, columns, titles, BOLD, readable_on(sheets.accent), sheets.accent)
    for index, tally in enumerate(series):
        if sheets.make_room(_SERIES_ROW):
            _draw_row(sheets, columns, titles, BOLD, readable_on(sheets.accent), sheets.accent)
        place = places.get(tally.attributes.series_instance_uid)
        _draw_thumbnail(sheets, place, images, PALE if index % 2 else None)
        _draw_row(sheets, columns, _cells(tally, place), REGULAR, BLACK, None)
        sheets.y -= (_SERIES_ROW - _ROW) / 2
    totals = [sum(t.received for t in series), sum(t.shown for t in series), sum(t.not_shown for t in series)]
    sheets.make_room(_ROW)
    sheets.canvas.line(_LEFT, sheets.y + 11, _RIGHT, sheets.y + 11, 0.6, RULE)
    _draw_row(sheets, columns, ["", texts.total, "", "", "", *map(str, totals)], BOLD, BLACK, None)
    sheets.y -= 16


def _cells(tally: SeriesTally, place: Place | None) -> list[str]:
    attributes = tally.attributes
    number = "" if attributes.series_number is None else str(attributes.series_number)
    counts = [str(count) for count in (tally.received, tally.shown, tally.not_shown)]
    page = str(place.page) if place else ""
    return ["", number, attributes.modality, attributes.series_description, page, *counts]


def _draw_thumbnail(sheets: _Sheets, place: Place | None, images: ImageStore, ground: Colour | None) -> None:
    """The ground of the row, and a picture of the series; the row's text is in the middle of its height."""
    top = sheets.y + _ROW - 5
    if ground is not None:
        sheets.canvas.rectangle(_LEFT, top - _SERIES_ROW, _RIGHT - _LEFT, _SERIES_ROW, ground)
    record = place.thumbnail if place else None
    if record is not None and record.image is not None:
        scale = _THUMBNAIL / max(record.columns, record.height)
        width, height = record.columns * scale, record.height * scale
        x, y = _LEFT + 22 - width / 2, top - _SERIES_ROW / 2 - height / 2
        sheets.image(images.number(record.image), x, y, width, height)
    sheets.y -= (_SERIES_ROW - _ROW) / 2


def _draw_section(sheets: _Sheets, title: str) -> None:
    sheets.canvas.text(_LEFT, sheets.y, title, BOLD, 12, sheets.accent)
    sheets.y -= 20


def _draw_row(
    sheets: _Sheets,
    columns: Sequence[_Column],
    cells: Sequence[str],
    face: Typeface,
    colour: Colour,
    ground: Colour | None,
) -> None:
    """One row of the table, each cell clipped to its column."""
    if ground is not None:
        sheets.canvas.rectangle(_LEFT, sheets.y - 5, _RIGHT - _LEFT, _ROW, ground)
    for column, cell in zip(columns, cells, strict=True):
        text = face.clip(cell, 9, column.width - 10)
        if column.numeric:
            sheets.canvas.text_right(column.x + column.width - 6, sheets.y, text, face, 9, colour)
        else:
            sheets.canvas.text(column.x + 6, sheets.y, text, face, 9, colour)
    sheets.y -= _ROW


def _draw_missing(sheets: _Sheets, cover: Cover, texts: Texts) -> None:
    if not cover.missing:
        return
    sheets.make_room(18 + 2 * 24)
    _draw_section(sheets, texts.not_shown_heading)
    shown = cover.missing[:MAX_MISSING_ROWS]
    for row in shown:
        sheets.make_room(24)
        _draw_missing_row(sheets, row, texts)
    if len(cover.missing) > len(shown):
        sheets.make_room(14)
        more = texts.and_more.format(len(cover.missing) - len(shown))
        sheets.canvas.text(_LEFT, sheets.y, more, BOLD, 9)
        sheets.y -= 18


def _draw_missing_row(sheets: _Sheets, row: MissingRow, texts: Texts) -> None:
    """Where it belongs at the left; the reason in words, and the detail under it, at the right."""
    split = 150.0
    room = _RIGHT - _LEFT - split
    where = REGULAR.wrap(row.where, 9, split - 10, 2)
    for index, line in enumerate(where):
        sheets.canvas.text(_LEFT, sheets.y - 10 * index, line, REGULAR, 9)
    is_listed = row.video and row.reason == "UNSUPPORTED_SYNTAX"
    words = texts.video_listed if is_listed else texts.reason(row.reason, video=row.video)
    reason = f"{words} ({row.reason})"
    sheets.canvas.text(_LEFT + split, sheets.y, REGULAR.clip(reason, 9, room), REGULAR, 9)
    if row.detail:
        detail = REGULAR.clip(row.detail, 8, room)
        sheets.canvas.text(_LEFT + split, sheets.y - 10, detail, REGULAR, 8, GRAY)
    sheets.y -= 24 if row.detail or len(where) > 1 else 14


def _draw_remarks(sheets: _Sheets, cover: Cover, texts: Texts) -> None:
    """What the reader must know to read the rest rightly."""
    remarks = [texts.left_out.format(cover.left_out)] if cover.left_out else []
    if cover.reduced:
        remarks.append(texts.reduced)
    if REGULAR.missing(cover.texts_shown()):
        remarks.append(texts.substituted.format(SUBSTITUTE))
    for remark in remarks:
        sheets.make_room(13)
        sheets.canvas.text(_LEFT, sheets.y - 4, remark, REGULAR, 9, GRAY)
        sheets.y -= 13
