"""From one version of Ponte to the next: a backup, then the rows brought up to what this version knows."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from installer.backup import copy_rows, default_name, make
from installer.owner import as_owner_of
from ponte.errors import InvalidRequest
from router.config import RouterConfig
from router.database import FILE_NAME, MIGRATIONS, Database
from router.spool import Spool
from router.startup import SpoolLock


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The schema before and after; `backup` is None where there was nothing to do, or none was wanted; `rows`
    is the copy of the rows as they were, beside them."""

    before: int
    after: int
    backup: Path | None = None
    rows: Path | None = None


def upgrade(
    config: RouterConfig, folder: Path, *, configuration: Sequence[Path] = (), with_backup: bool = True
) -> Upgraded:
    """Bring the rows up to this version; the router does not run meanwhile.

    Raises `InvalidRequest` where it runs, where there are no rows, and where they are of a later version.
    """
    spool = Spool(config.dicom_root)
    path = spool.folder / FILE_NAME
    if not path.exists():
        raise InvalidRequest(f"{config.dicom_root} has no router's rows: there is nothing to upgrade")
    with as_owner_of(config.dicom_root):
        lock = SpoolLock(spool)
    try:
        before = _schema(path, config.dicom_root)
        if before >= len(MIGRATIONS):
            _refuse_later(before)
            return Upgraded(before, before)
        backup = folder / default_name() if with_backup else None
        if backup is not None:
            make(config, backup, configuration=configuration)
        return _migrated(path, config.dicom_root, before, backup)
    finally:
        lock.release()


def _schema(path: Path, root: Path) -> int:
    with as_owner_of(root), contextlib.closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)


def _refuse_later(schema: int) -> None:
    if schema > len(MIGRATIONS):
        raise InvalidRequest(
            f"the rows have schema {schema}, of a later version of Ponte; this one knows {len(MIGRATIONS)}."
            " Nothing was changed. Install the later version again, or go back as docs/upgrade.md says",
            code="LATER_VERSION",
        )


def _migrated(path: Path, root: Path, before: int, backup: Path | None) -> Upgraded:
    with as_owner_of(root):
        rows = path.with_name(f"{FILE_NAME}.schema-{before}")
        copy_rows(path, rows)
        database = Database(path)
        try:
            database.check()
            database.settle()
        finally:
            database.close()
    return Upgraded(before, len(MIGRATIONS), backup, rows)
