"""The rows: what is kept, what was asked, who asked. SQLite in the spool's folder, for the one router of it.

The files are the truth and the rows an index of them, which is built again when it is lost. They hold patient
data, as received: the file is its owner's alone, and no row's content goes to a log.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ponte.errors import InvalidRequest, TransientError
from router import control_rows, delivery_rows, organiser_rows, views_rows
from router.reception import AssociationFacts

FILE_NAME: Final = "router.db"
_BUSY_S = 5.0
_APPLICATION = 0x506F6E52  # "PonR": tells our file from another program's
_AFTER_WAL_PAGES = 4000  # a checkpoint is made in the background; this is for when nobody makes it

MIGRATIONS: Final[Sequence[str]] = (
    """
    CREATE TABLE associations (
        id TEXT PRIMARY KEY, calling_ae_title TEXT NOT NULL, called_ae_title TEXT NOT NULL,
        address TEXT NOT NULL, listener TEXT NOT NULL, tls_subject TEXT, started_at REAL NOT NULL,
        ended_at REAL, ending TEXT
    ) WITHOUT ROWID;
    CREATE TABLE studies (
        study_instance_uid TEXT PRIMARY KEY, character_set BLOB, patient_id BLOB, patient_name BLOB,
        study_date BLOB, study_time BLOB, accession_number BLOB, study_description BLOB,
        first_received_at REAL NOT NULL, last_received_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE instances (
        number INTEGER PRIMARY KEY AUTOINCREMENT, sop_instance_uid TEXT NOT NULL,
        sop_class_uid TEXT NOT NULL, transfer_syntax_uid TEXT NOT NULL, study_instance_uid TEXT NOT NULL,
        series_instance_uid TEXT NOT NULL, modality BLOB, sha256 BLOB NOT NULL, size_bytes INTEGER NOT NULL,
        dataset_start INTEGER NOT NULL, place TEXT NOT NULL, notes TEXT NOT NULL, association_id TEXT,
        source_ae_title TEXT, received_at REAL NOT NULL, durable_at REAL NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('kept', 'removed', 'missing'))
    );
    CREATE UNIQUE INDEX kept_instances ON instances (sop_instance_uid) WHERE state = 'kept';
    CREATE INDEX former_instances ON instances (sop_instance_uid) WHERE state <> 'kept';
    CREATE INDEX instances_of_study ON instances (study_instance_uid);
    CREATE TABLE quarantined (
        id TEXT PRIMARY KEY, reason TEXT NOT NULL, sha256 TEXT, sop_instance_uid TEXT NOT NULL,
        association_id TEXT, status INTEGER NOT NULL, received_at REAL NOT NULL
    );
    CREATE INDEX quarantined_instances ON quarantined (sop_instance_uid);
    CREATE TABLE commitments (
        number INTEGER PRIMARY KEY AUTOINCREMENT, transaction_uid TEXT NOT NULL,
        calling_ae_title TEXT NOT NULL, called_ae_title TEXT NOT NULL, address TEXT NOT NULL,
        requested TEXT NOT NULL, result TEXT, asked_at REAL NOT NULL, attempts INTEGER NOT NULL,
        next_at REAL NOT NULL, reported_at REAL, state TEXT NOT NULL
            CHECK (state IN ('asked', 'reported', 'given_up'))
    );
    CREATE INDEX open_commitments ON commitments (next_at) WHERE state = 'asked';
    """,
    organiser_rows.SCHEMA,
    delivery_rows.MIGRATION,
    views_rows.MIGRATION,
    control_rows.MIGRATION,
)
"""A script for each version of the schema, never changed once released; `PRAGMA user_version` counts them."""


class DatabaseDamaged(TransientError):
    """SQLite cannot read the file: the rows are to be built again from the spool."""

    default_code = "DATABASE_DAMAGED"


@dataclass(frozen=True, slots=True)
class Study:
    """What a study's row has: values as received, undecoded, None where the instance has none."""

    study_instance_uid: str
    character_set: bytes | None = field(default=None, repr=False)
    patient_id: bytes | None = field(default=None, repr=False)
    patient_name: bytes | None = field(default=None, repr=False)
    study_date: bytes | None = field(default=None, repr=False)
    study_time: bytes | None = field(default=None, repr=False)
    accession_number: bytes | None = field(default=None, repr=False)
    study_description: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance that is kept, or was. `place` is its path within the spool; `sha256` is of the dataset,
    which begins `dataset_start` bytes into the file; `source_ae_title` is who sent it. Times
    are seconds since the epoch."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    modality: bytes | None
    sha256: bytes
    size_bytes: int
    dataset_start: int
    place: str
    notes: str
    association_id: str | None
    source_ae_title: str | None
    received_at: float
    durable_at: float
    state: str = "kept"
    number: int = 0


