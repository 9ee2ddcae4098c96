"""Which glyphs of which fonts draw a line of text, in the order of the eye."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final

from render.fonts.bidi import visual_runs
from render.fonts.library import FontFile

_SELECTORS: Final = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_STEERING: Final = frozenset("\u200c\u200d\u034f").union(map(chr, _SELECTORS))
"""Not drawn: they choose how the characters beside them are."""
_MARKS: Final = frozenset(("Mn", "Me", "Mc"))
_WINANSI: Final = "cp1252"
_LAM_ALEF: Final = {
    unicodedata.normalize("NFKC", form): form for form in ("\ufef5", "\ufef7", "\ufef9", "\ufefb")
}
"""The ligatures that Arabic cannot be without. A reader is told the one character that each has: it turns a
line from the right around character by character, and would turn two letters of one glyph around as well."""
_LAM_THEN_ALEF: Final = re.compile("\u0644[\u064b-\u065f\u0670]*[\u0622\u0623\u0625\u0627]")


@dataclass(frozen=True, slots=True)
class Glyph:
    """A glyph at (`x`, `y`) from the pen, which then goes on by `advance`; in thousandths of the size."""

    number: int
    x: int
    y: int
    advance: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """Glyphs that draw `text` together. `is_exact` where each reader can tell so from the glyph alone."""

    text: str
    glyphs: tuple[Glyph, ...]
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """What one font draws from left to right: `clusters` of `font`, or WinAnsi `codes` where that is None."""

    codes: bytes = b""
    font: FontFile | None = None
    clusters: tuple[Cluster, ...] = ()

    @property
    def advance(self) -> int:
        """How far the glyphs reach, in thousandths of the size."""
        return sum(glyph.advance for cluster in self.clusters for glyph in cluster.glyphs)


@dataclass(frozen=True, slots=True)
class Line:
    """A text as it is drawn, from left to right, and the characters that no font has."""

    pieces: tuple[Piece, ...]
    missing: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A character with the marks upon it, and what draws it: a font, WinAnsi (None), or nothing (`lost`)."""

    text: str
    font: FontFile | None
    lost: bool = False


def shape(text: str, fonts: Sequence[FontFile], substitute: str) -> Line:
    """Shape one line. What no font has is drawn as `substitute`, in WinAnsi."""
    pieces, missing, language = list[Piece](), set[str](), _language(text)
    for start, end, level in visual_runs(text):
        right_to_left = bool(level % 2)
        clusters = _clusters(text[start:end], fonts, right_to_left=right_to_left)
        drawn = list[Piece]()
        for run, font, lost in _runs(clusters):
            piece = None if lost else _piece(run, font, language, right_to_left=right_to_left)
            missing.update(() if piece else run)
            drawn.append(piece or Piece((substitute * len(run)).encode(_WINANSI)))
        pieces += reversed(drawn) if right_to_left else drawn
    return Line(tuple(pieces), frozenset(missing))


def _clusters(text: str, fonts: Sequence[FontFile], *, right_to_left: bool) -> list[_Chosen]:
    """`text` in clusters, each with the font that draws it; formatting characters are not drawn."""
    clusters, start = list[_Chosen](), 0
    while start < len(text):
        end = start + 1
        while end < len(text) and (text[end] in _STEERING or unicodedata.category(text[end]) in _MARKS):
            end += 1
        if unicodedata.category(text[start]) != "Cf" or _in_winansi(text[start]):
            before = clusters[-1] if clusters else None
            clusters.append(_choose(text[start:end], fonts, before, right_to_left))
        start = end
    return clusters


def _choose(text: str, fonts: Sequence[FontFile], before: _Chosen | None, right_to_left: bool) -> _Chosen:
    """The font of a cluster: what joins words stays with its neighbour's, so that none is torn apart."""
    if not right_to_left and _in_winansi(text):
        return _Chosen(text, None)
    candidates = list(fonts)
    if before is not None and before.font is not None and not text[0].isalpha():
        candidates.insert(0, before.font)
    for font in candidates:
        if all(character in _STEERING or font.has(character) for character in text):
            return _Chosen(text, font)
    return _Chosen(text, None) if _in_winansi(text) else _Chosen(text, None, lost=True)


def _in_winansi(text: str) -> bool:
    try:
        text.encode(_WINANSI)
    except UnicodeEncodeError:
        return False
    return text.isprintable()


def _runs(clusters: list[_Chosen]) -> list[tuple[str, FontFile | None, bool]]:
    """Neighbouring clusters that one font draws, or none does, together in the order of reading."""
    runs = list[tuple[str, FontFile | None, bool]]()
    for (font, lost), group in groupby(clusters, key=lambda cluster: (cluster.font, cluster.lost)):
        runs.append(("".join(cluster.text for cluster in group), font, lost))
    return runs


def _piece(text: str, font: FontFile | None, language: str, *, right_to_left: bool) -> Piece | None:
    """One run as it is drawn; None where the font turns out not to have what it takes."""
    if font is None:
        return Piece((text[::-1] if right_to_left else text).encode(_WINANSI))
    glyphs = _glyphs(text, font, language, right_to_left)
    if any(glyph.number == 0 for _, glyph in glyphs):
        return None
    starts = sorted({*(start for start, _ in glyphs), len(text)})
    spans = {start: text[start:end] for start, end in pairwise(starts)}
    return Piece(
        font=font,
        clusters=tuple(
            _cluster(_LAM_ALEF.get(spans[start], spans[start]), tuple(glyph for _, glyph in group), font)
            for start, group in groupby(glyphs, key=itemgetter(0))
        ),
    )


def _cluster(text: str, glyphs: tuple[Glyph, ...], font: FontFile) -> Cluster:
    is_exact = len(glyphs) == len(text) == 1 and font.means(glyphs[0].number, text)
    return Cluster(text, glyphs, is_exact)


def _glyphs(text: str, font: FontFile, language: str, right_to_left: bool) -> list[tuple[int, Glyph]]:
    """HarfBuzz's answer, from left to right: where in `text` each glyph's cluster begins, and the glyph."""
    import uharfbuzz

    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    buffer.direction = "rtl" if right_to_left else "ltr"
    buffer.language = language
    uharfbuzz.shape(font.font, buffer, _features(text))
    scale = 1000 / font.face.upem
    return [
        (
            info.cluster,
            Glyph(
                info.codepoint,
                round(at.x_offset * scale),
                round(at.y_offset * scale),
                round(at.x_advance * scale),
            ),
        )
        for info, at in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True)
    ]


def _features(text: str) -> dict[str, bool | list[tuple[int, int, bool]]]:
    """No ligature but those that must be: of any other, a reader could not tell the characters apart."""
    needed = [(match.start(), match.end(), True) for match in _LAM_THEN_ALEF.finditer(text)]
    return {"liga": False, "clig": False, "rlig": [(0, len(text), False), *needed]}


def _language(text: str) -> str:
    """Han characters look otherwise in each language: what is written beside them tells which."""
    names = [unicodedata.name(character, "") for character in text]
    if any(name.startswith(("HIRAGANA", "KATAKANA")) for name in names):
        return "ja"
    return "ko" if any(name.startswith("HANGUL") for name in names) else "zh-Hans"
