"""An archive that was taken from the watched folder, and what is known of it, on the disk.

Each has a folder of its own: `archive.zip`, `journal.json`, and `parts.jsonl` with what is settled so far.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

from watcher.files import copy_durably, sync_folder, write_whole
from watcher.logfile import CONSOLE, tell

ARCHIVE: Final = "archive.zip"
_JOURNAL: Final = "journal.json"
_PARTS: Final = "parts.jsonl"
_PRIVATE: Final = 0o700
_log = logging.getLogger(CONSOLE)


@dataclass(frozen=True, slots=True)
class Journal:
    """`name` is what it was called: for the report, the log and the archive folder alone.

    `taken_in` is the folder that it came from. `sha256` is that of the archive when it had `size` and
    `modified_ns`: what is settled so far is about that one. `filed_as` is the name that it and its report get
    in the archive folder. Once it is `settled` nothing is sent any more, and `delete` says that it is not
    kept.
    """

    name: str = field(repr=False)
    taken_in: str = field(repr=False)
    arrived_at: str
    sha256: str | None = None
    size: int | None = None
    modified_ns: int | None = None
    filed_as: str | None = field(default=None, repr=False)
    settled: bool = False
    delete: bool = False


class Item:
    """One of them. Its `id` sorts by time; it tells nothing else."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.folder = folder
        self.journal = journal

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def archive(self) -> Path:
        return self.folder / ARCHIVE

    @property
    def arrived_at(self) -> datetime:
        return datetime.fromisoformat(self.journal.arrived_at)

    def note(self, **changes: Any) -> None:
        """Change the journal, durably."""
        self.journal = replace(self.journal, **changes)
        write_whole(self.folder / _JOURNAL, json.dumps(asdict(self.journal)).encode())

    def add_part(self, position: int, part: Mapping[str, Any]) -> None:
        """Keep what was settled, durably: after an interruption `position` is where to go on."""
        with (self.folder / _PARTS).open("ab") as stream:
            stream.write(json.dumps({"position": position, "part": part}).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def parts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Position and part of each, in their order; what is damaged ends them, and is done once more."""
        with suppress(FileNotFoundError, ValueError), (self.folder / _PARTS).open("rb") as stream:
            for line in stream:
                row = json.loads(line)
                yield row["position"], row["part"]

    def mend_parts(self) -> None:
        """Cut off a last line that was not written to its end."""
        with suppress(FileNotFoundError), (self.folder / _PARTS).open("r+b") as stream:
            whole = sum(len(line) for line in stream if line.endswith(b"\n"))
            stream.truncate(whole)

    def forget_parts(self) -> None:
        """Begin anew: the archive is another one than it was."""
        (self.folder / _PARTS).unlink(missing_ok=True)
        self.note(sha256=None, size=None, modified_ns=None)

    def is_as_noted(self) -> bool:
        """True for an archive that has not changed since its digest was noted."""
        status = self.archive.stat()
        return (status.st_size, status.st_mtime_ns) == (self.journal.size, self.journal.modified_ns)

    def remove(self) -> None:
        """Nothing of it is needed any more."""
        self.archive.unlink(missing_ok=True)
        _discard(self.folder)


def take(path: Path, queue: Path, *, now: datetime | None = None) -> Item | None:
    """Make the file an item of the queue: by renaming it, so that of several watchers one gets it.

    None where somebody else has it. Raises `OSError`.
    """
    arrived = now or datetime.now(UTC)
    folder = queue / f"{arrived:%Y%m%dT%H%M%S%f}-{token_hex(4)}"
    folder.mkdir(mode=_PRIVATE, parents=True)
    item = Item(folder, Journal(path.name, str(path.parent), arrived.isoformat()))
    try:
        item.note()
        sync_folder(queue)
        claimed = _claim(path, item)
    except OSError:
        if not item.archive.exists() and not _aside(item).exists():
            _discard(folder)
        raise
    if not claimed:
        _discard(folder)
        return None
    return item


def reopen(queue: Path, skip: Container[str] = ()) -> Iterator[Item]:
    """What was begun and is not in hand, the oldest first; what a crash left half taken is taken now.

    What cannot be told because the watched folder is gone stays for the next time. Raises `OSError`.
    """
    queue.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    for folder in sorted(queue.iterdir()):
        if folder.name in skip:
            continue
        item = _opened(folder)
        if item is None:
            continue
        try:
            whole = item.journal.settled or _recover(item)
        except OSError as error:
            line = "%s cannot be brought to the work folder: %s"
            tell(logging.ERROR, line, item.journal.name, item.id, error.strerror)
            continue
        if whole:
            item.mend_parts()
            yield item


def _opened(folder: Path) -> Item | None:
    """The item of the folder. An archive whose journal is gone or damaged gets a new one, and begins anew."""
    try:
        return Item(folder, Journal(**json.loads((folder / _JOURNAL).read_bytes())))
    except FileNotFoundError:
        if not (folder / ARCHIVE).exists():
            _discard(folder)  # a crash before anything was taken
            return None
    except (ValueError, TypeError):
        if not (folder / ARCHIVE).exists():
            _log.error("The journal of %s is damaged, and its archive is not there", folder.name)
            return None
    _log.error("The journal of %s is gone or damaged: the archive is begun anew", folder.name)
    item = Item(folder, Journal(f"{folder.name}.zip", str(folder), datetime.now(UTC).isoformat()))
    item.forget_parts()
    return item


def _claim(path: Path, item: Item) -> bool:
    try:
        path.rename(item.archive)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _claim_by_copy(path, item)
    sync_folder(path.parent)
    sync_folder(item.folder)
    return True


def _claim_by_copy(path: Path, item: Item) -> bool:
    """The work folder is on another file system: set aside by renaming, then copied, then removed."""
    aside = _aside(item)
    try:
        path.rename(aside)
    except FileNotFoundError:
        return False
    _fetch(aside, item)
    return True


def _fetch(aside: Path, item: Item) -> None:
    copy = item.folder / ".archive.part"
    copy_durably(aside, copy)
    copy.replace(item.archive)
    sync_folder(item.folder)
    aside.unlink()


def _recover(item: Item) -> bool:
    """End what a crash interrupted; False where the archive was never taken, or cannot be had now."""
    aside = _aside(item)
    if item.archive.exists():
        aside.unlink(missing_ok=True)
        return True
    if aside.exists():
        _fetch(aside, item)
        return True
    if aside.parent.is_dir():
        _discard(item.folder)
    return False


def _aside(item: Item) -> Path:
    return Path(item.journal.taken_in, f".ponte-{item.id}.taken")


def _discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
