"""The clinic's logo and colour on the cover, and a code that leads to the job."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from PIL import Image

from ponte.errors import InvalidRequest
from render import clinic
from render.clinic import Clinic, readable_on
from render.study import RenderOptions
from tests.unit.render.studies import gray
from tests.unit.render.test_study import rendered


def logo(kind: str = "PNG", size: tuple[int, int] = (300, 100)) -> bytes:
    buffer = BytesIO()
    mode = "RGBA" if kind == "PNG" else "RGB"
    Image.new(mode, size, (200, 30, 30, 128)[: len(mode)]).save(buffer, kind)
    return buffer.getvalue()


def colours_of(page: pikepdf.Page) -> set[tuple[float, ...]]:
    lines = pikepdf.parse_content_stream(page)
    return {
        tuple(round(float(one), 2) for one in line.operands) for line in lines if str(line.operator) == "rg"
    }


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_logo_and_colour_are_on_the_cover(kind: str) -> None:
    options = RenderOptions(lossless=True, clinic=Clinic(logo(kind), "#cc3300"))
    _, pdf = rendered(gray(1), options=options)
    assert (0.8, 0.2, 0.0) in colours_of(pdf.pages[0])
    shapes = {(int(one.Width), int(one.Height)) for one in pdf.pages[0].Resources.XObject.values()}
    assert (300, 100) in shapes


def test_what_is_seen_through_is_on_white() -> None:
    picture = Clinic(logo()).picture()
    assert picture is not None
    assert (picture.columns, picture.rows, picture.color_space) == (300, 100, "DeviceRGB")


@pytest.mark.parametrize("data", [b"GIF89a", b"\x89PNG\r\n\x1a\n", logo()[:60], b"x" * 9])
def test_a_logo_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="logo"):
        Clinic(data).picture()


def test_a_logo_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="bytes"):
        Clinic(b"x" * (clinic.LOGO_BYTES + 1))
    monkeypatch.setattr(clinic, "LOGO_PIXELS", 200)
    with pytest.raises(InvalidRequest, match="pixels"):
        Clinic(logo()).picture()


@pytest.mark.parametrize("colour", ["red", "#12345", "#gggggg"])
def test_a_colour_that_is_none_is_refused(colour: str) -> None:
    with pytest.raises(InvalidRequest, match="#rrggbb"):
        Clinic(colour=colour)


def test_text_on_a_light_ground_is_black() -> None:
    assert readable_on((1.0, 1.0, 0.6)) == (0.0, 0.0, 0.0)
    assert readable_on((0.05, 0.36, 0.45)) == (1.0, 1.0, 1.0)


def test_the_logo_that_is_deployed_with_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clinic, "LOGO_FOLDER", tmp_path)
    assert Clinic.deployed("") == Clinic()
    (tmp_path / "logo.jpg").write_bytes(logo("JPEG"))
    assert Clinic.deployed("#0000ff") == Clinic(logo("JPEG"), "#0000ff")


def test_the_code_leads_to_the_job_and_is_not_on_an_anonymous_cover() -> None:
    url = "https://ponte.example/jobs/1"
    dark = []
    for anonymize in (False, True):
        options = RenderOptions(lossless=True, job_url=url, anonymize=anonymize)
        _, pdf = rendered(gray(1, np.zeros((8, 8), np.uint16)), options=options)
        lines = pikepdf.parse_content_stream(pdf.pages[0])
        dark.append(sum(str(line.operator) == "re" for line in lines))
    assert dark[0] > 200 > dark[1]
