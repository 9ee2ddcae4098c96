"""Who has a file open for writing, as far as this machine can tell."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from watcher.files import Identity

_PROCESSES = Path("/proc")


class Writers:
    """Those of some files. The kernel knows (a read lease is given only where nobody writes); where it does
    not say, because the file is somebody else's or on a share, the processes that can be seen are asked."""

    def __init__(self, files: Iterable[Identity]) -> None:
        self._wanted = {(one.device, one.inode) for one in files}

    def has(self, path: Path, identity: Identity) -> bool:
        """True where somebody writes to it. Nobody that is known of is no proof: see `Folder`."""
        leased = _lease(path)
        return (identity.device, identity.inode) in self._open if leased is None else not leased

    @cached_property
    def _open(self) -> set[tuple[int, int]]:
        return {key for process in _processes() for key in _written(process) if key in self._wanted}


def _lease(path: Path) -> bool | None:
    """True where a read lease was given (fcntl(2)), False where somebody writes, None where none is given."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        # a break of the lease must not end this process: its default signal, SIGIO, would
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return False if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return True


def _processes() -> Iterator[Path]:
    with suppress(OSError):
        yield from (path for path in _PROCESSES.iterdir() if path.name.isdecimal())


def _written(process: Path) -> Iterator[tuple[int, int]]:
    """Device and inode of each file that it has open for writing; nothing where it may not be seen."""
    with suppress(OSError):
        for link in Path(process, "fd").iterdir():
            with suppress(OSError, ValueError):
                if _mode(Path(process, "fdinfo", link.name)) != os.O_RDONLY:
                    status = link.stat()
                    yield status.st_dev, status.st_ino


def _mode(info: Path) -> int:
    """How the file was opened (proc(5)). Raises `OSError`, `ValueError`."""
    for line in info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "flags":
            return int(value, 8) & os.O_ACCMODE
    raise ValueError
