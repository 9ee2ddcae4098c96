"""Files that survive a power cut, and names that cannot hurt."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20
_NAME_BYTES = 180  # of the 255 of a file system: room for what is appended


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a file from what it was before: another file in its place, or other bytes in it."""

    device: int
    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def write_whole(path: Path, data: bytes) -> None:
    """Write the file so that it is there whole or not at all, also after a power cut."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in the folder durable, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # network shares and drives of Windows refuse it
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def safe_name(name: str) -> str:
    """The name as it may stand in another folder: printable, not hidden, not too long."""
    shown = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name).strip(" .")
    stem, dot, suffix = shown.rpartition(".")
    if not dot or not stem:
        stem, suffix = shown or "archive", "zip"
    data = stem.encode(errors="replace")[:_NAME_BYTES]
    return f"{data.decode(errors='ignore').rstrip(' .')}.{suffix[:16]}"


def move(source: Path, target: Path) -> None:
    """Rename the file to `target`, which must not be there; by way of a copy between file systems.

    Raises `FileExistsError`. Where a crash left both names to one file, it ends what was begun.
    """
    if target.exists() and source.exists() and target.samefile(source):
        source.unlink()
        return
    try:
        _move_within(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = target.with_name(f".{target.name}.part")
        copy_durably(source, copy)
        _move_within(copy, target)
        source.unlink()
    sync_folder(target.parent)


def copy_durably(source: Path, target: Path) -> None:
    """Copy the bytes; they are on the disk when this returns."""
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, _CHUNK)
        writer.flush()
        os.fsync(writer.fileno())


def _move_within(source: Path, target: Path) -> None:
    """A link and not a rename: that would take the place of a file that is there."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EEXIST):
            raise
        _move_without_links(source, target)
        return
    source.unlink()


def _move_without_links(source: Path, target: Path) -> None:
    """On file systems that know no links: an empty file reserves the name."""
    if not (target.is_file() and target.stat().st_size == 0):
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    source.replace(target)
