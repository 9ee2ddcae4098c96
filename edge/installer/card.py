"""The quick reference card: one A4 page with this box's own addresses, to hang beside it."""

from __future__ import annotations

import socket
from datetime import datetime
from typing import BinaryIO, Final
from zoneinfo import ZoneInfo

from installer.card_texts import TEXTS, CardTexts, Language, Row
from render.pages import ACCENT, GRAY, PALE, RULE
from render.pdf import A4_PORTRAIT, BLACK, Canvas, DocumentInfo, PdfWriter
from render.typeface import BOLD, REGULAR
from render.version import PRODUCT
from router.config import EVERYWHERE, RouterConfig
from router.destinations import DicomNode, Target

_WIDTH, _HEIGHT = A4_PORTRAIT
_LEFT, _RIGHT = 40.0, _WIDTH - 40.0
_SECOND = 212.0
"""Where the right column begins."""
_SIZE, _LINE = 10.5, 13.5
_FOOT = 34.0
_MOST_DESTINATIONS: Final = 2
_MOST_LINES: Final = 5


def draw_card(
    config: RouterConfig, page: str, language: Language, out: BinaryIO, *, now: datetime | None = None
) -> None:
    """Write the card as a PDF. `page` is the dashboard's address, "" where it is not known."""
    made = now or datetime.now(ZoneInfo(config.timezone))
    texts, values = TEXTS[language], _values(config, page, made)
    writer = PdfWriter(out)
    sheet = _Sheet(values)
    sheet.heading(texts.title)
    for title, rows in _sections(texts):
        sheet.section(title)
        for row in rows:
            sheet.row(row)
    sheet.section(texts.never_title)
    for line in texts.never:
        sheet.line(line)
    sheet.foot(texts)
    writer.add_page(sheet.canvas, A4_PORTRAIT, [])
    writer.finish(DocumentInfo(texts.title, PRODUCT, language, made))


def _sections(texts: CardTexts) -> list[tuple[str, tuple[Row, ...]]]:
    return [
        (texts.facts_title, texts.facts),
        (texts.daily_title, texts.daily),
        (texts.commands_title, texts.commands),
        (texts.symptoms_title, texts.symptoms),
    ]


def _values(config: RouterConfig, page: str, made: datetime) -> dict[str, str]:
    first = config.listeners[0]
    return {
        "ae_title": config.ae_title,
        "address": socket.gethostname() if first.address in (EVERYWHERE, "::") else first.address,
        "ports": ", ".join(str(one.port) for one in config.listeners),
        "port": str(first.port),
        "destinations": _destinations(config.destinations),
        "page": page or "-",
        "root": str(config.dicom_root),
        "product": PRODUCT,
        "date": f"{made:%d/%m/%Y}",
    }


def _destinations(targets: tuple[Target, ...]) -> str:
    said = [
        f"{one.name}: {one.ae_title}@{one.host}:{one.port}" if isinstance(one, DicomNode) else one.name
        for one in targets[:_MOST_DESTINATIONS]
    ]
    more = len(targets) - len(said)
    return ", ".join(said + ([f"+{more}"] if more else [])) or "-"


class _Sheet:
    """One page, filled from the top."""

    def __init__(self, values: dict[str, str]) -> None:
        self.canvas = Canvas()
        self._values = values
        self.y = _HEIGHT - 56.0

    def heading(self, title: str) -> None:
        self.canvas.rectangle(0, _HEIGHT - 8, _WIDTH, 8, ACCENT)
        self.canvas.text(_LEFT, self.y, title, BOLD, 20, ACCENT)
        self.y -= 10

    def section(self, title: str) -> None:
        self.y -= 26
        self.canvas.rectangle(_LEFT - 6, self.y - 5, _RIGHT - _LEFT + 12, 18, PALE)
        self.canvas.rectangle(_LEFT - 6, self.y - 5, 3, 18, ACCENT)
        self.canvas.text(_LEFT + 2, self.y, title, BOLD, 11.5, ACCENT)
        self.y -= 5

    def row(self, row: Row) -> None:
        left, right = (text.format(**self._values) for text in row)
        lines = REGULAR.wrap(right, _SIZE, _RIGHT - _SECOND, _MOST_LINES)
        self.y -= _LINE + 2.5
        self.canvas.text(_LEFT + 2, self.y, BOLD.clip(left, _SIZE, _SECOND - _LEFT - 8), BOLD, _SIZE)
        for number, line in enumerate(lines):
            self.y -= _LINE if number else 0
            self.canvas.text(_SECOND, self.y, line, REGULAR, _SIZE, BLACK)

    def line(self, text: str) -> None:
        self.y -= _LINE + 2.5
        self.canvas.text(_LEFT + 2, self.y, f"\u2022  {text}", REGULAR, _SIZE)

    def foot(self, texts: CardTexts) -> None:
        self.canvas.line(_LEFT, _FOOT + 14, _RIGHT, _FOOT + 14, 0.6, RULE)
        self.canvas.text(_LEFT, _FOOT, texts.limit, BOLD, 8.5, ACCENT)
        self.canvas.text_right(_RIGHT, _FOOT, texts.made.format(**self._values), REGULAR, 8, GRAY)
