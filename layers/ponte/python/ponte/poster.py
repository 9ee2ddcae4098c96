"""One frame of a video, decoded by the `ffmpeg` that an operator has put on PATH; Ponte ships none.

ffmpeg is given the stream as a file without a name, which is gone when it ends, however it ends. It opens
that file alone, as the container that its first bytes say it is, with the decoders of these codecs and no
others: a playlist or an address in the stream finds nobody who would follow it. It has nothing of this
process's environment, can write no file, and has limits of memory and time. One runs at a time, which bounds
the memory of all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from ponte import limited
from ponte.errors import CannotDecode, LimitExceeded, PonteError, UnsupportedTransferSyntax

SECONDS: Final = 30
BASE_BYTES: Final = 1 << 30
BYTES_A_PIXEL: Final = 64
"""What a decoder keeps of earlier frames, and the conversion to RGB."""
MOST_PIXELS: Final = 36 << 20
"""Pixels of a frame: those of the highest level of HEVC."""

_DEMUXERS: Final = {
    ("MP4", ""): "mov",
    ("MPEG-TS", ""): "mpegts",
    ("MPEG-PS", ""): "mpeg",
    ("", "H.264"): "h264",
    ("", "HEVC"): "hevc",
    ("", "MPEG-1"): "mpegvideo",
    ("", "MPEG-2"): "mpegvideo",
}
_DECODERS: Final = "h264,hevc,mpeg1video,mpeg2video"
_PPM = re.compile(rb"P6\n(\d{1,5}) (\d{1,5})\n255\n")
_NO_MEMORY: Final = b"Cannot allocate memory"
_ONE_AT_A_TIME = Lock()


def ffmpeg() -> str | None:
    """Where ffmpeg is; None where there is none."""
    found = shutil.which("ffmpeg")
    return str(Path(found).resolve()) if found else None


def frame(
    fragments: Sequence[memoryview], container: str, codec: str, pixels: int, frame_index: int
) -> npt.NDArray[np.uint8]:
    """Frame `frame_index`, from 0, of the stream in `fragments`: (rows, columns, 3), RGB.

    `container`, `codec` and `pixels` are what the stream's header says. Raises `UnsupportedTransferSyntax`
    where there is no ffmpeg, `LimitExceeded` (MEMORY, TIME, PIXEL_BUDGET), and `CannotDecode` where the
    stream is damaged up to that frame or ends before it.
    """
    program = ffmpeg()
    if program is None:
        raise UnsupportedTransferSyntax("No ffmpeg on PATH, which would decode a frame of a video")
    if pixels > MOST_PIXELS:
        raise LimitExceeded(
            f"A video frame has {pixels} pixels; the limit is {MOST_PIXELS}", code="PIXEL_BUDGET"
        )
    command = _command(program, _demuxer(container, codec), pixels, frame_index)
    try:
        with _ONE_AT_A_TIME, TemporaryFile() as stream:
            stream.writelines(fragments)
            stream.seek(0)
            return _picture(_run(command, stream), frame_index)
    except OSError as error:
        raise LimitExceeded(f"No room for the video stream, or for ffmpeg ({error.strerror})") from None


def _demuxer(container: str, codec: str) -> str:
    return _DEMUXERS[container, "" if container else codec]


def _command(program: str, demuxer: str, pixels: int, frame_index: int) -> list[str]:
    memory = BASE_BYTES + BYTES_A_PIXEL * pixels
    limits = [sys.executable, "-IS", limited.__file__, str(memory), str(SECONDS)]
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "error", "-xerror"]
    source = ["-protocol_whitelist", "file", "-codec_whitelist", _DECODERS, "-format_whitelist", demuxer]
    decoder = ["-threads", "1", "-max_pixels", str(MOST_PIXELS), "-err_detect", "explode", "-noautorotate"]
    chosen = ["-map", "0:v:0", "-vf", f"select=gte(n\\,{frame_index})", "-frames:v", "1"]
    answer = ["-c:v", "ppm", "-pix_fmt", "rgb24", "-threads", "1", "-f", "image2pipe", "pipe:1"]
    file = ["-f", demuxer, "-i", "file:/dev/stdin"]
    return [*limits, program, *quiet, *source, *decoder, *file, *chosen, *answer]


def _run(command: Sequence[str], stream: IO[bytes]) -> bytes:
    """What ffmpeg writes; what it says is looked at for one reason, and kept nowhere."""
    process = subprocess.Popen(
        command,
        stdin=stream,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C", "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")},
        cwd="/",
        start_new_session=True,
    )
    with process:
        try:
            written, said = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise _limit("TIME") from None
    if process.returncode == 0:
        return written
    if process.returncode == -signal.SIGXCPU:
        raise _limit("TIME")
    if process.returncode == -signal.SIGKILL or _NO_MEMORY in said:
        raise _limit("MEMORY")
    if process.returncode == limited.NOT_RUNNING:
        raise UnsupportedTransferSyntax("The ffmpeg on PATH does not run")
    raise CannotDecode("ffmpeg refused the stream")


def _limit(code: str) -> PonteError:
    what = "time" if code == "TIME" else "memory"
    return LimitExceeded(f"A frame of the video takes more {what} to decode than the limit allows", code=code)


def _picture(written: bytes, frame_index: int) -> npt.NDArray[np.uint8]:
    """The pixels of a PPM."""
    if not written:
        raise CannotDecode(f"The video stream ends before frame {frame_index + 1}")
    header = _PPM.match(written)
    if header is None:
        raise CannotDecode("ffmpeg did not answer with a picture")
    columns, rows = int(header[1]), int(header[2])
    if len(written) - header.end() != rows * columns * 3:
        raise CannotDecode("ffmpeg did not answer with a whole picture")
    return np.frombuffer(written, np.uint8, offset=header.end()).reshape(rows, columns, 3)
