"""The stack's temporary folder, which knows whether its owner still lives."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "ponte-local-"
UNFINISHED = ".ponte-local-"


class OwnedFolder:
    """A temporary folder, locked while this process lives, so that a later one can tell it is stale."""

    def __init__(self) -> None:
        """Make the folder; also removes those whose owners were killed."""
        sweep()
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED))
        self._lock = os.open(unfinished, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = unfinished.rename(unfinished.with_name(unfinished.name.removeprefix(".")))

    def remove(self) -> None:
        """Remove the folder and all that is in it; does nothing the second time."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def sweep() -> None:
    """Remove the folders of owners that are gone."""
    for path in _ours():
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(handle)


def _ours() -> Iterator[Path]:
    """The stacks' folders of this user, as far as they can be told by name and owner."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if path.lstat().st_uid == os.getuid():
                yield path
        except FileNotFoundError:
            continue
