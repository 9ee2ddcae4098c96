"""The benches run, and their candidates do the same work."""

from __future__ import annotations

from pathlib import Path

import pikepdf
import pytest
from pydicom import dcmread

from bench import memory, whole_job
from bench.shapes import make_study


@pytest.mark.parametrize("candidate", ["ours", "straightforward"])
def test_a_candidate_makes_a_page_for_each_image_and_says_its_cost(candidate: str, tmp_path: Path) -> None:
    make_study("ct", tmp_path / "study", instances=3)
    make_study("ct", tmp_path / "warm", instances=1)
    figures = whole_job.run_candidate(candidate, tmp_path / "study", tmp_path / "warm", tmp_path / "out.pdf")
    with pikepdf.open(tmp_path / "out.pdf") as pdf:
        assert len(pdf.pages) == 3
    assert figures["bytes"] == (tmp_path / "out.pdf").stat().st_size
    assert figures["cpu"] > 0
    assert 10e6 < figures["peak"] < memory.LIMIT_BYTES


@pytest.mark.parametrize("shape", ["ct", "mr"])
def test_a_generated_study_has_the_same_pixels_each_time(shape: str, tmp_path: Path) -> None:
    make_study(shape, tmp_path / "a", instances=1)
    make_study(shape, tmp_path / "b", instances=1)
    one, other = (dcmread(tmp_path / name / "00001.dcm") for name in "ab")
    assert one.PixelData == other.PixelData
    assert one.StudyInstanceUID != other.StudyInstanceUID


def test_ratios_in_the_table_are_to_ours() -> None:
    figures = {"cpu": 1.0, "wall": 2.0, "bytes": 1e6, "import_cpu": 0.5}
    table = whole_job.as_table({"ct": {"ours": figures, "straightforward": {**figures, "cpu": 3.0}}})
    assert "| straightforward | 3.00 | 3.0x | 2.00 | 1.0x | 1.0 | 0.50 |" in table
