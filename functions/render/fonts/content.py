"""A shaped line as the operators that draw it, within one text object of a content stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from render.fonts.library import FontFile
from render.fonts.shaping import Cluster, Glyph, Line, Piece

_STROKE = 0.028  # width of the outline that makes a light face bold, of the size


def literal(data: bytes) -> bytes:
    """A literal string (PDF 32000-1, 7.3.4.2)."""
    escaped = data.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"(%b)" % escaped.replace(b"\r", b"\\r")


def unicode_string(text: str) -> bytes:
    """A text string in UTF-16BE (7.9.2.2), written in hexadecimal."""
    return b"<FEFF%b>" % text.encode("utf-16-be", "replace").hex().upper().encode("ascii")


def show(line: Line, resource: str, size: float, light: tuple[FontFile, ...]) -> bytes:
    """Draw `line`: WinAnsi by the font `resource`, the rest by the fonts of its pieces.

    Those in `light` are drawn with an outline, in the stroke colour that the caller has set.
    """
    return b" ".join(_piece(piece, resource, size, piece.font in light) for piece in line.pieces)


def _piece(piece: Piece, resource: str, size: float, light: bool) -> bytes:
    if piece.font is None:
        return b"/%b %.2f Tf %b Tj" % (resource.encode("ascii"), size, literal(piece.codes))
    drawn = b" ".join(_clusters(piece.clusters, _Pen(piece.font, size)))
    drawn = b"/%b %.2f Tf %b" % (piece.font.resource.encode("ascii"), size, drawn)
    return b"2 Tr %.2f w %b 0 Tr" % (_STROKE * size, drawn) if light else drawn


def _clusters(clusters: Iterable[Cluster], pen: _Pen) -> Iterator[bytes]:
    """The operators of a piece; a cluster that is not exact says what it means (ActualText, 14.9.4).

    Each by itself: readers put the clusters of a line in the order of reading, not what is within them.
    """
    for cluster in clusters:
        if not cluster.is_exact:
            yield from pen.flush()
            yield b"/Span << /ActualText %b >> BDC" % unicode_string(cluster.text)
        for glyph in cluster.glyphs:
            yield from pen.draw(glyph)
        if not cluster.is_exact:
            yield from pen.flush()
            yield b"EMC"
    yield from pen.rest()


class _Pen:
    """Gathers glyphs of one height in arrays of codes and moves (9.4.3); moves count to the left."""

    def __init__(self, font: FontFile, size: float) -> None:
        self._font = font
        self._size = size
        self._rise = 0
        self._move = 0
        self._items: list[bytes] = []

    def draw(self, glyph: Glyph) -> Iterator[bytes]:
        """Add a glyph, after what a change of height sends out."""
        if glyph.y != self._rise:
            yield from self.flush()
            yield b"%.2f Ts" % (glyph.y * self._size / 1000)
            self._rise = glyph.y
        self._go(self._move - glyph.x)
        self._items.append(b"<%04X>" % glyph.number)
        self._move = glyph.x + self._font.width(glyph.number) - glyph.advance

    def flush(self) -> Iterator[bytes]:
        """Send out what was gathered."""
        if self._items:
            yield b"[%b] TJ" % b" ".join(self._items)
            self._items = []

    def rest(self) -> Iterator[bytes]:
        """Send out the last, and leave the pen where the next piece begins, on the line."""
        self._go(self._move)
        yield from self.flush()
        if self._rise:
            yield b"0 Ts"

    def _go(self, move: int) -> None:
        if move:
            self._items.append(b"%d" % move)
