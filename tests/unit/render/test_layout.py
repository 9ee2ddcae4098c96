"""Where records stand: grids, papers, mammograms; and what of a study is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pikepdf
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    UltrasoundImageStorage,
)

from ponte.errors import InvalidRequest
from ponte.geometry import FrameGeometry
from ponte.study import InstanceAttributes, SeriesAttributes
from render.layout import Box, Layout, Page, free_area
from render.options import Grid, RenderOptions
from render.record import Record
from tests.unit.render.studies import SERIES, damaged, encoded, gray, plain
from tests.unit.render.test_study import bookmarks_of, pixels_of, rendered, text_of

WIDE, TALL = np.zeros((10, 40), np.uint16), np.zeros((40, 10), np.uint16)


def record(series: int = 1, number: int = 1, modality: str = "CT", view: str = "", side: str = "") -> Record:
    attributes = SeriesAttributes(f"1.2.{series}", series, modality)
    instance = InstanceAttributes(f"1.2.{series}.{number}", instance_number=number)
    geometry = FrameGeometry(laterality=side, view=view)
    return Record(attributes, instance, 1, 1, None, geometry, 512, 512, image=number)


def cells(page: Page) -> list[tuple[int | None, int | None]]:
    shown = [cell.record for cell in page.cells]
    return [(one.series.series_number, one.instance.instance_number) for one in shown]


@pytest.mark.parametrize("text", ["0x1", "7x1", "1x7", "axb", "", "2x2x2", "-1x2"])
def test_a_grid_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Grid.parse(text)


@pytest.mark.parametrize("grid", [Grid(1, 1), Grid(2, 3), Grid(6, 5)])
@pytest.mark.parametrize("paper", ["A4", "letter", "fit"])
def test_cells_fill_the_free_area_and_never_overlap(grid: Grid, paper: Any) -> None:
    layout = Layout(grid, paper)
    size = layout.size_for(512, 400)
    boxes, area = layout.boxes(size), free_area(size)
    assert len(boxes) == grid.cells
    for box in boxes:
        assert box.x >= area.x - 1e-6
        assert box.y >= area.y - 1e-6
        assert box.x + box.width <= area.x + area.width + 1e-6
        assert box.y + box.height <= area.y + area.height + 1e-6
    for one in boxes:
        assert all(one is other or _apart(one, other) for other in boxes)


def _apart(one: Box, other: Box) -> bool:
    beside = one.x + one.width <= other.x or other.x + other.width <= one.x
    return beside or one.y + one.height <= other.y or other.y + other.height <= one.y


def test_a_page_never_has_images_of_two_series() -> None:
    records = [record(series, number) for series in (1, 2) for number in range(1, 6)]
    pages = Layout(Grid(2, 2), "A4").pages(records)
    assert [cells(page) for page in pages] == [
        [(1, 1), (1, 2), (1, 3), (1, 4)], [(1, 5)], [(2, 1), (2, 2), (2, 3), (2, 4)], [(2, 5)],
    ]  # fmt: skip


def test_mammograms_hang_back_to_back_before_their_own_pages() -> None:
    views = [("L", "MLO"), ("R", "CC"), ("L", "CC"), ("R", "MLO")]
    records = [record(n, n, "MG", view, side) for n, (side, view) in enumerate(views, start=1)]
    first, *others = Layout(Grid(), "A4").pages(records)
    assert first.hung
    placed = {(cell.record.geometry.laterality, cell.record.geometry.view): cell for cell in first.cells}
    assert placed["R", "CC"].box.x < placed["L", "CC"].box.x
    assert placed["R", "CC"].box.y > placed["R", "MLO"].box.y
    assert {key: cell.side for key, cell in placed.items() if key[1] == "CC"} == {
        ("R", "CC"): 1,
        ("L", "CC"): -1,
    }
    assert [cells(page) for page in others] == [[(n, n)] for n in range(1, 5)]


def test_one_mammogram_alone_is_not_hung() -> None:
    assert not any(page.hung for page in Layout(Grid(), "A4").pages([record(1, 1, "MG", "CC", "R")]))


@pytest.mark.parametrize(("pixels", "lying"), [(WIDE, True), (TALL, False)])
def test_pages_lie_as_their_pictures_do(pixels: np.ndarray[Any, Any], lying: bool) -> None:
    for paper, sides in (("A4", (595.28, 841.89)), ("letter", (612, 792))):
        options = RenderOptions(cover_page=False, paper=paper)  # type: ignore[arg-type]  # one of the literals
        _, pdf = rendered(gray(1, pixels), options=options)
        box = [float(side) for side in pdf.pages[0].MediaBox][2:]
        assert box == pytest.approx(sides[::-1] if lying else sides, abs=0.1)


def test_paper_that_fits_is_as_high_as_the_picture() -> None:
    _, pdf = rendered(gray(1, WIDE), options=RenderOptions(cover_page=False, paper="fit"))
    _, _, width, height = (float(side) for side in pdf.pages[0].MediaBox)
    assert width == pytest.approx(595.28)
    assert height < 300


def images_drawn(page: pikepdf.Page) -> int:
    return sum(str(line.operator) == "Do" for line in pikepdf.parse_content_stream(page))


def test_a_grid_of_images_with_captions_and_a_notice_in_its_cell() -> None:
    options = RenderOptions(cover_page=False, language="en", grid=Grid(2, 2))
    answer, pdf = rendered(*(gray(n) for n in (1, 2, 4)), damaged(3), gray(5), options=options)
    assert (answer.pages, answer.shown) == (2, 4)
    assert [images_drawn(page) for page in pdf.pages] == [3, 1]
    first = text_of(pdf.pages[0])
    assert all(f"Instance {n}" in first for n in (1, 2, 4))
    assert "This image could not be shown" in first
    assert "Instance 1 \u2013 Instance 4" in first


def test_letters_and_a_scale_bar_stand_beside_the_picture() -> None:
    pixels = np.zeros((200, 200), np.uint16)
    item = gray(1, pixels, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[1, 1])
    _, pdf = rendered(item, options=RenderOptions(cover_page=False, language="en"))
    lines = text_of(pdf.pages[0]).splitlines()
    assert {"R", "A", "L", "P", "5 cm"} <= set(lines)
    _assert_bar(pdf.pages[0], mm=50, of_mm=200)


def _assert_bar(page: pikepdf.Page, mm: float, of_mm: float) -> None:
    """The longest line beside the bands is as much of the picture as its millimetres say."""
    lines = pikepdf.parse_content_stream(page)
    (width,) = [float(line.operands[0]) for line in lines if str(line.operator) == "cm"]
    starts = [float(line.operands[0]) for line in lines if str(line.operator) == "m"]
    ends = [float(line.operands[0]) for line in lines if str(line.operator) == "l"]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    assert min(abs(length - width * mm / of_mm) for length in lengths) < 0.05


def test_spacing_at_the_detector_is_called_so() -> None:
    item = gray(1, np.zeros((200, 200), np.uint16), ImagerPixelSpacing=[1, 1])
    _, pdf = rendered(item, options=RenderOptions(cover_page=False, language="en"))
    assert "5 cm (at the detector)" in text_of(pdf.pages[0])


def test_only_the_series_asked_for() -> None:
    items = [gray(n, SeriesNumber=n, SeriesInstanceUID=f"{SERIES}.{n}") for n in (1, 2, 3)]
    options = RenderOptions(language="en", series=("2", f"{SERIES}.3"))
    answer, pdf = rendered(*items, options=options)
    assert (answer.shown, answer.left_out, answer.partial) == (2, 1, False)
    assert bookmarks_of(pdf)[1:] == ["Series 2 (CT)", "Series 3 (CT)"]
    assert "Left out, on request or as earlier renderings: 1 images" in text_of(pdf.pages[0])


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, [5]), (3, [1, 6, 10]), (0, list(range(1, 11))), (40, list(range(1, 11)))]
)
def test_frames_of_a_cine_are_evenly_spread(frames: int, expected: list[int]) -> None:
    values = np.zeros((10, 4, 4), np.uint16)
    answer, pdf = rendered(
        gray(1, values), options=RenderOptions(cover_page=False, language="en", frames=frames)
    )
    found = [int(text_of(page).split("Frame ")[1].split(" of")[0]) for page in pdf.pages]
    assert [abs(one - other) <= 1 for one, other in zip(found, expected, strict=True)] == [True] * len(
        expected
    )
    assert answer.left_out == 10 - len(expected)
    assert not answer.partial


def test_one_instance_of_so_many_by_number_whatever_the_order() -> None:
    items = [gray(n) for n in (9, 3, 1, 2, 8, 4, 5, 7, 6)]
    answer, pdf = rendered(*items, options=RenderOptions(cover_page=False, language="en", every=4))
    shown = [text_of(page).split("Instance ")[1].split("\n")[0].split(" ")[0] for page in pdf.pages]
    assert shown == ["1", "5", "9"]
    assert answer.left_out == 6


def test_pages_beyond_the_limit_are_left_out_with_their_images() -> None:
    items = [gray(n, np.full((64, 64), n, np.uint16)) for n in (3, 1, 2, 4)]
    options = RenderOptions(language="en", lossless=True, max_pages=2)
    answer, pdf = rendered(*items, options=options)
    assert (answer.pages, answer.shown, answer.left_out) == (3, 2, 2)
    assert "earlier renderings: 2" in text_of(pdf.pages[0])
    images = [
        one for one in pdf.objects if isinstance(one, pikepdf.Stream) and one.get("/Subtype") == "/Image"
    ]
    assert len(images) == 2


def test_a_report_beyond_the_limit_of_pages_is_not_counted_as_shown() -> None:
    text = Dataset()
    text.ValueType, text.RelationshipType, text.TextValue = "TEXT", "CONTAINS", "Normal."
    content = {"ValueType": "CONTAINER", "Modality": "SR", "ContentSequence": [text]}
    report = encoded(plain(BasicTextSRStorage, 2, **content))
    whole, _ = rendered(gray(1), report, options=RenderOptions(language="en"))
    assert (whole.documents, whole.left_out, len(whole.sources)) == (1, 0, 2)
    answer, pdf = rendered(gray(1), report, options=RenderOptions(language="en", max_pages=1))
    assert (answer.shown, answer.documents, answer.left_out) == (1, 0, 1)
    assert [uid for _, uid in answer.sources] == [f"{SERIES}.1"]
    assert "earlier renderings: 1" in text_of(pdf.pages[0])


def test_a_document_keeps_within_its_size() -> None:
    rng = np.random.default_rng(3)
    items = [gray(n, rng.integers(0, 4096, (512, 512)).astype(np.uint16)) for n in range(1, 9)]
    whole, _ = rendered(*items, options=RenderOptions(language="en"))
    wanted = whole.bytes // 4
    answer, pdf = rendered(*items, options=RenderOptions(language="en", max_bytes=wanted))
    assert wanted // 2 < answer.bytes <= wanted
    assert pixels_of(pdf.pages[1]).shape[0] < 512
    assert "made smaller" in text_of(pdf.pages[0])
    large, _ = rendered(*items, options=RenderOptions(language="en", max_bytes=whole.bytes * 2))
    assert abs(large.bytes - whole.bytes) < 200


def test_a_size_that_cannot_be_met_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="max_bytes"):
        rendered(gray(1), options=RenderOptions(max_bytes=2000))
    with pytest.raises(InvalidRequest, match="exclude"):
        RenderOptions(lossless=True, max_bytes=1)


def test_an_anonymous_ultrasound_shows_its_regions_alone() -> None:
    place = Dataset()
    place.RegionLocationMinX0, place.RegionLocationMinY0 = 10, 10
    place.RegionLocationMaxX1, place.RegionLocationMaxY1 = 29, 29
    pixels = np.full((40, 40), 4095, np.uint16)
    attributes = {"SOPClassUID": UltrasoundImageStorage, "WindowCenter": 2048, "WindowWidth": 4096}
    options = RenderOptions(cover_page=False, lossless=True, anonymize=True)
    item = gray(1, pixels, SequenceOfUltrasoundRegions=[place], **attributes)
    answer, pdf = rendered(item, gray(2, pixels, **attributes), options=options)
    seen = pixels_of(pdf.pages[0])
    assert (seen[10:30, 10:30] == 255).all()
    assert (seen > 0).sum() == 400
    assert [entry.reason for entry in answer.not_shown] == ["BURNED_IN"]


def test_hung_mammograms_are_one_page_more() -> None:
    items = [
        gray(
            n,
            np.zeros((40, 30), np.uint16),
            Modality="MG",
            SOPClassUID=DigitalMammographyXRayImageStorageForPresentation,
            ImageLaterality=side,
            ViewPosition=view,
        )
        for n, (side, view) in enumerate([("R", "CC"), ("L", "CC")], start=1)
    ]
    answer, pdf = rendered(*items, options=RenderOptions(cover_page=False, language="en"))
    assert (answer.pages, answer.shown) == (3, 2)
    assert images_drawn(pdf.pages[0]) == 2
    assert bookmarks_of(pdf)[0] == "Mammography"
