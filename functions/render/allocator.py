"""The C library's allocator, told not to give every freed image back to the system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_KEPT_BYTES = 256 << 20
_LARGEST_BYTES = 32 << 20  # glibc takes no more; what is larger is mapped and given back as before


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory for the next image; True where the C library can do so (glibc).

    Each image needs some buffers of half a megabyte. By default glibc returns them and fetches them anew for
    the next image, page fault by page fault: an eighth of the CPU time of a CT. The peak stays as it was.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
