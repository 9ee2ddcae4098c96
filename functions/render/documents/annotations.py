"""What is said of a waveform: statements, measured values and marks in time (PS3.3 C.10.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataset import Dataset

from ponte import attributes
from render.documents.codes import meaning_of, unit
from render.documents.content import datetime_of, localised
from render.documents.words import Words
from render.texts import Texts

MOST_ANNOTATIONS: Final = 2_000
# fmt: off
_SAFE_WORDS: Final = frozenset({
    "rr", "pp", "pr", "p", "qrs", "qt", "qtc", "r", "t", "st", "interval", "duration", "axis", "rate",
    "heart", "atrial", "ventricular", "mean", "bazett", "fridericia", "corrected", "amplitude", "wave",
})
# fmt: on


@dataclass(slots=True)
class Annotations:
    """All of an instance. `marks` are by what is marked; `statements` are what people, or programs, wrote."""

    statements: list[str] = field(default_factory=list)
    measures: list[tuple[str, str]] = field(default_factory=list)
    marks: dict[str, list[str]] = field(default_factory=dict)
    left: int = 0


def read_annotations(dataset: Dataset, rates: Mapping[int, float], texts: Texts, words: Words) -> Annotations:
    """`rates` are the sampling frequencies of the groups, by their number from 1."""
    found = Annotations()
    items = attributes.items(dataset, "WaveformAnnotationSequence")
    found.left = max(0, len(items) - MOST_ANNOTATIONS)
    for item in items[:MOST_ANNOTATIONS]:
        _add(found, item, rates, texts, words)
    return found


def without_people(annotations: Annotations) -> Annotations:
    """The measured values alone, of those whose names are known to be names of measures."""
    known = [
        (name, value)
        for name, value in annotations.measures
        if _SAFE_WORDS.issuperset(name.lower().replace("-", " ").split())
    ]
    return Annotations(measures=known)


def _add(found: Annotations, item: Dataset, rates: Mapping[int, float], texts: Texts, words: Words) -> None:
    name = meaning_of(item, "ConceptNameCodeSequence")
    number = attributes.text(item, "NumericValue")
    coded = meaning_of(item, "ConceptCodeSequence")
    said = " ".join(attributes.text(item, "UnformattedTextValue").split())
    value = (
        f"{localised(number, texts)} {unit(item, 'MeasurementUnitsCodeSequence')}".strip()
        if number
        else coded
    )
    when = _when(item, rates, texts, words)
    if said:
        value = said if not value else f"{value} ({said})"
    if number and not when:
        found.measures.append((name, value))
    elif when:
        group = f" ({words.group.format(_group(item))})" if len(rates) > 1 else ""
        found.marks.setdefault((name or words.annotations) + group, []).append(f"{value} {when}".strip())
    elif name or value:
        found.statements.append(": ".join(part for part in (name, value) if part))


def _when(item: Dataset, rates: Mapping[int, float], texts: Texts, words: Words) -> str:
    """Seconds from the start of the group, or moments; "" of what holds for all of it."""
    group = _group(item)
    samples = attributes.floats(item, "ReferencedSamplePositions")
    offsets = [value / 1000 for value in attributes.floats(item, "ReferencedTimeOffsets")]
    if samples and rates.get(group, 0) > 0:
        offsets = [(sample - 1) / rates[group] for sample in samples]
    if offsets:
        said = " - ".join(f"{offset:.3f}".replace(".", texts.decimal_point) for offset in offsets)
        return words.offsets_s.format(said)
    return " - ".join(
        datetime_of(str(value), texts) for value in attributes.values(item, "ReferencedDateTime")
    )


def _group(item: Dataset) -> int:
    """The number of the group that an annotation is for; pairs of group and channel say so."""
    return attributes.to_int(attributes.first(item, "ReferencedWaveformChannels")) or 1
