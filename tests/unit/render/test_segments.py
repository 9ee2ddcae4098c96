"""Segmentations on their sources: the right pixels, in any order, and gray pages where there is no source."""

from __future__ import annotations

import io
import itertools
import subprocess
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pikepdf
import pytest
from PIL import Image as Png
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from ponte.segmentation import Segment, colour_of
from render import segments
from render.options import Grid
from render.study import RenderOptions, RenderReport, render_study
from tests.corpus import CORPUS
from tests.unit.render.segmented import LIVER, Pixels, group, segmentation, source
from tests.unit.render.studies import STUDY, Instances, encoded, gray
from tests.unit.render.test_selection import presentation_state, reference
from tests.unit.render.test_study import bookmarks_of, pixels_of, text_of

BARE = RenderOptions(cover_page=False, lossless=True, language="en")
ORANGE, GREEN = (217, 130, 101), (51, 204, 76)

MASK = np.zeros((16, 16), np.uint8)
MASK[4:9, 3:12] = 1
EDGE = MASK.copy()
EDGE[5:8, 4:11] = 0
OTHER = np.zeros((16, 16), np.uint8)
OTHER[12:14, 0:2] = 1


def rendered(*items: bytes, options: RenderOptions = BARE) -> tuple[RenderReport, pikepdf.Pdf]:
    out = io.BytesIO()
    answer = render_study(Instances(items), STUDY, out, options)
    pdf = pikepdf.open(out, attempt_recovery=False)
    assert pdf.check_pdf_syntax() == []
    return answer, pdf


def stencils(page: pikepdf.Page) -> list[tuple[tuple[int, ...], Pixels]]:
    """The colour and the pixels of each stencil, in the order drawn."""
    found, colour = list[tuple[tuple[int, ...], Pixels]](), tuple[int, ...]()
    for line in pikepdf.parse_content_stream(page):
        if str(line.operator) == "rg":
            colour = tuple(round(float(part) * 255) for part in line.operands)
        image = page.Resources.XObject.get(str(line.operands[0])) if str(line.operator) == "Do" else None
        if image is not None and image.get("/ImageMask"):
            rows = np.frombuffer(image.read_bytes(), np.uint8).reshape(int(image.Height), -1)
            found.append((colour, np.unpackbits(rows, axis=1)[:, : int(image.Width)]))
    return found


def pages_with_stencils(pdf: pikepdf.Pdf) -> list[pikepdf.Page]:
    return [page for page in pdf.pages if stencils(page)]


def two_frames() -> bytes:
    return segmentation(np.stack([MASK, OTHER]), [group(1, 5, 1), group(1, 5, 2)])


def test_the_frames_of_one_source_are_outlines_on_one_page() -> None:
    answer, pdf = rendered(source(1, 5), source(2, 6), two_frames())
    assert (answer.pages, answer.frames, answer.shown, answer.not_shown) == (3, 4, 4, ())
    (page,) = pages_with_stencils(pdf)
    (liver, first), (spleen, second) = stencils(page)
    assert (liver, spleen) == (ORANGE, GREEN)
    assert np.array_equal(first, EDGE)
    assert np.array_equal(second, OTHER)
    text = text_of(page)
    assert "1 Fígado de MARIA (Liver)" in text
    assert "2 Baço (Spleen)" in text
    assert "Frame 1–2 of 2" in text
    assert "outline over series 3, instance 1" in text


def test_the_source_is_in_the_document_once_and_as_it_was() -> None:
    _, pdf = rendered(source(1, 5), two_frames())
    alone, outlined = pdf.pages
    assert alone.Resources.XObject.I.objgen == outlined.Resources.XObject.I.objgen
    assert stencils(alone) == []
    assert np.unique(pixels_of(alone)).tolist() == [40]


def test_the_segmentation_keeps_its_place_and_its_bookmark() -> None:
    _, pdf = rendered(two_frames(), source(1, 5))
    assert bookmarks_of(pdf) == ["Series 3 (CT)", "Series 9 (SEG)"]
    assert "Series 9 (SEG)" in text_of(pdf.pages[-1])


