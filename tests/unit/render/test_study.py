"""A study becomes a PDF: what is on its pages, in its bookmarks, in its report, and what must not be."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pikepdf
import pytest

from ponte.errors import BadAnswer, NothingToShow, SourceUnavailable, StudyNotFound
from ponte.image import Image, Picture
from render.study import Progress, RenderOptions, RenderReport, RequestCodes, render_study
from tests.unit.render.studies import SERIES, STUDY, Instances, color, damaged, gray, report

LOSSLESS = RenderOptions(lossless=True)
BARE = RenderOptions(cover_page=False, lossless=True, language="en")


def rendered(*items: bytes, options: RenderOptions = LOSSLESS) -> tuple[RenderReport, pikepdf.Pdf]:
    out = io.BytesIO()
    answer = render_study(Instances(items), STUDY, out, options)
    assert answer.bytes == len(out.getvalue())
    pdf = pikepdf.open(out, attempt_recovery=False)
    assert pdf.check_pdf_syntax() == []
    assert len(pdf.pages) == answer.pages
    return answer, pdf


def text_of(page: pikepdf.Page) -> str:
    """All text drawn on a page, one drawing a line."""
    lines = pikepdf.parse_content_stream(page)
    return "\n".join(bytes(line.operands[0]).decode("cp1252") for line in lines if str(line.operator) == "Tj")


def pixels_of(page: pikepdf.Page) -> np.ndarray:
    stream = page.Resources.XObject.I
    assert isinstance(stream, pikepdf.Stream)
    image = pikepdf.PdfImage(stream)
    return np.asarray(image.as_pil_image())


def bookmarks_of(pdf: pikepdf.Pdf) -> list[str]:
    with pdf.open_outline() as outline:
        return [item.title for item in outline.root]


def test_each_frame_has_a_page_after_the_cover() -> None:
    frames = np.zeros((3, 4, 4), np.uint16)
    answer, _ = rendered(gray(1), gray(2, frames))
    assert (answer.pages, answer.instances, answer.frames, answer.shown) == (5, 2, 4, 4)
    assert not answer.partial
    assert answer.not_shown == ()


def test_a_lossless_page_holds_the_displayed_gray_levels() -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 4
    _, pdf = rendered(gray(1, values), options=BARE)
    difference = np.abs(pixels_of(pdf.pages[0]).astype(int) - values.astype(int))
    assert difference.max() <= 1


def test_a_lossless_page_holds_the_very_colours() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    _, pdf = rendered(color(1, pixels), options=BARE)
    assert np.array_equal(pixels_of(pdf.pages[0]), pixels)


def test_a_jpeg_page_comes_close() -> None:
    y, x = np.mgrid[:64, :64]
    values = (x * 2 + y * 2).astype(np.uint16)
    _, pdf = rendered(gray(1, values), options=RenderOptions(cover_page=False))
    image = pdf.pages[0].Resources.XObject.I
    assert str(image.Filter) == "/DCTDecode"
    assert np.abs(pixels_of(pdf.pages[0]).astype(int) - values.astype(int)).max() <= 4


def test_a_colour_jpeg_keeps_the_full_resolution_of_its_colours() -> None:
    _, pdf = rendered(color(1, np.zeros((16, 16, 3), np.uint8)), options=RenderOptions(cover_page=False))
    data = pdf.pages[0].Resources.XObject.I.read_raw_bytes()
    start = data.index(b"\xff\xc0")
    assert [data[start + 11 + 3 * component] for component in range(3)] == [0x11, 0x11, 0x11]


def test_readers_are_told_not_to_smooth_the_pixels() -> None:
    _, pdf = rendered(gray(1))
    assert not bool(pdf.pages[1].Resources.XObject.I.Interpolate)


def test_a_wide_picture_lies_on_its_side() -> None:
    _, pdf = rendered(
        gray(1, np.zeros((4, 9), np.uint16)), gray(2, np.zeros((9, 4), np.uint16)), options=BARE
    )
    boxes = [[float(value) for value in page.MediaBox][2:] for page in pdf.pages]
    assert boxes == [[841.89, 595.28], [595.28, 841.89]]


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (8, 8), (500, 3), (3, 500)])
def test_a_picture_keeps_its_shape_and_stays_between_the_bands(shape: tuple[int, int]) -> None:
    _, pdf = rendered(gray(1, np.zeros(shape, np.uint16)), options=BARE)
    page = pdf.pages[0]
    page_width, page_height = (float(value) for value in list(page.MediaBox)[2:])
    (matrix,) = [
        [float(value) for value in line.operands]
        for line in pikepdf.parse_content_stream(page)
        if str(line.operator) == "cm"
    ]
    width, _, _, height, x, y = matrix
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.01)
    assert x >= 30 - 0.01
    assert x + width <= page_width - 30 + 0.01
    assert y >= 50
    assert y + height <= page_height - 60


def test_pages_are_sorted_by_series_then_instance_then_frame() -> None:
    frames = np.zeros((2, 4, 4), np.uint16)
    _, pdf = rendered(
        gray(7, SeriesNumber=10, SeriesInstanceUID=SERIES + ".10"),
        gray(10),
        gray(9, frames),
        gray(2),
        gray(1, SeriesNumber=None, SeriesInstanceUID=SERIES + ".0"),
        options=BARE,
    )
    lines = [text_of(page) for page in pdf.pages]
    found = [re.search(r"Instance (\d+)(?: · Frame (\d))?", text) for text in lines]
    assert [match.groups() for match in found if match] == [
        ("2", None),
        ("9", "1"),
        ("9", "2"),
        ("10", None),
        ("7", None),
        ("1", None),
    ]


def test_instances_without_a_number_are_sorted_by_their_position() -> None:
    axial = [1, 0, 0, 0, 1, 0]
    items = [
        gray(number, ImagePositionPatient=[0, 0, z], ImageOrientationPatient=axial, InstanceNumber=None)
        for number, z in ((1, 30), (2, -10.5), (3, 10))
    ]
    _, pdf = rendered(*items, options=BARE)
    found = [re.findall(r"Position (.*) mm", text_of(page)) for page in pdf.pages]
    assert found == [["-10.5"], ["10"], ["30"]]


def test_bands_say_series_patient_date_window_and_page() -> None:
    item = gray(
        12,
        PatientName="SILVA^JOÃO",
        PatientID="P-1",
        StudyDate="20260131",
        SeriesDescription="Tórax",
        StudyDescription="TC",
    )
    _, pdf = rendered(item, options=RenderOptions(cover_page=False))
    assert text_of(pdf.pages[0]).split("\n") == [
        "Série 3 (CT) · Tórax",
        "SILVA JOÃO",
        "TC",
        "P-1 · 31/01/2026",
        "Instância 12 · Janela C 128 L 256",
        "Página 1 de 1",
    ]


def test_the_cover_says_what_is_known_of_the_study_in_english() -> None:
    item = gray(
        1,
        PatientName="SILVA^JOÃO",
        PatientID="P-1",
        PatientBirthDate="19560214",
        PatientSex="M",
        StudyDate="20260131",
        StudyTime="081530",
        AccessionNumber="A-77",
        InstitutionName="Hospital São José",
        ReferringPhysicianName="ARAÚJO^ANA",
    )
    codes = RequestCodes("4711", "AUT-1", "PROC-2")
    _, pdf = rendered(item, options=RenderOptions(language="en", codes=codes))
    text = text_of(pdf.pages[0])
    expected = ["SILVA JOÃO", "P-1", "1956-02-14", "Male", "2026-01-31 08:15", "A-77", "Hospital São José"]
    expected += ["ARAÚJO ANA", "4711", "AUT-1", "PROC-2", STUDY, "Page 1 of 2", "Not a medical device."]
    assert [value for value in expected if value not in text] == []


def test_dates_are_written_as_in_brazil() -> None:
    _, pdf = rendered(gray(1, StudyDate="20260131", PatientBirthDate="20000229"))
    text = text_of(pdf.pages[0])
    assert "31/01/2026" in text
    assert "29/02/2000" in text


def test_bookmarks_are_the_cover_and_the_series() -> None:
    other = gray(
        2, SeriesNumber=4, SeriesInstanceUID=SERIES + ".4", Modality="MR", SeriesDescription="T2 — 山"
    )
    _, pdf = rendered(other, gray(1, SeriesDescription="Tórax"), gray(3))
    assert bookmarks_of(pdf) == ["Imagens do estudo", "Série 3 (CT): Tórax", "Série 4 (MR): T2 — 山"]


def test_a_character_that_no_font_has_is_whole_in_the_title_and_marked_on_the_cover() -> None:
    _, pdf = rendered(gray(1, PatientName="Yamada^🫀^Tarou"))
    assert str(pdf.docinfo["/Title"]) == "Yamada 🫀 Tarou"
    text = text_of(pdf.pages[0])
    assert "Yamada ¤ Tarou" in text.replace("\n", "")
    assert "O sinal ¤ está no lugar de caracteres" in text


def test_a_damaged_image_has_a_page_in_its_place_that_says_why() -> None:
    answer, pdf = rendered(gray(1), damaged(2), gray(3), options=BARE)
    assert (answer.pages, answer.frames, answer.shown) == (3, 2, 2)
    text = text_of(pdf.pages[1])
    assert "This image could not be shown" in text
    assert "Pixels are missing" in text
    assert "Instance 2" in text
    (missing,) = answer.not_shown
    assert (missing.sop_instance_uid, missing.reason) == (f"{SERIES}.2", "PIXEL_LENGTH")
    assert answer.partial


def test_an_unreadable_instance_has_the_last_page_and_a_line_on_the_cover() -> None:
    answer, pdf = rendered(b"not DICOM at all, however long", gray(1))
    assert answer.pages == 3
    assert "Esta imagem não pôde ser exibida" in text_of(pdf.pages[2])
    assert "Ilegível" in text_of(pdf.pages[0])
    (missing,) = answer.not_shown
    assert (missing.sop_instance_uid, missing.reason) == ("", "NOT_DICOM")


def test_a_report_is_listed_on_the_cover_and_has_no_page() -> None:
    answer, pdf = rendered(gray(1), report(5, SeriesNumber=9, SeriesInstanceUID=SERIES + ".9"))
    assert answer.pages == 2
    assert "Série 9 (SR) · Instância 5" in text_of(pdf.pages[0])
    assert [entry.reason for entry in answer.not_shown] == ["NOT_AN_IMAGE"]


def test_a_long_list_of_what_is_missing_is_cut_with_a_count() -> None:
    _, pdf = rendered(gray(1), *[report(number) for number in range(2, 52)])
    text = "\n".join(text_of(page) for page in list(pdf.pages)[:-1])
    assert text.count("NOT_AN_IMAGE") == 30
    assert "e mais 20" in text


def test_a_cover_of_many_series_goes_on_over_several_sheets() -> None:
    items = [
        gray(
            n, SeriesNumber=n, SeriesInstanceUID=f"{SERIES}.{n}", SeriesDescription=f"Fase {n:03} " + "x" * 50
        )
        for n in range(1, 101)
    ]
    answer, pdf = rendered(*items)
    covers = answer.pages - 100
    assert 5 <= covers <= 9
    text = "\n".join(text_of(page) for page in list(pdf.pages)[:covers])
    assert all(f"Fase {n:03}" in text for n in range(1, 101))
    assert f"Página {covers} de {answer.pages}" in text


def test_a_study_without_an_image_gives_no_pdf() -> None:
    out = io.BytesIO()
    with pytest.raises(NothingToShow) as caught:
        render_study(Instances([report(1), report(2), damaged(3)]), STUDY, out, LOSSLESS)
    assert caught.value.code == "NOT_AN_IMAGE"
    with pytest.raises(pikepdf.PdfError):
        pikepdf.open(out)


def test_a_source_without_instances_is_a_study_not_found() -> None:
    with pytest.raises(StudyNotFound):
        render_study(Instances([]), STUDY, io.BytesIO(), LOSSLESS)


@pytest.mark.parametrize("failure", [SourceUnavailable("gone"), BadAnswer("cut"), ZeroDivisionError()])
def test_a_source_that_breaks_off_leaves_no_pdf(failure: Exception) -> None:
    out = io.BytesIO()
    with pytest.raises(type(failure)):
        render_study(Instances([gray(n) for n in range(20)], failure), STUDY, out, LOSSLESS)
    with pytest.raises(pikepdf.PdfError):
        pikepdf.open(out)


def test_an_instance_of_another_study_is_refused() -> None:
    with pytest.raises(BadAnswer):
        render_study(Instances([gray(1, StudyInstanceUID="1.2.3")]), STUDY, io.BytesIO(), LOSSLESS)


def test_an_error_that_nobody_foresaw_costs_one_page_and_is_logged_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = Image.picture

    def picture(self: Image, frame_index: int, *, halvings: int) -> Picture:
        if not spoilt:
            spoilt.append(frame_index)
            raise RuntimeError("the name of a patient")
        return good(self, frame_index, halvings=halvings)

    spoilt: list[int] = []
    monkeypatch.setattr(Image, "picture", picture)
    with caplog.at_level(logging.DEBUG):
        answer, _ = rendered(gray(1), gray(2), options=RenderOptions(max_workers=1))
    assert [entry.reason for entry in answer.not_shown] == ["CANNOT_DECODE"]
    assert "the name of a patient" not in caplog.text
    assert [record.__dict__["error_type"] for record in caplog.records] == ["RuntimeError"]


def test_an_image_that_memory_does_not_suffice_for_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Image.picture

    def picture(self: Image, frame_index: int, *, halvings: int) -> Picture:
        if self.rows == 9:
            raise MemoryError
        return good(self, frame_index, halvings=halvings)

    monkeypatch.setattr(Image, "picture", picture)
    answer, _ = rendered(gray(1), gray(2, np.zeros((9, 9), np.uint16)))
    assert [entry.reason for entry in answer.not_shown] == ["MEMORY"]


def test_few_frames_are_in_flight_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = written = 0
    most = 0

    def items() -> Iterator[bytes]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield gray(number)

    def note(progress: Progress) -> None:
        nonlocal written, most
        written = progress.frames
        most = max(most, taken - written)

    render_study(Instances(items()), STUDY, io.BytesIO(), RenderOptions(max_workers=2), on_progress=note)
    assert written == 50
    assert most <= 2 + 2 + 1


def test_progress_counts_up() -> None:
    seen: list[Progress] = []
    render_study(
        Instances([gray(n) for n in range(5)]), STUDY, io.BytesIO(), LOSSLESS, on_progress=seen.append
    )
    assert [progress.frames for progress in seen] == [1, 2, 3, 4, 5]
    assert seen[-1].instances == 5


def test_seconds_add_up_and_fetch_is_what_the_source_took() -> None:
    answer, _ = rendered(gray(1))
    seconds = answer.seconds
    assert 0 < seconds.total < 60
    assert min(seconds.fetch, seconds.decode, seconds.encode, seconds.write) >= 0


CANARIES = {
    "PatientName": "CANARYNAME^ÇANÁRIO",
    "PatientID": "CANARYID",
    "PatientBirthDate": "19010203",
    "PatientSex": "O",
    "StudyDate": "19020304",
    "SeriesDate": "19030405",
    "AcquisitionDate": "19040506",
    "ContentDate": "19050607",
    "StudyTime": "010203",
    "StudyDescription": "CANARYSTUDY",
    "SeriesDescription": "CANARYSERIES",
    "AccessionNumber": "CANARYACC",
    "InstitutionName": "CANARYINST",
    "InstitutionAddress": "CANARYADDR",
    "ReferringPhysicianName": "CANARYREF^DOC",
    "OperatorsName": "CANARYOP",
    "StationName": "CANARYSTATION",
    "StudyID": "CANARYSTID",
    "OtherPatientIDs": "CANARYOTHER",
    "PatientAddress": "CANARYHOME",
    "ImageComments": "CANARYCOMMENT",
    "ProtocolName": "CANARYPROT",
    "DeviceSerialNumber": "CANARYSERIAL",
    "StudyInstanceUID": STUDY,
    "SeriesInstanceUID": SERIES,
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.10.99",
}
CODES = RequestCodes("CANARYEXAM", "CANARYAUT", "CANARYPROC")
DATES = {"03/02/1901", "1901-02-03", "04/03/1902", "1902-03-04", "01:02"}


def everything_in(data: bytes) -> bytes:
    """The file's bytes and all its streams, decompressed."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        parts = [data]
        for entry in pdf.objects:
            parts.append(entry.unparse())
            if isinstance(entry, pikepdf.Stream) and entry.get("/Subtype") != "/Image":
                parts.append(entry.read_bytes())
    return b"\n".join(parts)


