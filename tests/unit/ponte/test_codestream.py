"""What codestreams say of themselves."""

from __future__ import annotations

import struct
from time import perf_counter
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from ponte.codestream import Codestream, is_cut, read_codestream, read_rle_offsets
from ponte.instance import open_instance
from tests.unit.ponte.samples import bundled

HANG_S = 2.0
FILES = [
    "JPEG2000.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "JPGExtended.dcm",
    "JPEGLSNearLossless_16.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_RLE.dcm",
]

SOF0 = b"\xff\xc0\x00\x11\x08\x00\x30\x00\x40\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"


def described(data: bytes) -> tuple[int, int, int, int, int | None] | None:
    header = read_codestream(data)
    if header is None:
        return None
    return header.rows, header.columns, header.samples, header.precision, header.adobe_transform


def read(data: bytes) -> Codestream:
    header = read_codestream(data)
    assert header is not None
    return header


def frame_of(name: str) -> bytes:
    """The first frame of a bundled file, by pydicom's own reader."""
    return next(generate_frames(open_instance(bundled(name)).PixelData, number_of_frames=1))


def adobe(transform: int) -> bytes:
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def test_a_start_of_frame_gives_size_samples_and_precision() -> None:
    assert described(b"\xff\xd8" + SOF0) == (48, 64, 3, 8, None)


@pytest.mark.parametrize("transform", [0, 1])
def test_the_adobe_marker_gives_the_transform(transform: int) -> None:
    header = described(b"\xff\xd8" + adobe(transform) + SOF0)
    assert header == (48, 64, 3, 8, transform)


def test_an_adobe_marker_that_is_cut_says_nothing() -> None:
    header = described(b"\xff\xd8\xff\xee\x00\x0cAdobe\0\0\0\0\0" + SOF0)
    assert header == (48, 64, 3, 8, None)


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    assert described(b"\xff\xd8\xff\xff" + SOF0) == (48, 64, 3, 8, None)


def test_jpeg_ls_has_a_start_of_frame_of_its_own() -> None:
    data = b"\xff\xd8\xff\xf7\x00\x0b\x0c\x00\x10\x00\x20\x01\x01\x11\x00"
    assert described(data) == (16, 32, 1, 12, None)


def test_jpeg_2000_gives_the_size_less_its_offset() -> None:
    size = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + b"".join(
        value.to_bytes(4, "big") for value in (70, 50, 6, 2, 70, 50, 0, 0)
    )
    assert described(size + b"\x00\x01\x8b\x01\x01") == (48, 64, 1, 12, None)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda\x00\x02", b"\xff\x4f\xff\x51\x00", b"GIF89a"]
)
def test_what_is_broken_or_something_else_gives_nothing(data: bytes) -> None:
    assert read_codestream(data) is None


SOF = {0xC0: "JPEG baseline", 0xC1: "JPEG extended", 0xC2: "JPEG progressive", 0xC3: "JPEG lossless"}


@pytest.mark.parametrize("marker", SOF)
def test_each_kind_of_jpeg_is_told_apart(marker: int) -> None:
    data = b"\xff\xd8\xff" + bytes([marker]) + b"\x00\x0b\x10\x00\x10\x00\x20\x01\x01\x11\x00"
    assert (read(data).kind, read(data).precision) == (SOF[marker], 16)


@pytest.mark.parametrize(
    ("before", "names", "transform"),
    [
        (b"", b"\x01\x02\x03", ""),
        (b"", b"RGB", "RGB"),
        (adobe(0), b"\x01\x02\x03", "RGB"),
        (adobe(1), b"RGB", "YCBCR"),
        (b"\xff\xe0\x00\x07JFIF\0", b"\x01\x02\x03", "YCBCR"),
    ],
)
def test_a_jpeg_says_what_its_colours_are(before: bytes, names: bytes, transform: str) -> None:
    components = b"".join(bytes([name]) + b"\x11\x00" for name in names)
    data = b"\xff\xd8" + before + b"\xff\xc0\x00\x11\x08\x00\x30\x00\x40\x03" + components
    assert read(data).transform == transform


def test_a_jpeg_with_two_starts_of_frame_has_no_header() -> None:
    assert read_codestream(b"\xff\xd8" + SOF0 + SOF0) is None


def test_a_progressive_jpeg_of_a_hundred_scans_is_unusual() -> None:
    progressive = b"\xff\xd8" + SOF0.replace(b"\xff\xc0", b"\xff\xc2")
    assert not read(progressive + b"\xff\xda\x00" * 10).unusual
    assert read(progressive + b"\xff\xda\x00" * 100).unusual