def test_any_order_gives_the_same_pages() -> None:
    items = (source(1, 5), source(2, 6), two_frames())
    drawn = set()
    for order in itertools.permutations(items):
        answer, pdf = rendered(*order)
        drawn.add((answer.content, tuple(page.Contents.read_bytes() for page in pdf.pages)))
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([group(2, 6, 1), group(2, 6, 2)], 2),  # named, and there
        ([group(None, 6, 1), group(None, 6, 2)], 2),  # not named, on the same plane
        ([group(77, 6, 1), group(77, 6, 2)], 2),  # another one is named that is not there
        ([group(2, 6.04, 1), group(2, 6.04, 2)], 2),  # within a tenth of a pixel
        ([group(2, 6.06, 1), group(2, 6.06, 2)], None),  # named, but elsewhere
        ([group(None, 99, 1), group(None, 99, 2)], None),
        ([group(2, None, 1), group(2, None, 2)], 2),  # it does not say where it lies: its word is taken
        ([group(None, None, 1), group(None, None, 2)], None),
    ],
)
def test_the_source_is_named_or_lies_on_the_same_plane(groups: list[Dataset], expected: int | None) -> None:
    item = segmentation(np.stack([MASK, OTHER]), groups)
    answer, pdf = rendered(source(1, 5), source(2, 6), item)
    found = pages_with_stencils(pdf)
    assert (answer.shown, answer.not_shown) == (4, ())
    if expected is None:
        assert (found, answer.pages) == ([], 4)
    else:
        (page,) = found
        assert f"instance {expected}" in text_of(page)


def test_without_a_source_frames_are_gray_pages() -> None:
    answer, pdf = rendered(two_frames())
    assert (answer.pages, answer.shown, pages_with_stencils(pdf)) == (2, 2, [])
    assert np.array_equal(pixels_of(pdf.pages[0]), MASK * 255)


def test_a_source_of_another_size_is_none() -> None:
    _, pdf = rendered(source(1, 5, size=32), two_frames())
    assert pages_with_stencils(pdf) == []


def test_a_source_turned_by_its_plane_is_none() -> None:
    _, pdf = rendered(source(1, 5, ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]), two_frames())
    assert pages_with_stencils(pdf) == []


def test_a_frame_of_a_source_of_several_is_named_by_its_number() -> None:
    frames = np.stack([np.full((16, 16), level, np.uint16) for level in (10, 20, 30)])
    item = segmentation(np.stack([MASK]), [group(1, None, 1, frame=2)])
    _, pdf = rendered(gray(1, frames), item)
    (page,) = pages_with_stencils(pdf)
    assert "outline over series 3, instance 1, frame 2" in text_of(page)
    assert page.Resources.XObject.I.objgen == pdf.pages[1].Resources.XObject.I.objgen


def test_a_label_map_is_one_outline_a_label_without_the_background() -> None:
    item = segmentation(np.stack([MASK + 2 * OTHER]), [group(1, 5, None)], "LABELMAP")
    _, pdf = rendered(source(1, 5), item)
    (page,) = pages_with_stencils(pdf)
    (liver, first), (_, second) = stencils(page)
    assert liver == ORANGE
    assert np.array_equal(first, EDGE)
    assert np.array_equal(second, OTHER)


def test_a_fraction_is_outlined_at_half_and_the_page_says_so() -> None:
    values = np.where(MASK == 1, 50, 49).astype(np.uint8)
    _, pdf = rendered(source(1, 5), segmentation(np.stack([values]), [group(1, 5, 1)], "FRACTIONAL"))
    (page,) = pages_with_stencils(pdf)
    ((_, drawn),) = stencils(page)
    assert np.array_equal(drawn, EDGE)
    assert "fraction from 50 ·" in text_of(page)


def test_an_empty_mask_is_named_in_the_legend() -> None:
    item = segmentation(np.stack([MASK, MASK * 0]), [group(1, 5, 1), group(1, 5, 2)])
    answer, pdf = rendered(source(1, 5), item)
    (page,) = pages_with_stencils(pdf)
    assert len(stencils(page)) == 1
    assert "2 Baço (Spleen) – empty" in text_of(page)
    assert answer.shown == 3


def test_anonymous_legends_have_numbers_and_coded_meanings_alone() -> None:
    options = RenderOptions(cover_page=False, anonymize=True, language="en")
    _, pdf = rendered(source(1, 5), two_frames(), options=options)
    (page,) = pages_with_stencils(pdf)
    assert "1 Liver" in text_of(page)
    assert "MARIA" not in text_of(page)


