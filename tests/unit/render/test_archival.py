"""PDF/A-2b structure: the clauses of ISO 19005-2, 6.1 to 6.6, that concern what our writer writes.

No independent validator is installed here: this is our own reading of the standard, and the documents say so.
Clauses on what we never write (encryption, forms, actions, annotations, attachments, optional content) are
proved by the absence of their keys in the whole file.
"""

from __future__ import annotations

import io
import re
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pikepdf
import pytest
import uharfbuzz
from PIL import Image as Picture
from PIL import ImageCms

from render import pdf as pdf_module
from render import srgb
from render.pdf import A4_PORTRAIT, Canvas, DocumentInfo, PageImage, PdfWriter
from render.typeface import BOLD, REGULAR, standard
from tests.unit.render.fonts.test_scripts import NAMES

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=-3)))
INFO = DocumentInfo("Título:\x1b山田", "Ponte 9", "pt-BR", MOMENT)
GRAY = PageImage(8, 8, "DeviceGray", "FlateDecode", zlib.compress(bytes(64)))
COLOUR = PageImage(8, 8, "DeviceRGB", "FlateDecode", zlib.compress(bytes(192)))
PDFA = "{http://www.aiim.org/pdfa/ns/id/}"
FORBIDDEN_KEYS = frozenset(
    {
        *("/Encrypt", "/F", "/FFilter", "/FDecodeParms", "/Perms", "/Requirements"),  # 6.1.3, 6.1.7, 6.1.11
        *("/TR", "/TR2", "/HTP", "/Alternates", "/OPI", "/Ref", "/PS", "/SMask", "/Group"),  # 6.2.5 to 6.2.10
        *("/AcroForm", "/A", "/AA", "/OpenAction", "/JavaScript", "/Annots"),  # 6.3 to 6.6
        *("/EmbeddedFiles", "/AF", "/OCProperties", "/XFA", "/NeedsRendering", "/PresSteps"),  # 6.8 to 6.11
    }
)
OPERATORS = frozenset(
    [
        *("BT", "ET", "Tf", "Tj", "TJ", "Td", "Tr", "Ts", "BDC", "EMC"),
        *("rg", "RG", "w", "m", "l", "S", "re", "f", "q", "Q", "cm", "Do"),
    ]
)


def document() -> bytes:
    out = io.BytesIO()
    writer = PdfWriter(out)
    profiled = replace(COLOUR, icc_profile=srgb.profile())
    images = [writer.add_image(image) for image in (GRAY, COLOUR, profiled, profiled)]
    for image in images:
        canvas = Canvas()
        canvas.image("I", 50, 50, 200, 200)
        canvas.line(0, 0, 9, 9)
        canvas.rectangle(0, 0, 9, 9, (1, 0, 0))
        for row, name in enumerate((*NAMES.values(), "🫀 \x1b")):
            canvas.text(50, 800 - 20 * row, name, REGULAR, 10)
            canvas.text(300, 800 - 20 * row, name, BOLD, 10)
        page = writer.add_page(canvas, A4_PORTRAIT, [("I", image)])
        writer.add_bookmark("Série", page)
    writer.finish(INFO)
    return out.getvalue()


@pytest.fixture(scope="module")
def data() -> bytes:
    return document()


@pytest.fixture
def pdf(data: bytes) -> Iterator[pikepdf.Pdf]:
    with pikepdf.open(io.BytesIO(data), attempt_recovery=False) as opened:
        yield opened


def dictionaries(pdf: pikepdf.Pdf) -> Iterator[Any]:
    """Every dictionary of the file, those within others too; a stream counts as its dictionary."""
    waiting: list[Any] = [pdf.trailer, *pdf.objects]
    while waiting:
        value = waiting.pop()
        if isinstance(value, pikepdf.Dictionary | pikepdf.Stream):
            yield value
            waiting += [v for _, v in value.items() if not getattr(v, "is_indirect", False)]
        elif isinstance(value, pikepdf.Array):
            waiting += [v for v in value if not getattr(v, "is_indirect", False)]


