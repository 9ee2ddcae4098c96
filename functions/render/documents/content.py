"""The content tree of a structured report as lines of text with a depth (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.study import person_name
from render.documents.codes import class_name, meaning_of, unit
from render.documents.words import Words
from render.texts import Texts

MOST_ITEMS: Final = 5_000
MOST_DEPTH: Final = 32
MOST_LETTERS: Final = 32_000  # of one item
_MOST_NUMBERS: Final = 6
_FEW_REFERENCES: Final = 3
_REFERENCES: Final = frozenset({"IMAGE", "COMPOSITE", "WAVEFORM"})


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of the tree, in words. `heading` is that of a container."""

    depth: int
    label: str
    value: str
    heading: bool = False


class Content:
    """Reads the tree of one report. `left` counts the items beyond the limits."""

    def __init__(self, dataset: Dataset, texts: Texts, words: Words) -> None:
        self._root = dataset
        self._texts = texts
        self._words = words
        self._series = dict(_evidence(dataset))
        self.left = 0

    def entries(self) -> Iterator[Entry]:
        """Every item below the root, in the order of the document."""
        room = MOST_ITEMS
        stack = [(1, group) for group in reversed(_groups(self._root))]
        while stack:
            depth, group = stack.pop()
            if room <= 0 or depth > MOST_DEPTH:
                self.left += len(group)
                stack.extend((depth + 1, below) for item in group for below in _groups(item))
                continue
            room -= 1
            if len(group) > 1:
                yield Entry(depth, self._label(group[0]), self._counted(group))
                continue
            (item,) = group
            yield self._entry(item, depth)
            stack.extend((depth + 1, below) for below in reversed(_groups(item)))

    def _entry(self, item: Dataset, depth: int) -> Entry:
        if "ReferencedContentItemIdentifier" in item:
            return Entry(depth, self._relation(item), self._target(item))
        kind = _kind(item)
        label = self._label(item)
        if kind == "CONTAINER":
            return Entry(depth, label or self._words.no_heading, self._moment(item), heading=True)
        value = self._value(item, kind) or self._words.no_value
        if len(value) > MOST_LETTERS:
            self.left += 1
            value = value[:MOST_LETTERS] + "…"
        moment = self._moment(item)
        return Entry(depth, label, f"{value} ({moment})" if moment else value)

    def _label(self, item: Dataset) -> str:
        """The name of the concept, after the relation where that says more than `contains`."""
        name = meaning_of(item, "ConceptNameCodeSequence")
        relation = self._relation(item)
        return f"{relation}: {name}" if relation and name else relation or name

    def _relation(self, item: Dataset) -> str:
        return self._words.relations.get(attributes.text(item, "RelationshipType"), "")

    def _moment(self, item: Dataset) -> str:
        """When the item was observed, where that is said of it alone."""
        return datetime_of(attributes.text(item, "ObservationDateTime"), self._texts)

    def _value(self, item: Dataset, kind: str) -> str:
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(item, self._texts, self._words)
        if kind in _REFERENCES:
            return self._reference(item)
        return kind

    def _reference(self, item: Dataset) -> str:
        """`CT Image 1.2.3 (frames 1, 5)`, each on a line of its own; with its series where that is said."""
        words, lines = self._words, list[str]()
        for reference in attributes.items(item, "ReferencedSOPSequence"):
            uid = attributes.text(reference, "ReferencedSOPInstanceUID")
            name = class_name(attributes.text(reference, "ReferencedSOPClassUID"), words)
            parts = [_numbers(reference, "ReferencedFrameNumber", words.frames)]
            parts.append(_numbers(reference, "ReferencedWaveformChannels", words.channels))
            if uid in self._series:
                parts.append(words.in_series.format(self._series[uid]))
            details = ", ".join(part for part in parts if part)
            lines.append(f"{name} {uid}".strip() + (f" ({details})" if details else ""))
        return "\n".join(lines)

    def _counted(self, group: Sequence[Dataset]) -> str:
        """Many references that say nothing but what they refer to: `CT Image × 47`."""
        (reference, *_) = attributes.items(group[0], "ReferencedSOPSequence")
        name = class_name(attributes.text(reference, "ReferencedSOPClassUID"), self._words)
        uids = [attributes.text(item, "ReferencedSOPInstanceUID") for item in _references(group)]
        series = sorted({self._series.get(uid, "") for uid in uids} - {""})
        counted = self._words.references.format(name, len(uids))
        return (
            f"{counted} ({self._words.in_series.format(', '.join(series))})" if len(series) == 1 else counted
        )

    def _target(self, item: Dataset) -> str:
        """An item that stands elsewhere in the tree, by its name (PS3.3 C.17.3.2.5)."""
        path = [
            attributes.to_int(value) for value in attributes.values(item, "ReferencedContentItemIdentifier")
        ]
        found = self._root
        for place in path[1:]:
            below = attributes.items(found, "ContentSequence")
            if place is None or not 1 <= place <= len(below):
                return self._words.see.format(".".join(map(str, path)))
            found = below[place - 1]
        name = meaning_of(found, "ConceptNameCodeSequence")
        value = "" if _kind(found) == "CONTAINER" else " ".join(self._value(found, _kind(found)).split())
        said = ": ".join(part for part in (name, value[:80]) if part)
        return self._words.see.format(said or ".".join(map(str, path)))


def _kind(item: Dataset) -> str:
    return attributes.text(item, "ValueType").upper()


def _references(group: Sequence[Dataset]) -> list[Dataset]:
    return [reference for item in group for reference in attributes.items(item, "ReferencedSOPSequence")]


