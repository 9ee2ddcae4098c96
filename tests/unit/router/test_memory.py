"""What threads may keep of memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from router.memory import share_arenas
if len(sys.argv) > 1 and not share_arenas():
    sys.exit(3)
together = threading.Barrier(24)
def allocate():
    together.wait()
    blocks = [bytearray(5000) for _ in range(100)]
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(24)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fflush(ctypes.c_void_p(file))
"""


def arenas(*arguments: str) -> int:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=60
    )
    if ran.returncode == 3 or "malloc_info" in ran.stderr:
        pytest.skip("the C library is not glibc")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.count("<heap nr=")


def test_many_threads_share_the_arenas_of_two() -> None:
    assert arenas("shared") <= 2 < arenas()
