"""The spool: where the bytes of every instance are, under names of ours, until all who need them have them.

`DICOM_ROOT/.spool/incoming/` holds what is being received, and nothing of it counts; `.spool/kept/FOLDER/`
holds whole instances, as Part 10 files (PS3.10 7). A file gets there by its last fsync, a rename and the
fsync of the folder, in this order. Folders are filled one after the other, so that what arrives at the same
time shares the fsync of one folder. Nobody but the owner may look into any of it.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from router.failpoint import failpoint
from router.writeback import PORTION, begin_write_back

FOLDER_NAME: Final = ".spool"
PER_FOLDER: Final = 1024
_OWNER_ONLY = 0o700
_SUFFIX = ".dcm"


@dataclass(slots=True, eq=False)
class Incoming:
    """A file in `incoming`. `place` is its path within `kept`, once it is there."""

    path: Path
    place: str = field(default="", init=False)


class Spool:
    """The folders. `receive` may be called by any thread; `keep` by one at a time.

    `mark` ends the names of what is received by this process, where there are several.
    """

    def __init__(self, root: Path, *, mark: str = "") -> None:
        self._mark = mark
        self.folder = root / FOLDER_NAME
        self.incoming = self.folder / "incoming"
        self.kept = self.folder / "kept"
        self._shard = ""
        self._shard_left = 0

    def make(self) -> None:
        """Make the folders durable where they are not there yet."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.incoming, self.kept):
            folder.mkdir(mode=_OWNER_ONLY, exist_ok=True)
            folder.chmod(_OWNER_ONLY)
            sync_folder(folder.parent)

    def receive(self, head: bytes) -> Partial:
        """A new file that begins with `head`. Raises `OSError`."""
        return Partial(self.incoming / f"{new_name()}{self._mark}", head)

    def keep(self, partials: Sequence[Incoming]) -> list[str]:
        """Give whole, synced files their place, durably; their paths within `kept`. Raises `OSError`.

        What was moved before it raised stays in its place: ask `Partial.place`. A folder that failed once is
        not used again, for nobody knows what of it is on the disk.
        """
        try:
            return self._keep(partials)
        except OSError:
            self._shard_left = 0
            raise

    def _keep(self, partials: Sequence[Incoming]) -> list[str]:
        touched = set()
        for partial in partials:
            shard = self._shard_for_next()
            place = f"{shard}/{partial.path.name}{_SUFFIX}"
            os.rename(partial.path, self.kept / place)  # noqa: PTH104  as fast as it goes
            partial.place = place
            touched.add(shard)
        failpoint("renamed")
        for shard in touched:
            sync_folder(self.kept / shard)
        failpoint("folder-synced")
        return [partial.place for partial in partials]

    def path_of(self, place: str) -> Path:
        """Where the kept file is."""
        return self.kept / place

    def has(self, place: str, size_bytes: int) -> bool:
        """True where the file is there, and whole by its size."""
        try:
            return (self.kept / place).stat().st_size == size_bytes
        except OSError:
            return False

    def remove(self, place: str) -> None:
        """Take a kept file away; none is no error."""
        (self.kept / place).unlink(missing_ok=True)

    def places(self) -> Iterator[str]:
        """All files that are kept. What somebody else put there and is no file is passed over."""
        for shard in _entries(self.kept):
            if shard.is_dir(follow_symlinks=False):
                names = [file.name for file in _entries(shard) if file.is_file(follow_symlinks=False)]
                yield from (f"{shard.name}/{name}" for name in names)

    def sweep(self) -> int:
        """Remove what was being received when the router ended; how many. Only while nobody receives."""
        partials = [file for file in _entries(self.incoming) if file.is_file(follow_symlinks=False)]
        for partial in partials:
            Path(partial).unlink()
        for shard in _entries(self.kept):
            if shard.is_dir(follow_symlinks=False) and not _entries(shard):
                Path(shard).rmdir()
        return len(partials)

    def sweep_marked(self, mark: str) -> int:
        """Remove what a process that is no more was receiving; how many."""
        partials = [file for file in _entries(self.incoming) if file.name.endswith(mark)]
        for partial in partials:
            Path(partial).unlink(missing_ok=True)
        return len(partials)

    def _shard_for_next(self) -> str:
        if not self._shard_left:
            shard = new_name()
            (self.kept / shard).mkdir(mode=_OWNER_ONLY)
            sync_folder(self.kept)
            self._shard, self._shard_left = shard, PER_FOLDER
        self._shard_left -= 1
        return self._shard


class Partial(Incoming):
    """A file that is being received. `size_bytes` is what was written so far, the head included."""

    def __init__(self, path: Path, head: bytes) -> None:
        super().__init__(path)
        self.size_bytes = 0
        self._begun = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.write(head)
        except OSError:
            self.discard()
            raise

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Append. Raises `OSError`: then the file is of no use."""
        written = os.write(self._file, piece)
        while written < len(piece):
            written += os.write(self._file, memoryview(piece)[written:])
        self.size_bytes += written
        whole = self.size_bytes - self.size_bytes % PORTION
        if whole > self._begun:
            begin_write_back(self._file, self._begun, whole - self._begun)
            self._begun = whole

    def sync(self) -> None:
        """Put all of it on the disk. Raises `OSError`: then nobody knows what is on the disk (an fsync that
        is tried again says nothing), and the file must be discarded."""
        failpoint("written")
        os.fsync(self._file)
        self._close()
        failpoint("synced")

    def discard(self) -> None:
        """Leave nothing. Harmless when repeated, and once the file has its place."""
        self._close()
        if not self.place:
            self.path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


def _entries(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """What is in a folder, by name."""
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def new_name() -> str:
    """Says nothing of what it names; those made later come later in the alphabet."""
    return f"{time.time_ns():016x}{secrets.token_hex(4)}"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
