"""Putting pages together alone: our writer against ReportLab, on the same JPEGs and the same text."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
from reportlab import rl_config
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from bench.shapes import phantom
from ponte.geometry import FrameGeometry
from ponte.image import Picture
from ponte.study import InstanceAttributes, SeriesAttributes, StudyAttributes
from render.images import WrittenImages
from render.layout import Layout
from render.options import Grid
from render.page_image import encode_page_image
from render.pages import PageFrame
from render.pdf import DocumentInfo, PageImage, PdfWriter
from render.record import Record
from render.texts import TEXTS

PAGES = 200
_STUDY = StudyAttributes(patient_name="Bench Phantom", patient_id="B1", study_date="20260102")
_GEOMETRY = FrameGeometry(("R", "A", "L", "P"), 0.7)
_SERIES = SeriesAttributes(series_number=3, modality="CT", series_description="Chest")


def run(rounds: int, _shapes: Sequence[str]) -> dict[str, Any]:
    """CPU milliseconds a page, medians of the rounds. There is one shape only."""
    rl_config.useA85 = 0
    rng = np.random.default_rng(7)
    pictures = [_picture(number, rng) for number in range(PAGES)]
    images = [encode_page_image(picture, lossless=False) for picture in pictures]
    steps: dict[str, Callable[[], object]] = {
        "encode": lambda: [encode_page_image(picture, lossless=False) for picture in pictures],
        "ours": lambda: _ours(images),
        "reportlab": lambda: _reportlab(images),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.process_time()
            step()
            taken[name].append((time.process_time() - began) * 1000 / PAGES)
    return {name: statistics.median(values) for name, values in taken.items()}


def _picture(number: int, rng: np.random.Generator) -> Picture:
    return Picture((phantom(512, 512, number / 20, rng) * 255).astype(np.uint8), None, ())


def _ours(images: Sequence[PageImage]) -> BytesIO:
    out = BytesIO()
    writer, frame = PdfWriter(out), PageFrame(_STUDY, TEXTS["en"], len(images))
    store, records = WrittenImages(writer), []
    for number, image in enumerate(images, start=1):
        instance = InstanceAttributes(instance_number=number)
        handle = store.add(image)
        columns, rows = image.columns, image.rows
        records.append(Record(_SERIES, instance, 1, 1, None, _GEOMETRY, columns, rows, handle))
    for number, page in enumerate(Layout(Grid(), "A4").pages(records), start=1):
        canvas, resources = frame.draw(page, number, store)
        writer.add_page(canvas, page.size, resources)
    writer.finish(DocumentInfo("Bench", "Bench", "en", datetime.now(UTC)))
    return out


def _reportlab(images: Sequence[PageImage]) -> BytesIO:
    out = BytesIO()
    canvas = Canvas(out, pagesize=(595.28, 841.89))
    for number, image in enumerate(images, start=1):
        canvas.drawImage(ImageReader(BytesIO(image.data)), 30, 150, 535, 535)
        canvas.setFont("Helvetica-Bold", 9.5)
        canvas.drawString(30, 803, "Series 3 (CT) · Chest")
        canvas.drawRightString(565, 803, "Bench Phantom")
        canvas.setFont("Helvetica", 8.5)
        canvas.drawRightString(565, 791, "B1 · 2026-01-02")
        canvas.line(30, 785, 565, 785)
        canvas.line(30, 44, 565, 44)
        canvas.drawString(30, 32, f"Instance {number}")
        canvas.drawRightString(565, 32, f"Page {number} of {len(images)}")
        canvas.showPage()
    canvas.save()
    return out


def as_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    rows = (
        ("JPEG q90 of the page's image", "encode"),
        ("our writer", "ours"),
        ("ReportLab, ASCII85 off", "reportlab"),
    )
    lines = ["| step | CPU ms a page | of the encoding |", "|---|--:|--:|"]
    for title, name in rows:
        lines.append(f"| {title} | {result[name]:.3f} | {result[name] / result['encode']:.2f}x |")
    return "\n".join(lines)
