"""Where frames lie in encapsulated pixel data."""

from __future__ import annotations

import struct

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended

from ponte.errors import CannotDecode
from ponte.frames import FrameIndex

FRAMES = [b"\xff\xd8" + bytes([n]) * (10 + n * 2) + b"\xff\xd9" for n in (1, 2, 3)]


def items(*values: bytes) -> bytes:
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<L", len(value)) + value for value in values)


def all_frames(value: bytes, count: int, extended: tuple[int, ...] = ()) -> list[bytes]:
    index = FrameIndex(value, count, extended)
    return [index.frame(i) for i in range(count)]


@pytest.mark.parametrize("has_bot", [True, False])
@pytest.mark.parametrize("fragments", [1, 2])
def test_frames_are_found_with_and_without_an_offset_table(has_bot: bool, fragments: int) -> None:
    value = encapsulate(FRAMES, fragments_per_frame=fragments, has_bot=has_bot)
    assert all_frames(value, 3) == FRAMES


def test_the_extended_offset_table_is_used() -> None:
    rle = [b"ab", b"cdef", b"gh"]
    value, offsets, _ = encapsulate_extended(rle)
    assert all_frames(value, 3, struct.unpack("<3Q", offsets)) == rle


def test_all_fragments_of_a_single_frame_are_joined() -> None:
    assert all_frames(items(b"", b"ab", b"cd", b"ef"), 1) == [b"abcdef"]


def test_an_offset_table_that_lies_is_not_believed() -> None:
    lying = struct.pack("<3L", 0, 5, 9999)
    split = [part for frame in FRAMES for part in (frame[:4], frame[4:])]
    assert all_frames(items(lying, *split), 3) == FRAMES


def test_what_exceeds_the_number_of_frames_is_left_alone() -> None:
    index = FrameIndex(items(b"", *FRAMES), 2)
    assert [index.frame(0), index.frame(1)] == FRAMES[:2]


def test_a_missing_frame_is_named() -> None:
    index = FrameIndex(items(b"", *FRAMES), 5)
    assert index.frame(2) == FRAMES[2]
    with pytest.raises(CannotDecode, match="before frame 4") as caught:
        index.frame(3)
    assert caught.value.code == "PIXEL_LENGTH"


@pytest.mark.parametrize("value", [b"", items(b""), b"\0" * 16])
def test_no_fragments_at_all_are_missing_bytes(value: bytes) -> None:
    with pytest.raises(CannotDecode):
        FrameIndex(value, 1).frame(0)
