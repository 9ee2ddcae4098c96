"""Names of every script that DICOM's character sets can say: drawn by fonts, read back in their order."""

from __future__ import annotations

import io
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pikepdf
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from render.fonts.library import installed
from render.pdf import A4_PORTRAIT, Canvas, DocumentInfo, PdfWriter
from render.typeface import BOLD, REGULAR, SUBSTITUTE, Typeface

NAMES = {
    "portuguese": "João da Conceição Araújo",
    "vietnamese": "Nguyễn Thị Hằng",
    "polish-czech-turkish": "Łukasz Dvořák İlker",
    "greek": "Διονυσιος",
    "cyrillic": "Люкceмбypг Василий Ё",
    "hebrew": "שרון^דבורה",
    "arabic": "قباني^لنزار",
    "arabic-ligature": "سلام^الأحمد",
    "persian": "گلچهره^پژمان",
    "thai": "สมชาย น้ำ",
    "japanese": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "half-width": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
    "korean": "Hong^Gildong=洪^吉洞=홍^길동",
    "simplified": "Wang^XiaoDong=王^小东",
    "traditional": "王^小東",
    "decomposed": "Žoe\u0301 x\u0331",
}
"""Most are those of DICOM PS3.5, annexes H to K."""


def document(text: str, face: Typeface) -> bytes:
    out, canvas = io.BytesIO(), Canvas()
    writer = PdfWriter(out)
    canvas.text(50, 700, text, face, 12)
    writer.add_page(canvas, A4_PORTRAIT, [])
    writer.finish(DocumentInfo("t", "p", "en", datetime(2026, 1, 2, tzinfo=UTC)))
    return out.getvalue()


def read_by_poppler(pdf: bytes, tmp_path: Path) -> str:
    path = tmp_path / "document.pdf"
    path.write_bytes(pdf)
    answer = subprocess.run(["pdftotext", "-raw", path, "-"], capture_output=True, text=True, check=True)
    return "".join(c for c in answer.stdout.strip() if unicodedata.category(c) != "Cf")


def test_the_fonts_are_installed() -> None:
    assert installed() is not None


@pytest.mark.parametrize("face", [REGULAR, BOLD], ids=["regular", "bold"])
@pytest.mark.parametrize("name", NAMES)
def test_no_character_is_missing_and_none_is_drawn_as_a_box(name: str, face: Typeface) -> None:
    assert face.missing(NAMES[name]) == frozenset()
    glyphs = [g for piece in face.line(NAMES[name]).pieces for c in piece.clusters for g in c.glyphs]
    assert all(glyph.number for glyph in glyphs)
    assert face.width(NAMES[name], 10) > 10


@pytest.mark.pdftools
@pytest.mark.parametrize("face", [REGULAR, BOLD], ids=["regular", "bold"])
@pytest.mark.parametrize("name", NAMES)
def test_poppler_reads_the_name_in_its_order(name: str, face: Typeface, tmp_path: Path) -> None:
    read = read_by_poppler(document(NAMES[name], face), tmp_path)
    assert unicodedata.normalize("NFKC", read) == unicodedata.normalize("NFKC", NAMES[name])


def test_arabic_letters_are_joined() -> None:
    alone = [glyphs_of(letter)[0] for letter in "قبن"]
    joined = glyphs_of("قبن")
    assert len(joined) == 3
    assert not set(alone) & set(joined)


def test_lam_and_alef_are_one_glyph_and_no_other_letters_are() -> None:
    assert len(glyphs_of("لا")) == 1
    assert len(glyphs_of("لنزار")) == 5


def test_han_characters_have_the_shapes_of_the_language_beside_them() -> None:
    chinese, japanese, korean = glyphs_of("直"), glyphs_of("直の")[:1], glyphs_of("直홍")[:1]
    assert chinese != japanese
    assert japanese == korean


def glyphs_of(text: str) -> list[int]:
    """Glyphs from left to right."""
    pieces = REGULAR.line(text).pieces
    return [glyph.number for piece in pieces for cluster in piece.clusters for glyph in cluster.glyphs]


def test_a_variant_of_a_han_character_is_drawn() -> None:
    """Registers of names write them with selectors."""
    assert REGULAR.missing("葛\U000e0100城") == frozenset()
    assert len(glyphs_of("葛\U000e0100城")) >= 2


def test_what_no_font_has_is_seen_and_named() -> None:
    line = REGULAR.line("山田 🫀 Ω")
    assert line.missing == {"🫀"}
    assert SUBSTITUTE.encode("cp1252") in b"".join(piece.codes for piece in line.pieces)


def test_a_glyph_of_two_characters_never_tells_the_wrong_one(tmp_path: Path) -> None:
    """Font files draw characters that look alike with one glyph: the second says what it is by itself."""
    for text in ("ﬆ Ω µ μ Å", "Ⅻ К K"):
        for cluster in (c for piece in REGULAR.line(text).pieces for c in piece.clusters):
            if cluster.is_exact:
                (font,) = {p.font for p in REGULAR.line(text).pieces if cluster in p.clusters}
                assert font is not None
                assert font.meanings[cluster.glyphs[0].number] == cluster.text


@pytest.mark.parametrize("name", NAMES)
def test_fonts_hold_the_glyphs_of_the_document_and_little_else(name: str) -> None:
    data = document(NAMES[name], REGULAR)
    with pikepdf.open(io.BytesIO(data)) as pdf:
        for font in pdf.pages[0].Resources.Font.values():
            if font.Subtype == "/Type0":
                widths = font.DescendantFonts[0].W
                used = set(glyphs_of(NAMES[name]))
                assert {int(widths[index]) for index in range(0, len(widths), 2)} <= used
    assert len(data) < 60_000


@given(text=st.text(st.characters(exclude_categories=())))
@example(text="\ud800 a\u0301\u202e\u05d0(b)\u200d")
@settings(deadline=None)
def test_any_text_is_drawn_whole_or_named(text: str) -> None:
    """Every character is drawn, is named as missing, or is one that only steers the drawing of others."""
    line, canvas = REGULAR.line(text), Canvas()
    canvas.text(9, 9, text, REGULAR, 9)
    with pikepdf.new() as pdf:
        pikepdf.parse_content_stream(pikepdf.Stream(pdf, canvas.content()))
    drawn = "".join(c.text for piece in line.pieces for c in piece.clusters)
    drawn += unicodedata.normalize("NFKC", drawn)  # of lam-alef
    drawn += "".join(piece.codes.decode("cp1252") for piece in line.pieces)
    seen = {c for c in unicodedata.normalize("NFC", text) if not c.isspace()} - line.missing
    assert {c for c in seen - set(drawn) if unicodedata.category(c) != "Cf"} == set()
    assert all(g.number for piece in line.pieces for c in piece.clusters for g in c.glyphs)


def test_a_document_in_winansi_opens_no_font() -> None:
    """Neither HarfBuzz nor a font file: half the cold start of a worker is what it imports."""
    code = (
        "import sys, io; from datetime import datetime, UTC; from render.pdf import *; "
        "from render.typeface import REGULAR; w = PdfWriter(io.BytesIO()); c = Canvas(); "
        "c.text(9, 9, 'coração', REGULAR, 9); w.add_page(c, A4_PORTRAIT, []); "
        "w.finish(DocumentInfo('é', 'p', 'en', datetime.now(UTC))); print('uharfbuzz' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
