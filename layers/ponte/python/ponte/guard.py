"""Decoding that may hurt, in a process of its own under a limit of memory and time.

`decode` starts `python -m ponte.guard`, or finds it still waiting from the frame before, and speaks with it
through its pipes: there is no shared memory in Lambda, and a process with threads must not fork. The process
has nothing of this one's environment, ends by itself when it is idle or its parent is gone, and is killed
when it is late. One frame is decoded at a time, which bounds the memory of all of them.
"""

from __future__ import annotations

import atexit
import ctypes
import errno
import json
import math
import os
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from threading import Lock, Timer
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.uid import UID

from ponte.description import PixelDescription
from ponte.errors import CannotDecode, LimitExceeded, PonteError
from ponte.native import Frame

BASE_SECONDS: Final = 20.0
SAMPLES_A_SECOND: Final = 2e6
"""The slowest decoder on a slow machine, with room; a frame may take `BASE_SECONDS` besides."""
BASE_BYTES: Final = 256 << 20
BYTES_A_SAMPLE: Final = 16
"""What decoders of JPEG 2000 and JPEG XL need for their own."""

_IDLE_S = 10.0
_GRACE_S = 5.0  # for a process that closed its pipes to end
_PREFIX = struct.Struct(">LQ")
_MOST_WORDS = 1 << 16
_MOST_BYTES_A_SAMPLE = 8
_KINDS = frozenset("uif")

Values = npt.NDArray[Any]


def decode(data: bytes, d: PixelDescription, halvings: int = 0) -> Frame:
    """As `ponte.codecs.decode`. Raises `LimitExceeded` (MEMORY, TIME) and `CannotDecode`."""
    samples = d.rows * d.columns * d.samples
    seconds = BASE_SECONDS + samples / SAMPLES_A_SECOND
    request = {
        "description": asdict(d),
        "halvings": halvings,
        "seconds": math.ceil(seconds),
        "memory": BASE_BYTES + BYTES_A_SAMPLE * samples,
    }
    answer, decoded = _WORKERS.ask(request, data, seconds, samples * _MOST_BYTES_A_SAMPLE)
    if "error" in answer:
        code = "MEMORY" if answer["error"] == "memory" else "CANNOT_DECODE"
        raise _error(code)
    kind = np.dtype(str(answer["kind"]))
    shape = tuple(int(number) for number in answer["shape"])
    if kind.kind not in _KINDS or math.prod(shape) * kind.itemsize != len(decoded):
        raise _error("CANNOT_DECODE")
    return Frame(np.frombuffer(decoded, kind).reshape(shape), str(answer["photometric"]))


def _error(code: str) -> PonteError:
    if code == "TIME":
        return LimitExceeded("The frame takes longer to decode than the limit allows", code=code)
    if code == "MEMORY":
        return LimitExceeded("The frame takes more memory to decode than the limit allows", code=code)
    return CannotDecode("The decoder refused the frame")


class _Gone(Exception):
    """The process ended between two frames; another one may be asked."""


