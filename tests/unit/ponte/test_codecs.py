"""What the catalogue's files cannot show of a decoder: damaged and odd code streams."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from imagecodecs import htj2k_encode, jpeg2k_encode
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, HTJ2KLossless, RLELossless

from ponte.description import PixelDescription
from ponte.errors import CannotDecode
from ponte.pixels import PixelReader, Values
from tests.unit.ponte.samples import opened

HIGH, LOW = bytes(range(100)), bytes(range(100, 200))


def decoded(frame: bytes, values: Values, syntax: UID) -> Values:
    """One frame, put in the place of an image's own pixels."""
    dataset: Dataset = opened(values, photometric="RGB" if values.ndim == 3 else "MONOCHROME2")
    dataset.BitsAllocated = values.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    dataset.PixelData = encapsulate([frame])
    dataset.file_meta.TransferSyntaxUID = syntax
    return PixelReader(dataset, PixelDescription.from_dataset(dataset, "PixelData")).frame(0)[0]


def literal(data: bytes) -> bytes:
    """A segment of PackBits without a run."""
    return bytes([len(data) - 1]) + data


def rle(segments: Sequence[bytes], *, count: int | None = None, shift: int = 0) -> bytes:
    offsets = [64 + shift + sum(map(len, segments[:number])) for number in range(len(segments))]
    header = [len(segments) if count is None else count, *offsets, *[0] * 15][:16]
    return struct.pack("<16L", *header) + b"".join(segments)


WORDS = (np.frombuffer(HIGH, np.uint8).astype(np.uint16) << 8 | np.frombuffer(LOW, np.uint8)).reshape(10, 10)


@pytest.mark.parametrize("padding", [b"", b"\0", b"\x80" * 4, b"\0" * 6])
def test_a_segment_of_rle_may_be_padded(padding: bytes) -> None:
    frame = rle([literal(HIGH) + padding, literal(LOW) + padding])
    assert np.array_equal(decoded(frame, WORDS, RLELossless), WORDS)


@pytest.mark.parametrize(
    "frame",
    [
        rle([literal(HIGH[:50]), literal(LOW) + literal(LOW[:50])]),  # as many bytes, of the wrong samples
        rle([literal(HIGH), literal(LOW[:99])]),
        rle([literal(HIGH), literal(LOW)])[:-20],
        rle([literal(HIGH)]),
        rle([literal(HIGH)] * 3),
        rle([literal(HIGH), literal(LOW)], count=2**31),
        rle([literal(HIGH), literal(LOW)], shift=2**31),
        rle([literal(HIGH), literal(LOW)])[:40],
        rle([literal(HIGH) + b"\x81\0" * 100_000, literal(LOW)]),
    ],
    ids=["short+long", "short", "cut", "one", "three", "count", "offsets", "header", "bomb"],
)
def test_a_wrong_rle_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(CannotDecode):
        decoded(frame, WORDS, RLELossless)


def test_a_lossy_stream_under_the_lossless_htj2k_syntax_goes_to_openjpeg() -> None:
    rng = np.random.default_rng(3)
    smooth = np.add.outer(np.arange(48), np.arange(64))[..., None] * 2 + rng.integers(0, 9, (48, 64, 3))
    colour = smooth.astype(np.uint8)
    frame = bytes(htj2k_encode(colour, reversible=False))
    assert np.abs(decoded(frame, colour, HTJ2KLossless).astype(int) - colour).max() <= 16


def test_a_plain_jpeg_2000_stream_under_an_htj2k_syntax_is_read() -> None:
    frame = bytes(jpeg2k_encode(WORDS, codecformat="J2K", reversible=True))
    assert np.array_equal(decoded(frame, WORDS, HTJ2KLossless), WORDS)
