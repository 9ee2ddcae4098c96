"""A video instance is described by its stream; its poster comes from ffmpeg, under limits, or not at all."""

from __future__ import annotations

import errno
import shlex
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from ponte import limited, poster
from ponte.errors import PonteError
from ponte.image import Image
from ponte.instance import open_instance
from ponte.video import CODECS, Video, open_image
from tests import videos
from tests.factories import encode, make_ct

STREAMS = {"MPEG-2": videos.MPEG2, "H.264": videos.H264_HIGH, "HEVC": videos.HEVC_MAIN}
HANG_S = 100.0


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def video(data: bytes) -> Video:
    found = open_image(open_instance(data))
    assert isinstance(found, Video)
    return found


def error_of(data: bytes, frame_index: int = 0) -> PonteError:
    with pytest.raises(PonteError) as caught:
        open_image(open_instance(data)).picture(frame_index)
    assert "CANAR" not in str(caught.value).upper()
    return caught.value


def fake_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program in the place of ffmpeg that does what the script says."""
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_every_video_syntax_of_the_standard_is_known() -> None:
    listed = [f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109)]
    listed += [f"{syntax}.1" for syntax in listed[:7]]
    assert sorted(CODECS) == sorted(listed)
    assert set(uid.MPEGTransferSyntaxes) <= set(CODECS)


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("syntax", CODECS)
@pytest.mark.parametrize("fragments", [1, 4])
def test_without_ffmpeg_a_video_is_described_and_refused_by_name(syntax: UID, fragments: int) -> None:
    codec = CODECS[syntax]
    data = videos.make_video(videos.transport(STREAMS[codec]), syntax, fragments=fragments)
    described = video(data).description
    assert (described.codec, described.frames, described.container) == (codec, 60, "MPEG-TS")
    assert described.seconds == pytest.approx(2.0, abs=0.01)
    error = error_of(data)
    assert error.code == "UNSUPPORTED_SYNTAX"
    assert codec in error.detail
    assert "ffmpeg" in error.detail


def test_the_stream_is_believed_more_than_the_dataset() -> None:
    data = videos.make_video(videos.mp4(videos.H264_HIGH), uid.HEVCMP51, size=(640, 480))
    described = video(data).description
    assert (described.compression, described.columns, described.rows) == ("H.264 High@4.1", 1920, 1080)
    assert described.contradicts
    agreeing = videos.make_video(videos.mp4(videos.H264_HIGH), uid.MPEG4HP41)
    assert not video(agreeing).description.contradicts


def test_a_stream_without_a_header_is_described_by_the_dataset_and_given_to_no_decoder() -> None:
    data = videos.make_video(b"\x55" * 4000, uid.MPEG2MPML, size=(720, 576))
    described = video(data).description
    assert (described.codec, described.profile, described.columns, described.rows) == ("MPEG-2", "", 720, 576)
    assert error_of(data).code == "CANNOT_DECODE"


@pytest.mark.parametrize(
    ("attributes", "rate"),
    [
        ({"FrameTime": 40, "CineRate": 10}, 25.0),
        ({"FrameTime": None, "CineRate": 15}, 15.0),
        ({"FrameTime": 0, "CineRate": None, "RecommendedDisplayFrameRate": 12}, 12.0),
        ({"FrameTime": None, "CineRate": None}, 30.0),
    ],
)
def test_the_rate_is_the_datasets_and_else_the_streams(attributes: dict[str, Any], rate: float) -> None:
    data = videos.make_video(videos.bare(videos.H264_HIGH), uid.MPEG4HP41, **attributes)
    assert video(data).description.rate == pytest.approx(rate)


@pytest.mark.parametrize(("frames", "poster_frame"), [(1, 1), (2, 1), (60, 21), (100, 34)])
def test_the_poster_stands_a_third_into_the_video_but_not_far(frames: int, poster_frame: int) -> None:
    data = videos.make_video(videos.bare(videos.H264_HIGH), uid.MPEG4HP41, NumberOfFrames=frames)
    assert video(data).description.poster_frame == poster_frame
    long = videos.make_video(videos.bare(videos.H264_HIGH) * 99, uid.MPEG4HP41, NumberOfFrames=10_000)
    assert video(long).description.poster_frame == 51


def test_dc_26_more_frames_than_the_stream_has_bytes_for_are_refused() -> None:
    data = videos.make_video(videos.bare(videos.H264_HIGH), uid.MPEG4HP41, NumberOfFrames=2_000_000_000)
    assert error_of(data).code == "PIXEL_LENGTH"


@pytest.mark.parametrize("syntax", [uid.MPEG2MPML, uid.HEVCMP51])
def test_dc_43_a_video_without_a_stream_is_refused(syntax: UID) -> None:
    assert error_of(videos.make_video(b"", syntax, NumberOfFrames=1)).code == "NO_PIXEL_DATA"


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("with_pixels", [True, False])
def test_what_is_sent_live_is_refused_by_name(number: int, with_pixels: bool) -> None:
    dataset = make_ct(NumberOfFrames=5000, PixelData=encapsulate([b"ab"]))
    if not with_pixels:
        del dataset.PixelData
    dataset.file_meta.TransferSyntaxUID = UID(f"1.2.840.10008.1.2.7.{number}")
    error = error_of(encode(dataset))
    assert error.code == "UNSUPPORTED_SYNTAX"
    assert "SMPTE ST 2110" in error.detail


def test_a_still_image_is_no_video() -> None:
    assert isinstance(open_image(open_instance(encode(make_ct()))), Image)


VIDEO = videos.make_video(videos.bare(videos.H264_HIGH), uid.MPEG4HP41)


def test_the_picture_is_what_ffmpeg_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, r"printf 'P6\n2 1\n255\n\001\002\003\004\005\006'")
    picture = video(VIDEO).picture(20)
    assert np.array_equal(picture.pixels, [[[1, 2, 3], [4, 5, 6]]])
    assert picture.notes == ("poster frame of a video",)


def test_ffmpeg_is_given_the_stream_and_one_way_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No probing, no network, no other file, and nothing of our environment."""
    seen = tmp_path / "seen"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-SECRET")
    told = "echo \"$@\"; od -An -v -tx1 < /dev/stdin | tr -d ' \\n'; echo; env"
    fake_ffmpeg(tmp_path, monkeypatch, f"{{ {told}; }} >&2; echo x > {shlex.quote(str(seen))}; exit 1")
    lines: list[str] = []
    original = subprocess.Popen[bytes].communicate

    def listen(self: subprocess.Popen[bytes], timeout: float) -> tuple[bytes, bytes]:
        written, said = original(self, timeout=timeout)
        lines.extend(said.decode().splitlines())
        return written, said

    monkeypatch.setattr(subprocess.Popen, "communicate", listen)
    with pytest.raises(PonteError):
        video(VIDEO).picture(20)
    arguments = next(line for line in lines if "-i " in line)
    assert "-protocol_whitelist file " in arguments
    assert "-f h264 -i file:/dev/stdin " in arguments
    assert videos.bare(videos.H264_HIGH).hex() in "\n".join(lines)
    assert "CANARY" not in "\n".join(lines)
    assert not seen.exists() or not seen.read_bytes()  # it can write no file


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exit 1", "CANNOT_DECODE"),
        ("exit 0", "CANNOT_DECODE"),
        ("echo '[h264 @ 0x1] get_buffer() failed: Cannot allocate memory' >&2; exit 1", "MEMORY"),
        ("kill -KILL $$", "MEMORY"),
        ("echo nonsense", "CANNOT_DECODE"),
        (r"printf 'P6\n99999 99999\n255\n\0'", "CANNOT_DECODE"),
        ("exit 127", "UNSUPPORTED_SYNTAX"),
        ("while :; do :; done", "TIME"),
        ("exec sleep 1000", "TIME"),
    ],
)
def test_what_becomes_of_an_ffmpeg_that_fails(
    script: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, script)
    monkeypatch.setattr(poster, "SECONDS", 2)
    began = perf_counter()
    assert error_of(VIDEO).code == code
    assert perf_counter() - began < HANG_S


