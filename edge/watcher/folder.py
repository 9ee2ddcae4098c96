"""What lies in the watched folder, and which of it is whole.

A ZIP is whole when its size and its time have stood still for a while, when nobody is known to have it open
for writing, and when its end record, its directory and the headers of its members are all there. A half copy
lacks the end, one whose room was reserved before it was copied as well.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from ponte.archive import Archive
from ponte.errors import PonteError
from watcher.files import Identity
from watcher.writers import Writers

_SUFFIX = ".zip"


@dataclass(frozen=True, slots=True)
class Ready:
    """A file to be taken: a whole ZIP, or one that did not become one in all the time it was given."""

    path: Path
    identity: Identity


@dataclass(frozen=True, slots=True)
class Odd:
    """Something to be said once: a file that is passed over, or one that is waited for."""

    path: Path
    why: str


@dataclass(slots=True)
class _Seen:
    """`irregular` is why it is not looked into, `refusal` why it is no whole ZIP, None before a try."""

    identity: Identity
    since: float
    irregular: str
    refusal: str | None = None
    said: str = ""

    def oddity(self, path: Path, why: str) -> Iterator[Odd]:
        if why and why != self.said:
            self.said = why
            yield Odd(path, why)


class Folder:
    """The watched folder, looked at again and again.

    Time is the monotonic clock's: that of the day may jump. A file stands still for `still_s` before it is
    opened, and for `give_up_s` before it is taken for what will never be a ZIP.
    """

    def __init__(
        self, path: Path, *, still_s: float, give_up_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._path = path
        self._still_s = still_s
        self._give_up_s = give_up_s
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def look(self) -> Iterator[Ready | Odd]:
        """What is ready now, and what is odd and was not said before. Raises `OSError`: it cannot be read."""
        now = self._clock()
        found = {entry.name: self._see(entry, now) for entry in self._entries()}
        for name in self._seen.keys() - found.keys():
            del self._seen[name]
        still: list[tuple[Path, _Seen]] = []
        for name, seen in found.items():
            if seen is not None:
                yield from seen.oddity(self._path / name, seen.irregular)
                if not seen.irregular and now - seen.since >= self._still_s:
                    still.append((self._path / name, seen))
        writers = Writers([seen.identity for _, seen in still])
        for path, seen in still:
            yield from self._judge(path, seen, now, writers)

    def next_look_s(self) -> float | None:
        """Seconds until a file that is new will have stood still; None where there is none."""
        waits = [
            seen.since + self._still_s - self._clock()
            for seen in self._seen.values()
            if not seen.irregular and not seen.said and seen.refusal is None
        ]
        return max(0.0, min(waits)) if waits else None

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        """All that is called a ZIP; hidden files are those of others who are not done with them."""
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.lower().endswith(_SUFFIX) and not entry.name.startswith("."):
                    yield entry

    def _see(self, entry: os.DirEntry[str], now: float) -> _Seen | None:
        """What is known of it; a file that has changed is a new one."""
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        identity = Identity.of(status)
        seen = self._seen.get(entry.name)
        if seen is None or seen.identity != identity:
            seen = self._seen[entry.name] = _Seen(identity, now, _irregular(status.st_mode))
        return seen

    def _judge(self, path: Path, seen: _Seen, now: float, writers: Writers) -> Iterator[Ready | Odd]:
        if writers.has(path, seen.identity):
            seen.since = now  # it stands still from when nobody writes any more
            return
        if seen.refusal is None:
            try:
                seen.refusal = _refusal(path)
            except OSError as error:
                yield from seen.oddity(path, f"cannot be read: {error.strerror}")
                return
        if not seen.refusal or now - seen.since >= self._give_up_s:
            yield Ready(path, seen.identity)
        else:
            yield from seen.oddity(path, f"not a whole ZIP yet ({seen.refusal}): waiting for the rest of it")


def _irregular(mode: int) -> str:
    """Why a file of this kind is not looked into; nothing for a regular one."""
    if stat.S_ISREG(mode):
        return ""
    return "passed over: a link" if stat.S_ISLNK(mode) else "passed over: not a regular file"


def _refusal(path: Path) -> str:
    """The code of why the archive cannot be read as a whole; empty for one that can. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as stream:  # noqa: PTH123  (of a descriptor)
        try:
            Archive(stream)
        except PonteError as error:
            return error.code
    return ""
