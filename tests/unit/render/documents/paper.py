"""Sheets as they come out of a drawer, in a PDF of their own."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset

from render.documents import drawer_of
from render.pdf import Canvas, DocumentInfo, PdfWriter
from render.sheet import Document, Sheet
from render.texts import TEXTS, Language

INFO = DocumentInfo("sheets", "test", "en", datetime(2026, 1, 22, tzinfo=UTC))


def put(path: Path, dataset: Dataset, *, language: Language = "en", anonymize: bool = False) -> Document:
    """Draw the instance, and write its sheets (one that says so where there are none) to `path`."""
    with path.open("wb") as stream:
        writer = PdfWriter(stream)
        drawer = drawer_of(dataset.SOPClassUID)
        document = drawer(dataset, writer, TEXTS[language], anonymize=anonymize)
        assert document is not None
        for sheet in document.sheets or [Sheet(Canvas())]:
            writer.add_page(sheet.canvas, sheet.size, sheet.resources)
        writer.finish(INFO)
    return document


def text_of(path: Path) -> str:
    """The text in reading order, with its white space as single spaces."""
    return " ".join(tool("pdftotext", "-layout", path, "-").split())


def tool(*command: str | Path) -> str:
    """What a command prints. It must succeed."""
    answer = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout
