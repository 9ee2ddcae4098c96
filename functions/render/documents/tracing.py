"""Waveforms on millimetre paper, true to scale: 25 mm/s, and 10 mm/mV for voltages (PS3.3 A.34)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import (
    ElectromyogramWaveformStorage,
    ElectrooculogramWaveformStorage,
    RoutineScalpElectroencephalogramWaveformStorage,
    SleepElectroencephalogramWaveformStorage,
)

from ponte import attributes
from ponte.errors import PonteError
from ponte.quiet import quiet
from render.documents.annotations import Annotations, read_annotations, without_people
from render.documents.codes import class_name
from render.documents.content import datetime_of
from render.documents.flow import Flow
from render.documents.millimetres import (
    MM,
    MM_PER_MILLIVOLT,
    MM_PER_SECOND,
    add_form,
    clipped,
    draw_paper,
    draw_pulse,
    draw_trace,
)
from render.documents.waveform import Channel, Group, rate_of, read_group
from render.documents.words import Words, words_of
from render.layout import free_area
from render.pages import ACCENT, GRAY
from render.pdf import A4_LANDSCAPE, BLACK, Canvas, PdfWriter
from render.sheet import Document, Sheet
from render.texts import Texts
from render.typeface import BOLD, REGULAR, Typeface

MOST_SHEETS: Final = 24
MOST_ANNOTATION_SHEETS: Final = 20
MOST_GROUPS: Final = 16

_LEFT, _BOTTOM, _WIDTH, _HEIGHT = free_area(A4_LANDSCAPE)
_PAPER_MM: Final = int(_WIDTH / MM) // 5 * 5
_PULSE_MM: Final = 9  # room for the pulse of one millivolt before each trace
_GAP_MM: Final = 4
_STROKES: Final = "Strokes"
_STRIP_S: Final = 10.0
_LONGEST_STRIP_S: Final = (_PAPER_MM - _PULSE_MM) / MM_PER_SECOND
_LABEL_MM: Final = 4.0
_CLEAR_MM: Final = 2  # under the lowest point of a trace
_MOST_SPARE_MM: Final = 6  # that a row gets where the sheet has room
_MOST_MM: Final = 45  # up or down from the zero of a trace
_CENTRED_MM: Final = 30.0  # a trace that goes further than that is centred on its median
_SCALED_MM: Final = 30.0  # what a trace with a scale of its own may take
_FAR_FROM_ZERO: Final = 0.2  # a trace whose own span is less of that with zero is drawn without its zero
_LEAST_SPAN: Final = 1e-30
_UNITS: Final = frozenset({"%", "Cel", "L", "L/s", "cmH2O", "deg", "kPa", "mV", "mmHg"})
_OTHER_VOLTAGES: Final = frozenset(
    {
        ElectromyogramWaveformStorage,
        ElectrooculogramWaveformStorage,
        RoutineScalpElectroencephalogramWaveformStorage,
        SleepElectroencephalogramWaveformStorage,
    }
)
"""Classes whose voltages are a hundredth of a heart's, and have a scale of their own."""
_STEPS: Final = (1.0, 2.0, 5.0)
_MOST_FILTERS: Final = 4
_SUMMARY_LINE: Final = 12.0
_MOST_STATEMENT_LINES: Final = 2
_MOST_MEASURE_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class _Cell:
    """One channel for one strip of time. Heights are in mm over `zero`."""

    channel: Channel
    name: str
    heights: npt.NDArray[np.float64]
    start_s: float
    rate_hz: float
    note: str
    down_mm: float
    up_mm: float
    pulse: bool

    @property
    def width_mm(self) -> float:
        return len(self.heights) / self.rate_hz * MM_PER_SECOND + _PULSE_MM


@dataclass(frozen=True, slots=True)
class _Row:
    """Cells side by side. `zero_mm` is the height of their zero over the row's foot."""

    cells: tuple[_Cell, ...]

    @property
    def zero_mm(self) -> int:
        return math.ceil(min(_MOST_MM, max(cell.down_mm for cell in self.cells))) + _CLEAR_MM

    @property
    def height_mm(self) -> int:
        up = min(_MOST_MM, max(*(cell.up_mm for cell in self.cells), MM_PER_MILLIVOLT))
        return self.zero_mm + math.ceil(up + _LABEL_MM)


