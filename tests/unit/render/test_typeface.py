"""Widths against ReportLab's copy of Adobe's AFM files; codes against hand-made bytes."""

from __future__ import annotations

import pytest
from reportlab.pdfbase.pdfmetrics import stringWidth

from render.typeface import BOLD, ELLIPSIS, REGULAR, SUBSTITUTE, Typeface, standard

PORTUGUESE = "São João, coração, não é avô: ÀÉÎÕÜÇ — “aspas” 12,5 mm²"


STANDARD, STANDARD_BOLD = standard("F1", "regular"), standard("F2", "bold")


@pytest.mark.parametrize("face", [STANDARD, STANDARD_BOLD], ids=lambda face: str(face.base_font))
@pytest.mark.parametrize("text", ["", "Hello, World", PORTUGUESE, "".join(map(chr, range(32, 127)))])
def test_a_text_is_as_wide_as_the_published_metrics_say(face: Typeface, text: str) -> None:
    assert face.width(text, 11) == pytest.approx(stringWidth(text, face.base_font, 11))


@pytest.mark.parametrize(("face", "other"), [(REGULAR, STANDARD), (BOLD, STANDARD_BOLD)])
def test_a_page_looks_alike_with_and_without_fonts(face: Typeface, other: Typeface) -> None:
    assert face.width(PORTUGUESE, 11) == pytest.approx(other.width(PORTUGUESE, 11), rel=1e-3)


def test_portuguese_is_encoded_in_winansi() -> None:
    assert REGULAR.plain("coração €") == b"cora\xe7\xe3o \x80"


def test_a_decomposed_accent_is_composed() -> None:
    assert REGULAR.plain("Joa\u0303o") == b"Jo\xe3o"


def drawn_in_winansi(face: Typeface, text: str) -> bytes:
    return b"".join(piece.codes for piece in face.line(text).pieces)


def test_without_fonts_every_character_beyond_winansi_is_drawn_as_a_visible_substitute() -> None:
    assert drawn_in_winansi(STANDARD, "山田 a") == (SUBSTITUTE * 2 + " a").encode("cp1252")
    assert STANDARD.missing("山田 a") == {"山", "田"}
    assert STANDARD.width("山田 a", 10) == STANDARD.width(SUBSTITUTE * 2 + " a", 10)


@pytest.mark.parametrize("face", [REGULAR, STANDARD])
def test_a_control_character_is_seen_and_a_line_break_is_a_space(face: Typeface) -> None:
    assert drawn_in_winansi(face, "a\x1bb\nc") == b"a\xa4b c"
    assert face.missing("a\x1bb\nc") == {"\x1b"}


def test_nothing_is_missing_from_portuguese() -> None:
    assert REGULAR.missing(PORTUGUESE) == frozenset()


def test_a_short_text_is_not_clipped() -> None:
    assert REGULAR.clip("abc", 10, 100) == "abc"


@pytest.mark.parametrize("room", [12.0, 40.0, 99.5])
def test_a_clipped_text_fits_and_ends_in_an_ellipsis(room: float) -> None:
    clipped = REGULAR.clip("palavra " * 40, 10, room)
    assert clipped.endswith(ELLIPSIS)
    assert REGULAR.width(clipped, 10) <= room


def test_wrapping_keeps_all_words_where_there_are_lines_enough() -> None:
    text = "um dois três quatro cinco seis"
    lines = REGULAR.wrap(text, 10, 60, 10)
    assert " ".join(lines) == text
    assert len(lines) > 1
    assert all(REGULAR.width(line, 10) <= 60 for line in lines)


def test_wrapping_breaks_a_word_longer_than_a_line() -> None:
    lines = REGULAR.wrap("x" * 100, 10, 60, 20)
    assert "".join(lines) == "x" * 100
    assert all(REGULAR.width(line, 10) <= 60 for line in lines)


def test_the_last_line_says_by_an_ellipsis_that_more_was_left() -> None:
    lines = REGULAR.wrap("palavra " * 40, 10, 60, 2)
    assert len(lines) == 2
    assert lines[1].endswith(ELLIPSIS)
    assert REGULAR.width(lines[1], 10) <= 60


def test_wrapping_nothing_gives_no_line() -> None:
    assert REGULAR.wrap("  ", 10, 60, 2) == []


@pytest.mark.parametrize("letter", ["x", "山", "a\u0301\u0331"])
def test_a_text_without_end_is_clipped_and_wrapped_like_any_other(letter: str) -> None:
    text = letter * 1_000_000
    clipped, lines = REGULAR.clip(text, 10, 300), REGULAR.wrap(text, 10, 300, 3)
    assert clipped.endswith(ELLIPSIS)
    assert lines[-1].endswith(ELLIPSIS)
    assert len(lines) == 3
    assert all(REGULAR.width(line, 10) <= 300 for line in [clipped, *lines])


def test_a_character_far_into_the_text_is_missed_too() -> None:
    assert REGULAR.missing("山" * 100_000 + "🫀") == {"🫀"}