def test_cells_of_a_grid_have_outlines_and_legends() -> None:
    items = [source(number, number) for number in (1, 2, 3)]
    frames = segmentation(np.stack([MASK] * 3), [group(number, number, 1) for number in (1, 2, 3)])
    options = RenderOptions(cover_page=False, grid=Grid(2, 2), language="en")
    answer, pdf = rendered(*items, frames, options=options)
    assert answer.pages == 2
    assert len(stencils(pdf.pages[1])) == 3
    assert text_of(pdf.pages[1]).count("1 Fígado") == 3


def test_the_resolution_of_the_source_does_not_matter() -> None:
    """A source that is decoded at half its size has the outline of all its pixels."""
    values = np.full((2048, 2048), 40, np.uint8)
    stream = imagecodecs.jpeg2k_encode(values, reversible=True, codecformat="j2k", resolutions=6)
    halved = source(1, 5, Rows=2048, Columns=2048, BitsAllocated=8, BitsStored=8, HighBit=7)
    dataset = dcmread(io.BytesIO(halved))
    dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([bytes(stream)]), JPEG2000Lossless
    dataset["PixelData"].VR = "OB"
    mask = np.zeros((2048, 2048), np.uint8)
    mask[512:1024, 256:512] = 1
    frames = segmentation(np.stack([mask]), [group(1, 5, 1)])
    _, pdf = rendered(encoded(dataset), frames, options=RenderOptions(cover_page=False, grid=Grid(2, 2)))
    (page,) = pages_with_stencils(pdf)
    assert int(page.Resources.XObject.I.Width) == 1024
    ((_, drawn),) = stencils(page)
    assert np.argwhere(drawn).min(axis=0).tolist() == [512, 256]
    assert np.argwhere(drawn).max(axis=0).tolist() == [1023, 511]


def test_a_source_that_cannot_be_shown_is_none() -> None:
    answer, pdf = rendered(source(1, 5, PixelData=b"\0\0"), two_frames())
    assert (answer.shown, len(answer.not_shown), pages_with_stencils(pdf)) == (2, 1, [])


def test_a_label_map_of_too_many_labels_is_a_gray_page() -> None:
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    item = segmentation(np.stack([labels]), [group(1, 5, None)], "LABELMAP")
    answer, pdf = rendered(source(1, 5), item)
    assert (answer.shown, pages_with_stencils(pdf)) == (2, [])


def test_the_padding_of_a_label_map_is_its_background() -> None:
    labels = np.where(MASK == 1, 1, 255).astype(np.uint8)
    item = segmentation(np.stack([labels]), [group(1, 5, None)], "LABELMAP", PixelPaddingValue=255)
    _, pdf = rendered(source(1, 5), item)
    (page,) = pages_with_stencils(pdf)
    ((_, drawn),) = stencils(page)
    assert np.array_equal(drawn, EDGE)


@pytest.mark.parametrize("turned", [False, True])
def test_a_source_that_a_presentation_state_turned_is_none(turned: bool) -> None:
    state = presentation_state(reference(1), ImageRotation=90, ImageHorizontalFlip="N")
    options = RenderOptions(cover_page=False, language="en", presentation=turned)
    _, pdf = rendered(source(1, 5), two_frames(), state, options=options)
    assert len(pages_with_stencils(pdf)) == (0 if turned else 1)


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("name", "pages", "shown"),
    [
        ("seg/pydicom-data__liver_rle.dcm", 3, 3),
        ("seg/dicom-test-files__liver_expb.dcm", 3, 3),
        ("seg/pydicom-data__liver_j2k.dcm", 3, 3),
        ("seg/pydicom-data__liver_nonbyte_aligned.dcm", 0, 3),  # 510 columns on 512
        ("seg-dcmqi/dcmqi__partial_overlaps.dcm", 3, 7),
    ],
)
def test_files_of_others_lie_on_their_slices(name: str, pages: int, shown: int) -> None:
    assert CORPUS is not None
    files = [name, *(f"seg-dcmqi/dcmqi__0{number}.dcm" for number in (1, 2, 3))]
    items = [(CORPUS / file).read_bytes() for file in files]
    study = str(dcmread(io.BytesIO(items[0])).StudyInstanceUID)
    out = io.BytesIO()
    answer = render_study(Instances(items), study, out, BARE)
    assert (answer.shown, answer.not_shown) == (3 + shown, ())
    with pikepdf.open(out) as pdf:
        assert len(pages_with_stencils(pdf)) == pages


