"""How full the disk may become: first an alarm, then no further association, then no further instance.

Nothing is ever dropped to make room: the peers keep what they have, and send it when there is room again.
Once associations are refused, a quarter more than the mark must be free before they are accepted again, so
that a disk at the mark does not open and close. A disk that cannot be asked has no room.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from router.intake import DiskLimits

log = logging.getLogger(__name__)

_AGAIN: Final = 1.25


@dataclass(frozen=True, slots=True)
class Free:
    """What the file system has left; `files` is None where it does not count them."""

    size_bytes: int
    files: int | None


_UNKNOWN: Final = Free(-1, None)
"""Less than any mark, were it zero."""


def free_on(folder: Path) -> Free:
    """Less than nothing, where the disk cannot be asked."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return _UNKNOWN
    return Free(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)


class Watermarks:
    """The marks on one file system. Any thread may ask."""

    def __init__(self, folder: Path, limits: DiskLimits, *, free: Callable[[Path], Free] = free_on) -> None:
        self._folder = folder
        self._limits = limits
        self._free = free
        self._is_refusing = False
        self._is_low = False

    def free(self) -> Free:
        """What is left."""
        return self._free(self._folder)

    def refuses_associations(self) -> bool:
        """True from the mark on until there is room again."""
        free, factor = self.free(), _AGAIN if self._is_refusing else 1.0
        no_room = free.size_bytes < self._limits.associations_bytes * factor
        no_files = free.files is not None and free.files < self._limits.files * factor
        self._is_refusing = no_room or no_files
        return self._is_refusing

    def refuses_instances(self) -> bool:
        """True where not even what is under way has room."""
        return self.free().size_bytes < self._limits.instances_bytes

    def watch(self) -> None:
        """Say when the disk begins to be low, long before anything is refused, and when that is over."""
        free, factor = self.free().size_bytes, _AGAIN if self._is_low else 1.0
        is_low = free < self._limits.warning_bytes * factor
        if is_low and not self._is_low:
            log.error("disk low", extra={"alarm": "DISK_LOW", "free_bytes": free})
        elif self._is_low and not is_low:
            log.info("disk no longer low", extra={"free_bytes": free})
        self._is_low = is_low