def test_a_program_that_cannot_be_run_is_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ffmpeg").write_bytes(b"\x7fELF")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert error_of(VIDEO).code == "UNSUPPORTED_SYNTAX"


def test_a_frame_that_is_too_large_is_given_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, "exit 1")
    monkeypatch.setattr(poster, "MOST_PIXELS", 1920 * 1080 - 1)
    assert error_of(VIDEO).code == "PIXEL_BUDGET"


def test_a_disk_without_room_costs_the_poster_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, "exit 1")

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(poster, "TemporaryFile", full)
    error = error_of(VIDEO)
    assert error.code == "MEMORY"
    assert "No space left" in error.detail


@pytest.mark.parametrize("index", [-1, 60])
def test_a_frame_that_is_not_there_is_refused(index: int) -> None:
    assert "expected 1 to 60" in error_of(VIDEO, index).detail


@pytest.mark.parametrize(
    "statement",
    [
        "bytearray(1 << 30)",
        "import os; os.write(os.open('written', os.O_CREAT | os.O_WRONLY), b'x')",
        "while True: pass",
    ],
)
def test_the_limits_hold_from_the_first_instruction(statement: str, tmp_path: Path) -> None:
    command = [sys.executable, "-IS", limited.__file__, str(400 << 20), "1", sys.executable, "-c", statement]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=HANG_S)
    assert done.returncode != 0
    assert not any(path.stat().st_size for path in tmp_path.iterdir())
