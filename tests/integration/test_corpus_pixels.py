"""Every file of the corpus, against what other decoders made of it."""

from __future__ import annotations

import subprocess
from collections import Counter
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as PillowImage

from ponte.display import Window
from ponte.errors import PonteError
from ponte.image import Image, Picture
from ponte.instance import open_instance
from tests.corpus import CORPUS, rows

pytestmark = pytest.mark.corpus

SHOWN_FRAMES = 3
GRAY = [row for row in rows() if row["samples"] == "1" and row["family"] != "crafted-malformed"]

# Our pixels of these equal those of the same dose in little endian (test_image.py); DCMTK's do not. That it
# reads 32-bit OW as pairs of 16-bit words is the likely reason, not a checked one.
DCMTK_DIFFERS = {
    "rtdose/dicom-test-files__rtdose_expb.dcm": "reads 32-bit big endian as pairs of 16-bit words",
    "rtdose/dicom-test-files__rtdose_expb_1frame.dcm": "reads 32-bit big endian as pairs of 16-bit words",
}
NARROW = 2.0
"""Windows below this are not compared: dcmj2pnm seems to round modality values to whole numbers first."""

# Read by pydicom and refused here. GH364 breaks off at a stray delimiter (DCMTK refuses it too); the others
# have no preamble and no SOP Instance UID, which is asked of a bare dataset
REFUSED = {
    "odd/fo-dicom__GH364.dcm": "BAD_LENGTH",
    "odd/pydicom-data__JLSL_RGB_ILV0.dcm": "NOT_DICOM",
    "odd/pydicom-data__JLSL_RGB_ILV1.dcm": "NOT_DICOM",
    "odd/pydicom-data__JLSL_RGB_ILV2.dcm": "NOT_DICOM",
    "odd/pydicom-data__JLSN_RGB_ILV0.dcm": "NOT_DICOM",
}


WITHOUT = [{"file": "all of them"}]
"""Without a corpus the tests are still there, to be named as not run."""


def data_of(row: dict[str, str]) -> bytes:
    assert CORPUS is not None
    return (CORPUS / row["file"]).read_bytes()


def name_of(row: dict[str, str]) -> str:
    return row["file"]


@pytest.mark.parametrize("row", rows() or WITHOUT, ids=name_of)
def test_every_file_gives_pictures_or_an_error_with_a_code(row: dict[str, str]) -> None:
    code = ""
    try:
        image = Image(open_instance(data_of(row)))
        for index in range(min(image.frame_count, SHOWN_FRAMES)):
            picture = image.picture(index)
            assert picture.pixels.dtype == np.uint8
            assert picture.pixels.shape[:2] == (image.rows, image.columns)
    except PonteError as error:
        code = error.code
        assert code.isupper()
    if row["family"] == "crafted-malformed":
        return
    if row["pydicom3_pylibjpeg"].startswith("ok"):
        assert code == REFUSED.get(row["file"], "")
    if row["pydicom3_pylibjpeg"] == "no-pixels":
        assert code


@pytest.mark.dcmtk
@pytest.mark.parametrize("row", GRAY or WITHOUT, ids=name_of)
def test_gray_is_within_one_level_of_dcmtk(row: dict[str, str]) -> None:
    try:
        picture = Image(open_instance(data_of(row))).picture(0)
    except PonteError:
        return
    if picture.pixels.ndim == 3 or row["file"] in DCMTK_DIFFERS:
        return
    if picture.window is not None and picture.window.width < NARROW:
        return
    theirs = dcmtk_pixels(row, picture)
    if theirs is not None:
        assert np.abs(theirs.astype(int) - picture.pixels).max() <= 1


def test_the_comparison_with_dcmtk_covers_what_it_should() -> None:
    syntaxes = Counter(row["transfer_syntax"] for row in GRAY)
    assert {"1.2.840.10008.1.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70"} <= set(syntaxes)


def dcmtk_pixels(row: dict[str, str], picture: Picture) -> npt.NDArray[np.uint8] | None:
    """The first frame through the same window by DCMTK; None where DCMTK cannot read it."""
    assert CORPUS is not None
    voi = ["+Wl", "1"] if picture.window is None else ["+Ww", *map(repr, _linear(picture.window))]
    command = ["dcmj2pnm", "+op", "--no-overlays", *voi, str(CORPUS / row["file"])]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if done.returncode or not done.stdout:
        return None
    return np.asarray(PillowImage.open(BytesIO(done.stdout)))


def _linear(window: Window) -> tuple[float, float]:
    """The LINEAR window that is the same line as a LINEAR_EXACT one: PS3.3 C.11.2.1.2.1 and C.11.2.1.3.2."""
    if window.function == "LINEAR":
        return window.center, window.width
    return window.center + 0.5, window.width + 1
