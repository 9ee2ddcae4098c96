"""A backup of all that the router keeps, made while it runs or not: rows and files that belong together.

Files are held by hard links first, so that none goes while it is copied; then the rows are copied by SQLite's
own means, as of one moment; then the files of rows that came in between are held as well. What the router
forwards and removes meanwhile has a row that says so, or is in the backup and is sent once more after it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from installer.archive import Contents, Writer
from installer.owner import as_owner_of
from installer.settings import Setting, read_settings
from ponte.errors import InvalidRequest, StorageFull, TransientError
from ponte.quarantine import NO_PIXELS_FOLDER, OTHERS_FOLDER
from ponte.version import VERSION
from router.config import RouterConfig
from router.database import FILE_NAME
from router.folders import is_instance_file, is_study_folder
from router.metadata import FILE_NAME as METADATA_NAME
from router.spool import Spool, new_name

LOCK_NAME: Final = "backup.lock"
_ATTEMPTS = 5
_FOLDER_PREFIX = "backup-"
_ROOM_BESIDE_BYTES = 64 << 20
_ROOM_FOR_EACH_BYTES = 2048  # header, padding and digest
_TIMES_THE_MARK = 2  # of free space, below which modalities are put off
_KEYS = (".key", ".pub")


def default_name() -> str:
    """By the time, in UTC."""
    return f"ponte-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"


def make(config: RouterConfig, target: Path, *, configuration: Sequence[Path] = ()) -> Contents:
    """Write a backup; what is in it. `configuration` are the files that the settings were read from; what
    they name is taken along.

    Raises `InvalidRequest` where there is nothing to back up or `target` is there already, `StorageFull`
    where there is no room, `TransientError` while another backup is made.
    """
    spool = Spool(config.dicom_root)
    if not (spool.folder / FILE_NAME).exists():
        raise InvalidRequest(f"{config.dicom_root} has no router's rows; expected a DICOM_ROOT in use")
    settings = read_settings(configuration)
    with _whole(target) as stream, as_owner_of(config.dicom_root), _held(spool) as held:
        _check_room(config, held, stream)
        return _write(config.dicom_root, held, settings, Writer(stream))


@dataclass(frozen=True, slots=True)
class Held:
    """What cannot go any more: `rows` is the copy of the database, `places` the kept files below `folder`."""

    folder: Path
    rows: Path
    places: Sequence[str]
    missing: int

    @property
    def size_bytes(self) -> int:
        return self.rows.stat().st_size + sum((self.folder / place).stat().st_size for place in self.places)


@contextmanager
def _held(spool: Spool) -> Iterator[Held]:
    with _alone(spool):
        folder = spool.folder / f"{_FOLDER_PREFIX}{new_name()}"
        folder.mkdir(mode=0o700)
        try:
            yield _hold(spool, folder)
        finally:
            shutil.rmtree(folder)


@contextmanager
def _alone(spool: Spool) -> Iterator[None]:
    """One backup at a time; what a killed one left goes."""
    file = os.open(spool.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in spool.folder.glob(f"{_FOLDER_PREFIX}*/"):
            shutil.rmtree(left)
        yield
    except BlockingIOError as error:
        raise TransientError("Another backup of this DICOM_ROOT is being made", code="IN_USE") from error
    finally:
        os.close(file)


def _hold(spool: Spool, folder: Path) -> Held:
    files, rows = folder / "kept", folder / FILE_NAME
    _link(spool, files, spool.places())
    for _ in range(_ATTEMPTS):
        copy_rows(spool.folder / FILE_NAME, rows)
        places = _kept_places(rows)
        missing = _link(spool, files, (place for place in places if not (files / place).exists()))
        if not missing:
            break
    there = [place for place in places if (files / place).exists()]
    return Held(files, rows, there, len(places) - len(there))


def _link(spool: Spool, files: Path, places: Iterable[str]) -> int:
    """How many were gone already."""
    gone = 0
    for place in places:
        name = files / place
        name.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.link(spool.path_of(place), name)
        except FileNotFoundError:
            gone += 1
    return gone


def copy_rows(source: Path, target: Path) -> None:
    """The rows as of one moment, beside whoever writes. Raises `TransientError`."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(source)) as there,
            contextlib.closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here)
            here.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
    except sqlite3.Error as error:
        raise TransientError(f"{source.name} cannot be copied: {error}", code="STORAGE") from error


