"""What codestreams say of themselves."""

from __future__ import annotations

import pytest

from ponte.codestream import Codestream, read_codestream

SOF0 = b"\xff\xc0\x00\x11\x08\x00\x30\x00\x40\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"


def adobe(transform: int) -> bytes:
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


def test_a_start_of_frame_gives_size_samples_and_precision() -> None:
    assert read_codestream(b"\xff\xd8" + SOF0) == Codestream(48, 64, 3, 8)


@pytest.mark.parametrize("transform", [0, 1])
def test_the_adobe_marker_gives_the_transform(transform: int) -> None:
    header = read_codestream(b"\xff\xd8" + adobe(transform) + SOF0)
    assert header == Codestream(48, 64, 3, 8, transform)


def test_an_adobe_marker_that_is_cut_says_nothing() -> None:
    header = read_codestream(b"\xff\xd8\xff\xee\x00\x0cAdobe\0\0\0\0\0" + SOF0)
    assert header == Codestream(48, 64, 3, 8)


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    assert read_codestream(b"\xff\xd8\xff\xff" + SOF0) == Codestream(48, 64, 3, 8)


def test_jpeg_ls_has_a_start_of_frame_of_its_own() -> None:
    data = b"\xff\xd8\xff\xf7\x00\x0b\x0c\x00\x10\x00\x20\x01\x01\x11\x00"
    assert read_codestream(data) == Codestream(16, 32, 1, 12)


def test_jpeg_2000_gives_the_size_less_its_offset() -> None:
    size = b"\xff\x4f\xff\x51\x00\x29\x00\x00" + b"".join(
        value.to_bytes(4, "big") for value in (70, 50, 6, 2, 70, 50, 0, 0)
    )
    assert read_codestream(size + b"\x00\x01\x8b\x01\x01") == Codestream(48, 64, 1, 12)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda\x00\x02", b"\xff\x4f\xff\x51\x00", b"GIF89a"]
)
def test_what_is_broken_or_something_else_gives_nothing(data: bytes) -> None:
    assert read_codestream(data) is None
