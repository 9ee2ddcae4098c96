"""Poster frames by a real ffmpeg, from streams that it makes itself; its own decoding is the reference."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import uid
from pydicom.uid import UID

from ponte import poster
from ponte.errors import PonteError
from ponte.instance import open_instance
from ponte.video import Video, open_image
from render.study import RenderOptions, render_study
from tests import videos
from tests.factories import STUDY_UID
from tests.unit.render.studies import Instances

pytestmark = pytest.mark.ffmpeg

COLUMNS, ROWS, FRAMES = 320, 240, 75
PATTERN = ("-f", "lavfi", "-i", f"testsrc=size={COLUMNS}x{ROWS}:rate=25:duration=3")
MPEG2 = ("-c:v", "mpeg2video", "-b:v", "2M")
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-profile:v", "high", "-level", "4.1")
HEVC = ("-c:v", "libx265", "-pix_fmt", "yuv420p", "-x265-params", "log-level=none")
HEVC_10 = ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none")
SOUND = ("-f", "lavfi", "-i", "sine=duration=3", "-c:a", "aac")
MADE: dict[str, tuple[UID, tuple[str, ...]]] = {
    "mpeg2.m2v": (uid.MPEG2MPML, (*MPEG2, "-f", "mpeg2video")),
    "mpeg2.mpg": (uid.MPEG2MPMLF, (*MPEG2, "-f", "vob")),
    "mpeg2.ts": (uid.MPEG2MPHL, (*MPEG2, "-f", "mpegts")),
    "mpeg2.mp4": (uid.MPEG2MPHLF, MPEG2),
    "h264.mp4": (uid.MPEG4HP41, H264),
    "h264-sound.mp4": (uid.MPEG4HP41F, (*SOUND, *H264, "-shortest")),
    "h264-faststart.mp4": (uid.MPEG4HP41BD, (*H264, "-movflags", "+faststart")),
    "h264.ts": (uid.MPEG4HP422D, (*H264, "-f", "mpegts")),
    "h264.264": (uid.MPEG4HP423DF, (*H264, "-f", "h264")),
    "hevc.mp4": (uid.HEVCMP51, HEVC),
    "hevc10.ts": (uid.HEVCM10P51, (*HEVC_10, "-f", "mpegts")),
    "hevc.hevc": (uid.HEVCMP51, (*HEVC, "-f", "hevc")),
}


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    for name, (_, options) in MADE.items():
        ffmpeg(*PATTERN, *options, folder / name)
    return folder


def ffmpeg(*arguments: str | Path) -> bytes:
    command = ["ffmpeg", "-nostdin", "-y", "-loglevel", "error", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


def instance(stream: bytes, syntax: UID, fragments: int = 1) -> bytes:
    return videos.make_video(
        stream, syntax, size=(COLUMNS, ROWS), fragments=fragments, NumberOfFrames=FRAMES, FrameTime=40
    )


def video(stream: bytes, syntax: UID, fragments: int = 1) -> Video:
    found = open_image(open_instance(instance(stream, syntax, fragments)))
    assert isinstance(found, Video)
    return found


def code_of(found: Video, frame_index: int) -> str:
    with pytest.raises(PonteError) as caught:
        found.picture(frame_index)
    return caught.value.code


def reference(path: Path) -> npt.NDArray[np.uint8]:
    """All frames, as ffmpeg decodes them when it is left alone."""
    raw = ffmpeg(
        "-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"
    )
    return np.frombuffer(raw, np.uint8).reshape(-1, ROWS, COLUMNS, 3)


@pytest.mark.parametrize("name", MADE)
def test_the_poster_is_that_frame_of_the_video_and_its_description_is_true(name: str, streams: Path) -> None:
    syntax, _ = MADE[name]
    frames = reference(streams / name)
    found = video((streams / name).read_bytes(), syntax, fragments=7 if name == "mpeg2.mpg" else 1)
    described = found.description
    assert (described.columns, described.rows, described.rate) == (COLUMNS, ROWS, 25)
    assert name.startswith(described.codec.lower().replace("-", "").replace(".", ""))
    assert not described.contradicts
    assert len(frames) == FRAMES
    for index in (0, found.description.poster_frame - 1, FRAMES - 1):
        assert np.array_equal(found.picture(index).pixels, frames[index])


def test_a_video_is_a_page_with_its_poster(streams: Path) -> None:
    data = instance((streams / "h264.mp4").read_bytes(), uid.MPEG4HP41)
    report = render_study(Instances([data]), STUDY_UID, io.BytesIO(), RenderOptions())
    assert (report.pages, report.frames, report.shown, report.partial) == (2, FRAMES, 1, True)


def test_a_stream_that_is_cut_before_its_poster_has_none(streams: Path) -> None:
    data = (streams / "h264.ts").read_bytes()
    assert code_of(video(data[: len(data) // 4 // 188 * 188], uid.MPEG4HP422D), FRAMES - 1) == "CANNOT_DECODE"


@pytest.mark.parametrize("name", ["h264.ts", "h264.mp4"])
def test_a_frame_that_is_damaged_is_no_poster(name: str, streams: Path) -> None:
    data = bytearray((streams / name).read_bytes())
    for offset in range(2000, 6000, 97):
        data[offset] ^= 0x55
    assert code_of(video(bytes(data), MADE[name][0]), 25) == "CANNOT_DECODE"


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
    ],
)
def test_a_playlist_in_the_place_of_a_video_is_not_followed(text: str, streams: Path) -> None:
    """Not even behind a header that looks like a video's."""
    playlist = text.format(streams / "h264.ts").encode()
    for stream in (playlist, playlist + videos.bare(videos.H264_HIGH)):
        assert code_of(video(stream + b"\0" * 400, uid.MPEG4HP41), 0) == "CANNOT_DECODE"


def test_nothing_is_left_behind(streams: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = video((streams / "hevc.mp4").read_bytes(), uid.HEVCMP51)
    found.picture(3)
    monkeypatch.setattr(poster, "SECONDS", 0.01)
    assert code_of(found, 60) in {"TIME", "CANNOT_DECODE"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("megabytes", [48, 96, 160, 224, 288, 352])
def test_little_memory_gives_the_right_frame_or_none(
    megabytes: int, streams: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = video((streams / "h264.mp4").read_bytes(), uid.MPEG4HP41)
    expected, said = found.picture(0).pixels, "a picture"
    monkeypatch.setattr(poster, "BASE_BYTES", megabytes << 20)
    monkeypatch.setattr(poster, "BYTES_A_PIXEL", 0)
    try:
        assert np.array_equal(found.picture(0).pixels, expected)
    except PonteError as error:
        said = error.code
    assert said in {"a picture", "MEMORY", "UNSUPPORTED_SYNTAX", "CANNOT_DECODE"}
