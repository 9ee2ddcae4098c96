"""`ponte preview`: the PNG has the pixels, and the JSON says how they came about."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ponte.instance import open_instance
from tests.unit.cli.test_render import run
from tests.unit.render.studies import color, damaged, gray, report


def test_a_gray_frame_is_written_with_its_own_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 20
    (tmp_path / "a.dcm").write_bytes(gray(1, values))
    assert run(monkeypatch, "preview", tmp_path / "a.dcm", "-o", tmp_path / "a.png", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {
        "png": str(tmp_path / "a.png"),
        "rows": 3,
        "columns": 4,
        "frame": 1,
        "window": [128, 256],
        "photometric": "MONOCHROME2",
        "notes": [],
    }
    with Image.open(tmp_path / "a.png") as png:
        assert png.mode == "L"
        assert np.abs(np.asarray(png).astype(int) - values).max() <= 1


def test_the_window_asked_for_is_linear_in_modality_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PS3.3 C.11.2.1.2.1 by hand: center 40, width 400 maps -160 to 0 and 239 to 255."""
    stored = np.array([[864, 1263, 1063, 0]], np.uint16)
    (tmp_path / "a.dcm").write_bytes(gray(1, stored, RescaleIntercept=-1024))
    code = run(monkeypatch, "preview", tmp_path / "a.dcm", "-o", tmp_path / "a.png", "--window", "40,400")
    assert code == 0
    with Image.open(tmp_path / "a.png") as png:
        pixels = np.asarray(png).astype(int)[0]
    assert pixels[0] == 0
    assert pixels[1] == 255
    assert abs(pixels[2] - 255 * 199 / 399) <= 1
    assert pixels[3] == 0


def test_colours_are_written_as_rgb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (8, 12, 3), np.uint8)
    (tmp_path / "a.dcm").write_bytes(color(1, pixels))
    assert run(monkeypatch, "preview", tmp_path / "a.dcm", "-o", tmp_path / "a.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["window"] is None
    with Image.open(tmp_path / "a.png") as png:
        assert np.array_equal(np.asarray(png), pixels)


def test_a_frame_is_chosen_by_its_number_from_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.stack([np.full((4, 4), value, np.uint16) for value in (0, 100, 255)])
    (tmp_path / "a.dcm").write_bytes(gray(1, frames))
    code = run(monkeypatch, "preview", tmp_path / "a.dcm", "-o", tmp_path / "a.png", "--frame", "3")
    assert code == 0
    with Image.open(tmp_path / "a.png") as png:
        assert np.asarray(png).min() == 255


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--frame", "2"], "--frame is 2; the image has 1"),
        (["--frame", "0"], "--frame"),
        (["--window", "40"], "expected two numbers"),
        (["--window", "40,0"], "width of at least 1"),
        (["--window", "nan,400"], "finite center"),
        (["--window", "40,inf"], "finite center"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_code_2(
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a.dcm").write_bytes(gray(1))
    assert run(monkeypatch, "preview", tmp_path / "a.dcm", "-o", tmp_path / "a.png", *options) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("item", "code"), [(damaged(1), "PIXEL_LENGTH"), (report(1), "NOT_AN_IMAGE"), (b"words", "NOT_DICOM")]
)
def test_what_is_no_sound_image_is_exit_code_3_with_its_reason(
    item: bytes,
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "a.dcm").write_bytes(item)
    assert run(monkeypatch, "preview", tmp_path / "a.dcm", "-o", tmp_path / "a.png") == 3
    assert capsys.readouterr().err.startswith(f"ponte: {code}: ")
    assert not (tmp_path / "a.png").exists()


def test_overlays_are_drawn_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plane = {0x0010: ("US", 8), 0x0011: ("US", 8), 0x0050: ("SS", [1, 1]), 0x3000: ("OW", b"\xff" * 8)}
    dataset = open_instance(gray(1, np.zeros((8, 8), np.uint8)))
    for element, (vr, value) in plane.items():
        dataset.add_new(0x6000 << 16 | element, vr, value)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for options, brightest in (([], 0), (["--overlays"], 255)):
        run(monkeypatch, "preview", tmp_path / "a.dcm", "-o", tmp_path / "a.png", *options)
        with Image.open(tmp_path / "a.png") as png:
            assert np.asarray(png).max() == brightest