@pytest.mark.parametrize("width", [2, 3, 4])
def test_jpeg_ls_gives_a_large_size_in_a_marker_of_its_own(width: int) -> None:
    frame = b"\xff\xd8\xff\xf7\x00\x0b\x08\x00\x00\x00\x00\x01\x01\x11\x00"
    size = (300).to_bytes(width, "big") + (200).to_bytes(width, "big")
    lse = b"\xff\xf8" + struct.pack(">HBB", 4 + len(size), 4, width) + size
    assert (read(frame + lse).rows, read(frame + lse).columns) == (300, 200)
    assert read_codestream(frame) is None


@pytest.mark.parametrize("form", ["j2k", "jp2"])
@pytest.mark.parametrize(("shape", "samples"), [((33, 17), 1), ((40, 30, 3), 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_jpeg_2000_is_read_bare_and_in_boxes(
    form: str, shape: tuple[int, ...], samples: int, kind: type[Any]
) -> None:
    header = read(bytes(imagecodecs.jpeg2k_encode(np.zeros(shape, kind), codecformat=form, level=0)))
    assert (header.rows, header.columns, header.samples) == (*shape[:2], samples)
    assert (header.precision, header.signed, header.kind) == (np.dtype(kind).itemsize * 8, False, "JPEG 2000")
    assert (header.transform, header.unusual) == ("RCT" if samples == 3 else "", False)


def test_a_size_hidden_in_a_box_is_not_the_size_of_the_codestream() -> None:
    small = bytes(imagecodecs.jpeg2k_encode(np.zeros((8, 8), np.uint8), codecformat="j2k"))
    large = bytes(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="jp2"))
    decoy = struct.pack(">L4s", 8 + len(small), b"uuid") + small
    assert (read(large[:12] + decoy + large[12:]).rows) == 64


@pytest.mark.parametrize(
    ("position", "value"),
    [(26, b"\x00\x00\x00\x01"), (40, b"\x00\x02\x07\x02\x02\x07\x01\x01")],
    ids=["tiles of one column", "subsampled"],
)
def test_what_costs_more_than_its_size_says_is_unusual(position: int, value: bytes) -> None:
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((2000, 2000), np.uint8), codecformat="j2k"))
    assert not read(bytes(data)).unusual
    if position == 26:
        data[24:32] = b"\x00\x00\x00\x01" * 2
    else:
        data[40:45] = value
    assert read(bytes(data)).unusual


def test_a_tile_that_overrules_the_main_header_is_unusual() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k"))
    style, part = data.index(b"\xff\x52"), data.index(b"\xff\x90")
    again = data[style : style + 2 + int.from_bytes(data[style + 2 : style + 4], "big")]
    assert read(data[: part + 12] + again + data[part + 12 :]).unusual


@pytest.mark.parametrize("style", [b"\x00\x00\xff\xff\x00\x05\x04\x04", b"\x00\x00\x00\x01\x00\x05\x00\x00"])
def test_thousands_of_layers_or_tiny_blocks_are_unusual(style: bytes) -> None:
    data = bytearray(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k"))
    start = data.index(b"\xff\x52") + 4
    data[start : start + len(style)] = style
    assert read(bytes(data)).unusual


def test_precincts_of_a_pixel_are_unusual() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(np.zeros((64, 64), np.uint8), codecformat="j2k"))
    start = data.index(b"\xff\x52")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    levels = data[start + 9]
    style = bytes([1]) + data[start + 5 : start + 2 + length] + b"\x11" * (levels + 1)
    changed = data[:start] + b"\xff\x52" + struct.pack(">H", length + levels + 1) + style
    assert read(changed + data[start + 2 + length :]).unusual


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(8, 8), (17, 33), (512, 512), (300, 200, 3), (480, 640, 3), (1, 3000)])
def test_jpeg_xl_is_read_bare_and_in_its_container(
    shape: tuple[int, ...], kind: type[Any], container: bool
) -> None:
    for lossless in (True, False):
        data = imagecodecs.jpegxl_encode(np.zeros(shape, kind), lossless=lossless, usecontainer=container)
        header = read(bytes(data))
        assert (header.rows, header.columns, header.samples) == (*shape[:2], 3 if len(shape) == 3 else 1)
        assert (header.precision, header.kind) == (np.dtype(kind).itemsize * 8, "JPEG XL")
        assert header.transform == ("RGB" if len(shape) == 3 else "") if lossless else "XYB"


def test_jpeg_xl_with_a_channel_that_an_image_has_not_is_not_read() -> None:
    assert read_codestream(bytes(imagecodecs.jpegxl_encode(np.zeros((16, 16, 4), np.uint8)))) is None