def _kept_places(rows: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(rows)) as connection:
        found = connection.execute("SELECT place FROM instances WHERE state = 'kept' ORDER BY number")
        return [place for (place,) in found]


def _check_room(config: RouterConfig, held: Held, stream: BinaryIO) -> None:
    """The disk that modalities need is left its room."""
    disk = os.fstatvfs(stream.fileno())
    free = disk.f_bavail * disk.f_frsize
    same = os.fstat(stream.fileno()).st_dev == config.dicom_root.stat().st_dev
    left = _TIMES_THE_MARK * config.disk.associations_bytes if same else 0
    needed = held.size_bytes + len(held.places) * _ROOM_FOR_EACH_BYTES + _ROOM_BESIDE_BYTES
    if free - needed < left:
        where = "the disk of DICOM_ROOT, of which modalities need the rest" if same else "the backup's disk"
        raise StorageFull(f"the backup needs {needed} bytes; {max(0, free - left)} are to be had on {where}")


def _write(root: Path, held: Held, settings: Sequence[Setting], writer: Writer) -> Contents:
    writer.add(f"spool/{FILE_NAME}", held.rows)
    spool = Spool(root).folder
    for key in sorted(path for path in spool.iterdir() if path.suffix in _KEYS and path.is_file()):
        writer.add(f"spool/{key.name}", key)
    for audit in sorted((spool / "log").glob("audit.log*")):  # written to meanwhile, so taken at once
        writer.add_bytes(f"spool/log/{audit.name}", audit.read_bytes())
    for setting in settings:
        writer.add_bytes(f"configuration/{setting.name}", setting.content)
    if (metadata := root / METADATA_NAME).is_file():
        writer.add_bytes(f"root/{METADATA_NAME}", metadata.read_bytes())
    quarantined = sum(_add_tree(writer, root, root / name) for name in (NO_PIXELS_FOLDER, OTHERS_FOLDER))
    loose = _add_loose(writer, root, held)
    size = sum(writer.add(f"spool/kept/{place}", held.folder / place) for place in held.places)
    contents = replace(
        _read_contents(held),
        instances=len(held.places), instance_bytes=size, missing=held.missing, quarantined=quarantined,
        loose=loose, configuration={setting.name: str(setting.path) for setting in settings},
    )  # fmt: skip
    writer.finish(contents)
    return contents


def _add_tree(writer: Writer, root: Path, folder: Path) -> int:
    """Files of quarantine, which never change once they have their name. One that goes meanwhile was
    released or purged by somebody."""
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                writer.add(f"root/{path.relative_to(root)}", path)
                count += 1
    return count


def _add_loose(writer: Writer, root: Path, held: Held) -> int:
    """Files of an old router that this one has not taken in yet: those that are no second name of a kept
    one."""
    kept = {(held.folder / place).stat().st_ino for place in held.places}
    count = 0
    for path in _instance_files(root):
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
            if found.st_ino not in kept and found.st_nlink == 1:
                writer.add(f"root/{path.relative_to(root)}", path)
                count += 1
    return count


def _instance_files(root: Path) -> Iterator[Path]:
    folders = [
        root,
        *(path for path in sorted(root.iterdir()) if path.is_dir() and is_study_folder(path.name)),
    ]
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            files = sorted(folder.iterdir())
            yield from (path for path in files if is_instance_file(path.name) and _is_plain(path))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _read_contents(held: Held) -> Contents:
    with contextlib.closing(sqlite3.connect(held.rows)) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        waiting: dict[str, int] = {}
        with contextlib.suppress(sqlite3.OperationalError):  # a schema that had no destinations yet
            waiting = dict(
                connection.execute(
                    "SELECT destination, count(*) FROM deliveries WHERE state IN ('waiting', 'sending')"
                    " GROUP BY destination"
                )
            )
    return Contents(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", f"Ponte {VERSION}", schema, waiting=waiting)


@contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """The owner's alone, and never seen half written. Raises `InvalidRequest` where it is there already."""
    if target.exists():
        raise InvalidRequest(f"{target} is there already; a backup is never written over")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
