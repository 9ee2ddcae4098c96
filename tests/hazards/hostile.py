"""Instances that lie about their pixels, made here: small files that would cost a decoder dearly."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import imagecodecs
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from ponte.syntaxes import DEFLATED_FRAMES, JPEG_XL_LOSSLESS
from tests.factories import encode, make_ct

ITEM = b"\xfe\xff\x00\xe0"
END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def small(size: int = 4, bits: int = 8, number: int = 2, **attributes: object) -> FileDataset:
    """A CT of these bits whose pixels are still to be put in."""
    dataset = make_ct(number, size=16, Rows=size, Columns=size, BitsAllocated=bits, BitsStored=bits)
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def compressed(dataset: FileDataset, syntax: UID, *frames: bytes) -> bytes:
    """The instance with these frames, a fragment each."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    return encode(dataset)


def raw_items(dataset: FileDataset, syntax: UID, value: bytes) -> bytes:
    """The instance with this for the value of its pixel data, whatever it is: the last element there is."""
    data = compressed(dataset, syntax, b"ab")
    start = data.rindex(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12
    return data[:start] + value


def jpeg(size: int) -> bytes:
    """The header of a JPEG of size by size, and nothing behind it."""
    return b"\xff\xd8\xff\xc0\x00\x0b\x08" + struct.pack(">HH", size, size) + b"\x01\x01\x11\x00\xff\xd9"


def j2k(size: int, tile: int = 0, bits: int = 8) -> bytes:
    """A JPEG 2000 codestream whose SIZ was overwritten."""
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k", level=0))
    struct.pack_into(">LL", data, 8, size, size)
    struct.pack_into(">LL", data, 24, tile or size, tile or size)
    data[42] = bits - 1
    return bytes(data)


def jxl(size: int) -> bytes:
    """A JPEG XL header of size by size: explicit height, ratio 1, all else by default."""
    bits = 0 | 3 << 1 | (size - 1) << 3 | 1 << 33 | 1 << 36
    return b"\xff\x0a" + bits.to_bytes(6, "little") + b"\0" * 32


def rle(*segments: bytes, count: int | None = None, offsets: tuple[int, ...] | None = None) -> bytes:
    """An RLE frame; `count` and `offsets` take the place of the true ones."""
    places, at = [], 64
    for segment in segments:
        places.append(at)
        at += len(segment)
    places = list(offsets) if offsets is not None else places
    header = [len(segments) if count is None else count, *places, *[0] * (15 - len(places))]
    return struct.pack("<16L", *header) + b"".join(segments)


def zeros_deflated(megabytes: int, before: bytes = b"") -> bytes:
    """Some bytes and so many megabytes of zeros as a raw deflate stream."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = deflater.compress(before) + deflater.flush(zlib.Z_FULL_FLUSH)
    block = deflater.compress(b"\0" * (1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return start + block * megabytes + deflater.flush()


def deflated_bomb(megabytes: int) -> bytes:
    """A whole instance whose pixel data inflate to that."""
    whole = encode(make_ct(2))
    dataset = whole[whole.index(b"\x08\x00\x05\x00CS") : whole.rindex(b"\xe0\x7f\x10\x00OW")]
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<L", megabytes << 20)
    value = DeflatedExplicitVRLittleEndian.encode()
    syntax = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(value)) + value
    return b"\0" * 128 + b"DICM" + syntax + zeros_deflated(megabytes, dataset + pixels)


BOMB = b"\x81\x00" * (2 << 20)  # 4 MiB that stand for 256
MISMATCH, LENGTH, BUDGET, REFUSED = "PIXEL_HEADER_MISMATCH", "PIXEL_LENGTH", "PIXEL_BUDGET", "CANNOT_DECODE"
HUGE = {"Rows": 60000, "Columns": 60000}

CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "dc-22 deflated bomb": (lambda: deflated_bomb(600), "INFLATE_LIMIT"),
    "dc-25 huge and native": (lambda: encode(make_ct(2, Rows=65535, Columns=65535)), LENGTH),
    "dc-25 huge and compressed": (lambda: compressed(small(65535), JPEGBaseline8Bit, jpeg(65535)), BUDGET),
    "dc-25 wide samples": (
        lambda: compressed(small(12000, 64), RLELossless, rle(*[b"\x81\0"] * 8)),
        BUDGET,
    ),
    "dc-26 frames, native": (lambda: encode(make_ct(2, NumberOfFrames=2_000_000_000)), LENGTH),
    "dc-26 frames, compressed": (
        lambda: compressed(small(NumberOfFrames=2_000_000_000), JPEGBaseline8Bit, jpeg(4), jpeg(4)),
        LENGTH,
    ),
    "dc-33 jpeg within 4x4": (lambda: compressed(small(), JPEGBaseline8Bit, jpeg(65500)), MISMATCH),
    "dc-34 jpeg declared": (lambda: compressed(small(65500), JPEGBaseline8Bit, jpeg(65500)), BUDGET),
    "dc-35 j2k declared": (lambda: compressed(small(60000), JPEG2000Lossless, j2k(60000)), BUDGET),
    "dc-36 j2k within 4x4": (lambda: compressed(small(), JPEG2000Lossless, j2k(60000)), MISMATCH),
    "dc-36 htj2k within 4x4": (lambda: compressed(small(), HTJ2KLossless, j2k(60000)), MISMATCH),
    "dc-36 jpeg xl within 4x4": (lambda: compressed(small(), JPEG_XL_LOSSLESS, jxl(60000)), MISMATCH),
    "dc-36 jpeg-ls within 4x4": (
        lambda: compressed(small(), JPEGLSLossless, jpeg(65500).replace(b"\xff\xc0", b"\xff\xf7")),
        MISMATCH,
    ),
    "dc-36 deeper than allocated": (
        lambda: compressed(small(64), JPEG2000Lossless, j2k(64, bits=16)),
        MISMATCH,
    ),
    "dc-37 rle bomb": (lambda: compressed(small(64), RLELossless, rle(BOMB)), MISMATCH),
    "dc-37 rle bomb of two": (lambda: compressed(small(64, 16), RLELossless, rle(BOMB, BOMB)), MISMATCH),
    "dc-37 rle segment too long": (
        lambda: compressed(small(64, 16), RLELossless, rle(b"\x81\0" * 200, b"\x81\0" * 200)),
        REFUSED,
    ),
    "dc-37 rle of almost nothing": (lambda: compressed(small(16000), RLELossless, rle(b"\x81\0")), LENGTH),
    "dc-37 deflated frame bomb": (
        lambda: compressed(small(64), DEFLATED_FRAMES, zeros_deflated(300)),
        "",
    ),
    "dc-37 deflated frame of almost nothing": (
        lambda: compressed(small(16000), DEFLATED_FRAMES, b"\x03\0"),
        LENGTH,
    ),
    "dc-38 rle without segments": (lambda: compressed(small(), RLELossless, rle(count=0)), MISMATCH),
    "dc-38 rle of 2^32 segments": (
        lambda: compressed(small(), RLELossless, rle(b"\x0f" * 17, count=2**32 - 1)),
        MISMATCH,
    ),
    "dc-38 rle too many segments": (
        lambda: compressed(small(), RLELossless, rle(b"\x0f" * 17, b"ab")),
        MISMATCH,
    ),
    "dc-38 rle offset behind the end": (
        lambda: compressed(small(4, 16), RLELossless, rle(b"ab", b"cd", offsets=(64, 2**31))),
        MISMATCH,
    ),
    "dc-38 rle offsets in disorder": (
        lambda: compressed(small(4, 16), RLELossless, rle(b"ab" * 9, b"cd" * 9, offsets=(82, 64))),
        MISMATCH,
    ),
    "dc-38 rle offset in the header": (
        lambda: compressed(small(), RLELossless, rle(b"ab", offsets=(0,))),
        MISMATCH,
    ),
    "dc-39 no fragments": (lambda: raw_items(small(), JPEGBaseline8Bit, ITEM + b"\0\0\0\0" + END), LENGTH),
    "dc-39 nothing at all": (lambda: raw_items(small(), JPEGBaseline8Bit, END), "NO_PIXEL_DATA"),
    "dc-40 200,000 fragments": (
        lambda: raw_items(small(), JPEGBaseline8Bit, (ITEM + b"\0\0\0\0") * 200_000 + END),
        "TOO_MANY",
    ),
    "dc-41 missing delimiter": (
        lambda: raw_items(small(), JPEGBaseline8Bit, ITEM + b"\0\0\0\0" + ITEM + b"\4\0\0\0abcd"),
        "TRUNCATED",
    ),
    "a million tiles": (lambda: compressed(small(4000), JPEG2000Lossless, j2k(4000, tile=4)), REFUSED),
    "256 megapixels of nothing": (
        lambda: compressed(small(16000), JPEG2000Lossless, j2k(16000)),
        REFUSED,
    ),
    "no codestream": (lambda: compressed(small(), JPEGBaseline8Bit, b"\0" * 64), REFUSED),
    "jpeg cut within": (
        lambda: compressed(
            small(64), JPEGBaseline8Bit, bytes(imagecodecs.jpeg8_encode(np.eye(64, dtype=np.uint8)))[:-40]
        ),
        LENGTH,
    ),
}
"""What is made, and the reason it is refused for; "" where it has a picture, at no more than that costs."""