def forms_of(canary: str) -> list[bytes]:
    """A text as it may stand in a PDF: in any encoding, and any of them in hexadecimal."""
    plain = [canary.encode(encoding, "ignore") for encoding in ("utf-8", "cp1252", "utf-16-be", "utf-16-le")]
    return (
        plain + [value.hex().encode() for value in plain] + [value.hex().upper().encode() for value in plain]
    )


def found_canaries(data: bytes) -> set[str]:
    whole = everything_in(data)
    words = {word for value in CANARIES.values() if len(value) > 3 for word in re.split(r"[\^]", value)}
    words |= {CODES.exam_id, CODES.cod_autorizacao, CODES.cod_procedimento, "CANARYPROTOCOL"} | DATES
    words |= {f"{SERIES}.{number}" for number in (1, 2, 3)}
    return {word for word in words if any(form in whole for form in forms_of(word))}


def canary_study(*, anonymize: bool, language: str) -> bytes:
    out = io.BytesIO()
    canaries: dict[str, Any] = dict(CANARIES)
    readable = [gray(1, **canaries), damaged(2, **canaries), report(3, **canaries)]
    items = [*readable, b"CANARYID unreadable bytes"]
    options = RenderOptions(anonymize=anonymize, codes=CODES, language=language)  # type: ignore[arg-type]
    render_study(Instances(items), STUDY, out, options)
    return out.getvalue()


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_an_anonymous_pdf_holds_nothing_of_patient_study_or_request(language: str) -> None:
    assert found_canaries(canary_study(anonymize=True, language=language)) == set()


def test_the_search_for_canaries_finds_those_of_a_pdf_that_is_not_anonymous() -> None:
    found = found_canaries(canary_study(anonymize=False, language="pt-BR"))
    expected = {"CANARYID", "CANARYSTUDY", "CANARYSERIES", "CANARYACC", "CANARYINST", "CANARYEXAM", STUDY}
    assert expected <= found
    assert "03/02/1901" in found


def test_an_anonymous_pdf_names_series_by_number_and_modality_alone() -> None:
    out = io.BytesIO(canary_study(anonymize=True, language="en"))
    with pikepdf.open(out) as pdf:
        assert bookmarks_of(pdf) == ["Study images", "Series 3 (CT)", "Unreadable"]
        assert str(pdf.docinfo["/Title"]) == "Study images"
