"""The cover: what the study is, what of it is in the document, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ponte.study import SeriesAttributes, StudyAttributes
from render.options import RequestCodes
from render.pages import ACCENT, GRAY, MARGIN, PALE, RULE
from render.pdf import A4_PORTRAIT, BLACK, Canvas, Colour
from render.texts import Texts
from render.typeface import BOLD, REGULAR, SUBSTITUTE, Typeface
from render.version import PRODUCT

MAX_MISSING_ROWS = 30
_WIDTH, _HEIGHT = A4_PORTRAIT
_LEFT, _RIGHT = MARGIN + 12, _WIDTH - MARGIN - 12
_TOP, _BOTTOM = _HEIGHT - 52, 74.0
_WHITE: Colour = (1.0, 1.0, 1.0)
_ROW = 16.0


@dataclass(slots=True)
class SeriesTally:
    """A series and what came of it: instances received, images shown, things not shown."""

    attributes: SeriesAttributes
    received: int = 0
    shown: int = 0
    not_shown: int = 0


@dataclass(frozen=True, slots=True)
class MissingRow:
    """One line of the list of what could not be shown. `where` is `Series 3 · Instance 12 · frame 4`."""

    where: str
    reason: str
    detail: str
    video: bool = False


@dataclass(frozen=True, slots=True)
class Cover:
    """All that the cover says. With `anonymous`, `study` and `series` hold nothing of the patient."""

    study: StudyAttributes
    anonymous: bool
    codes: RequestCodes
    series: Sequence[SeriesTally]
    missing: Sequence[MissingRow]
    created: datetime

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


class _Sheets:
    """Canvases filled from the top; a new one is begun where the room ends."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self.canvases: list[Canvas] = []
        self.y = 0.0
        self.begin()

    @property
    def canvas(self) -> Canvas:
        return self.canvases[-1]

    def begin(self) -> None:
        """Begin a sheet; all but the first say that they continue."""
        canvas = Canvas()
        canvas.rectangle(0, _HEIGHT - 8, _WIDTH, 8, ACCENT)
        self.canvases.append(canvas)
        self.y = _TOP
        if len(self.canvases) > 1:
            canvas.text(_LEFT, self.y, self._texts.continued, BOLD, 12, ACCENT)
            self.y -= 30

    def make_room(self, height: float) -> bool:
        """True when `height` points did not fit and a new sheet was begun."""
        if self.y - height >= _BOTTOM:
            return False
        self.begin()
        return True


def draw_cover(cover: Cover, texts: Texts) -> list[Canvas]:
    """Draw the cover on as many A4 sheets as it needs. `finish_cover` numbers them."""
    sheets = _Sheets(texts)
    _draw_heading(sheets, cover, texts)
    _draw_facts(sheets, _facts(cover, texts))
    _draw_series(sheets, cover.series, texts)
    _draw_missing(sheets, cover, texts)
    _draw_remarks(sheets, cover, texts)
    return sheets.canvases


def finish_cover(canvases: Sequence[Canvas], cover: Cover, texts: Texts, page_count: int) -> None:
    """Draw the foot of every sheet, once the number of pages is known."""
    generated = texts.generated.format(texts.moment(cover.created), PRODUCT)
    for number, canvas in enumerate(canvases, start=1):
        canvas.line(_LEFT, 52, _RIGHT, 52, 0.6, RULE)
        canvas.text(_LEFT, 40, texts.limit, BOLD, 8.5, ACCENT)
        canvas.text(_LEFT, 28, generated, REGULAR, 8, GRAY)
        canvas.text_right(_RIGHT, 28, texts.page.format(number, page_count), REGULAR, 8, GRAY)


def _draw_heading(sheets: _Sheets, cover: Cover, texts: Texts) -> None:
    canvas, room = sheets.canvas, _RIGHT - _LEFT
    canvas.text(_LEFT, sheets.y, texts.title, REGULAR, 11, ACCENT)
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
        (texts.number_column, 40.0, False),
        (texts.modality_column, 42.0, False),
        (texts.description_column, _RIGHT - _LEFT - 40 - 42 - 60 - 54 - 68, False),
        (texts.instances_column, 60.0, True),
        (texts.shown_column, 54.0, True),
        (texts.not_shown_column, 68.0, True),
    )
    x, columns = _LEFT, list[_Column]()
    for title, width, numeric in widths:
        columns.append(_Column(title, x, width, numeric))
        x += width
    return tuple(columns)


def _draw_series(sheets: _Sheets, series: Sequence[SeriesTally], texts: Texts) -> None:
    columns = _columns(texts)
    sheets.make_room(18 + 3 * _ROW)
    _draw_section(sheets, texts.series_heading)
    _draw_row(sheets, columns, [column.title for column in columns], BOLD, _WHITE, ACCENT)
    for index, tally in enumerate(series):
        if sheets.make_room(_ROW):
            _draw_row(sheets, columns, [column.title for column in columns], BOLD, _WHITE, ACCENT)
        attributes = tally.attributes
        number = "" if attributes.series_number is None else str(attributes.series_number)
        counts = [str(count) for count in (tally.received, tally.shown, tally.not_shown)]
        cells = [number, attributes.modality, attributes.series_description, *counts]
        _draw_row(sheets, columns, cells, REGULAR, BLACK, PALE if index % 2 else None)
    totals = [sum(t.received for t in series), sum(t.shown for t in series), sum(t.not_shown for t in series)]
    sheets.make_room(_ROW)
    sheets.canvas.line(_LEFT, sheets.y + 11, _RIGHT, sheets.y + 11, 0.6, RULE)
    _draw_row(sheets, columns, [texts.total, "", "", *map(str, totals)], BOLD, BLACK, None)
    sheets.y -= 16


def _draw_section(sheets: _Sheets, title: str) -> None:
    sheets.canvas.text(_LEFT, sheets.y, title, BOLD, 12, ACCENT)
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
    if not REGULAR.missing(cover.texts_shown()):
        return
    sheets.make_room(13)
    sheets.canvas.text(_LEFT, sheets.y - 4, texts.substituted.format(SUBSTITUTE), REGULAR, 9, GRAY)
