"""Freed memory is kept: an image after the first costs no page faults."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from render.allocator import keep_freed_memory

assert keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def image():
    return sum(int(np.ones(size, np.uint8)[0]) for size in (1 << 19, 1 << 21, 1 << 18))

image()
before = faults()
for _ in range(100):
    image()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_the_next_image_uses_the_memory_of_the_one_before() -> None:
    answer = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 1000
