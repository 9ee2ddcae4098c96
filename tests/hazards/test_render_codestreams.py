"""DC-22, DC-25, DC-26, DC-33 to DC-41: each refused by name, in little time and memory, and in silence."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pikepdf
import pytest

from ponte import guard
from ponte.errors import PonteError
from ponte.folder import FolderSource
from ponte.image import Image
from ponte.instance import open_instance
from render.options import RenderOptions
from render.study import render_study
from tests.factories import STUDY_UID, encode, make_ct
from tests.hazards.hostile import CASES

HANG_S = 50.0  # ten times what the table allows
MEMORY_KB = 256 << 10
HOME = Path(__file__).parents[2]
IN_A_CHILD = [name for name in CASES if name[:5] in {"dc-22", "dc-25", "dc-26", "dc-36", "dc-37"}]


@pytest.fixture(scope="module", autouse=True)
def _no_process_is_left() -> object:
    yield
    guard.stop()


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_frame_is_refused_by_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    make, expected = CASES[name]
    data, said = make(), ""
    caplog.set_level(logging.DEBUG)
    began = perf_counter()
    try:
        Image(open_instance(data)).picture(0)
        code = ""
    except PonteError as error:
        code, said = error.code, str(error)
    assert perf_counter() - began < HANG_S
    assert code == expected
    assert "CANAR" not in (said + caplog.text).upper()


@pytest.mark.parametrize("name", IN_A_CHILD)
def test_a_hostile_frame_takes_no_memory(name: str, tmp_path: Path) -> None:
    make, expected = CASES[name]
    path = tmp_path / "instance"
    path.write_bytes(make())
    probe = [sys.executable, "-m", "tests.hazards.probe", str(path)]
    done = subprocess.run(probe, cwd=HOME, capture_output=True, text=True, check=True, timeout=HANG_S)
    said = json.loads(done.stdout)
    assert said["code"] == expected
    assert said["grown_kb"] < MEMORY_KB
    assert "CANAR" not in (done.stdout + done.stderr).upper()


def test_each_hostile_frame_has_a_page_that_says_so_among_the_good_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = []
    (tmp_path / "0.dcm").write_bytes(encode(make_ct(1)))
    for number, (make, expected) in enumerate(CASES.values(), start=1):
        (tmp_path / f"{number}.dcm").write_bytes(make())
        reasons.append(expected)
    (tmp_path / "last.dcm").write_bytes(encode(make_ct(3)))
    caplog.set_level(logging.INFO)
    out = io.BytesIO()
    report = render_study(
        FolderSource(tmp_path), STUDY_UID, out, RenderOptions(cover_page=False, language="en")
    )
    good = 2 + reasons.count("")
    assert report.partial
    assert (report.instances, report.shown) == (len(CASES) + 2, good)
    assert sorted(entry.reason for entry in report.not_shown) == sorted(filter(None, reasons))
    pdf = pikepdf.open(out)
    assert len(pdf.pages) == report.pages == len(CASES) + 2
    texts = [_text(page) for page in pdf.pages]
    for reason in filter(None, reasons):
        assert any(f"({reason})" in text for text in texts)
    assert "CANAR" not in "".join(entry.detail for entry in report.not_shown).upper()
    assert "CANAR" not in caplog.text.upper()


def test_a_bad_frame_has_its_page_between_its_neighbours(tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate, generate_frames

    from tests.hazards.hostile import jpeg, small
    from tests.unit.ponte.samples import bundled

    good = next(generate_frames(open_instance(bundled("SC_rgb_jpeg_gdcm.dcm")).PixelData, number_of_frames=1))
    whole = open_instance(bundled("SC_rgb_jpeg_gdcm.dcm"))
    dataset = small(number=1, NumberOfFrames=4)
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"):
        setattr(dataset, keyword, whole[keyword].value)
    dataset.file_meta.TransferSyntaxUID = whole.file_meta.TransferSyntaxUID
    dataset.PixelData = encapsulate([good, jpeg(65500), good[: len(good) // 2], good])
    dataset["PixelData"].VR = "OB"
    (tmp_path / "multi.dcm").write_bytes(encode(dataset))
    out = io.BytesIO()
    report = render_study(
        FolderSource(tmp_path), STUDY_UID, out, RenderOptions(cover_page=False, language="en")
    )
    texts = [_text(page) for page in pikepdf.open(out).pages]
    assert [("PIXEL_" in text, f"Frame {n + 1} of 4" in text) for n, text in enumerate(texts)] == [
        (False, True),
        (True, True),
        (True, True),
        (False, True),
    ]
    assert report.partial
    assert [(entry.frame_number, entry.reason) for entry in report.not_shown] == [
        (2, "PIXEL_HEADER_MISMATCH"),
        (3, "PIXEL_LENGTH"),
    ]


def _text(page: pikepdf.Page) -> str:
    lines = pikepdf.parse_content_stream(page)
    return "\n".join(bytes(line.operands[0]).decode("cp1252") for line in lines if str(line.operator) == "Tj")
