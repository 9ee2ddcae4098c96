"""Each fast decoder against another one, bit for bit, on real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from ponte.description import KEYWORDS, PixelDescription
from ponte.errors import PonteError
from ponte.frames import FrameIndex
from ponte.instance import open_instance
from ponte.pixels import PixelReader, Values
from tests.corpus import CORPUS, rows
from tests.unit.ponte.samples import BUNDLED

FRAMES = 3
REPLACED = {
    uid.RLELossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
}
"""Syntaxes for which pylibjpeg is the reference; it reads them by other code than ours."""

BY_US_ALONE = {"liver_rle.dcm", "liver_nonbyte_aligned_rle.dcm"}
"""One bit a pixel: the reference refuses it. Compared with the same image in JPEG 2000 below."""


def reader(data: bytes) -> PixelReader | None:
    """None for what is refused before it is decoded, and for other syntaxes."""
    try:
        dataset = open_instance(data)
        keyword = next(name for name in KEYWORDS if name in dataset)
        description = PixelDescription.from_dataset(dataset, keyword)
        if description.transfer_syntax_uid not in REPLACED:
            return None
        return PixelReader(dataset, description)
    except (PonteError, StopIteration):
        return None


def reference(data: bytes, index: int) -> Values:
    """The frame by pylibjpeg, in pydicom's own arrangement."""
    dataset = open_instance(data)
    d = PixelDescription.from_dataset(dataset, "PixelData")
    frame = FrameIndex(dataset.PixelData, d.frames).frame(index)
    options: dict[str, Any] = {
        "rows": d.rows,
        "columns": d.columns,
        "number_of_frames": 1,
        "samples_per_pixel": d.samples,
        "photometric_interpretation": d.photometric,
        "planar_configuration": d.planar,
        "bits_allocated": d.bits_allocated,
        "bits_stored": d.bits_stored,
        "pixel_representation": int(d.signed),
        "pixel_keyword": "PixelData",
    }
    values, _ = get_decoder(d.transfer_syntax_uid).as_array(
        encapsulate([frame], has_bot=False), index=0, raw=True, decoding_plugin="pylibjpeg", **options
    )
    return values


def check(data: bytes) -> int:
    """Compare the first frames; how many there were."""
    ours = reader(data)
    if ours is None:
        return 0
    d = ours.description
    stored = (1 << d.bits_stored) - 1
    compared = 0
    for index in range(min(d.frames, FRAMES)):
        try:
            values, _ = ours.frame(index)
        except PonteError as error:
            if error.code not in {"PIXEL_HEADER_MISMATCH", "PIXEL_LENGTH"}:
                raise
            continue
        expected = reference(data, index)
        assert values.shape == expected.shape
        assert np.array_equal(values.astype(np.int64) & stored, expected.astype(np.int64) & stored)
        compared += 1
    return compared


def bundled_paths() -> list[Path]:
    found = [path for path in sorted(BUNDLED.rglob("*.dcm")) if path.name not in BY_US_ALONE]
    return [path for path in found if reader(path.read_bytes()) is not None]


@pytest.mark.parametrize("path", bundled_paths(), ids=lambda path: path.name)
def test_bundled_files_are_bit_exact(path: Path) -> None:
    assert check(path.read_bytes()) or path.name == "JPEG2000-embedded-sequence-delimiter.dcm"


CHOSEN = [row["file"] for row in rows() if row["transfer_syntax"] in REPLACED]


@pytest.mark.corpus
@pytest.mark.parametrize("name", CHOSEN or ["all of them"])
def test_files_of_the_corpus_are_bit_exact(name: str) -> None:
    assert CORPUS is not None
    if not any(name.endswith(alone) for alone in BY_US_ALONE):
        check((CORPUS / name).read_bytes())


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["liver", "liver_nonbyte_aligned"])
def test_one_bit_in_rle_is_the_same_image_as_in_jpeg_2000(name: str) -> None:
    assert CORPUS is not None
    found = [row["file"] for row in rows()]
    frames = []
    for suffix in ("rle", "j2k"):
        file = next(one for one in found if one.endswith(f"__{name}_{suffix}.dcm"))
        ours = reader((CORPUS / file).read_bytes())
        assert ours is not None
        frames.append([ours.frame(index)[0] for index in range(ours.description.frames)])
    assert len(frames[0]) == len(frames[1])
    assert all(np.array_equal(one, other) for one, other in zip(*frames, strict=True))
