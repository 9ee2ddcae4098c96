"""Text that goes from sheet to sheet: set from the top, a new sheet where the room ends."""

from __future__ import annotations

from typing import Final

from render.layout import free_area
from render.pages import GRAY, RULE
from render.pdf import A4_PORTRAIT, BLACK, Canvas, Colour
from render.sheet import Sheet
from render.typeface import BOLD, REGULAR, Typeface

MOST_LINES: Final = 20_000
"""Of one paragraph; more than any sheets that a document may have."""

MOST_FACT_LINES: Final = 6
_FACT_COLUMN: Final = 120.0


class Flow:
    """Sheets that are filled from the top. `continued` is the running head of all but the first."""

    def __init__(self, continued: str, most_sheets: int, size: tuple[float, float] = A4_PORTRAIT) -> None:
        self._continued = continued
        self._most = most_sheets
        self._size = size
        self.left, self._bottom, self.width, height = free_area(size)
        self._top = self._bottom + height
        self._canvases = [Canvas()]
        self.y = self._top

    @property
    def full(self) -> bool:
        """True when no sheet is left: what is set now is not drawn."""
        return len(self._canvases) > self._most

    def allow_one_more(self) -> None:
        """Allow a further sheet where all are used up, and go on at its top."""
        if self.full:
            self._most += 1
            self.y = self._top

    def sheets(self) -> list[Sheet]:
        """What was set, at most as many sheets as were allowed."""
        return [Sheet(canvas, self._size) for canvas in self._canvases[: self._most]]

    def make_room(self, height: float) -> None:
        """Begin a sheet where `height` points do not fit under what is there."""
        if self.y - height >= self._bottom or self.full:
            return
        self._canvases.append(Canvas())
        self.y = self._top
        if not self.full:
            clipped = BOLD.clip(self._continued, 9, self.width)
            self.line(clipped, 0, BOLD, 9, GRAY)
            self.rule()

    def space(self, height: float) -> None:
        """Leave room, but none at the top of a sheet."""
        if self.y < self._top:
            self.y -= height

    def rule(self) -> None:
        """A line across the sheet."""
        y = self.y - 3
        self._canvases[-1].line(self.left, y, self.left + self.width, y, 0.6, RULE)
        self.y -= 12

    def line(self, text: str, indent: float, face: Typeface, size: float, colour: Colour = BLACK) -> None:
        """One line that is known to fit."""
        height = size * 1.35
        self.make_room(height)
        self.y -= height
        if not self.full:
            self._canvases[-1].text(self.left + indent, self.y + size * 0.3, text, face, size, colour)

    def paragraph(
        self, text: str, indent: float, face: Typeface, size: float, colour: Colour = BLACK
    ) -> None:
        """Lines as they are broken in the text, and where they are longer than the sheet is wide."""
        for line in text.splitlines() or [""]:
            if not line.strip():
                self.space(size * 0.6)
            for part in face.wrap(line, size, self.width - indent, MOST_LINES):
                if self.full:
                    return
                self.line(part, indent, face, size, colour)

    def labelled(self, label: str, value: str, indent: float, size: float) -> None:
        """`Label: value` on one line where both fit; else the value under its label."""
        head = f"{label}: " if label else ""
        before = BOLD.width(head, size)
        one_line = "\n" not in value and "\r" not in value
        if one_line and before + REGULAR.width(value, size) <= self.width - indent:
            self.make_room(size * 1.35)
            y = self.y
            self.line(head, indent, BOLD, size)
            self.y = y
            self.line(value, indent + before, REGULAR, size)
            return
        if head:
            self.make_room(size * 1.35 * 2)
            for part in BOLD.wrap(head.strip(), size, self.width - indent, 4):
                self.line(part, indent, BOLD, size)
            indent += 10
        self.paragraph(value, indent, REGULAR, size)

    def fact(self, label: str, value: str, size: float) -> None:
        """A gray label, and its value beside it in a column of its own."""
        lines = REGULAR.wrap(value, size, self.width - _FACT_COLUMN, MOST_FACT_LINES)
        self.make_room(size * 1.35 * len(lines))
        y = self.y
        self.line(REGULAR.clip(label, size, _FACT_COLUMN - 8), 0, REGULAR, size, GRAY)
        self.y = y
        for line in lines:
            self.line(line, _FACT_COLUMN, REGULAR, size)