def test_a_segment_table_is_believed_only_when_it_can_be() -> None:
    def table(count: int, *offsets: int) -> bytes:
        return struct.pack("<16L", count, *offsets, *[0] * (15 - len(offsets))) + b"\0" * 100

    assert read_rle_offsets(table(2, 64, 100)) == (64, 100)
    broken = [(0,), (1, 63), (2, 64, 64), (2, 100, 64), (1, 0), (2, 64, 164), (16, 64), (0xFFFFFFFF, 64)]
    assert [read_rle_offsets(table(*numbers)) for numbers in broken] == [None] * len(broken)
    assert read_rle_offsets(table(1, 64)[:63]) is None


@pytest.mark.parametrize("name", FILES[:-1])
def test_headers_of_real_files_agree_with_the_dataset(name: str) -> None:
    dataset, header = open_instance(bundled(name)), read(frame_of(name))
    assert (header.rows, header.columns, header.samples) == (
        dataset.Rows,
        dataset.Columns,
        dataset.SamplesPerPixel,
    )
    assert dataset.BitsStored <= header.precision <= dataset.BitsAllocated
    assert not header.unusual


def in_time(data: bytes) -> None:
    """Neither reader raises, whatever it is given, nor takes long."""
    began = perf_counter()
    read_codestream(data)
    read_rle_offsets(data)
    assert perf_counter() - began < HANG_S


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xc2", b"\xff\x4f\xff\x51", b"\xff\x0a"]),
    st.binary(max_size=400),
)
def test_random_bytes_never_raise(start: bytes, data: bytes) -> None:
    in_time(start + data)


@pytest.mark.parametrize("name", FILES)
def test_no_cut_and_no_flipped_bit_of_a_header_raises(name: str) -> None:
    frame = frame_of(name)
    header = frame[:700]
    for end in range(len(header)):
        in_time(header[:end])
    for position in range(min(len(header), 250) * 8):
        flipped = bytearray(frame[:2000])
        flipped[position // 8] ^= 1 << (position % 8)
        in_time(bytes(flipped))


@pytest.mark.parametrize("form", ["jp2", "jxl"])
def test_no_cut_and_no_flipped_bit_of_a_container_raises(form: str) -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    if form == "jp2":
        data = imagecodecs.jpeg2k_encode(image, codecformat=form)
    else:
        data = imagecodecs.jpegxl_encode(image, usecontainer=True)
    for end in range(len(data)):
        in_time(bytes(data[:end]))
    for position in range(min(len(data), 250) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << (position % 8)
        in_time(bytes(flipped))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * (8 << 20),
        b"\xff\xd8" + b"\xff" * (8 << 20),
        b"\xff\xd8" + b"\xff\x01" * (4 << 20),
        b"\xff\x4f\xff\x51" + b"\xff" * (8 << 20),
        b"\xff\x4f\xff\x51\x00\x29" + b"\0\0\0\1" * (2 << 20),
        b"\xff\x0a\0" + b"\xff" * (8 << 20),
        b"\x00\x00\x00\x0cJXL \r\n\x87\n" + b"\x00\x00\x00\x08free" * (1 << 20),
        b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x08free" * (1 << 20),
    ],
)
def test_large_nonsense_is_given_up_early(data: bytes) -> None:
    began = perf_counter()
    read_codestream(data)
    assert perf_counter() - began < HANG_S


@pytest.mark.parametrize("tail", [b"", b"\xff\xd9", b"\0"])
def test_htj2k_that_lacks_bytes_anywhere_is_cut(tail: bytes) -> None:
    """Its decoder makes a picture of half of them, and says nothing."""
    noise = np.random.default_rng(0).integers(0, 4000, (200, 300), np.uint16)
    whole = bytes(imagecodecs.htj2k_encode(noise))
    assert not is_cut(whole)
    assert not is_cut(whole + b"\0")
    for length in range(0, len(whole) - 2, 97):
        assert is_cut(whole[:length] + tail) or read_codestream(whole[:length] + tail) is None


def test_the_last_tile_part_may_reach_to_the_end() -> None:
    whole = bytearray(imagecodecs.htj2k_encode(np.arange(4096, dtype=np.uint8).reshape(64, 64)))
    place = whole.index(b"\xff\x90\0\x0a") + 6
    whole[place : place + 4] = bytes(4)
    assert not is_cut(bytes(whole))
    assert is_cut(bytes(whole[:-2]))


def test_jpeg_2000_is_left_to_its_decoder_which_refuses_what_is_cut() -> None:
    whole = bytes(imagecodecs.jpeg2k_encode(np.arange(4096, dtype=np.uint8).reshape(64, 64), level=0))
    assert not is_cut(whole[:-40])
