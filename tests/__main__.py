"""Run the tests: `python -m tests [pytest's options]`. Two at a time."""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(["-n", "2", "--dist", "loadgroup", "--quiet", *sys.argv[1:]]))
