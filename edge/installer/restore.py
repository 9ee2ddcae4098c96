"""A DICOM_ROOT made of a backup, on a machine that has nothing there yet."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from installer.archive import Contents, unpack
from installer.owner import as_owner_of
from ponte.errors import InvalidRequest, StorageFull
from router.database import MIGRATIONS
from router.spool import FOLDER_NAME, sync_folder
from router.startup import LOCK_NAME

WORK: Final = ".restoring"
_MAY_BE_THERE = frozenset({WORK, "lost+found"})


def restore(source: Path, root: Path, configuration: Path | None = None) -> Contents:
    """Make `root`, which is empty or not there, what it was; what the backup holds.

    Settings go into the folder `configuration`, where it is named; a file that is there stays. Raises
    `InvalidRequest` for a root that is in use, and for a backup that is damaged or of a later version;
    `StorageFull`. Then nothing of it counts.
    """
    _check_empty(root)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with source.open("rb") as stream, as_owner_of(root):
        _check_room(root, os.fstat(stream.fileno()).st_size)
        work = root / WORK
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            contents = unpack(stream, work)
            _check_schema(contents)
            _put_in_place(work, root)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    _put_settings(work / "configuration", configuration)
    shutil.rmtree(work)
    return contents


def _check_empty(root: Path) -> None:
    if not root.exists():
        return
    if _is_in_use(root):
        raise InvalidRequest(
            f"a router works on {root}; expected a folder that is empty", code="SPOOL_IN_USE"
        )
    others = sorted(path.name for path in root.iterdir() if path.name not in _MAY_BE_THERE)
    if others:
        raise InvalidRequest(
            f"{root} has {len(others)} files or folders; expected one that is empty: nothing is written over",
            code="ROOT_NOT_EMPTY",
        )


def _is_in_use(root: Path) -> bool:
    try:
        file = os.open(root / FOLDER_NAME / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _check_room(root: Path, needed: int) -> None:
    free = shutil.disk_usage(root).free
    if free < needed:
        raise StorageFull(f"the backup has {needed} bytes; {free} are free on the disk of {root}")


def _check_schema(contents: Contents) -> None:
    if contents.schema > len(MIGRATIONS):
        raise InvalidRequest(
            f"the backup has schema {contents.schema}, of a later version of Ponte ({contents.version});"
            f" this one knows {len(MIGRATIONS)}: install that version, then restore",
            code="LATER_VERSION",
        )


def _put_in_place(work: Path, root: Path) -> None:
    """The spool last: a router that finds it finds all the rest."""
    for folder in ("root", "spool"):
        (work / folder).mkdir(mode=0o700, exist_ok=True)
    for folder, _, _ in os.walk(work):
        sync_folder(Path(folder))
    for path in sorted((work / "root").iterdir()):
        path.rename(root / path.name)
    (work / "spool").rename(root / FOLDER_NAME)
    sync_folder(root)


def _put_settings(source: Path, target: Path | None) -> None:
    if target is None or not source.is_dir():
        return
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {path.name: path.read_bytes() for path in sorted(source.iterdir())}
    with as_owner_of(target):
        for name, content in found.items():
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(
                    target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(content)
