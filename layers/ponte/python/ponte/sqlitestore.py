"""The ledger's rows in SQLite, for one machine: threads and processes may share the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Final, TypeVar

from ponte.dedup import Row
from ponte.errors import InvalidRequest

T = TypeVar("T")

SCHEMA: Final = 1
_BUSY_S = 30.0
_APPLICATION = 0x506F6E74  # "Pont": tells our file from another program's
_TABLE = """
CREATE TABLE ledger (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, owner TEXT NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID
"""


class SqliteStore:
    """A store in a file that is its own. Each change is on the disk when it is answered.

    Raises `InvalidRequest` for a file of another program or of a later version, which is left as it is, and
    for one that cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._lock = RLock()
        try:
            self._database = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise InvalidRequest(f"{path.name} cannot be used as a ledger: {error}") from error
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise InvalidRequest(f"{path.name} cannot be used as a ledger: {error}") from error
        except InvalidRequest:
            self._database.close()
            raise

    def _open(self, path: Path) -> None:
        """Make the table in a new file; believe no other."""
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise InvalidRequest(f"{path.name} is a database of another program; expected a ledger of Ponte")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                raise InvalidRequest(f"{path.name} is of a later version of Ponte")
            if not version:
                self._database.execute(_TABLE)
                self._database.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._database.execute(f"PRAGMA user_version = {SCHEMA}")

    def get(self, key: str) -> Row | None:
        """The row, or None."""
        with self._lock:
            found = self._database.execute(
                "SELECT digest, owner, expires_at FROM ledger WHERE key = ?", (key,)
            ).fetchone()
        return Row(*found) if found else None

    def swap(self, key: str, before: Row | None, after: Row | None) -> bool:
        """Put `after` in the place of `before`; False where it is not there."""
        with self._lock, self._transaction():
            if before is None:
                return after is not None and self._insert(key, after)
            old = (key, before.digest, before.owner, before.expires_at)
            same = "key = ? AND digest = ? AND owner = ? AND expires_at = ?"
            if after is None:
                return self._changed(f"DELETE FROM ledger WHERE {same}", old)  # noqa: S608
            new = (after.digest, after.owner, after.expires_at)
            statement = f"UPDATE ledger SET digest = ?, owner = ?, expires_at = ? WHERE {same}"  # noqa: S608
            return self._changed(statement, (*new, *old))

    def together(self, steps: Sequence[Callable[[], T]]) -> list[T]:
        """All in one transaction: one write to the disk. Where a step raises, nothing was changed."""
        with self._lock, self._transaction():
            return [step() for step in steps]

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _insert(self, key: str, row: Row) -> bool:
        return self._changed(
            "INSERT OR IGNORE INTO ledger VALUES (?, ?, ?, ?)", (key, row.digest, row.owner, row.expires_at)
        )

    def _changed(self, statement: str, values: tuple[str | float, ...]) -> bool:
        return self._database.execute(statement, values).rowcount == 1

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._database.in_transaction:
            yield  # a step of several: the outermost begins and ends it
            return
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
