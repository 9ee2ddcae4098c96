"""Run the tests: `python -m tests [pytest's options]`.

Two files at a time, each process with an emulator of its own; against a shared endpoint one after the other.
"""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    given = sys.argv[1:]
    processes = "0" if "--endpoint" in given else "2"
    sys.exit(pytest.main(["-n", processes, "--dist", "loadfile", "--quiet", *given]))
