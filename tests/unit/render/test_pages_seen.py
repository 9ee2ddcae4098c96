"""The PDF as others see it: qpdf checks it, poppler shows it, dcmj2pnm decodes the same instances."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Png
from pydicom import dcmread
from pydicom.data import get_testdata_file

from ponte.folder import FolderSource
from render.study import RenderOptions, RenderReport, render_study
from tests.unit.render.studies import STUDY, Instances, color, damaged, gray, report

pytestmark = pytest.mark.pdftools

LOSSLESS = RenderOptions(cover_page=False, lossless=True)


def written(path: Path, *items: bytes, options: RenderOptions) -> RenderReport:
    with path.open("wb") as stream:
        return render_study(Instances(items), STUDY, stream, options)


def rendered_folder(folder: Path, pdf: Path, options: RenderOptions) -> None:
    source = FolderSource(folder)
    (study,) = source.studies()
    with pdf.open("wb") as stream:
        render_study(source, study, stream, options)


def tool(*command: str | Path) -> str:
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def images_of(pdf: Path, folder: Path) -> list[npt.NDArray[np.uint8]]:
    """The images of all pages, as poppler takes them out."""
    tool("pdfimages", "-png", pdf, folder / "page")
    return [np.asarray(Png.open(path)) for path in sorted(folder.glob("page-*.png"))]


def drawn(pdf: Path, folder: Path) -> npt.NDArray[np.uint8]:
    """The one page as poppler draws it, gray."""
    tool("pdftoppm", "-r", "144", "-png", pdf, folder / "seen")
    (path,) = folder.glob("seen-*.png")
    return np.asarray(Png.open(path).convert("L"))


@pytest.mark.parametrize("anonymize", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_qpdf_finds_nothing_to_remark(tmp_path: Path, anonymize: bool, lossless: bool) -> None:
    path = tmp_path / "study.pdf"
    options = RenderOptions(anonymize=anonymize, lossless=lossless)
    written(path, gray(1), color(2), damaged(3), report(4), b"not DICOM", options=options)
    assert "No syntax or stream encoding errors found" in tool("qpdf", "--check", path)


def test_poppler_reads_cover_bands_and_notice(tmp_path: Path) -> None:
    path = tmp_path / "study.pdf"
    named = {"PatientName": "CONCEIÇÃO^JOÃO", "InstitutionName": "Hospital São José"}
    written(path, gray(1, None, **named), damaged(2), options=RenderOptions())
    text = tool("pdftotext", "-layout", path, "-")
    cover, first, notice = text.split("\f")[:3]
    assert "CONCEIÇÃO JOÃO" in cover
    assert "Hospital São José" in cover
    assert "Janela C 128 L 256" in first
    assert "Esta imagem não pôde ser exibida" in notice


@pytest.mark.dcmtk
@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("CT_small.dcm", (40, 400)),
        ("MR_small.dcm", (600, 1600)),
        ("MR_small_RLE.dcm", (600, 1600)),
        ("MR_small_bigendian.dcm", (600, 1600)),
    ],
)
def test_lossless_pages_are_within_one_gray_level_of_dcmtk(
    tmp_path: Path, name: str, window: tuple[int, int]
) -> None:
    pdf, expected = tmp_path / "study.pdf", tmp_path / "expected.png"
    rendered_folder(_windowed(tmp_path, name, window), pdf, LOSSLESS)
    tool("dcmj2pnm", "+on", "+Ww", *map(str, window), tmp_path / "in" / name, expected)
    (pixels,) = images_of(pdf, tmp_path)
    difference = np.abs(pixels.astype(int) - np.asarray(Png.open(expected)).astype(int))
    assert difference.max() <= 1


def _windowed(tmp_path: Path, name: str, window: tuple[int, int]) -> Path:
    """A folder with the instance alone, its own window replaced."""
    dataset = dcmread(str(get_testdata_file(name)))
    dataset.WindowCenter, dataset.WindowWidth = window
    (tmp_path / "in").mkdir()
    dataset.save_as(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.mark.dcmtk
def test_jpeg_pages_come_close_to_dcmtk(tmp_path: Path) -> None:
    pdf, expected = tmp_path / "study.pdf", tmp_path / "expected.png"
    folder = _windowed(tmp_path, "CT_small.dcm", (40, 400))
    rendered_folder(folder, pdf, RenderOptions(cover_page=False))
    tool("dcmj2pnm", "+on", "+Ww", "40", "400", tmp_path / "in" / "CT_small.dcm", expected)
    (pixels,) = images_of(pdf, tmp_path)
    difference = np.abs(pixels.astype(int) - np.asarray(Png.open(expected)).astype(int))
    assert difference.mean() <= 2.5
    assert difference.max() <= 24


def test_the_drawn_page_shows_the_image_upright_with_its_pixels_unsmoothed(tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.uint16)
    values[2:10, 2:20] = values[40, 41] = 255
    pdf = tmp_path / "study.pdf"
    written(pdf, gray(1, values), options=LOSSLESS)
    page = drawn(pdf, tmp_path)
    # The border of the image is black and as wide as the page allows; text is neither
    row = page.shape[0] // 2
    (columns,) = np.nonzero(page[row] < 10)
    left, size = columns.min(), columns.max() + 1 - columns.min()
    (rows,) = np.nonzero(page[:, left + 2] < 10)
    top = rows[rows > 200].min()
    centers = ((np.arange(64) + 0.5) * size / 64).astype(int)
    image = page[top + centers][:, left + centers]
    assert np.array_equal(image, values)
    block = page[top : top + size, left : left + size]
    assert np.mean((block > 10) & (block < 245)) < 0.01


@pytest.mark.dcmtk
def test_lossless_colours_are_those_of_dcmtk(tmp_path: Path) -> None:
    folder, pdf, expected = tmp_path / "in", tmp_path / "study.pdf", tmp_path / "expected.png"
    folder.mkdir()
    shutil.copy(str(get_testdata_file("examples_rgb_color.dcm")), folder)
    rendered_folder(folder, pdf, LOSSLESS)
    tool("dcmj2pnm", "+on", folder / "examples_rgb_color.dcm", expected)
    (pixels,) = images_of(pdf, tmp_path)
    assert np.array_equal(pixels, np.asarray(Png.open(expected)))


def test_drawn_lossless_pixels_are_those_of_the_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 200, (96, 96)).astype(np.uint16)
    values[0, :] = values[:, 0] = values[-1, :] = values[:, -1] = 0
    pdf = tmp_path / "study.pdf"
    written(pdf, gray(1, values), options=LOSSLESS)
    (pixels,) = images_of(pdf, tmp_path)
    assert np.abs(pixels.astype(int) - values.astype(int)).max() <= 1
