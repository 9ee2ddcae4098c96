"""What a video stream says of itself: every codec in every container, and no error for what is broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ponte.videoheader import SequenceHeader
from ponte.videostream import read_stream
from tests import videos

HEADERS = {
    videos.H264_HIGH: SequenceHeader("H.264", "High", "4.1", 1920, 1080, 30.0),
    videos.H264_BASELINE: SequenceHeader("H.264", "Constrained Baseline", "1.3", 322, 242, 25.0),
    videos.H264_444: SequenceHeader("H.264", "High 4:4:4 Predictive", "1.3", 322, 242, 25.0),
    videos.H264_INTERLACED: SequenceHeader("H.264", "High", "2.1", 320, 256, 25.0),
    videos.HEVC_MAIN: SequenceHeader("HEVC", "Main", "5.1", 1920, 1080),
    videos.HEVC_MAIN_10: SequenceHeader("HEVC", "Main 10", "2", 322, 242),
    videos.MPEG2: SequenceHeader("MPEG-2", "Main", "Main", 322, 242, 25.0),
    videos.MPEG1: SequenceHeader("MPEG-1", "", "", 322, 242, 25.0),
}
CONTAINERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "bare": ("", videos.bare),
    "transport": ("MPEG-TS", videos.transport),
    "m2ts": ("MPEG-TS", lambda header: videos.transport(header, 192)),
    "program": ("MPEG-PS", videos.program),
    "mp4": ("MP4", videos.mp4),
    "mp4 with its description first": ("MP4", lambda header: videos.mp4(header, moov_last=False)),
}

PAIRS = [
    (name, header)
    for name, (container, _) in CONTAINERS.items()
    for header in HEADERS
    if container != "MP4" or header not in (videos.MPEG1, videos.MPEG2)  # these have no record in MP4
]


@pytest.mark.parametrize(("name", "header"), PAIRS)
def test_the_header_is_found_in_every_container(name: str, header: bytes) -> None:
    container, wrap = CONTAINERS[name]
    found = read_stream(wrap(header))
    assert found is not None
    assert (found.container, found.header) == (container, HEADERS[header])


def test_mpeg_2_in_mp4_is_found_among_its_pictures() -> None:
    stream = videos.mp4(videos.H264_HIGH).replace(b"avcC", b"none").replace(b"\x09\xf0\x55", videos.MPEG2)
    found = read_stream(stream)
    assert found is not None
    assert (found.container, found.header.codec) == ("MP4", "MPEG-2")


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("header", [videos.H264_HIGH, videos.HEVC_MAIN, videos.MPEG2])
def test_a_stream_that_is_cut_anywhere_has_its_header_or_none(name: str, header: bytes) -> None:
    whole = CONTAINERS[name][1](header)
    expected = read_stream(whole)
    for length in range(len(whole)):
        found = read_stream(whole[:length])
        if found is not None and expected is not None:
            assert found.header.codec[:4] == expected.header.codec[:4]


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("header", [videos.H264_HIGH, videos.HEVC_MAIN_10, videos.MPEG2])
def test_no_byte_that_is_wrong_raises_or_gives_an_impossible_size(name: str, header: bytes) -> None:
    whole = CONTAINERS[name][1](header)
    for offset in range(min(len(whole), 1200)):
        for value in (0x00, 0xFF, whole[offset] ^ 0x10):
            found = read_stream(whole[:offset] + bytes([value]) + whole[offset + 1 :])
            if found is not None:
                assert 0 < found.header.columns <= 16384
                assert 0 < found.header.rows <= 16384


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0\0\1",
        b"\x47" * 1000,
        b"\0\0\1\xba" + b"\x44" * 40,
        b"\0\0\0\0ftyp" * 500,
        b"\0" * 5000,
    ],
)
def test_what_is_no_video_has_no_header(data: bytes) -> None:
    assert read_stream(data) is None


def test_boxes_without_end_are_not_followed_without_end() -> None:
    assert read_stream(b"\0\0\0\x08free" * 500_000) is None
