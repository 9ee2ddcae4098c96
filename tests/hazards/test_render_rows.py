"""DC-27 to DC-32, DC-42 to DC-45 in a study: a page or a line that says why, at no cost."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pikepdf
import pytest

from ponte.folder import FolderSource
from render.options import RenderOptions
from render.study import render_study
from tests.factories import STUDY_UID, encode, make_ct
from tests.hazards.attributes import CASES, NO_IMAGE

HANG_S = 50.0  # ten times what the table allows
MEMORY_KB = 256 << 10
HOME = Path(__file__).parents[2]
TWO_FRAMES = "dc-45 three frames of two, compressed"


@pytest.mark.parametrize("name", CASES)
def test_it_has_its_page_or_line_between_two_good_images(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make, reason = CASES[name]
    data = make()
    for number, one in enumerate((encode(make_ct(1)), data, encode(make_ct(3)))):
        (tmp_path / f"{number}.dcm").write_bytes(one)
    before = digests(tmp_path)
    caplog.set_level(logging.DEBUG)
    out, began = io.BytesIO(), perf_counter()
    options = RenderOptions(cover_page=False, language="en")
    report = render_study(FolderSource(tmp_path), STUDY_UID, out, options)
    assert perf_counter() - began < HANG_S
    frames = 2 if name == TWO_FRAMES else 1
    shown = 2 if reason else 2 + frames
    assert (report.instances, report.shown, report.partial) == (3, shown, bool(reason))
    assert [entry.reason for entry in report.not_shown] == [reason] * bool(reason)
    texts = [_text(page) for page in pikepdf.open(out).pages]
    assert len(texts) == report.pages == shown + (reason not in ("", NO_IMAGE))
    assert [f"({reason})" in text for text in texts] == _marked(reason, len(texts))
    said = "".join(entry.detail for entry in report.not_shown) + caplog.text
    assert "CANAR" not in said.upper()
    assert digests(tmp_path) == before


def _marked(reason: str, pages: int) -> list[bool]:
    """Which of the pages says why: the second of three."""
    return [False, True, False] if reason not in ("", NO_IMAGE) else [False] * pages


def digests(folder: Path) -> dict[str, str]:
    """Every file that is there, and what is in it."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_all_of_them_together_take_no_memory(tmp_path: Path) -> None:
    names = [name for name, (_, reason) in CASES.items() if reason]
    for number, name in enumerate(names):
        (tmp_path / f"{number}.dcm").write_bytes(CASES[name][0]())
    probe = [sys.executable, "-m", "tests.hazards.study_probe", str(tmp_path)]
    done = subprocess.run(probe, cwd=HOME, capture_output=True, text=True, check=True, timeout=HANG_S)
    said = json.loads(done.stdout)
    assert said["code"] in {CASES[name][1] for name in names}  # nothing of it can be shown
    assert said["grown_kb"] < MEMORY_KB
    assert "CANAR" not in (done.stdout + done.stderr).upper()


def _text(page: pikepdf.Page) -> str:
    lines = pikepdf.parse_content_stream(page)
    return "\n".join(bytes(line.operands[0]).decode("cp1252") for line in lines if str(line.operator) == "Tj")