def fonts(pdf: pikepdf.Pdf) -> list[Any]:
    return [value for value in dictionaries(pdf) if value.get("/Type") == "/Font"]


def test_6_1_2_the_header_is_followed_by_a_comment_of_four_bytes_above_127(data: bytes) -> None:
    first, second = data.split(b"\n")[:2]
    assert first == b"%PDF-1.7"
    assert second[0:1] == b"%"
    assert len(second) == 5
    assert all(byte > 127 for byte in second[1:])


def test_6_1_3_the_trailer_has_an_identifier_and_nothing_follows_the_end(
    data: bytes, pdf: pikepdf.Pdf
) -> None:
    assert len(pdf.trailer.ID) == 2
    assert all(len(bytes(part)) == 16 for part in pdf.trailer.ID)
    assert data.endswith(b"%%EOF\n")
    assert data.count(b"%%EOF") == 1


def test_6_1_4_the_cross_references_lead_to_their_objects(data: bytes, pdf: pikepdf.Pdf) -> None:
    starts = {int(m[1]): m.start(1) for m in re.finditer(rb"\n(\d+) 0 obj\n", data)}
    rows, width = bytes(pdf.get_object(max(starts), 0).read_bytes()), 7
    told = {n: int.from_bytes(rows[n * width + 1 : n * width + 6]) for n in range(1, len(rows) // width)}
    assert told == starts


def test_6_1_6_and_6_1_9_strings_and_objects_are_spelled_as_they_must(data: bytes) -> None:
    outside = re.sub(rb"stream\n.*?\nendstream", b"", data, flags=re.DOTALL)
    assert all(len(m[1]) % 2 == 0 for m in re.finditer(rb"(?<!<)<([0-9A-Fa-f]*)>(?!>)", outside))
    assert outside.count(b"\nendobj\n") == len(re.findall(rb"\n\d+ 0 obj\n", outside))


def test_6_1_7_streams_are_as_long_as_they_say(data: bytes, pdf: pikepdf.Pdf) -> None:
    streams = [value for value in pdf.objects if isinstance(value, pikepdf.Stream)]
    assert len(streams) == data.count(b"\nendstream\nendobj\n") > 10
    for match in re.finditer(rb"/Length (\d+) >>\nstream\n", data):
        assert data[match.end() + int(match[1]) :].startswith(b"\nendstream\nendobj\n")
    assert {str(s.get("/Filter", "/FlateDecode")) for s in streams} <= {"/FlateDecode", "/DCTDecode"}


def test_6_1_12_limits_of_implementations_are_kept(pdf: pikepdf.Pdf) -> None:
    for value in dictionaries(pdf):
        assert all(len(name) <= 128 for name in value.keys())  # noqa: SIM118  (a pikepdf.Dictionary)
    assert all(
        len(bytes(value)) <= 32767
        for found in dictionaries(pdf)
        for _, value in found.items()
        if isinstance(value, pikepdf.String)
    )
    assert all(3 <= float(side) <= 14400 for page in pdf.pages for side in list(page.MediaBox)[2:])


def test_no_key_of_what_is_forbidden_is_in_the_file(pdf: pikepdf.Pdf) -> None:
    found = {key for value in dictionaries(pdf) for key in value.keys()}  # noqa: SIM118
    assert not found & FORBIDDEN_KEYS


def test_6_2_2_contents_use_known_operators_and_resources_of_their_page(pdf: pikepdf.Pdf) -> None:
    for page in pdf.pages:
        names = {*page.Resources.Font.keys(), *page.Resources.XObject.keys()}
        depth = 0
        for line in pikepdf.parse_content_stream(page):
            operator = str(line.operator)
            assert operator in OPERATORS
            depth += {"q": 1, "Q": -1}.get(operator, 0)
            assert 0 <= depth <= 28
            if operator in ("Tf", "Do"):
                assert str(line.operands[0]) in names
        assert depth == 0


def test_6_2_3_the_output_intent_is_a_profile_of_srgb(pdf: pikepdf.Pdf) -> None:
    (intent,) = pdf.Root.OutputIntents
    assert str(intent.S) == "/GTS_PDFA1"
    assert str(intent.OutputConditionIdentifier) == "sRGB IEC61966-2.1"
    assert int(intent.DestOutputProfile.N) == 3
    profile = bytes(intent.DestOutputProfile.read_bytes())
    assert (profile[12:16], profile[16:20], profile[36:40]) == (b"mntr", b"RGB ", b"acsp")
    assert int.from_bytes(profile[:4]) == len(profile)


def test_6_2_4_colours_are_gray_rgb_or_by_a_profile(pdf: pikepdf.Pdf) -> None:
    spaces = [page.Resources.XObject.I.ColorSpace for page in pdf.pages]
    assert [str(space) for space in spaces[:2]] == ["/DeviceGray", "/DeviceRGB"]
    assert [str(space[0]) for space in spaces[2:]] == ["/ICCBased"] * 2
    assert spaces[2][1].objgen == spaces[3][1].objgen
    assert int(spaces[2][1].N) == 3


def test_6_2_8_images_are_not_interpolated(pdf: pikepdf.Pdf) -> None:
    images = [value for value in dictionaries(pdf) if value.get("/Subtype") == "/Image"]
    assert len(images) == 4
    assert not any(bool(image.get("/Interpolate", False)) for image in images)


def test_6_2_11_every_font_is_embedded_as_what_it_is(pdf: pikepdf.Pdf) -> None:
    kinds = set()
    for font in fonts(pdf):
        kinds.add(str(font.Subtype))
        if font.Subtype == "/Type0":
            assert str(font.Encoding) == "/Identity-H"
            continue
        descriptor = font.FontDescriptor
        file = descriptor.get("/FontFile2") or descriptor.get("/FontFile3")
        assert isinstance(file, pikepdf.Stream)
        assert re.fullmatch(r"/[A-Z]{6}\+[\w-]+", str(font.BaseFont))
        assert str(font.BaseFont) == str(descriptor.FontName)
        if font.Subtype == "/CIDFontType2":
            assert str(font.CIDToGIDMap) == "/Identity"
        if font.Subtype == "/CIDFontType0":
            assert str(file.Subtype) == "/CIDFontType0C"
        if font.Subtype == "/TrueType":
            assert str(font.Encoding) == "/WinAnsiEncoding"
            assert int(descriptor.Flags) & 36 == 32
        if "/FontFile2" in descriptor:
            assert int(file.Length1) == len(bytes(file.read_bytes()))
    assert kinds == {"/TrueType", "/Type0", "/CIDFontType0", "/CIDFontType2"}


def test_6_2_11_5_widths_are_those_of_the_font_files(pdf: pikepdf.Pdf) -> None:
    checked = 0
    for font in fonts(pdf):
        if font.Subtype == "/CIDFontType2":
            face = uharfbuzz.Face(bytes(font.FontDescriptor.FontFile2.read_bytes()))
            told = {int(font.W[i]): int(font.W[i + 1][0]) for i in range(0, len(font.W), 2)}
        elif font.Subtype == "/TrueType":
            face = uharfbuzz.Face(bytes(font.FontDescriptor.FontFile2.read_bytes()))
            cmap = uharfbuzz.Font(face)
            letters = {
                code: bytes([code]).decode("cp1252", "ignore") for code in range(32, 256) if code != 127
            }
            told = {
                cmap.get_nominal_glyph(ord(letter)): int(font.Widths[code - 32])
                for code, letter in letters.items()
                if letter
            }
        else:
            continue
        drawn = uharfbuzz.Font(face)
        for glyph, width in told.items():
            assert abs(drawn.get_glyph_h_advance(glyph) * 1000 / face.upem - width) <= 1
            checked += 1
    assert checked > 500


def test_6_2_11_8_no_text_shows_the_glyph_for_what_is_missing(pdf: pikepdf.Pdf) -> None:
    shown = 0
    for line in pikepdf.parse_content_stream(pdf.pages[0]):
        if str(line.operator) == "TJ":
            codes = b"".join(bytes(part) for part in line.operands[0] if isinstance(part, pikepdf.String))
            assert b"\0\0" not in {codes[i : i + 2] for i in range(0, len(codes), 2)}
            shown += len(codes) // 2
    assert shown > 100


def test_6_6_the_metadata_claims_part_2_b_and_says_what_info_says(pdf: pikepdf.Pdf) -> None:
    metadata = pdf.Root.Metadata
    assert "/Filter" not in metadata
    packet = bytes(metadata.read_bytes()).decode("utf-8")
    assert packet.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>')
    tree = ET.fromstring(packet)
    found = {element.tag: "".join(element.itertext()).strip() for element in tree.iter()}
    assert (found[PDFA + "part"], found[PDFA + "conformance"]) == ("2", "B")
    assert found["{http://purl.org/dc/elements/1.1/}title"] == str(pdf.docinfo.Title) == "Título: 山田"
    assert found["{http://ns.adobe.com/pdf/1.3/}Producer"] == str(pdf.docinfo.Producer)
    assert found["{http://ns.adobe.com/xap/1.0/}CreateDate"] == "2026-01-02T03:04:05-03:00"
    assert str(pdf.docinfo.CreationDate) == "D:20260102030405-03'00'"
    assert set(pdf.docinfo.keys()) == {"/Title", "/Producer", "/CreationDate"}


def test_without_fonts_the_document_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_module, "FACES", (standard("F1", "regular"), standard("F2", "bold")))
    out, canvas = io.BytesIO(), Canvas()
    writer = PdfWriter(out)
    canvas.text(9, 9, "coração", standard("F1", "regular"), 9)
    writer.add_page(canvas, A4_PORTRAIT, [])
    writer.finish(INFO)
    assert b"pdfaid" not in out.getvalue()
    with pikepdf.open(out) as opened:
        assert [str(font.Subtype) for font in fonts(opened)] == ["/Type1", "/Type1"]


def test_with_pages_of_another_document_it_claims_nothing() -> None:
    out = io.BytesIO()
    writer = PdfWriter(out)
    (form,) = writer.add_linked([([b"/Type /XObject /Subtype /Form /BBox [0 0 1 1]"], b"0 0 1 1 re f")])
    writer.add_page(Canvas(), A4_PORTRAIT, [("I", form)])
    writer.finish(INFO)
    assert b"pdfaid" not in out.getvalue()


@pytest.mark.pdftools
def test_qpdf_has_nothing_to_remark(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "document.pdf"
    path.write_bytes(data)
    answer = subprocess.run(["qpdf", "--check", path], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.pdftools
def test_poppler_finds_every_font_embedded(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "document.pdf"
    path.write_bytes(data)
    answer = subprocess.run(["pdffonts", path], capture_output=True, text=True, check=True)
    rows = answer.stdout.splitlines()[2:]
    assert len(rows) > 5
    assert all(re.search(r" yes yes (yes|no) ", row) for row in rows)


def test_our_profile_of_srgb_is_that_of_little_cms() -> None:
    ours = ImageCms.ImageCmsProfile(io.BytesIO(srgb.profile()))
    theirs = ImageCms.createProfile("sRGB")
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for source, target in ((ours, theirs), (theirs, ours)):
        seen = ImageCms.profileToProfile(Picture.fromarray(colours), source, target)
        assert seen is not None
        assert np.abs(np.asarray(seen).astype(int) - colours).max() <= 1
