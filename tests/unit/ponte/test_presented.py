"""An image as a presentation state shows it, by hand-computed pixels and by DCMTK."""

from __future__ import annotations

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Png

from ponte.display import Rescale, Window
from ponte.image import Image
from ponte.instance import open_instance
from ponte.presentation import DisplayedArea, PresentationState, Shutter, SoftcopyVoi, read_presentation_state
from ponte.presented import PresentedImage
from ponte.references import Reference
from tests.corpus import CORPUS
from tests.unit.ponte.samples import opened

UID = "1.2.3"
ROWS, COLUMNS = 4, 6
VALUES = np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS) * 10
WHOLE = Window(127.5, 255, "LINEAR_EXACT")


def state(**changes: Any) -> PresentationState:
    fields: dict[str, Any] = {
        "sop_instance_uid": "1.2.9",
        "label": "",
        "description": "",
        "images": (Reference(UID),),
        "modality": Rescale(),
        "vois": (SoftcopyVoi((), WHOLE),),
        "presentation_lut": None,
        "inverted": False,
        "areas": (),
        "rotation": 0,
        "flipped": False,
        "shutter": None,
        "annotations": (),
    }
    return PresentationState(**fields | changes)


def presented(**changes: Any) -> PresentedImage:
    dataset = opened(VALUES, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[2, 1])
    return PresentedImage(Image(dataset), state(**changes), UID)


def shown(**changes: Any) -> npt.NDArray[np.uint8]:
    found = presented(**changes)
    pixels = found.picture(0).pixels
    assert pixels.shape == (found.rows, found.columns)
    return pixels


def test_the_states_window_takes_the_place_of_the_images() -> None:
    assert np.array_equal(shown(), VALUES)
    narrow = Window(100, 100, "LINEAR_EXACT")
    expected = np.floor(np.clip((VALUES.astype(float) - 50) / 100, 0, 1) * 255 + 0.5)
    assert np.abs(shown(vois=(SoftcopyVoi((), narrow),)) - expected).max() <= 1  # 25.5 may round either way
    assert np.array_equal(shown(vois=()), VALUES)
    assert np.array_equal(shown(inverted=True), 255 - VALUES)


@pytest.mark.parametrize(
    ("rotation", "flipped", "expected", "edges"),
    [
        (0, False, VALUES, ("R", "A", "L", "P")),
        (0, True, VALUES[:, ::-1], ("L", "A", "R", "P")),
        (90, False, np.rot90(VALUES, -1), ("P", "R", "A", "L")),
        (180, False, VALUES[::-1, ::-1], ("L", "P", "R", "A")),
        (270, False, np.rot90(VALUES), ("A", "L", "P", "R")),
        (90, True, np.rot90(VALUES, -1)[:, ::-1], ("A", "R", "P", "L")),
    ],
)
def test_letters_and_spacing_turn_with_the_picture(
    rotation: int, flipped: bool, expected: npt.NDArray[np.uint8], edges: tuple[str, ...]
) -> None:
    found = presented(rotation=rotation, flipped=flipped)
    assert np.array_equal(found.picture(0).pixels, expected)
    geometry = found.geometry(0)
    assert geometry.edges == edges
    turned = rotation % 180 == 90
    assert geometry.spacing_mm == (2.0 if turned else 1.0)
    assert geometry.pixel_aspect == (0.5 if turned else 2.0)


def test_only_the_displayed_area_is_seen() -> None:
    area = DisplayedArea((), (2, 2), (5, 3), "SCALE TO FIT", None)
    assert np.array_equal(shown(areas=(area,)), VALUES[1:3, 1:5])
    outside = DisplayedArea((), (-10, -10), (3, 99), "SCALE TO FIT", None)
    assert np.array_equal(shown(areas=(outside,)), VALUES[:, :3])


def test_what_shutters_hide_is_gray() -> None:
    seen = shown(shutter=Shutter(rectangle=(2, 2, 4, 3), gray=1.0))
    assert np.array_equal(seen[1:3, 1:4], VALUES[1:3, 1:4])
    assert (np.delete(seen.reshape(-1), [7, 8, 9, 13, 14, 15]) == 255).all()
    circle = shown(shutter=Shutter(circle=(3, 2, 1)))
    assert np.array_equal(np.argwhere(circle > 0), [[0, 2], [1, 1], [1, 2], [1, 3], [2, 2]])
    corners = ((0.5, 0.5), (3.5, 0.5), (3.5, 2.5), (0.5, 2.5))
    polygon = shown(shutter=Shutter(polygon=corners))
    assert np.array_equal(polygon[:2, :3], VALUES[:2, :3])
    assert not polygon[2:].any()
    assert not polygon[:, 3:].any()


@pytest.mark.corpus
@pytest.mark.dcmtk
def test_a_real_state_is_shown_as_dcmtk_shows_it(tmp_path: Path) -> None:
    assert CORPUS is not None
    folder = CORPUS / "gsps"
    image_path, state_path = (
        folder / f"weasis-dicom-tools__{name}.dcm" for name in ("imageForPrLUTs", "prLUTs")
    )
    dataset = open_instance(image_path.read_bytes())
    found = read_presentation_state(open_instance(state_path.read_bytes()))
    ours = PresentedImage(Image(dataset), found, str(dataset.SOPInstanceUID)).picture(0).pixels
    output = tmp_path / "seen.pgm"
    command = ["dcmp2pgm", "--pstate", str(state_path), str(image_path), str(output)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    theirs = np.asarray(Png.open(BytesIO(output.read_bytes())))
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 1
