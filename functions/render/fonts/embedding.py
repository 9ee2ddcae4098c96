"""Fonts as objects of a document: whole for text in WinAnsi, else with the glyphs that the document uses."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from typing import Final, Protocol

from render.fonts.library import Descriptor, FontFile, LatinFile
from render.fonts.shaping import Piece

_SYMBOLIC: Final = 4
_NONSYMBOLIC: Final = 32  # PDF 32000-1, table 123
_LAYOUT: Final = ("GSUB", "GPOS", "GDEF", "cmap", "OS/2")
_SECTION: Final = 100  # entries that one bfchar section of a CMap may have


class ObjectWriter(Protocol):
    """What a font needs of the document that it is written into."""

    def add_object(self, body: bytes) -> int:
        """Write an object and return its number."""
        ...

    def add_stream(self, dictionary: bytes, data: bytes) -> int:
        """Write a stream and return its number."""
        ...


def latin_font(latin: LatinFile, writer: ObjectWriter) -> int:
    """Write a TrueType font in WinAnsiEncoding (9.6.3) and return the number of its dictionary."""
    data = latin.path.read_bytes()
    file = writer.add_stream(b"/Filter /FlateDecode /Length1 %d" % latin.length, data)
    name = _tagged(latin.descriptor.name, data)
    descriptor = writer.add_object(_descriptor(latin.descriptor, name, _NONSYMBOLIC, b"FontFile2", file))
    return writer.add_object(
        b"<< /Type /Font /Subtype /TrueType /BaseFont /%b /Encoding /WinAnsiEncoding /FirstChar 32 "
        b"/LastChar 255 /Widths [%b] /FontDescriptor %d 0 R >>"
        % (name, b" ".join(b"%d" % width for width in latin.widths), descriptor)
    )


class UsedGlyphs:
    """The glyphs that a document draws, by font."""

    def __init__(self) -> None:
        self._fonts: dict[FontFile, set[int]] = {}

    def add(self, pieces: Iterable[Piece]) -> None:
        """Note what `pieces` draw."""
        for piece in pieces:
            if piece.font is not None:
                glyphs = self._fonts.setdefault(piece.font, set())
                glyphs.update(glyph.number for cluster in piece.clusters for glyph in cluster.glyphs)

    def write(self, writer: ObjectWriter) -> list[tuple[bytes, int]]:
        """Write a subset of each font; return their names in a page's resources, and their numbers."""
        return [
            (font.resource.encode("ascii"), _composite(font, glyphs, writer))
            for font, glyphs in self._fonts.items()
        ]


def _composite(font: FontFile, glyphs: set[int], writer: ObjectWriter) -> int:
    """Write a Type 0 font whose codes are glyph numbers (9.7) and return the number of its dictionary."""
    data = _subset(font, glyphs)
    name = _tagged(font.descriptor.name, data)
    kind = b"/Subtype /CIDFontType0C" if font.is_cff else b"/Length1 %d" % len(data)
    file = writer.add_stream(b"/Filter /FlateDecode %b" % kind, zlib.compress(data))
    key = b"FontFile3" if font.is_cff else b"FontFile2"
    descriptor = writer.add_object(_descriptor(font.descriptor, name, _SYMBOLIC, key, file))
    subtype = b"CIDFontType0" if font.is_cff else b"CIDFontType2 /CIDToGIDMap /Identity"
    widths = b" ".join(b"%d [%d]" % (glyph, font.width(glyph)) for glyph in sorted(glyphs))
    descendant = writer.add_object(
        b"<< /Type /Font /Subtype /%b /BaseFont /%b /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) "
        b"/Supplement 0 >> /DW 1000 /W [%b] /FontDescriptor %d 0 R >>" % (subtype, name, widths, descriptor)
    )
    to_unicode = writer.add_stream(b"/Filter /FlateDecode", zlib.compress(_to_unicode(font, glyphs)))
    return writer.add_object(
        b"<< /Type /Font /Subtype /Type0 /BaseFont /%b%b /Encoding /Identity-H /DescendantFonts [%d 0 R] "
        b"/ToUnicode %d 0 R >>" % (name, b"-Identity-H" if font.is_cff else b"", descendant, to_unicode)
    )


def _subset(font: FontFile, glyphs: Iterable[int]) -> bytes:
    """The font with these glyphs under their own numbers: a TrueType file, or a CFF table with CIDs."""
    import uharfbuzz

    wanted, flags = uharfbuzz.SubsetInput(), uharfbuzz.SubsetFlags
    wanted.glyph_set.update(glyphs)
    wanted.flags = flags.NO_LAYOUT_CLOSURE | flags.NOTDEF_OUTLINE | flags.NO_HINTING
    if not font.is_cff:
        wanted.flags |= flags.RETAIN_GIDS
    wanted.drop_table_tag_set.update(struct.unpack(">I", tag.encode())[0] for tag in _LAYOUT)
    face = uharfbuzz.subset(font.face, wanted)
    table = face.reference_table("CFF ") if font.is_cff else face.blob
    return bytes(table.data)


def _descriptor(of: Descriptor, name: bytes, flags: int, key: bytes, file: int) -> bytes:
    """A font descriptor (9.8)."""
    return (
        b"<< /Type /FontDescriptor /FontName /%b /Flags %d /FontBBox [%d %d %d %d] /ItalicAngle 0 /Ascent %d "
        b"/Descent %d /CapHeight %d /StemV %d /%b %d 0 R >>"
        % (name, flags, *of.bbox, of.ascent, of.descent, of.cap_height, of.stem_v, key, file)
    )


def _tagged(name: str, data: bytes) -> bytes:
    """The name of a subset: six letters that only this one has, before it (9.6.4)."""
    digest = hashlib.sha256(data).digest()
    return b"%b+%b" % (bytes(65 + byte % 26 for byte in digest[:6]), name.encode("ascii"))


_CMAP = b"""/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
%bendcmap
CMapName currentdict /CMap defineresource pop
end
end"""


def _to_unicode(font: FontFile, glyphs: Iterable[int]) -> bytes:
    """What each code means (9.10.3), for those that mean a character by themselves."""
    rows = [
        b"<%04X> <%b>\n" % (glyph, font.meanings[glyph].encode("utf-16-be").hex().upper().encode("ascii"))
        for glyph in sorted(glyphs)
        if glyph in font.meanings
    ]
    sections = [rows[start : start + _SECTION] for start in range(0, len(rows), _SECTION)]
    return _CMAP % b"".join(
        b"%d beginbfchar\n%bendbfchar\n" % (len(section), b"".join(section)) for section in sections
    )
