"""No more pixels than print can show, where the code stream holds fewer; and never without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imagecodecs import jpeg2k_encode
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from render.layout import Layout
from render.options import Grid
from render.study import RenderOptions
from tests.unit.ponte.samples import opened
from tests.unit.render.studies import STUDY, encoded
from tests.unit.render.test_pages_seen import images_of, tool, written

ROWS, COLUMNS = 4096, 3328


def mammogram() -> bytes:
    pixels = np.tile((np.arange(COLUMNS) % 4096).astype(np.uint16), (ROWS, 1))
    dataset = opened(pixels, WindowCenter=2048, WindowWidth=4096)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, STUDY + ".1"
    dataset.BitsStored, dataset.HighBit = 12, 11
    frame = bytes(jpeg2k_encode(pixels, codecformat="j2k", bitspersample=12, reversible=True))
    dataset.PixelData = encapsulate([frame])
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return encoded(dataset)


@pytest.mark.parametrize(
    ("columns", "rows", "aspect", "halvings"),
    [
        (512, 512, 1.0, 0),
        (2048, 2500, 1.0, 0),
        (3328, 4096, 1.0, 1),
        (4096, 3328, 1.0, 1),
        (8192, 8192, 1.0, 2),
        (60_000, 60_000, 1.0, 5),
        (3328, 2048, 2.0, 1),
    ],
)
def test_what_is_left_prints_at_200_an_inch(columns: int, rows: int, aspect: float, halvings: int) -> None:
    assert Layout(Grid(), "A4").useful_halvings(columns, rows * aspect) == halvings


def rendered(folder: Path, *, lossless: bool = False) -> tuple[tuple[int, ...], str]:
    """The shape of the page's image, and the page's text."""
    path = folder / "study.pdf"
    options = RenderOptions(cover_page=False, language="en", lossless=lossless)
    written(path, mammogram(), options=options)
    (image,) = images_of(path, folder)
    return image.shape[:2], tool("pdftotext", path, "-")


@pytest.mark.pdftools
def test_a_mammogram_is_decoded_at_half_its_size_and_says_so(tmp_path: Path) -> None:
    shape, text = rendered(tmp_path)
    assert shape == (ROWS // 2, COLUMNS // 2)
    assert "resolution 1/2" in text


@pytest.mark.pdftools
def test_lossless_pages_keep_every_pixel(tmp_path: Path) -> None:
    shape, text = rendered(tmp_path, lossless=True)
    assert shape == (ROWS, COLUMNS)
    assert "resolution" not in text
