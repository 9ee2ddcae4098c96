"""The smaller picture that a code stream of wavelets holds: the same picture, or not asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import htj2k_encode, jpeg2k_encode
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, UID, HTJ2KLossless, JPEG2000Lossless

from ponte.display import Window
from ponte.errors import CannotDecode
from ponte.image import Image
from ponte.instance import open_instance
from tests.unit.ponte.samples import bundled, opened

SIDE = 256
BLOCK = 32
LEVELS = 5
FULL = Window(2047.5, 4096, "LINEAR")


def shapes(signed: bool = False) -> npt.NDArray[Any]:
    """Blocks of the lowest and the highest value: a wavelet overshoots at their edges."""
    blocks = np.random.default_rng(5).integers(0, 2, (SIDE // BLOCK, SIDE // BLOCK))
    values = np.kron(blocks, np.ones((BLOCK, BLOCK), int)) * 4095
    return (values - 2048).astype(np.int16) if signed else values.astype(np.uint16)


def image(values: npt.NDArray[Any], frame: bytes, syntax: UID = JPEG2000Lossless, **attributes: Any) -> Image:
    dataset: Dataset = opened(values, photometric="RGB" if values.ndim == 3 else "MONOCHROME2")
    dataset.BitsStored, dataset.HighBit = (8, 7) if values.dtype == np.uint8 else (12, 11)
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    dataset.PixelData = encapsulate([frame])
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.WindowCenter, dataset.WindowWidth = FULL.center, FULL.width
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return Image(dataset)


def j2k(values: npt.NDArray[Any], bits: int = 12, **options: Any) -> bytes:
    return bytes(
        jpeg2k_encode(values, codecformat="j2k", bitspersample=bits, **{"reversible": True} | options)
    )


def averaged(values: npt.NDArray[Any], halvings: int) -> npt.NDArray[np.float64]:
    side = 1 << halvings
    return values.reshape(SIDE // side, side, SIDE // side, side).mean(axis=(1, 3))


@pytest.mark.parametrize("halvings", [1, 2, 3])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("kind", ["j2k", "j2k-lossy", "htj2k"])
def test_the_smaller_picture_stays_within_its_range(kind: str, signed: bool, halvings: int) -> None:
    values = shapes(signed)
    if kind == "htj2k":
        found = image(values, bytes(htj2k_encode(values, bitspersample=12, reversible=True)), HTJ2KLossless)
    elif kind == "j2k":
        found = image(values, j2k(values))
    else:
        found = image(values, j2k(values, reversible=False, level=60), JPEG2000)
    assert found.most_halvings(0) >= halvings
    small = found.picture(0, Window(-0.5, 4096) if signed else FULL, halvings=halvings).pixels
    assert small.shape == (SIDE >> halvings, SIDE >> halvings)
    expected = (averaged(values, halvings) + (2048 if signed else 0)) / 4095 * 255
    # A wavelet overshoots at edges; black never turns white
    assert np.abs(small - expected).max() < 192
    assert np.median(np.abs(small - expected)) <= 2


def test_odd_sides_are_rounded_up() -> None:
    values = shapes()[:101, :67]
    found = image(values, j2k(values))
    assert found.picture(0, halvings=2).pixels.shape == (26, 17)


def test_colour_is_halved_too() -> None:
    values = np.kron(np.random.default_rng(1).integers(0, 2, (16, 16, 3)), np.ones((8, 8, 1), int)) * 255
    colour = values.astype(np.uint8)
    found = image(colour, j2k(colour, 8), PhotometricInterpretation="YBR_RCT")
    small = found.picture(0, halvings=2).pixels
    assert np.median(np.abs(small.astype(int) - colour[::4, ::4])) <= 2


@pytest.mark.parametrize(
    "attributes",
    [
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"SegmentationType": "LABELMAP"},
        {"WindowCenter": None, "WindowWidth": None},
        {"PixelPaddingValue": 4095},
    ],
    ids=lambda attributes: next(iter(attributes)),
)
def test_what_must_not_be_averaged_is_not(attributes: dict[str, Any]) -> None:
    values = shapes()
    assert image(values, j2k(values), **attributes).most_halvings(0) == 0


def test_padding_that_is_black_anyhow_may_be_averaged() -> None:
    values = shapes()
    assert image(values, j2k(values), PixelPaddingValue=0).most_halvings(0) == LEVELS


def test_samples_wider_than_bits_stored_are_not_averaged() -> None:
    values = shapes()
    assert image(values, j2k(values, 16)).most_halvings(0) == 0


@pytest.mark.parametrize(
    "name", ["MR_small.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_jpeg_dcmtk.dcm"]
)
def test_other_syntaxes_hold_no_smaller_picture(name: str) -> None:
    assert Image(open_instance(bundled(name))).most_halvings(0) == 0


def test_more_halvings_than_there_are_is_an_error() -> None:
    values = shapes()
    with pytest.raises(CannotDecode):
        image(values, j2k(values)).picture(0, halvings=9)