def _groups(item: Dataset) -> list[list[Dataset]]:
    """The items below, those alone; long runs of bare references to one class together."""
    groups = list[list[Dataset]]()
    for bare, run in groupby(attributes.items(item, "ContentSequence"), _bare):
        items = list(run)
        if bare and len(items) > _FEW_REFERENCES:
            groups.append(items)
        else:
            groups.extend([one] for one in items)
    return groups


def _bare(item: Dataset) -> tuple[str, str] | None:
    """Concept and class of a reference that says nothing more; None of anything else."""
    if _kind(item) not in _REFERENCES or "ContentSequence" in item or "ObservationDateTime" in item:
        return None
    references = attributes.items(item, "ReferencedSOPSequence")
    if len(references) != 1 or "ReferencedFrameNumber" in references[0]:
        return None
    concept = meaning_of(item, "ConceptNameCodeSequence")
    return concept, attributes.text(references[0], "ReferencedSOPClassUID")


def _evidence(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """The series of each instance that is evidence (PS3.3 C.17.2)."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in attributes.items(dataset, keyword):
            for series in attributes.items(study, "ReferencedSeriesSequence"):
                uid = attributes.text(series, "SeriesInstanceUID")
                for reference in attributes.items(series, "ReferencedSOPSequence"):
                    yield attributes.text(reference, "ReferencedSOPInstanceUID"), uid


def _numbers(dataset: Dataset, keyword: str, words: str) -> str:
    values = attributes.values(dataset, keyword)
    if not values:
        return ""
    more = "…" if len(values) > _MOST_NUMBERS else ""
    return words.format(", ".join(map(str, values[:_MOST_NUMBERS])) + more)


def datetime_of(value: str, texts: Texts) -> str:
    """A DICOM date and time (PS3.5 6.2, DT) as people here write it, its offset from UTC after it."""
    digits, sign, zone = value.partition("+") if "+" in value else value.partition("-")
    if not digits[:8].isdecimal() or len(digits) < 8:
        return value
    offset = f" (UTC{sign}{zone[:2]}:{zone[2:4]})" if len(zone) == 4 else ""
    return f"{texts.date(digits[:8])} {texts.time(digits[8:])}".strip() + offset


def localised(number: str, texts: Texts) -> str:
    """A number as it is written in the report, with the decimal point of the language."""
    return number.replace(".", texts.decimal_point)


def _text(item: Dataset, texts: Texts, words: Words) -> str:
    del texts, words
    return attributes.text(item, "TextValue")


def _code(item: Dataset, texts: Texts, words: Words) -> str:
    del texts, words
    return meaning_of(item, "ConceptCodeSequence")


def _number(item: Dataset, texts: Texts, words: Words) -> str:
    """`12,5 mm`; why there is no number, where there is none (PS3.3 C.18.1)."""
    del words
    qualifier = meaning_of(item, "NumericValueQualifierCodeSequence")
    for measured in attributes.items(item, "MeasuredValueSequence")[:1]:
        number = attributes.text(measured, "NumericValue")
        if number:
            value = f"{localised(number, texts)} {unit(measured, 'MeasurementUnitsCodeSequence')}".strip()
            return f"{value} ({qualifier})" if qualifier else value
    return qualifier


def _person(item: Dataset, texts: Texts, words: Words) -> str:
    del texts, words
    return person_name(item, "PersonName")


def _date(item: Dataset, texts: Texts, words: Words) -> str:
    del words
    return texts.date(attributes.text(item, "Date"))


def _time(item: Dataset, texts: Texts, words: Words) -> str:
    del words
    value = attributes.text(item, "Time")
    seconds = value.replace(":", "")[4:6]
    said = texts.time(value)
    return f"{said}:{seconds}" if said != value and seconds.isdecimal() and len(seconds) == 2 else said


def _datetime(item: Dataset, texts: Texts, words: Words) -> str:
    del words
    return datetime_of(attributes.text(item, "DateTime"), texts)


def _uid(item: Dataset, texts: Texts, words: Words) -> str:
    del texts, words
    return attributes.text(item, "UID")


def _graphic(dimensions: int) -> Callable[[Dataset, Texts, Words], str]:
    def read(item: Dataset, texts: Texts, words: Words) -> str:
        """`Circle, points: 2`; of a point, where it is."""
        kind, data = attributes.text(item, "GraphicType"), attributes.floats(item, "GraphicData")
        name = words.graphics.get(kind, kind)
        if len(data) == dimensions:
            return f"{name} ({'; '.join(texts.number(value) for value in data)})"
        return f"{name}, {words.points.format(len(data) // dimensions)}" if data else name

    return read


def _interval(item: Dataset, texts: Texts, words: Words) -> str:
    """A region of time: samples, seconds or moments (PS3.3 C.18.7)."""
    kind = attributes.text(item, "TemporalRangeType")
    moments = [datetime_of(str(value), texts) for value in attributes.values(item, "ReferencedDateTime")]
    seconds = [texts.number(value) for value in attributes.floats(item, "ReferencedTimeOffsets")]
    parts = [
        words.graphics.get(kind, kind),
        _numbers(item, "ReferencedSamplePositions", words.samples),
        words.offsets_s.format("; ".join(seconds[:_MOST_NUMBERS])) if seconds else "",
        "; ".join(moments[:_MOST_NUMBERS]),
    ]
    return ", ".join(part for part in parts if part)


_READERS: Final[dict[str, Callable[[Dataset, Texts, Words], str]]] = {
    "TEXT": _text,
    "CODE": _code,
    "NUM": _number,
    "PNAME": _person,
    "DATE": _date,
    "TIME": _time,
    "DATETIME": _datetime,
    "UIDREF": _uid,
    "SCOORD": _graphic(2),
    "SCOORD3D": _graphic(3),
    "TCOORD": _interval,
}
