"""Pages as they are drawn: bands, pictures with what belongs beside them, and notices in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ponte.geometry import FrameGeometry
from ponte.study import SeriesAttributes, StudyAttributes
from ponte.video import VideoDescription
from render.images import ImageStore
from render.layout import BAND, FOOT, MARGIN, Box, Cell, Page, Size
from render.pdf import Canvas, Colour
from render.record import Record, series_title
from render.scale_bar import draw_scale_bar
from render.segments import draw_legend
from render.texts import Texts
from render.typeface import BOLD, REGULAR, Typeface

IMAGE_NAME = "I"
GRAY: Colour = (0.38, 0.42, 0.46)
RULE: Colour = (0.78, 0.81, 0.83)
ACCENT: Colour = (0.05, 0.36, 0.45)
PALE: Colour = (0.945, 0.955, 0.96)

_NOTICE = 132.0  # height of a notice that has the page to itself
_CAPTION, _CAPTION_GAP = 54.0, 8.0  # height of what stands over a poster frame, and of the space below it
_UNDER = 7.8  # from a picture to the baseline of its caption
_LARGE, _SMALL = 9.0, 6.5  # size of the letters beside a picture: alone, and among others

Resources = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a picture stands in its cell, and what is drawn beside it."""

    picture: Box
    beside: Canvas