_COLUMNS = ", ".join(Instance.__slots__)
_NEW_COLUMNS = ", ".join(Instance.__slots__[:-1])
_INSERT = f"INSERT INTO instances ({_NEW_COLUMNS}) VALUES ({', '.join('?' * 16)})"  # noqa: S608
_KEPT = f"SELECT {_COLUMNS} FROM instances WHERE sop_instance_uid = ? AND state = 'kept'"  # noqa: S608
_FORMER = (
    f"SELECT {_COLUMNS} FROM instances WHERE sop_instance_uid = ? AND state <> 'kept'"  # noqa: S608
    " ORDER BY number DESC LIMIT 1"
)
_AFTER = (
    f"SELECT {_COLUMNS} FROM instances WHERE number > ? AND state = 'kept'"  # noqa: S608
    " ORDER BY number LIMIT ?"
)
_NOTE_QUARANTINED = (
    "INSERT OR IGNORE INTO quarantined (id, reason, sha256, sop_instance_uid, association_id, status,"
    " received_at, study_instance_uid) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(nullif(?8, ''),"
    " (SELECT study_instance_uid FROM instances WHERE sop_instance_uid = ?4 AND state = 'kept'),"
    " (SELECT study_instance_uid FROM instances WHERE sop_instance_uid = ?4 AND state <> 'kept')))"
)
_STUDY = (
    "INSERT INTO studies VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET last_received_at = excluded.last_received_at"
)


