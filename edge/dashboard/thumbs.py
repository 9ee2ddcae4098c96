"""Pictures of what is kept: drawn by one process under limits, and kept on the disk as long as the study is.

`.spool/thumbs/<digest of the study's UID>/` has the pictures, and the UID itself in `study`, for their owner
alone. `sweep` takes away those of studies that are here no more, and the oldest where there are too many; of
many studies it looks at some each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select
from threading import Lock, Timer
from typing import IO, Any, Final

from dashboard.audit import study_key
from ponte import limited
from ponte.errors import CannotDecode, LimitExceeded
from router.spool import FOLDER_NAME, new_name
from router.views import Views

SMALL: Final = 200
LARGE: Final = 1024
MOST_BYTES: Final = 256 << 20
_MEMORY: Final = 4 << 30
_CPU_S: Final = 1800
_ANSWER_S: Final = 20.0
_IDLE_S: Final = 60.0
_MOST_ANSWER: Final = 8 << 20
_REMEMBERED: Final = 2000
_FORGOTTEN_S: Final = 600.0
_SWEPT_AT_ONCE: Final = 500
_STUDY = "study"


class Artist:
    """The process that draws: started when it is needed, ended when it is idle, killed when it is late. One
    picture at a time, whoever asks."""

    def __init__(self, command: list[str] | None = None) -> None:
        self._command = command or [
            sys.executable, "-IS", str(limited.__file__), str(_MEMORY), str(_CPU_S),
            sys.executable, "-m", "dashboard.drawing",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        self._rest: Timer | None = None

    def ask(self, do: str, path: Path, most: int = 0, *, answer_s: float = _ANSWER_S) -> bytes:
        """A picture, or a header. Raises `CannotDecode`, with a code, and `LimitExceeded` (TIME)."""
        with self._lock:
            if self._rest is not None:
                self._rest.cancel()
            try:
                return self._asked({"do": do, "path": str(path), "most": most}, answer_s)
            finally:
                self._rest = Timer(_IDLE_S, self.close)
                self._rest.daemon = True
                self._rest.start()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._kill()

    def _asked(self, question: dict[str, Any], answer_s: float) -> bytes:
        process = self._running()
        until = time.monotonic() + answer_s
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            said = json.loads(_line(process.stdout, until))
            found = b"" if "error" in said else _exactly(process.stdout, int(said["bytes"]), until)
        except TimeoutError as error:
            self._kill()
            raise LimitExceeded("It takes longer to draw than the limit allows", code="TIME") from error
        except (OSError, ValueError, KeyError, TypeError) as error:  # it is gone: memory, time, a crash
            self._kill()
            raise CannotDecode("It cannot be drawn") from error
        if "error" in said:
            raise CannotDecode("It cannot be drawn", code=str(said["error"])[:40])
        return found

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            kept = ("PATH", "PYTHONPATH", "LANG", "TMPDIR")
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                bufsize=0, env={name: os.environ[name] for name in kept if name in os.environ},
            )  # fmt: skip
        return self._process

    def _kill(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = None


def _line(pipe: IO[bytes], until: float) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        line += _some(pipe, 1, until)
        if len(line) > 1 << 10:
            raise ValueError
    return bytes(line)


def _exactly(pipe: IO[bytes], size: int, until: float) -> bytes:
    if not 0 < size <= _MOST_ANSWER:
        raise ValueError
    found = bytearray()
    while len(found) < size:
        found += _some(pipe, size - len(found), until)
    return bytes(found)


def _some(pipe: IO[bytes], most: int, until: float) -> bytes:
    ready, _, _ = select([pipe], [], [], max(0.0, until - time.monotonic()))
    if not ready:
        raise TimeoutError
    found = os.read(pipe.fileno(), most)
    if not found:
        raise OSError
    return found


class Thumbs:
    """The pictures of one box. May be used by any thread."""

    def __init__(self, root: Path, artist: Artist, *, most_bytes: int = MOST_BYTES) -> None:
        self._spool = root / FOLDER_NAME
        self._folder = self._spool / "thumbs"
        self._artist = artist
        self._most_bytes = most_bytes
        self._failed: OrderedDict[tuple[str, int], tuple[float, str]] = OrderedDict()
        self._lock = Lock()

    def picture(self, study_instance_uid: str, number: int, place: str, most: int) -> bytes:
        """An instance's, drawn once. Raises `CannotDecode` or `LimitExceeded`; what cannot be drawn is not
        tried again for a while."""
        folder = self._folder / study_key(study_instance_uid)
        path = folder / f"{number}-{most}.jpg"
        with contextlib.suppress(OSError):
            return path.read_bytes()
        self._check(place, most)
        try:
            found = self._artist.ask("picture", self._spool / "kept" / place, most)
        except (CannotDecode, LimitExceeded) as error:
            self._remember(place, most, error.code)
            raise
        with contextlib.suppress(OSError):  # a full disk: it is drawn again next time
            self._keep(folder, study_instance_uid, path, found)
        return found

    def forget(self, study_instance_uid: str) -> None:
        """Take away a study's."""
        shutil.rmtree(self._folder / study_key(study_instance_uid), ignore_errors=True)

    def sweep(self, views: Callable[[], Views]) -> None:
        """See the module."""
        if not self._folder.is_dir():
            return
        with views() as rows:
            folders = list(self._folder.iterdir())
            for folder in random.sample(folders, min(_SWEPT_AT_ONCE, len(folders))):
                study = rows.study(_uid_of(folder))
                if study is None or not study.kept:
                    shutil.rmtree(folder, ignore_errors=True)
        self._shrink()

    def _shrink(self) -> None:
        sizes = sorted(_sizes(self._folder), reverse=True)
        used = 0
        for _, size, folder in sizes:
            used += size
            if used > self._most_bytes:
                shutil.rmtree(folder, ignore_errors=True)

    def _keep(self, folder: Path, uid: str, path: Path, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, what in ((folder / _STUDY, uid.encode()), (path, content)):
            if not name.exists():
                partial = folder / f".{new_name()}"
                with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(what)
                partial.replace(name)

    def _check(self, place: str, most: int) -> None:
        with self._lock:
            at, code = self._failed.get((place, most), (0.0, ""))
        if code and time.monotonic() - at < _FORGOTTEN_S:
            raise CannotDecode("It could not be drawn", code=code)

    def _remember(self, place: str, most: int, code: str) -> None:
        with self._lock:
            self._failed[place, most] = (time.monotonic(), code)
            if len(self._failed) > _REMEMBERED:
                self._failed.popitem(last=False)


def _uid_of(folder: Path) -> str:
    try:
        return (folder / _STUDY).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _sizes(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When it was last changed, bytes, and folder of each study."""
    for one in folder.iterdir():
        with contextlib.suppress(OSError):
            yield one.stat().st_mtime, sum(file.stat().st_size for file in one.iterdir()), one