@dataclass(frozen=True, slots=True)
class PageFrame:
    """Draws the pages. The text is always text, never pixels, and never on a picture."""

    study: StudyAttributes
    texts: Texts
    page_count: int
    _heads: dict[tuple[SeriesAttributes, Size], Canvas] = field(default_factory=dict, init=False)
    _places: dict[tuple[FrameGeometry, int, int, Box, int, bool], _Placed] = field(
        default_factory=dict, init=False
    )

    def draw(self, page: Page, number: int, images: ImageStore) -> tuple[Canvas, Resources]:
        """The content of a page, and the images that it names."""
        canvas = page.sheet.canvas if page.sheet else Canvas()
        resources: Resources = list(page.sheet.resources) if page.sheet else []
        if page.sheet is None:
            for index, cell in enumerate(page.cells):
                name = f"{IMAGE_NAME}{index}" if index else IMAGE_NAME
                self._cell(canvas, cell, name, alone=page.alone)
                if cell.record.image is not None:
                    resources.append((name, images.number(cell.record.image)))
                resources += [(over, images.number(handle)) for over, handle, _ in _stencils(cell, name)]
        if page.sheet is None or page.sheet.framed:
            self._bands(canvas, page, number)
        return canvas, resources

    def _cell(self, canvas: Canvas, cell: Cell, name: str, *, alone: bool) -> None:
        if cell.record.image is None:
            self._notice(canvas, cell, alone=alone)
            return
        record = cell.record
        if record.video is not None and alone:
            cell = cell._replace(box=self._video_caption(canvas, record.video, cell.box))
        if record.overlays:
            size = _LARGE if alone else _SMALL
            cell = cell._replace(box=draw_legend(canvas, record.overlays, cell.box, size, self.texts))
        key = (record.geometry, record.columns, record.rows, cell.box, cell.side, alone)
        placed = self._places.get(key)
        if placed is None:
            placed = self._places[key] = self._place(cell, alone=alone)
        canvas.image(name, *placed.picture)
        for over, _, colour in _stencils(cell, name):
            canvas.stencil(over, *placed.picture, colour)
        canvas.draw(placed.beside)
        if not alone:
            self._caption(canvas, cell, placed.picture.y - _UNDER)

    def _place(self, cell: Cell, *, alone: bool) -> _Placed:
        """The picture as large as its cell allows, and its letters and scale bar around it."""
        record, (x, y, width, height) = cell.record, cell.box
        size = _LARGE if alone else _SMALL
        letters = size * 1.8 if any(record.geometry.edges) else 0.0
        foot = size * 1.8 if record.width_mm and alone else 0.0
        caption = 0.0 if alone else _SMALL * 1.5
        below = letters if alone else 0.0
        room_width, room_height = width - 2 * letters, height - letters - below - foot - caption
        scale = min(room_width / record.columns, room_height / record.height)
        drawn_width, drawn_height = record.columns * scale, record.height * scale
        slack = (width - 2 * letters - drawn_width) / 2
        left = x + letters + slack * (1 + cell.side)
        bottom = y + caption + foot + below + (room_height - drawn_height) / 2
        picture, beside = Box(left, bottom, drawn_width, drawn_height), Canvas()
        _letters(beside, picture, record.geometry.edges, size, all_four=alone)
        if record.width_mm:
            label = self.texts.at_detector if record.geometry.calibration == "imager" else ""
            right = x + width - letters if not alone else left + drawn_width
            baseline = bottom - below - foot + 4 if alone else bottom - _UNDER
            draw_scale_bar(beside, picture, right, baseline, record.width_mm, label, size, self.texts)
        return _Placed(picture, beside)

    def _caption(self, canvas: Canvas, cell: Cell, baseline: float) -> None:
        x, _, width, _ = cell.box
        room = width * (0.62 if cell.record.width_mm else 1.0)
        canvas.text(x, baseline, REGULAR.clip(self._line(cell.record), _SMALL, room), REGULAR, _SMALL, GRAY)

    def _notice(self, canvas: Canvas, cell: Cell, *, alone: bool) -> None:
        """In the place of a picture that could not be had, with the reason in words."""
        record, texts, box = cell.record, self.texts, cell.box
        large = alone or box.height >= _NOTICE
        height = _NOTICE if large else min(box.height, 60.0)
        y = box.y + (box.height - height) / 2
        canvas.rectangle(box.x, y, box.width, height, PALE)
        canvas.rectangle(box.x, y, 4, height, ACCENT)
        reason = f"{texts.reason(record.reason, video=record.video is not None)} ({record.reason})"
        title, detail, body = self._notice_words(record)
        if not large:
            self._small_notice(canvas, Box(box.x, y, box.width, height), title, reason)
            return
        x, room, top = box.x + 22, box.width - 44, y + height
        size = 15.0 if BOLD.width(title, 15) <= room else 10.0
        canvas.text(x, top - 32, BOLD.clip(title, size, room), BOLD, size)
        lines = REGULAR.wrap(f"{texts.reason_label}: {reason}", 10.5, room, 2)
        for index, line in enumerate(lines):
            canvas.text(x, top - 54 - 12 * index, line, REGULAR, 10.5)
        for index, line in enumerate(REGULAR.wrap(detail, 8.5, room, 2)):
            canvas.text(x, top - 82 - 11 * index, line, REGULAR, 8.5, GRAY)
        canvas.text(x, top - 116, REGULAR.clip(body, 10.5, room), REGULAR, 10.5)
        if not alone:
            self._caption(canvas, cell, y - _UNDER if y > box.y + _UNDER else box.y + 2)

    def _notice_words(self, record: Record) -> tuple[str, str, str]:
        """Title, detail and advice: of a video, what it is."""
        texts, video = self.texts, record.video
        if video is None:
            return texts.notice_title, record.detail, texts.notice_body
        facts = self._video_facts(video)
        return (
            texts.video_notice,
            f"{facts}. {texts.video_contradicts if video.contradicts else ''}",
            texts.video_body,
        )

    def _video_caption(self, canvas: Canvas, video: VideoDescription, box: Box) -> Box:
        """Over a poster frame: that it is one, and of what; answers where there is room for it."""
        texts, (x, y, width, height) = self.texts, box
        room, top = width - 28, y + height
        canvas.rectangle(x, top - _CAPTION, width, _CAPTION, PALE)
        canvas.rectangle(x, top - _CAPTION, 4, _CAPTION, ACCENT)
        canvas.text(x + 14, top - 17, BOLD.clip(texts.video_poster, 12, room), BOLD, 12)
        canvas.text(x + 14, top - 32, REGULAR.clip(self._video_facts(video), 8.5, room), REGULAR, 8.5)
        poster = texts.video_of.format(video.poster_frame, video.frames)
        told = f"{poster}. {texts.video_contradicts if video.contradicts else texts.video_body}"
        canvas.text(x + 14, top - 45, REGULAR.clip(told, 8.5, room), REGULAR, 8.5)
        return Box(x, y, width, height - _CAPTION - _CAPTION_GAP)

    def _video_facts(self, video: VideoDescription) -> str:
        """`Compression: H.264 High@4.1 · MP4 · Size: 1920 × 1080 · ...`, without what is not known."""
        texts = self.texts
        values = (
            _joined(video.compression, video.container),
            f"{video.columns} × {video.rows}",
            str(video.frames),
            texts.number(video.rate) if video.rate else "",
            texts.duration(video.seconds) if video.seconds is not None else "",
        )
        facts = zip(texts.video_labels, values, strict=True)
        return _joined(*(f"{label}: {value}" for label, value in facts if value))

    def _small_notice(self, canvas: Canvas, box: Box, title: str, reason: str) -> None:
        room = box.width - 16
        canvas.text(box.x + 10, box.y + box.height - 12, BOLD.clip(title, 7, room), BOLD, 7)
        most = max(1, int((box.height - 18) // 8))
        for index, line in enumerate(REGULAR.wrap(reason, 6.5, room, most)):
            canvas.text(box.x + 10, box.y + box.height - 21 - 8 * index, line, REGULAR, 6.5)

    def _bands(self, canvas: Canvas, page: Page, number: int) -> None:
        key = (page.first.series, page.size)
        head = None if page.hung else self._heads.get(key)
        if head is None:
            head = self._head(page)
            if not page.hung:
                self._heads[key] = head
        canvas.draw(head)
        label = self.texts.page.format(number, self.page_count)
        left, right = MARGIN, page.size[0] - MARGIN
        line = self._foot(page)
        _opposed(canvas, left, right, MARGIN + 2, (line, REGULAR, 8.5), (label, REGULAR, 8.5))

    def _head(self, page: Page) -> Canvas:
        """The upper band and both rules: the same on every page of a series."""
        canvas, record, study = Canvas(), page.first, self.study
        left, right, top = MARGIN, page.size[0] - MARGIN, page.size[1] - MARGIN
        name = self.texts.unreadable if record.unreadable else series_title(record.series, self.texts)
        title = self.texts.hung if page.hung else _joined(name, record.series.series_description)
        dated = _joined(study.patient_id, self.texts.date(study.study_date))
        _opposed(canvas, left, right, top - 8, (title, BOLD, 9.5), (study.patient_name, BOLD, 9.5))
        _opposed(
            canvas, left, right, top - 20, (study.study_description, REGULAR, 8.5), (dated, REGULAR, 8.5)
        )
        canvas.line(left, top - BAND, right, top - BAND, 0.6, RULE)
        canvas.line(left, MARGIN + FOOT, right, MARGIN + FOOT, 0.6, RULE)
        return canvas

    def _foot(self, page: Page) -> str:
        """What the page's only image is, or from which instance to which a page of several goes."""
        if page.hung:
            return ""
        if page.first.document is not None:
            return _joined(page.first.document.title, self._instance(page.first))
        if page.alone:
            return self._line(page.first)
        first, last = self._instance(page.first), self._instance(page.cells[-1].record)
        return first if first == last else f"{first} \u2013 {last}".strip(" \u2013")

    def _instance(self, record: Record) -> str:
        number = record.instance.instance_number
        return "" if number is None else self.texts.instance.format(number)

    def _line(self, record: Record) -> str:
        """`Instance 12 · Frame 3 of 50 · R MLO · Window C 40 W 400 · Position -12.5 mm`."""
        texts, parts = self.texts, [self._instance(record)]
        if record.frame_count > 1 and (record.image is not None or record.video is None):
            numbers = _ranges(record.frames) or record.frame_number
            parts.append(texts.frame.format(numbers, record.frame_count))
        parts.append(f"{record.geometry.laterality} {record.geometry.view}".strip())
        if record.window is not None:
            window = texts.number(record.window.center), texts.number(record.window.width)
            parts.append(texts.window.format(*window))
        parts.extend(texts.notes.get(note, note) for note in record.notes)
        if record.slice_position_mm is not None:
            parts.append(texts.position.format(texts.number(record.slice_position_mm)))
        return _joined(*parts)


def _stencils(cell: Cell, name: str) -> Iterator[tuple[str, int, Colour]]:
    """Name, handle and colour of what is laid over the picture called `name`."""
    for index, overlay in enumerate(cell.record.overlays):
        if overlay.image is not None:
            yield f"{name}S{index}", overlay.image, overlay.colour


def _ranges(numbers: Sequence[int]) -> str:
    """`1, 4–6`."""
    runs = list[list[int]]()
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("–".join(map(str, run)) for run in runs)


def _letters(
    canvas: Canvas, picture: Box, edges: tuple[str, str, str, str], size: float, *, all_four: bool
) -> None:
    """The patient's directions beside the edges of the picture: left and top, or all of them."""
    left, top, right, bottom = edges
    x, y, width, height = picture
    middle_x, middle_y, gap = x + width / 2, y + height / 2 - size / 3, size / 3
    canvas.text_right(x - gap, middle_y, left, BOLD, size, GRAY)
    canvas.text(middle_x - BOLD.width(top, size) / 2, y + height + gap, top, BOLD, size, GRAY)
    if all_four:
        canvas.text(x + width + gap, middle_y, right, BOLD, size, GRAY)
        canvas.text(middle_x - BOLD.width(bottom, size) / 2, y - size - gap / 2, bottom, BOLD, size, GRAY)


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
