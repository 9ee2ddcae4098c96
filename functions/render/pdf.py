"""An incremental PDF writer (PDF 1.7, ISO 32000-1): what arrives is written at once and forgotten.

Images go to the output the moment they arrive; of each only its object number is kept. Pages are written in
reading order at the end, and the page tree, the bookmarks, the metadata and the cross-reference stream after
them, so that memory grows by a few numbers a page and by nothing else. The output is only ever written to:
no seek, no read, so a pipe will do.

The structure is that of PDF/A-2b (ISO 19005-2), and with attached files of PDF/A-3b (ISO 19005-3), as far as
our own tests can tell; the document says so of itself where all its fonts are embedded and all its pages are
ours.
"""

from __future__ import annotations

import secrets
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import BinaryIO
from xml.sax.saxutils import escape

from render import srgb
from render.fonts.content import literal, show, unicode_string
from render.fonts.embedding import UsedGlyphs
from render.fonts.shaping import Line
from render.typeface import FACES, Typeface

A4_PORTRAIT = (595.28, 841.89)
A4_LANDSCAPE = (841.89, 595.28)
_FAN_OUT = 32
HEADER = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
_OFFSET_BYTES = 5  # up to 1 TiB

Colour = tuple[float, float, float]
BLACK: Colour = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image as PDF holds it: a compressed stream and what a reader must know to read it.

    `parameters` are further entries of the image dictionary, such as `/DecodeParms`. `icc_profile` says what
    the samples of `color_space`, DeviceGray or DeviceRGB, mean; without it they are those of the document.
    A `stencil` has one bit a pixel and no colour space: where it is 1, the colour is laid on (8.9.6.2).
    """

    columns: int
    rows: int
    color_space: str
    filter: str
    data: bytes
    parameters: str = ""
    icc_profile: bytes | None = None
    stencil: bool = False


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What the document says of itself, in the Info dictionary and in XMP."""

    title: str
    producer: str
    language: str
    created: datetime


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file within the document, which is the source of what the pages show (7.11.4; ISO 19005-3, 6.8).

    `media_type` is as MIME has it. The bytes stand in the document as they are.
    """

    name: str
    media_type: str
    data: bytes
    modified: datetime


def text_string(text: str) -> bytes:
    """A text string (7.9.2.2): ASCII as it is, everything else in UTF-16BE."""
    if text.isascii() and text.isprintable():
        return literal(text.encode("ascii"))
    return unicode_string(text)


def _date(moment: datetime) -> bytes:
    """A date (7.9.4). `moment` is aware."""
    zone = moment.strftime("%z")
    return f"(D:{moment:%Y%m%d%H%M%S}{zone[:3]}'{zone[3:5]}')".encode("ascii")


class Canvas:
    """The content stream of one page. Points, from the lower left corner."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._lines: list[Line] = []

    @property
    def lines(self) -> Sequence[Line]:
        """The lines of text that take fonts of their own: the document must have them."""
        return self._lines

    def text(
        self, x: float, y: float, text: str, face: Typeface, size: float, colour: Colour = BLACK
    ) -> None:
        """Set `text` with its baseline's beginning at (x, y)."""
        if not text:
            return
        codes = face.plain(text)
        if codes is None:
            self._shaped(x, y, text, face, size, colour)
            return
        drawn = (*colour, face.resource.encode("ascii"), size, x, y, literal(codes))
        self._parts.append(b"BT %.2f %.2f %.2f rg /%b %.2f Tf %.2f %.2f Td %b Tj ET" % drawn)

    def _shaped(self, x: float, y: float, text: str, face: Typeface, size: float, colour: Colour) -> None:
        """Set `text` of any script; the stroke colour is for faces that are made bold by an outline."""
        line = face.line(text)
        self._lines.append(line)
        shown = show(line, face.resource, size, face.light)
        drawn = (*colour, *colour, x, y, shown)
        self._parts.append(b"BT %.2f %.2f %.2f rg %.2f %.2f %.2f RG %.2f %.2f Td %b ET" % drawn)

    def text_right(
        self, x: float, y: float, text: str, face: Typeface, size: float, colour: Colour = BLACK
    ) -> None:
        """Set `text` with its baseline's end at (x, y)."""
        self.text(x - face.width(text, size), y, text, face, size, colour)

    def line(
        self, x1: float, y1: float, x2: float, y2: float, width: float = 0.5, colour: Colour = BLACK
    ) -> None:
        """Draw a straight line."""
        stroke = (*colour, width, x1, y1, x2, y2)
        self._parts.append(b"%.2f %.2f %.2f RG %.2f w %.2f %.2f m %.2f %.2f l S" % stroke)

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Fill a rectangle."""
        filled = (*colour, x, y, width, height)
        self._parts.append(b"%.2f %.2f %.2f rg %.2f %.2f %.2f %.2f re f" % filled)

    def image(self, name: str, x: float, y: float, width: float, height: float) -> None:
        """Draw the image that the page's resources call `name`."""
        placed = (width, height, x, y, name.encode("ascii"))
        self._parts.append(b"q %.2f 0 0 %.2f %.2f %.2f cm /%b Do Q" % placed)

    def stencil(self, name: str, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        """Lay `colour` on where the stencil that the page's resources call `name` is open."""
        placed = (*colour, width, height, x, y, name.encode("ascii"))
        self._parts.append(b"q %.3f %.3f %.3f rg %.2f 0 0 %.2f %.2f %.2f cm /%b Do Q" % placed)

    def draw(self, other: Canvas) -> None:
        """Draw all that `other` has, once more."""
        self._parts.append(other.content())
        self._lines += other.lines

    def content(self) -> bytes:
        """The stream, ready for `PdfWriter.add_page`."""
        return b"\n".join(self._parts)


class PdfWriter:
    """Writes one document to `out`. Ends with `finish`; without it, what was written is no PDF."""

    def __init__(self, out: BinaryIO, *, comment: bytes = b"") -> None:
        """`comment` stands on a line of its own right after the first two; readers pass over it."""
        self._out = out
        self._position = 0
        self._offsets = array("Q", [0])  # of each object by its number; 0 stands for "not written yet"
        self._pages: list[int] = []
        self._leaves: list[int] = []
        self._bookmarks: list[tuple[str, int]] = []
        self._write(HEADER)
        if comment:
            self._write(b"%%%b\n" % comment)
        self._attached: list[tuple[str, int]] = []
        self._faces = [(face.resource.encode("ascii"), face.objects(self)) for face in FACES]
        self._fonts = self._reserve()
        self._glyphs = UsedGlyphs()
        self._profiles: dict[bytes, int] = {}
        self._is_archival = all(face.latin is not None for face in FACES)
        """Whether all that was written is what PDF/A allows."""

    @property
    def size_bytes(self) -> int:
        """How much was written so far."""
        return self._position

    @property
    def page_count(self) -> int:
        """How many pages were added so far."""
        return len(self._pages)

    def add_object(self, body: bytes) -> int:
        """Write an object and return its number."""
        number = self._reserve()
        self._write_object(number, body)
        return number

    def add_stream(self, dictionary: bytes, data: bytes) -> int:
        """Write a stream whose `data` is already in the form that `dictionary` says."""
        number = self._reserve()
        self._write_stream(number, dictionary, data)
        return number

    def add_image(self, image: PageImage) -> int:
        """Write an image and return its number, for the resources of a page (8.9.5)."""
        dictionary = (
            f"/Type /XObject /Subtype /Image /Width {image.columns} /Height {image.rows} "
            f"{self._samples(image)} /Interpolate false /Filter /{image.filter} {image.parameters}"
        )
        return self.add_stream(dictionary.rstrip().encode("ascii"), image.data)

    def _samples(self, image: PageImage) -> str:
        if image.stencil:
            return "/ImageMask true /BitsPerComponent 1 /Decode [1 0]"
        return f"/ColorSpace {self._color_space(image)} /BitsPerComponent 8"

    def _color_space(self, image: PageImage) -> str:
        """The colour space of an image; a profile is written once, however many have it (8.6.5.5)."""
        if image.icc_profile is None:
            return f"/{image.color_space}"
        digest = sha256(image.icc_profile).digest()
        if digest not in self._profiles:
            components = 1 if image.color_space == "DeviceGray" else 3
            dictionary = f"/N {components} /Alternate /{image.color_space} /Filter /FlateDecode"
            data = zlib.compress(image.icc_profile)
            self._profiles[digest] = self.add_stream(dictionary.encode("ascii"), data)
        return f"[/ICCBased {self._profiles[digest]} 0 R]"

    def add_page(self, canvas: Canvas, size: tuple[float, float], images: Iterable[tuple[str, int]]) -> int:
        """Append a page of `size` points, with its images by the name that the canvas uses."""
        self._use_fonts(canvas)
        content = self.add_stream(b"/Filter /FlateDecode", _deflate(canvas.content()))
        if len(self._pages) % _FAN_OUT == 0:
            self._leaves.append(self._reserve())
        named = b"".join(b"/%b %d 0 R " % (name.encode("ascii"), number) for name, number in images)
        pictures = b"/XObject << %b>> " % named if named else b""
        page = self.add_object(
            b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %.2f %.2f] /Contents %d 0 R "
            b"/Resources << /Font %d 0 R %b>> >>" % (self._leaves[-1], *size, content, self._fonts, pictures)
        )
        self._pages.append(page)
        return page

    def add_bookmark(self, title: str, page: int) -> None:
        """Append a bookmark to a page, by the number that `add_page` returned."""
        self._bookmarks.append((title, page))

    def add_attachment(self, attachment: Attachment) -> None:
        """Write a file into the document, for readers to hand out."""
        media_type = attachment.media_type.replace("/", "#2F").encode("ascii")
        modified = _date(attachment.modified)
        content = self.add_stream(
            b"/Type /EmbeddedFile /Subtype /%b /Params << /Size %d /ModDate %b >>"
            % (media_type, len(attachment.data), modified),
            attachment.data,
        )
        name = text_string(attachment.name)
        number = self.add_object(
            b"<< /Type /Filespec /F %b /UF %b /AFRelationship /Source /EF << /F %d 0 R /UF %d 0 R >> >>"
            % (name, name, content, content)
        )
        self._attached.append((attachment.name, number))

    def finish(self, info: DocumentInfo) -> None:
        """Write what holds the pages together. Nothing can be added after it."""
        self._write_fonts()
        tree = self._add_page_tree()
        outlines = self._add_outlines()
        metadata = self._add_metadata(info)
        catalog = self.add_object(
            b"<< /Type /Catalog /Version /1.7 /Pages %d 0 R /Metadata %d 0 R /Lang %b %b%b"
            b"/OutputIntents [%d 0 R] /ViewerPreferences << /DisplayDocTitle true >> >>"
            % (
                tree, metadata, text_string(info.language), outlines, self._attachments(),
                self._add_output_intent(),
            )
        )  # fmt: skip
        self._write_cross_references(catalog, self._add_info(info))

    def _attachments(self) -> bytes:
        """The entries that the catalog needs for attached files (7.7.4; ISO 19005-3, 6.8)."""
        if not self._attached:
            return b""
        names = b" ".join(
            b"%b %d 0 R" % (text_string(name), number) for name, number in sorted(self._attached)
        )
        files = b" ".join(b"%d 0 R" % number for _, number in self._attached)
        return b"/AF [%b] /Names << /EmbeddedFiles << /Names [%b] >> >> " % (files, names)

    def _use_fonts(self, canvas: Canvas) -> None:
        """Note which glyphs `canvas` draws: their fonts are written at the end."""
        for line in canvas.lines:
            self._glyphs.add(line.pieces)

    def _write_fonts(self) -> None:
        """Write what the pages call their fonts."""
        fonts = [*self._faces, *self._glyphs.write(self)]
        self._write_object(self._fonts, b"<< %b >>" % b" ".join(b"/%b %d 0 R" % font for font in fonts))

    def _add_page_tree(self) -> int:
        """Write the nodes over the pages, level by level, and return the root (7.7.3)."""
        numbers, counts, kids = self._leaves, [1] * len(self._pages), self._pages
        while True:
            parents = [] if len(numbers) == 1 else self._reserve_many(-(-len(numbers) // _FAN_OUT))
            counts = [sum(group) for group in _groups(counts)]
            for index, (number, children) in enumerate(zip(numbers, _groups(kids), strict=True)):
                parent = b"/Parent %d 0 R " % parents[index // _FAN_OUT] if parents else b""
                references = b" ".join(b"%d 0 R" % child for child in children)
                node = b"<< /Type /Pages %b/Count %d /Kids [%b] >>" % (parent, counts[index], references)
                self._write_object(number, node)
            if not parents:
                return numbers[0]
            numbers, kids = parents, numbers

    def _add_outlines(self) -> bytes:
        """Write the bookmarks and return the entries that the catalog needs for them (12.3.3)."""
        if not self._bookmarks:
            return b""
        root, *items = self._reserve_many(1 + len(self._bookmarks))
        for index, (title, page) in enumerate(self._bookmarks):
            previous = b"/Prev %d 0 R " % items[index - 1] if index else b""
            following = b"/Next %d 0 R " % items[index + 1] if index + 1 < len(items) else b""
            item = (text_string(title), root, previous, following, page)
            self._write_object(items[index], b"<< /Title %b /Parent %d 0 R %b%b/Dest [%d 0 R /Fit] >>" % item)
        body = b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>"
        self._write_object(root, body % (items[0], items[-1], len(items)))
        return b"/Outlines %d 0 R /PageMode /UseOutlines " % root

    def _add_output_intent(self) -> int:
        """Write what DeviceGray and DeviceRGB mean here (14.11.5; ISO 19005-2, 6.2.3)."""
        profile = self.add_stream(
            b"/N 3 /Alternate /DeviceRGB /Filter /FlateDecode", zlib.compress(srgb.profile())
        )
        name = literal(srgb.NAME.encode("ascii"))
        intent = (name, literal(b"http://www.color.org"), name, profile)
        return self.add_object(
            b"<< /Type /OutputIntent /S /GTS_PDFA1 /OutputConditionIdentifier %b /RegistryName %b /Info %b "
            b"/DestOutputProfile %d 0 R >>" % intent
        )

    def _add_metadata(self, info: DocumentInfo) -> int:
        part = 3 if self._attached else 2
        packet = _xmp(info, archival=part if self._is_archival else None).encode("utf-8", "replace")
        return self.add_stream(b"/Type /Metadata /Subtype /XML", packet)

    def _add_info(self, info: DocumentInfo) -> int:
        title, producer = _printable(info.title), _printable(info.producer)
        entries = (text_string(title), text_string(producer), _date(info.created))
        return self.add_object(b"<< /Title %b /Producer %b /CreationDate %b >>" % entries)

    def _write_cross_references(self, catalog: int, info: int) -> None:
        """Write the cross-reference stream, which is the trailer too (7.5.8)."""
        number, start = self._reserve(), self._position
        self._offsets[number] = start
        rows = bytearray(b"\x00" + bytes(_OFFSET_BYTES) + b"\xff")
        for offset in self._offsets[1:]:
            rows += b"\x01" + offset.to_bytes(_OFFSET_BYTES, "big") + b"\x00"
        identifier = secrets.token_hex(16).encode("ascii")  # random: it must say nothing of the patient
        dictionary = (
            b"/Type /XRef /Size %d /W [1 %d 1] /Root %d 0 R /Info %d 0 R /ID [<%b> <%b>] /Filter /FlateDecode"
            % (len(self._offsets), _OFFSET_BYTES, catalog, info, identifier, identifier)
        )
        self._write_stream(number, dictionary, zlib.compress(rows))
        self._write(b"startxref\n%d\n%%%%EOF\n" % start)

    def _reserve(self) -> int:
        self._offsets.append(0)
        return len(self._offsets) - 1

    def _reserve_many(self, count: int) -> list[int]:
        return [self._reserve() for _ in range(count)]

    def _write_object(self, number: int, body: bytes) -> None:
        self._offsets[number] = self._position
        self._write(b"%d 0 obj\n%b\nendobj\n" % (number, body))

    def _write_stream(self, number: int, dictionary: bytes, data: bytes) -> None:
        self._offsets[number] = self._position
        self._write(b"%d 0 obj\n<< %b /Length %d >>\nstream\n" % (number, dictionary, len(data)))
        self._write(data)
        self._write(b"\nendstream\nendobj\n")

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._position += len(data)

    def add_linked(self, objects: Sequence[tuple[Sequence[bytes | int], bytes | None]]) -> list[int]:
        """Write objects that refer to one another, and return their numbers.

        Each is a body in pieces, where a number stands for the object at that place in `objects`, and the
        data of a stream; the body of a stream is what its dictionary has but for `/Length`. They are those of
        another document, whose fonts and colours nobody vouches for: this one no longer calls itself PDF/A.
        """
        self._is_archival = False
        numbers = self._reserve_many(len(objects))
        for number, (pieces, data) in zip(numbers, objects, strict=True):
            body = b"".join(b"%d 0 R" % numbers[p] if isinstance(p, int) else p for p in pieces)
            if data is None:
                self._write_object(number, body)
            else:
                self._write_stream(number, body, data)
        return numbers


def _deflate(data: bytes) -> bytes:
    """Deflate a short text. The small window spares zlib from clearing 256 KB first: a tenth of the time."""
    deflate = zlib.compressobj(level=1, wbits=12, memLevel=4)
    return deflate.compress(data) + deflate.flush()


def _groups(values: Sequence[int]) -> list[Sequence[int]]:
    """`values` in runs of the page tree's width."""
    return [values[start : start + _FAN_OUT] for start in range(0, len(values), _FAN_OUT)]


_XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:language><rdf:Bag><rdf:li>{language}</rdf:li></rdf:Bag></dc:language>
<pdf:Producer>{producer}</pdf:Producer>
<xmp:CreateDate>{created}</xmp:CreateDate>
</rdf:Description>
{archival}</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_ARCHIVAL = """<rdf:Description rdf:about="" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">
<pdfaid:part>{part}</pdfaid:part>
<pdfaid:conformance>B</pdfaid:conformance>
</rdf:Description>
"""


def _printable(text: str) -> str:
    """`text` as XML 1.0 allows it: control characters become spaces. Info must not differ from XMP."""
    return "".join(c if c.isprintable() else " " for c in text)


def _xmp(info: DocumentInfo, *, archival: int | None) -> str:
    """The metadata packet (14.3.2). `archival` is the part of ISO 19005 that the document says it follows."""
    return _XMP.format(
        title=escape(_printable(info.title)),
        language=escape(_printable(info.language)),
        producer=escape(_printable(info.producer)),
        created=info.created.isoformat(timespec="seconds"),
        archival="" if archival is None else _ARCHIVAL.format(part=archival),
    )