class Database:
    """The rows. Not for several threads at once; what is changed is durable after `commit`.

    Raises `InvalidRequest` for a file of another program or of a later version, which is left as it is, and
    `DatabaseDamaged`. All else raises `sqlite3.Error`.
    """

    def __init__(self, path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = path
        self.is_new = False
        """True where there were no rows yet, nor tables for them."""
        self._migrations = migrations
        self._create(path)
        self._connection = sqlite3.connect(
            path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            self._open()
        except sqlite3.OperationalError:
            self._connection.close()
            raise
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DatabaseDamaged(f"{path.name} cannot be read: {error}") from error
        except InvalidRequest:
            self._connection.close()
            raise

    @staticmethod
    def _create(path: Path) -> None:
        """With the right mode from the start: SQLite gives it to the files beside it as well."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _open(self) -> None:
        run = self._connection.execute
        (application,) = run("PRAGMA application_id").fetchone()
        (tables,) = run("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and tables:
            raise InvalidRequest(
                f"{self.path.name} is a database of another program; expected Ponte's router"
            )
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA wal_autocheckpoint = {_AFTER_WAL_PAGES}")
        self._migrate()
        self._file_id = self._id_on_disk()

    def _migrate(self) -> None:
        """One transaction a version. Raises `InvalidRequest` for a later version than ours."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        self.is_new = not version
        if version > len(self._migrations):
            raise InvalidRequest(
                f"{self.path.name} has schema {version}, of a later version of Ponte; "
                f"expected {len(self._migrations)} at most"
            )
        for number, script in enumerate(self._migrations[version:], version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {_APPLICATION};"
                f" PRAGMA user_version = {number}; COMMIT;"
            )

    def check(self) -> None:
        """Look the whole file through. Raises `DatabaseDamaged`."""
        try:
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise DatabaseDamaged(f"{self.path.name} cannot be read: {error}") from error
        if found != "ok":
            raise DatabaseDamaged(f"{self.path.name} is damaged")

    def check_place(self) -> None:
        """Raises `DatabaseDamaged` where the file was deleted or replaced: what is written then would be lost
        in the end."""
        if self._id_on_disk() != self._file_id:
            raise DatabaseDamaged(f"{self.path.name} was taken away")

    def _id_on_disk(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def begin(self) -> None:
        """Begin a transaction that may write."""
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make what was changed since `begin` durable."""
        self._connection.execute("COMMIT")

    def touch(self) -> None:
        """Write what is there already: whoever commits that knows whether the file can be written."""
        self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")

    def rollback(self) -> None:
        """Undo what was changed since `begin`."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def settle(self) -> None:
        """Write all rows into the main file and sync it, so that nothing rests on the log any more."""
        (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("database is locked")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def kept(self, sop_instance_uid: str) -> Instance | None:
        """The instance that is here, if any."""
        return self._instance(_KEPT, sop_instance_uid)

    def former(self, sop_instance_uid: str) -> Instance | None:
        """The latest of that UID that is here no more."""
        return self._instance(_FORMER, sop_instance_uid)

    def _instance(self, query: str, sop_instance_uid: str) -> Instance | None:
        found = self._connection.execute(query, (sop_instance_uid,)).fetchone()
        return Instance(*found) if found else None

    def after(self, number: int, most: int) -> list[Instance]:
        """What is kept and has a higher number, in the order in which it came: what there is to do next."""
        return [Instance(*row) for row in self._connection.execute(_AFTER, (number, most))]

    def insert(self, instance: Instance, study: Study) -> None:
        """A row for what is kept from now on."""
        self._connection.execute(
            _INSERT,
            (
                instance.sop_instance_uid, instance.sop_class_uid, instance.transfer_syntax_uid,
                instance.study_instance_uid, instance.series_instance_uid, instance.modality, instance.sha256,
                instance.size_bytes, instance.dataset_start, instance.place, instance.notes,
                instance.association_id, instance.source_ae_title, instance.received_at,
                instance.durable_at, instance.state,
            ),
        )  # fmt: skip
        self._connection.execute(
            _STUDY,
            (
                study.study_instance_uid, study.character_set, study.patient_id, study.patient_name,
                study.study_date, study.study_time, study.accession_number, study.study_description,
                instance.received_at, instance.received_at,
            ),
        )  # fmt: skip

    def change_state(self, sop_instance_uid: str, state: str) -> bool:
        """The kept instance is `removed` on purpose, or `missing`; False where there is none."""
        query = "UPDATE instances SET state = ? WHERE sop_instance_uid = ? AND state = 'kept'"
        return self._connection.execute(query, (state, sop_instance_uid)).rowcount == 1

    def places(self) -> Iterator[tuple[str, str, str]]:
        """Place, state and SOP Instance UID of all instances, those that were removed included."""
        yield from self._connection.execute("SELECT place, state, sop_instance_uid FROM instances")

    def count_kept(self) -> int:
        """How many instances are kept."""
        query = "SELECT count(*) FROM instances WHERE state = 'kept'"
        return int(self._connection.execute(query).fetchone()[0])

    def open_association(self, facts: AssociationFacts) -> None:
        """Who sent what follows."""
        self._connection.execute(
            "INSERT OR IGNORE INTO associations VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
            (
                facts.id, facts.calling_ae_title, facts.called_ae_title, facts.address, facts.listener,
                facts.tls_subject, facts.started_at,
            ),
        )  # fmt: skip

    def close_association(self, identity: str, ending: str, ended_at: float) -> None:
        """How and when it ended."""
        self._connection.execute(
            "UPDATE associations SET ending = ?, ended_at = ? WHERE id = ?", (ending, ended_at, identity)
        )

    def note_quarantined(
        self, row: Sequence[object], study_instance_uid: str = "", facts: AssociationFacts | None = None
    ) -> None:
        """An entry of the quarantine, once: id, reason, digest, instance, association, status, time.

        Its study is the one given, or that of the kept or former instance of the same UID. `facts` are of the
        association that it came by: one whose instances all went there has a row too.
        """
        if facts is not None:
            self.open_association(facts)
        self._connection.execute(_NOTE_QUARANTINED, (*row, study_instance_uid))

    def run(self, statement: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """One statement, for tables that have a module of their own."""
        return self._connection.execute(statement, tuple(values))

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """The same statement for each of `rows`."""
        self._connection.executemany(statement, rows)


def checkpoint(path: Path) -> None:
    """Write rows from the log into the main file, beside who uses it, waiting for nobody."""
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def opened_again(path: Path) -> Database:
    """The database that was there before, looked through. Raises `DatabaseDamaged`, where it is empty too."""
    database = Database(path)
    try:
        database.check()
    except BaseException:
        database.close()
        raise
    if database.is_new:
        database.close()
        raise DatabaseDamaged(f"{path.name} is empty")
    return database