def draw(dataset: Dataset, writer: PdfWriter, texts: Texts, *, anonymize: bool) -> Document:
    """Every group of channels, as far as the limits allow; what is not shown is said.

    With `anonymize`, what people wrote is left out: statements, marks, labels that are no standard leads.
    Raises `MissingAttribute`, `InvalidAttribute`, `CannotDecode` where not one group can be read.
    """
    with quiet():
        return _Tracing(dataset, writer, texts, anonymize).document()


@dataclass(frozen=True, slots=True)
class _Facts:
    """What heads every sheet of a group."""

    title: str
    scale: str
    details: str


class _Tracing:
    """The sheets of one instance."""

    def __init__(self, dataset: Dataset, writer: PdfWriter, texts: Texts, anonymize: bool) -> None:
        self._dataset = dataset
        self._writer = writer
        self._texts = texts
        self._words = words_of(texts)
        self._anonymize = anonymize
        self._naming = _Naming(texts, self._words, anonymize)
        uid = attributes.text(dataset, "SOPClassUID")
        self._name = class_name(uid, self._words)
        self._voltage_fixed = uid not in _OTHER_VOLTAGES
        self._sheets: list[Sheet] = []
        self._left_out: list[str] = []

    def document(self) -> Document:
        items = attributes.items(self._dataset, "WaveformSequence")
        if not items:
            return Document(self._name, left_out=self._words.empty)
        annotations = self._annotations(items)
        failures = list[PonteError]()
        for number, item in enumerate(items[:MOST_GROUPS], 1):
            try:
                group = read_group(self._dataset, item)
            except PonteError as error:
                failures.append(error)
                continue
            self._draw_group(group, number, None if self._sheets else annotations)
        if not self._sheets:
            raise failures[0]
        lost = len(failures) + max(0, len(items) - MOST_GROUPS)
        if lost:
            self._left_out.append(self._words.groups_left_out.format(lost))
        self._draw_annotations(annotations)
        return Document(self._name, self._sheets, " ".join(self._left_out))

    def _annotations(self, items: Sequence[Dataset]) -> Annotations:
        rates = dict(enumerate(map(rate_of, items), 1))
        annotations = read_annotations(self._dataset, rates, self._texts, self._words)
        if not self._anonymize:
            return annotations
        kept = without_people(annotations)
        if kept != annotations:
            self._left_out.append(self._words.annotation_text_left_out)
        return kept

    def _draw_group(self, group: Group, number: int, annotations: Annotations | None) -> None:
        scales = _scales(group, voltage_fixed=self._voltage_fixed)
        strips = _rows(_cells(group, scales, self._naming))
        if group.channel_count > len(group.channels):
            self._left_out.append(
                self._words.channels_left_out.format(group.channel_count - len(group.channels))
            )
        facts, summary = self._facts(group, number), self._summary(annotations)
        pages = _pages(strips, _paper_mm(len(summary)), _paper_mm(0))
        room = max(0, MOST_SHEETS - len(self._sheets))
        for index, page in enumerate(pages[:room]):
            self._sheets.append(self._sheet(facts, () if index else summary, page))
        shown = self._shown_s(group, pages, room)
        if shown < group.seconds:
            self._left_out.append(self._first_seconds(shown, group))

    def _shown_s(self, group: Group, pages: Sequence[Sequence[_Row]], room: int) -> float:
        """How many seconds of every channel are on the sheets."""
        cut = [cell.start_s for page in pages[room:] for row in page for cell in row.cells]
        drawn = max((len(channel.values) for channel in group.channels), default=0) / group.rate_hz
        return min([*cut, drawn])

    def _first_seconds(self, shown: float, group: Group) -> str:
        seconds = self._texts.number(shown), self._texts.number(group.seconds)
        return self._words.first_seconds.format(*seconds)

    def _facts(self, group: Group, number: int) -> _Facts:
        texts, words = self._texts, self._words
        label = words.group.format(number) if self._anonymize or not group.label else group.label
        parts = [self._name, label]
        if group.derived:
            parts.append(words.derived)
        voltages = self._voltage_fixed and all(channel.unit == "mV" for channel in group.channels)
        details = [words.sampled.format(texts.number(group.rate_hz)), *self._filters(group.channels)]
        moment = attributes.text(self._dataset, "AcquisitionDateTime")
        if moment and not self._anonymize:
            details.insert(0, f"{words.acquired} {datetime_of(moment, texts)}")
        return _Facts(" · ".join(parts), words.scale if voltages else words.own_scale, " · ".join(details))

    def _filters(self, channels: Iterable[Channel]) -> list[str]:
        """The filters of the channels, each once."""
        texts, words, found = self._texts, self._words, list[str]()
        for channel in channels:
            low, high = channel.band_hz
            if low is not None or high is not None:
                ends = (
                    "?" if end is None else f"{end:g}".replace(".", texts.decimal_point)
                    for end in (low, high)
                )
                found.append(words.band.format(*ends))
            if channel.notch_hz:
                found.append(words.notch.format(texts.number(channel.notch_hz)))
        return list(dict.fromkeys(found))[:_MOST_FILTERS]

    def _summary(self, annotations: Annotations | None) -> tuple[tuple[Typeface, str], ...]:
        """The statements and measures that head the first sheet, in lines of its width."""
        if annotations is None:
            return ()
        statements, measures = _head_lines(annotations)
        return (*statements[:_MOST_STATEMENT_LINES], *measures[:_MOST_MEASURE_LINES])

    def _sheet(self, facts: _Facts, summary: Sequence[tuple[Typeface, str]], rows: Sequence[_Row]) -> Sheet:
        canvas, strokes, top = Canvas(), Canvas(), _BOTTOM + _HEIGHT
        canvas.image(_STROKES, 0, 0, 1, 1)
        scale = BOLD.width(facts.scale, 9)
        canvas.text(_LEFT, top - 11, BOLD.clip(facts.title, 12, _WIDTH - scale - 12), BOLD, 12, ACCENT)
        canvas.text_right(_LEFT + _WIDTH, top - 11, facts.scale, BOLD, 9)
        canvas.text(_LEFT, top - 23, REGULAR.clip(facts.details, 8.5, _WIDTH), REGULAR, 8.5, GRAY)
        for index, (face, line) in enumerate(summary):
            canvas.text(_LEFT, top - 36 - _SUMMARY_LINE * index, line, face, 9)
        needed = sum(row.height_mm for row in rows)
        spare = min(_MOST_SPARE_MM, (_paper_mm(len(summary)) - needed) // len(rows))
        height = math.ceil((needed + spare * len(rows)) / 5) * 5
        y = top - _head_height(len(summary))
        draw_paper(strokes, _LEFT, y - height * MM, _PAPER_MM, height)
        for row in rows:
            y -= (row.height_mm + spare) * MM
            self._draw_row(canvas, strokes, row, y + spare // 2 * MM)
        return Sheet(canvas, A4_LANDSCAPE, [(_STROKES, add_form(self._writer, strokes, A4_LANDSCAPE))])

    def _draw_row(self, canvas: Canvas, strokes: Canvas, row: _Row, y: float) -> None:
        """The traces go to `strokes`, which is written at once and forgotten; labels to `canvas`."""
        x, top = _LEFT, y + row.height_mm * MM
        for cell in row.cells:
            zero, traces = y + row.zero_mm * MM, Canvas()
            if cell.pulse:
                draw_pulse(strokes, x + MM, zero)
            begin = x + (_PULSE_MM + cell.channel.skew_s * MM_PER_SECOND) * MM
            draw_trace(traces, begin, zero, MM_PER_SECOND / cell.rate_hz, cell.heights)
            cut = cell.down_mm > row.zero_mm or cell.up_mm > row.height_mm - row.zero_mm
            width, height = (cell.width_mm + 1) * MM, top - _LABEL_MM * MM - y
            strokes.draw(clipped(traces, x, y, width, height) if cut else traces)
            note = " · ".join(part for part in (cell.note, self._words.clipped if cut else "") if part)
            self._draw_label(canvas, x, top, cell, note)
            x += (cell.width_mm + _GAP_MM) * MM

    def _draw_label(self, canvas: Canvas, x: float, top: float, cell: _Cell, note: str) -> None:
        room = (cell.width_mm + _GAP_MM) * MM - 4
        name = BOLD.clip(cell.name, 9, max(room, 60))
        canvas.text(x + 2, top - 9, name, BOLD, 9, BLACK)
        if note:
            before = BOLD.width(name, 9) + 6
            canvas.text(
                x + 2 + before, top - 9, REGULAR.clip(note, 7.5, max(room - before, 40)), REGULAR, 7.5, GRAY
            )

    def _draw_annotations(self, annotations: Annotations) -> None:
        """All that is said, as text, where the summary has not had it all."""
        if not annotations.marks and _fit_the_head(annotations):
            return
        words = self._words
        title = f"{self._name} · {words.annotations}"
        flow = Flow(words.continued.format(title), MOST_ANNOTATION_SHEETS)
        flow.paragraph(title, 0, BOLD, 12, ACCENT)
        flow.space(4)
        for statement in annotations.statements:
            flow.paragraph(statement, 0, REGULAR, 9)
        for name, value in annotations.measures:
            flow.labelled(name, value, 0, 9)
        for name, moments in annotations.marks.items():
            flow.labelled(f"{name} ({len(moments)})", "; ".join(moments), 0, 9)
        self._sheets.extend(flow.sheets())
        if annotations.left or flow.full:
            self._left_out.append(words.annotations_cut)


def _head_lines(annotations: Annotations) -> tuple[list[tuple[Typeface, str]], list[tuple[Typeface, str]]]:
    """Statements and measures in lines; of each one line more than the head has, where there is more."""
    statements = BOLD.wrap(" · ".join(annotations.statements), 9, _WIDTH, _MOST_STATEMENT_LINES + 1)
    said = " · ".join(f"{name} {value}" for name, value in annotations.measures)
    measures = REGULAR.wrap(said, 9, _WIDTH, _MOST_MEASURE_LINES + 1)
    return [(BOLD, line) for line in statements], [(REGULAR, line) for line in measures]


def _fit_the_head(annotations: Annotations) -> bool:
    statements, measures = _head_lines(annotations)
    return len(statements) <= _MOST_STATEMENT_LINES and len(measures) <= _MOST_MEASURE_LINES


def _head_height(summary_lines: int) -> float:
    """What is over the paper, in points."""
    return 30 + _SUMMARY_LINE * summary_lines


def _paper_mm(summary_lines: int) -> int:
    """The height of the paper that fits under a head."""
    return int((_HEIGHT - _head_height(summary_lines)) / MM) // 5 * 5


def _cells(group: Group, scales: Sequence[float], naming: _Naming) -> list[list[_Cell]]:
    """For each strip of time the cells of all channels."""
    drawn = max(len(channel.values) for channel in group.channels)
    strip = group.seconds if group.seconds <= _LONGEST_STRIP_S else _STRIP_S
    samples = max(1, round(strip * group.rate_hz))
    channels = list(enumerate(zip(group.channels, scales, strict=True), 1))
    return [
        [
            _cell(channel, scale, (start, samples), group.rate_hz, naming, number)
            for number, (channel, scale) in channels
        ]
        for start in range(0, drawn, samples)
    ]


@dataclass(frozen=True, slots=True)
class _Naming:
    """What is needed to name a channel."""

    texts: Texts
    words: Words
    anonymize: bool

    def name(self, channel: Channel, number: int) -> str:
        return channel.lead or self._written(channel.label) or self.words.channel.format(number)

    def note(self, channel: Channel, scale_mm: float, centre: float, start_s: float) -> str:
        """What the reader must know of the trace: from when on, status, its own scale, its centre."""
        texts, words = self.texts, self.words
        parts = [words.from_second.format(texts.number(start_s))] if start_s else []
        statuses = (words.statuses.get(status, self._written(status.lower())) for status in channel.statuses)
        parts.extend(status for status in statuses if status)
        if not channel.calibrated:
            parts.append(words.uncalibrated)
        elif channel.unit != "mV" or scale_mm != MM_PER_MILLIVOLT:
            per_centimetre = f"{10 / scale_mm:g}".replace(".", texts.decimal_point)
            parts.append(words.scale_of.format(per_centimetre, self._unit(channel)).strip())
        if centre:
            parts.append(words.centred.format(texts.number(centre), self._unit(channel)).strip())
        return " · ".join(parts)

    def _unit(self, channel: Channel) -> str:
        return channel.unit if channel.unit in _UNITS else self._written(channel.unit)

    def _written(self, text: str) -> str:
        """What an instance says in its own words: nothing when anonymous."""
        return "" if self.anonymize else text


def _scales(group: Group, *, voltage_fixed: bool) -> list[float]:
    """Millimetres a unit, for each channel; voltages of a group have one scale."""
    scales = [_fitting(channel) for channel in group.channels]
    voltages = [scale for scale, channel in zip(scales, group.channels, strict=True) if channel.unit == "mV"]
    common = MM_PER_MILLIVOLT if voltage_fixed else min(voltages, default=MM_PER_MILLIVOLT)
    return [
        common if channel.unit == "mV" else scale
        for scale, channel in zip(scales, group.channels, strict=True)
    ]


def _fitting(channel: Channel) -> float:
    """Of 1, 2 and 5 what lets the trace fit, with its zero where that is not too far away."""
    there = channel.values[np.isfinite(channel.values)]
    if not len(there):
        return 1.0
    lowest, highest = float(there.min()), float(there.max())
    with_zero = max(highest, 0.0) - min(lowest, 0.0)
    span = with_zero if highest - lowest > with_zero * _FAR_FROM_ZERO else highest - lowest
    if not _LEAST_SPAN < span < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(_SCALED_MM / span))
    return power * max(step for step in _STEPS if step * power * span <= _SCALED_MM)


def _cell(
    channel: Channel, scale: float, strip: tuple[int, int], rate_hz: float, naming: _Naming, number: int
) -> _Cell:
    """One channel over a strip: its first sample, and how many there are."""
    start, samples = strip
    values = channel.values[start : start + samples]
    there = values[np.isfinite(values)]
    furthest = float(np.abs(there).max()) * scale if len(there) else 0.0
    centre = round(float(np.median(there)), 2) if furthest > _CENTRED_MM else 0.0
    lowest, highest = (float(there.min() - centre), float(there.max() - centre)) if len(there) else (0.0, 0.0)
    return _Cell(
        channel=channel,
        name=naming.name(channel, number),
        heights=(values - centre) * scale,
        start_s=start / rate_hz,
        rate_hz=rate_hz,
        note=naming.note(channel, scale, centre, start / rate_hz),
        down_mm=max(0.0, -lowest * scale),
        up_mm=max(0.0, highest * scale),
        pulse=channel.unit == "mV" and scale == MM_PER_MILLIVOLT,
    )


def _rows(strips: Sequence[Sequence[_Cell]]) -> list[list[_Row]]:
    """The rows of each strip: short cells side by side, as many as the paper is wide; long ones alone."""
    found = list[list[_Row]]()
    for cells in strips:
        widest = max(cell.width_mm for cell in cells) + _GAP_MM
        beside = max(1, int((_PAPER_MM + _GAP_MM) / widest)) if len(strips) == 1 else 1
        found.append([_Row(tuple(cells[first : first + beside])) for first in range(0, len(cells), beside)])
    return found


def _pages(strips: Sequence[Sequence[_Row]], first_mm: int, other_mm: int) -> list[list[_Row]]:
    """Rows by sheet, from the top; a strip is divided only where it is higher than a sheet."""
    pages, room = list[list[_Row]](), first_mm
    for rows in strips:
        height = sum(row.height_mm for row in rows)
        if pages and height <= room:
            pages[-1].extend(rows)
            room -= height
            continue
        parts = _divided(rows, other_mm if pages else first_mm, other_mm)
        room = (other_mm if pages or len(parts) > 1 else first_mm) - sum(row.height_mm for row in parts[-1])
        pages.extend(parts)
    return pages


def _divided(rows: Sequence[_Row], first_mm: int, other_mm: int) -> list[list[_Row]]:
    """Rows on the fewest sheets, as many on each as on the others where that is possible."""
    fewest = _filled(rows, first_mm, other_mm, len(rows))
    even = _filled(rows, first_mm, other_mm, -(-len(rows) // len(fewest)))
    return even if len(even) == len(fewest) else fewest


def _filled(rows: Sequence[_Row], first_mm: int, other_mm: int, most: int) -> list[list[_Row]]:
    pages, room = [list[_Row]()], first_mm
    for row in rows:
        if pages[-1] and (row.height_mm > room or len(pages[-1]) == most):
            pages.append([])
            room = other_mm
        pages[-1].append(row)
        room -= row.height_mm
    return pages
