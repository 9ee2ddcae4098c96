"""What the process asks of its C library's memory."""

from __future__ import annotations

import ctypes
from typing import Final

_M_ARENA_MAX: Final = -8  # malloc.h
_ARENAS: Final = 2


def share_arenas() -> bool:
    """Let all threads allocate from the same few arenas; to be called before there are others. False where
    the C library has no such setting (it is glibc's: mallopt(3)).

    Each thread would have an arena of its own, which keeps what the thread freed: with hundreds of threads in
    a long life memory grows by tens of megabytes. The interpreter lets one thread allocate at a time anyway.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_ARENA_MAX, _ARENAS) == 1)
