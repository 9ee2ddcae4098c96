"""A structured report as pages to read: its facts, then its content tree, indented (PS3.3 A.35)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydicom.dataset import Dataset

from ponte import attributes
from ponte.quiet import quiet
from ponte.study import person_name
from render.documents.codes import class_name, meaning_of
from render.documents.content import Content, Entry, datetime_of
from render.documents.flow import Flow
from render.documents.words import Words, words_of
from render.pages import ACCENT, GRAY
from render.pdf import PdfWriter
from render.sheet import Document
from render.texts import Texts
from render.typeface import BOLD, REGULAR

MOST_SHEETS: Final = 100
_INDENT: Final = 12.0
_MOST_INDENTS: Final = 10
_HEADINGS: Final = (12.0, 10.5, 9.5)
_SIZE: Final = 9.0
_MOST_OBSERVERS: Final = 50


def draw(dataset: Dataset, writer: PdfWriter, texts: Texts, *, anonymize: bool) -> Document:
    """As many sheets as the report needs; none of one without content. With `anonymize` its class alone.

    A report is written by people about a patient: nothing of it can be shown without that.
    """
    del writer
    words = words_of(texts)
    with quiet():
        name = class_name(attributes.text(dataset, "SOPClassUID"), words)
        if anonymize:
            return Document(name, left_out=words.report_left_out)
        if not attributes.items(dataset, "ContentSequence"):
            return Document(name, left_out=words.empty)
        return _drawn(dataset, name, texts, words)


def _drawn(dataset: Dataset, name: str, texts: Texts, words: Words) -> Document:
    title = meaning_of(dataset, "ConceptNameCodeSequence") or name
    flow = Flow(words.continued.format(title), MOST_SHEETS)
    flow.paragraph(name, 0, REGULAR, 9.5, ACCENT)
    flow.paragraph(title, 0, BOLD, 16)
    flow.space(4)
    for label, value in _facts(dataset, texts, words):
        if value:
            flow.fact(label, value, _SIZE)
    flow.rule()
    content = Content(dataset, texts, words)
    for entry in content.entries():
        if flow.full:
            content.left += 1
            continue
        _set(flow, entry)
        content.left += flow.full
    left_out = words.cut.format(content.left) if content.left else ""
    if left_out:
        flow.allow_one_more()
        flow.space(6)
        flow.paragraph(left_out, 0, BOLD, _SIZE)
    return Document(title if title == name else f"{name} · {title}", flow.sheets(), left_out)


def _set(flow: Flow, entry: Entry) -> None:
    indent = _INDENT * (min(entry.depth, _MOST_INDENTS) - 1)
    if not entry.heading:
        flow.labelled(entry.label, entry.value, indent, _SIZE)
        return
    size = _HEADINGS[min(entry.depth, len(_HEADINGS)) - 1]
    flow.space(size * 0.5)
    flow.make_room(size * 1.35 + _SIZE * 1.35 * 2)
    flow.paragraph(entry.label, indent, BOLD, size, ACCENT)
    if entry.value:
        flow.paragraph(entry.value, indent, REGULAR, _SIZE, GRAY)


def _facts(dataset: Dataset, texts: Texts, words: Words) -> list[tuple[str, str]]:
    """Whether it is complete and verified, by whom, and when (PS3.3 C.17.2)."""
    completion = _said(dataset, "CompletionFlag", words.completions)
    described = attributes.text(dataset, "CompletionFlagDescription")
    date, time = attributes.text(dataset, "ContentDate"), attributes.text(dataset, "ContentTime")
    predecessors = attributes.items(dataset, "PredecessorDocumentsSequence")
    return [
        (words.completion, ". ".join(part for part in (completion, described) if part)),
        (words.preliminary, _said(dataset, "PreliminaryFlag", words.preliminaries)),
        (words.verification, _said(dataset, "VerificationFlag", words.verifications)),
        *((words.verifier, verifier) for verifier in _verifiers(dataset, texts)),
        *((words.author, author) for author in _authors(dataset)),
        (words.content_date, f"{texts.date(date)} {texts.time(time)}".strip()),
        (words.device, _device(dataset)),
        (words.predecessors, str(len(predecessors)) if predecessors else ""),
    ]


def _said(dataset: Dataset, keyword: str, words: Mapping[str, str]) -> str:
    value = attributes.text(dataset, keyword)
    return words.get(value, value)


def _verifiers(dataset: Dataset, texts: Texts) -> list[str]:
    """Name, organisation and moment of each who verified."""
    return [
        _joined(
            person_name(item, "VerifyingObserverName"),
            attributes.text(item, "VerifyingOrganization"),
            datetime_of(attributes.text(item, "VerificationDateTime"), texts),
        )
        for item in attributes.items(dataset, "VerifyingObserverSequence")[:_MOST_OBSERVERS]
    ]


def _authors(dataset: Dataset) -> list[str]:
    """Who wrote it: people by name, devices by their maker (PS3.3 C.17.2.1)."""
    return [
        _joined(person_name(item, "PersonName") or _device(item), attributes.text(item, "InstitutionName"))
        for item in attributes.items(dataset, "AuthorObserverSequence")[:_MOST_OBSERVERS]
    ]


def _device(dataset: Dataset) -> str:
    return " ".join(
        text
        for keyword in ("Manufacturer", "ManufacturerModelName")
        if (text := attributes.text(dataset, keyword))
    )


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