class _Workers:
    """The one process, started when it is needed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(
        self, request: Mapping[str, Any], source: bytes, seconds: float, most: int
    ) -> tuple[dict[str, Any], bytearray]:
        with self._lock:
            try:
                return self._ask(request, source, seconds, most)
            except _Gone:
                return self._ask(request, source, seconds, most)

    def stop(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _ask(
        self, request: Mapping[str, Any], source: bytes, seconds: float, most: int
    ) -> tuple[dict[str, Any], bytearray]:
        process = self._process = self._process or _start()
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            process.kill()

        timer = Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin is not None  # noqa: S101  (for the type checker: both are pipes)
            assert process.stdout is not None  # noqa: S101
            _send(process.stdin, request, source)
            return _receive(process.stdout, most)
        except (OSError, EOFError):
            raise self._why(process, late) from None
        except (ValueError, struct.error):
            self._end()
            raise _error("CANNOT_DECODE") from None
        finally:
            timer.cancel()
            timer.join()
            if late:
                self._end()

    def _why(self, process: subprocess.Popen[bytes], late: bool) -> Exception:
        """What the end of the process means."""
        if not late:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            self._end()
        status = process.wait()
        if late or status == -signal.SIGXCPU:
            return _error("TIME")
        if status == 0:
            return _Gone()
        return _error("MEMORY" if status in (-signal.SIGKILL, -signal.SIGABRT) else "CANNOT_DECODE")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent is of no use to anybody
                    pipe.close()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_WORKERS = _Workers()
atexit.register(_WORKERS.stop)


def stop() -> None:
    """End the process that waits for the next frame, if there is one."""
    _WORKERS.stop()


def _start() -> subprocess.Popen[bytes]:
    """No secrets go with it, and no log comes back: what a decoder prints may quote its input."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", ""),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ponte.guard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def _send(stream: IO[bytes], words: Mapping[str, Any], data: bytes | memoryview) -> None:
    text = json.dumps(words).encode()
    stream.write(_PREFIX.pack(len(text), len(data)))
    stream.write(text)
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes], most: int) -> tuple[dict[str, Any], bytearray]:
    """Raises `EOFError` where the stream ends early, `ValueError` for what is too long."""
    words, size = _PREFIX.unpack(_exactly(stream, _PREFIX.size))
    if words > _MOST_WORDS or size > most:
        raise ValueError
    answer: dict[str, Any] = json.loads(_exactly(stream, words))
    return answer, _exactly(stream, size)


def _exactly(stream: IO[bytes], count: int) -> bytearray:
    data = bytearray(count)
    view, done = memoryview(data), 0
    while done < count:
        read = stream.readinto(view[done:])  # type: ignore[attr-defined]  # every binary stream has it
        if not read:
            raise EOFError
        done += read
    return data


def _limit(memory: int, seconds: int) -> None:
    """Allow the next frame `memory` bytes and `seconds` of a processor more than was used up to now."""
    import resource

    with open("/proc/self/statm", encoding="ascii") as status:  # noqa: PTH123  (pathlib costs an import)
        pages = int(status.read().split()[0])
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hardest = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory, hardest))
    _, hardest = resource.getrlimit(resource.RLIMIT_CPU)
    spent = math.ceil(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, hardest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], Values]:
    from ponte.codecs import decode as decode_here

    nothing = np.empty(0, np.uint8)
    errors = _last_error()
    try:
        _limit(request["memory"], request["seconds"])
        words = request["description"]
        d = PixelDescription(**{**words, "transfer_syntax_uid": UID(words["transfer_syntax_uid"])})
        errors[0] = 0
        values, photometric = decode_here(data, d, request["halvings"])
    except LimitExceeded:
        return {"error": "memory"}, nothing
    except CannotDecode:
        return {"error": "memory" if errors[0] == errno.ENOMEM else "refused"}, nothing
    whole = np.ascontiguousarray(values)
    return {"kind": whole.dtype.str, "shape": whole.shape, "photometric": photometric}, whole


def _last_error() -> ctypes.Array[ctypes.c_int]:
    """The C library's `errno` of this thread.

    A decoder that got no memory often says no more than that it failed. What the kernel told it stays there:
    no call that succeeds changes it.
    """
    where = ctypes.CDLL(None)["__errno_location"]
    where.restype = ctypes.POINTER(ctypes.c_int * 1)
    found: ctypes.Array[ctypes.c_int] = where().contents
    return found


def serve() -> None:
    """Answer requests from the standard input until it ends, or none comes for a while."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a decoder that prints must not speak in our place
    while select.select([requests], [], [], _IDLE_S)[0]:
        try:
            request, data = _receive(requests, 1 << 40)
        except EOFError:
            return
        words, values = _answer(request, bytes(data))
        _send(answers, words, values.reshape(-1).view(np.uint8).data)


if __name__ == "__main__":
    serve()
