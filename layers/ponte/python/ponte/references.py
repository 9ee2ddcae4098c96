"""What one instance says of others: the images that it is about, and which frames of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.quiet import quiet

MOST_REFERENCES: Final = 100_000
_MOST_DEPTH: Final = 32
_REFERENCES: Final = frozenset({"IMAGE", "COMPOSITE", "WAVEFORM"})


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance, and the numbers of the frames that are meant; none stands for all."""

    sop_instance_uid: str
    frames: frozenset[int] = frozenset()

    def covers(self, sop_instance_uid: str, frame_number: int) -> bool:
        """True where this frame is meant."""
        return self.sop_instance_uid == sop_instance_uid and (not self.frames or frame_number in self.frames)


@dataclass(frozen=True, slots=True)
class KeyObjects:
    """A Key Object Selection (PS3.3 A.35.4): what it is for, what was said, and what was chosen."""

    title: str
    description: str
    references: tuple[Reference, ...]


def is_covered(references: Iterable[Reference], sop_instance_uid: str, frame_number: int) -> bool:
    """True where one of the references means this frame."""
    return any(reference.covers(sop_instance_uid, frame_number) for reference in references)


def referenced(item: Dataset, keyword: str) -> tuple[Reference, ...]:
    """The references of a sequence such as Referenced Image Sequence; those without a UID are none."""
    found = (_reference(one) for one in attributes.items(item, keyword)[:MOST_REFERENCES])
    return tuple(reference for reference in found if reference.sop_instance_uid)


def read_key_objects(dataset: Dataset) -> KeyObjects:
    """The selection, from its content tree (PS3.16 TID 2010). Never raises on a broken value."""
    with quiet():
        concepts = attributes.items(dataset, "ConceptNameCodeSequence")
        title = attributes.text(concepts[0], "CodeMeaning") if concepts else ""
        texts, references = list[str](), list[Reference]()
        for item in _content(dataset):
            kind = attributes.text(item, "ValueType").upper()
            if kind == "TEXT":
                texts.append(attributes.text(item, "TextValue"))
            elif kind in _REFERENCES:
                references.extend(referenced(item, "ReferencedSOPSequence"))
        return KeyObjects(title, " ".join(texts), tuple(dict.fromkeys(references[:MOST_REFERENCES])))


def _reference(item: Dataset) -> Reference:
    numbers = (attributes.to_int(value) for value in attributes.values(item, "ReferencedFrameNumber"))
    frames = frozenset(number for number in numbers if number is not None)
    return Reference(attributes.text(item, "ReferencedSOPInstanceUID"), frames)


def _content(dataset: Dataset) -> Iterator[Dataset]:
    """Every item below, in the order of the document."""
    waiting = [(1, item) for item in reversed(attributes.items(dataset, "ContentSequence"))]
    while waiting:
        depth, item = waiting.pop()
        yield item
        if depth < _MOST_DEPTH:
            below = attributes.items(item, "ContentSequence")
            waiting.extend((depth + 1, one) for one in reversed(below))