@pytest.mark.parametrize("limit", ["MOST_FRAMES", "MOST_BYTES", "MOST_PIXELS"])
def test_beyond_the_limits_frames_are_gray_pages(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(segments, limit, 1)
    answer, pdf = rendered(source(1, 5), two_frames())
    assert answer.shown == 3
    assert len(pages_with_stencils(pdf)) == (1 if limit == "MOST_FRAMES" else 0)


def test_more_outlines_than_fit_take_another_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MOST_OVERLAYS", 1)
    answer, pdf = rendered(source(1, 5), two_frames())
    assert (answer.pages, len(pages_with_stencils(pdf))) == (3, 2)


def test_pages_left_out_count_every_frame_on_them() -> None:
    options = RenderOptions(cover_page=False, max_pages=1)
    answer, _ = rendered(source(1, 5), two_frames(), options=options)
    assert (answer.pages, answer.shown, answer.left_out) == (1, 1, 2)


def test_a_small_document_keeps_its_outlines() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (16, 16)).astype("<u2").tobytes()
    options = RenderOptions(cover_page=False, max_bytes=200_000)
    _, pdf = rendered(source(1, 5, PixelData=noise), two_frames(), options=options)
    (page,) = pages_with_stencils(pdf)
    assert np.array_equal(stencils(page)[0][1], EDGE)


def test_a_colour_that_would_not_be_seen_is_replaced() -> None:
    black = colour_of((0, 32768, 32768))
    assert black == pytest.approx((0, 0, 0), abs=0.01)
    assert segments._visible(Segment(1, colour=black)) == segments._visible(Segment(1))
    assert colour_of((65535, 32896, 32896)) == pytest.approx((1, 1, 1), abs=0.01)
    liver = colour_of(tuple(LIVER))
    assert liver is not None
    assert [round(part * 255) for part in liver] == list(ORANGE)
    assert colour_of((1, 2)) is None
    assert colour_of((-1, 0, 0)) is None


def test_thick_pictures_have_thick_outlines() -> None:
    mask = np.zeros((640, 640), bool)
    mask[100:200, 100:200] = True
    found = segments.outline(mask)
    assert found[100:102, 100:200].all()
    assert not found[102:198, 102:198].any()
    assert found.sum() == 100 * 100 - 96 * 96


@pytest.mark.pdftools
def test_poppler_lays_the_colour_on_the_right_pixels(tmp_path: Path) -> None:
    path = tmp_path / "study.pdf"
    with path.open("wb") as stream:
        render_study(Instances([two_frames(), source(1, 5)]), STUDY, stream, BARE)
    subprocess.run(["qpdf", "--check", path], check=True, capture_output=True)
    subprocess.run(["pdftoppm", "-r", "144", "-f", "2", "-png", path, tmp_path / "seen"], check=True)
    (seen,) = tmp_path.glob("seen-*.png")
    picture = _squares(np.asarray(Png.open(seen).convert("RGB")).astype(int), path)
    expected = np.full((16, 16, 3), 40)
    expected[EDGE == 1], expected[OTHER == 1] = ORANGE, GREEN
    assert np.abs(picture - expected).max() <= 2


def _squares(seen: npt.NDArray[np.int_], path: Path) -> npt.NDArray[np.int_]:
    """The middle of each of the 16 by 16 pixels of the picture, in a page seen at 144 dots an inch."""
    with pikepdf.open(path) as pdf:
        lines = pikepdf.parse_content_stream(pdf.pages[1])
        matrices = [[float(part) for part in line.operands] for line in lines if str(line.operator) == "cm"]
    assert len(matrices) == 3  # the picture and two stencils, in one rectangle
    assert all(matrix == matrices[0] for matrix in matrices)
    width, _, _, height, left, bottom = matrices[0]
    middle = (np.arange(16) + 0.5) / 16
    rows = len(seen) - 2 * (bottom + height * (1 - middle))
    found: npt.NDArray[np.int_] = seen[rows.astype(int)][:, (2 * (left + width * middle)).astype(int)]
    return found
