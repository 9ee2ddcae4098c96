"""The faces that the document is set in: how wide a text is, which bytes draw it, which objects hold it.

Text that WinAnsiEncoding can say, which is all of Portuguese and English, takes one byte a character and a
small font that is ready to be embedded; only other text is shaped, with the fonts of its script (`fonts`).
Where no fonts are installed it is Helvetica and Helvetica-Bold of the fourteen standard faces (PDF 32000-1,
9.6.2.2), which every reader has. Their widths are those of Adobe's published AFM files, in thousandths of the
size, from code 32 to 255; the installed face was drawn to the same widths but for a few signs.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

from render.fonts.embedding import ObjectWriter, latin_font
from render.fonts.library import FontFile, LatinFile, Library, Style, installed
from render.fonts.shaping import Line, Piece, shape

SUBSTITUTE = "\u00a4"
"""Drawn for a character that no font has, so that nothing is dropped and nothing is guessed."""

ELLIPSIS = "\u2026"
_FIRST_CODE = 32
_LONGEST = 2000  # characters of a text that are looked at for one line, which holds a few hundred
_ENCODING = "cp1252"  # WinAnsiEncoding, PDF 32000-1, annex D.2

# fmt: off
_REGULAR = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 "
    "556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 "
    "667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 556 278 556 "
    "556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 260 334 584 350 "
    "556 350 222 556 333 1000 556 556 333 1000 667 333 1000 350 611 350 350 222 222 333 333 350 556 "
    "1000 333 1000 500 333 944 350 500 667 278 333 556 556 556 556 260 556 333 737 370 556 584 333 737 "
    "333 400 584 333 333 333 556 537 278 333 333 365 556 834 834 834 611 667 667 667 667 667 667 1000 "
    "722 667 667 667 667 278 278 278 278 722 722 778 778 778 778 778 584 778 722 722 722 722 667 667 "
    "611 556 556 556 556 556 556 889 500 556 556 556 556 278 278 278 278 556 556 556 556 556 556 556 "
    "584 611 556 556 556 556 500 556 500 "
)
_BOLD = (
    "278 333 474 556 556 889 722 238 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 "
    "556 556 333 333 584 584 584 611 975 722 722 722 722 667 611 778 722 278 556 722 611 833 722 778 "
    "667 778 722 667 611 722 667 944 667 667 611 333 278 333 584 556 333 556 611 556 611 556 333 611 "
    "611 278 278 556 278 889 611 611 611 611 389 556 333 611 556 778 556 556 500 389 280 389 584 350 "
    "556 350 278 556 500 1000 556 556 333 1000 667 333 1000 350 611 350 350 278 278 500 500 350 556 "
    "1000 333 1000 556 333 944 350 500 667 278 333 556 556 556 556 280 556 333 737 370 556 584 333 737 "
    "333 400 584 333 333 333 611 556 278 333 333 365 556 834 834 834 611 722 722 722 722 722 722 1000 "
    "722 667 667 667 667 278 278 278 278 722 722 778 778 778 778 778 584 778 722 722 722 722 667 667 "
    "611 556 556 556 556 556 556 889 556 556 556 556 556 278 278 278 278 611 611 611 611 611 611 611 "
    "584 611 611 611 611 611 556 611 556 "
)
# fmt: on


@lru_cache(maxsize=4096)
def _plain(text: str) -> bytes | None:
    """`text` as WinAnsi bytes, one a character of its composed form; None where they cannot say it."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    text = _tidy(text)
    try:
        return None if any(map(_is_control, text)) else text.encode(_ENCODING)
    except UnicodeEncodeError:
        return None


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def _tidy(text: str) -> str:
    """`text` in its composed form, on one line."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(" " if character.isspace() else character for character in composed)


@lru_cache(maxsize=1024)
def _shaped(text: str, fonts: tuple[FontFile, ...]) -> Line:
    return shape(_tidy(text), fonts, SUBSTITUTE)


@dataclass(frozen=True, slots=True, eq=False)
class Typeface:
    """One face. `resource` is its name in the content streams, `widths` those of WinAnsi by code.

    With `latin`, that file is embedded; without, `base_font` is one that every reader has. `fonts` are those
    of all other scripts, and `light` those of them that have not this face's weight.
    """

    resource: str
    base_font: str
    widths: tuple[int, ...] = field(repr=False)
    latin: LatinFile | None = None
    fonts: tuple[FontFile, ...] = ()
    light: tuple[FontFile, ...] = ()

    def plain(self, text: str) -> bytes | None:
        """The bytes that draw `text`, one for each character; None where it takes more than WinAnsi."""
        return _plain(text)

    def line(self, text: str) -> Line:
        """How any text is drawn: a visible substitute stands for every character that no font has."""
        return _shaped(text, self.fonts)

    def width(self, text: str, size: float) -> float:
        """How far `text` reaches, in points, set at `size` points."""
        codes, widths = _plain(text), self.widths
        if codes is not None:
            return sum([widths[code] for code in codes]) * size / 1000
        return sum(self._advance(piece) for piece in self.line(text).pieces) * size / 1000

    def _advance(self, piece: Piece) -> int:
        if piece.font is not None:
            return piece.advance
        return sum(self.widths[code] for code in piece.codes)

    def missing(self, text: str) -> frozenset[str]:
        """The characters of `text` that are drawn as the substitute."""
        if _plain(text) is not None:
            return frozenset()
        beyond = [c for c in sorted(set(text[_LONGEST:])) if _plain(c) is None]
        return self.line(text[:_LONGEST]).missing.union(*(self.line(c).missing for c in beyond))

    def clip(self, text: str, size: float, room: float) -> str:
        """`text`, or as much of its beginning as fits into `room` points with an ellipsis after it."""
        if len(text) <= _LONGEST and self.width(text, size) <= room:
            return text
        text = text[:_LONGEST]
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.width(text[:middle].rstrip() + ELLIPSIS, size) <= room:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + ELLIPSIS

    def wrap(self, text: str, size: float, room: float, max_lines: int) -> list[str]:
        """`text` in at most `max_lines` lines of `room` points; the last is clipped where more is left."""
        cut = ELLIPSIS if len(text) > _LONGEST * max_lines else ""
        words, lines = (text[: _LONGEST * max_lines] + cut).split(), list[str]()
        while words and len(lines) < max_lines - 1:
            count = self._words_that_fit(words, size, room)
            if count == 0:
                broken = self._characters_that_fit(words[0], size, room)
                lines.append(words[0][:broken])
                words[0] = words[0][broken:]
            else:
                lines.append(" ".join(words[:count]))
                del words[:count]
        if words:
            lines.append(self.clip(" ".join(words), size, room))
        return lines

    def _words_that_fit(self, words: list[str], size: float, room: float) -> int:
        """How many of the first words make a line."""
        used = 0.0
        for count, word in enumerate(words):
            used += self.width(word if count == 0 else " " + word, size)
            if used > room:
                return count
        return len(words)

    def _characters_that_fit(self, word: str, size: float, room: float) -> int:
        """How many characters of a word longer than a line make one; at least one."""
        return max(1, bisect_right(range(1, len(word) + 1), room, key=lambda n: self.width(word[:n], size)))

    def objects(self, writer: ObjectWriter) -> int:
        """Write the objects of this face and return the number of its font dictionary."""
        if self.latin is not None:
            return latin_font(self.latin, writer)
        return writer.add_object(
            b"<< /Type /Font /Subtype /Type1 /BaseFont /%b /Encoding /WinAnsiEncoding >>"
            % self.base_font.encode("ascii")
        )


def standard(resource: str, style: Style) -> Typeface:
    """Helvetica, which no document embeds: what there is where no fonts are installed."""
    if style == "bold":
        return Typeface(resource, "Helvetica-Bold", _widths(_BOLD))
    return Typeface(resource, "Helvetica", _widths(_REGULAR))


def embedded(resource: str, style: Style, library: Library) -> Typeface:
    """The faces of `library`, which documents embed."""
    latin, fonts = library.latin(style), library.files(style)
    light = tuple(font for font in fonts if style == "bold" and not library.is_bold(font))
    return Typeface(resource, latin.descriptor.name, _by_code(latin.widths), latin, fonts, light)


def _face(resource: str, style: Style) -> Typeface:
    library = installed()
    return standard(resource, style) if library is None else embedded(resource, style, library)


def _widths(table: str) -> tuple[int, ...]:
    return _by_code(tuple(map(int, table.split())))


def _by_code(widths: tuple[int, ...]) -> tuple[int, ...]:
    """Widths of codes 32 to 255 as those of all."""
    return (0,) * _FIRST_CODE + widths


REGULAR = _face("F1", "regular")
BOLD = _face("F2", "bold")
FACES = (REGULAR, BOLD)
