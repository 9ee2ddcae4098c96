"""The rows of organising and removing: each study's folder, parts and entry; each instance's name.

Rows come first and the disk follows: what a row says is done on the disk after its commit, and again at the
next start where that was cut short. `organised.file` is the name that an instance has, or is to have, in its
study's folder, and NULL once it was taken away; so what was interrupted is found by a query.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from router.database import Database

ORGANISED: Final = "organised"
"""The position up to which everything has its name. Where there is none, the rows are new."""
PATROLLED: Final = "patrolled"
"""The position up to which digests were compared in this round."""
NO_STUDY: Final = ""
"""The Study Instance UID of what belongs to no study: no patient's, in no metadata."""

CompletedBy = Literal["association", "limit", "hand", "adoption"]

SCHEMA: Final = """
    CREATE TABLE study_folders (
        study_instance_uid TEXT PRIMARY KEY, folder TEXT, folder_key TEXT UNIQUE,
        image_count INTEGER NOT NULL, sent INTEGER NOT NULL, entry TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE organised (
        number INTEGER PRIMARY KEY, study_instance_uid TEXT NOT NULL, part INTEGER NOT NULL,
        file TEXT COLLATE NOCASE, confirmed_at REAL
    );
    CREATE UNIQUE INDEX organised_files ON organised (study_instance_uid, file) WHERE file IS NOT NULL;
    CREATE INDEX organised_parts ON organised (study_instance_uid, part);
    CREATE INDEX linked ON organised (number) WHERE file IS NOT NULL;
    CREATE INDEX unconfirmed ON organised (number) WHERE confirmed_at IS NULL;
    CREATE INDEX unconfirmed_of_study ON organised (study_instance_uid) WHERE confirmed_at IS NULL;
    CREATE INDEX removable ON organised (confirmed_at) WHERE confirmed_at IS NOT NULL AND file IS NOT NULL;
    CREATE TABLE study_parts (
        study_instance_uid TEXT NOT NULL, part INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('open', 'complete')), opened_at REAL NOT NULL,
        completed_at REAL, completed_by TEXT, completion INTEGER UNIQUE,
        PRIMARY KEY (study_instance_uid, part)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX open_parts ON study_parts (study_instance_uid) WHERE state = 'open';
    CREATE INDEX open_associations ON associations (id) WHERE ended_at IS NULL;
    CREATE TABLE positions (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """A study's folder. `folder` is None where none was made here; `entry` is its entry of the metadata, as
    JSON, "" where it has none. `image_count` counts every instance that ever came, those removed included."""

    study_instance_uid: str
    folder: str | None = field(repr=False)
    image_count: int
    sent: bool
    entry: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """Instances of a study that are complete together: the first part, then its supplements. `completion`
    numbers all complete parts in the order in which they were completed."""

    study_instance_uid: str
    part: int
    completed_by: CompletedBy
    completion: int


@dataclass(frozen=True, slots=True)
class Kept:
    """An instance that is kept. `file` is its name in the study's folder, if it has one yet."""

    number: int
    place: str
    size_bytes: int
    file: str | None


@dataclass(frozen=True, slots=True)
class Linked:
    """An instance with its place in the spool and its name, and what its own row says of it."""

    number: int
    place: str
    state: str
    study_instance_uid: str
    folder: str = field(repr=False)
    file: str


def position(database: Database, name: str) -> int | None:
    """How far whoever has this name has come."""
    row = database.run("SELECT number FROM positions WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else None


def move(database: Database, name: str, number: int) -> None:
    """Note how far it has come."""
    database.run("INSERT OR REPLACE INTO positions VALUES (?, ?)", (name, number))


def study_folder(database: Database, study_instance_uid: str) -> StudyFolder | None:
    """What there is of a study."""
    query = (
        "SELECT study_instance_uid, folder, image_count, sent, entry FROM study_folders"
        " WHERE study_instance_uid = ?"
    )
    row = database.run(query, (study_instance_uid,)).fetchone()
    return StudyFolder(row[0], row[1], row[2], bool(row[3]), row[4]) if row else None


def folder_is_taken(database: Database, folder: str) -> bool:
    """True where a study has a folder of this name, or of one that Windows takes for the same."""
    return (
        database.run("SELECT 1 FROM study_folders WHERE folder_key = ?", (folder.casefold(),)).fetchone()
        is not None
    )


def study_of_folder(database: Database, folder: str) -> StudyFolder | None:
    """The study that has this folder."""
    query = "SELECT study_instance_uid FROM study_folders WHERE folder_key = ?"
    row = database.run(query, (folder.casefold(),)).fetchone()
    return study_folder(database, row[0]) if row else None


def keep_study(database: Database, study: StudyFolder) -> None:
    """Insert or update a study's row. Raises `sqlite3.IntegrityError` where another has the folder."""
    key = None if study.folder is None else study.folder.casefold()
    database.run(
        "INSERT INTO study_folders VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (study_instance_uid) DO UPDATE SET"
        " folder = excluded.folder, folder_key = excluded.folder_key, image_count = excluded.image_count,"
        " sent = excluded.sent, entry = excluded.entry",
        (study.study_instance_uid, study.folder, key, study.image_count, study.sent, study.entry),
    )


def entries_after(database: Database, study_instance_uid: str, most: int) -> list[tuple[str, str]]:
    """Study and entry of the studies that follow in the order of their UIDs."""
    query = (
        "SELECT study_instance_uid, entry FROM study_folders WHERE study_instance_uid > ?"
        " ORDER BY study_instance_uid LIMIT ?"
    )
    return database.run(query, (study_instance_uid, most)).fetchall()


def give_name(database: Database, number: int, study_instance_uid: str, part: int, file: str) -> str:
    """The instance's name in its folder: `file`, or where another instance has that, one with a number."""
    taken = "SELECT 1 FROM organised WHERE study_instance_uid = ? AND file = ?"
    if database.run(taken, (study_instance_uid, file)).fetchone():
        file = other_name(file, number)
    database.run("INSERT INTO organised VALUES (?, ?, ?, ?, NULL)", (number, study_instance_uid, part, file))
    return file


def rename(database: Database, number: int, file: str, other: str) -> None:
    """Another name, where somebody else's file has the first."""
    database.run("UPDATE organised SET file = ? WHERE number = ? AND file = ?", (other, number, file))


def other_name(file: str, number: int) -> str:
    """A name that only this instance can have."""
    return f"{file.removesuffix('.dcm')}_{number}.dcm"


def was_organised(database: Database, sop_instance_uid: str, before: int) -> bool:
    """True where the same instance came, and was counted, before: a copy of it was removed since."""
    query = (
        "SELECT 1 FROM instances JOIN organised USING (number)"
        " WHERE sop_instance_uid = ? AND state <> 'kept' AND number < ?"
    )
    return database.run(query, (sop_instance_uid, before)).fetchone() is not None


_LINKED = (
    "SELECT number, place, state, o.study_instance_uid, folder, file FROM organised o"
    " JOIN instances USING (number) JOIN study_folders f ON f.study_instance_uid = o.study_instance_uid"
)


def _linked(rows: Iterable[tuple[int, str, str, str, str, str]]) -> list[Linked]:
    return [Linked(*row) for row in rows]


def linked_after(database: Database, number: int, most: int) -> list[Linked]:
    """Instances that have a name, in the order of their numbers."""
    query = f"{_LINKED} WHERE number > ? AND file IS NOT NULL ORDER BY number LIMIT ?"
    return _linked(database.run(query, (number, most)))


def linked(database: Database, number: int) -> Linked | None:
    """The same of one instance."""
    found = _linked(database.run(f"{_LINKED} WHERE number = ? AND file IS NOT NULL", (number,)))
    return found[0] if found else None


def removable(database: Database, confirmed_before: float, most: int) -> list[Linked]:
    """What all destinations have had since then, those that could not be removed included."""
    query = f"{_LINKED} WHERE confirmed_at <= ? AND file IS NOT NULL ORDER BY confirmed_at LIMIT ?"
    return _linked(database.run(query, (confirmed_before, most)))


def half_removed(database: Database, most: int) -> list[Linked]:
    """What was marked as removed, and is not known to be gone from the disk."""
    query = f"{_LINKED} WHERE state = 'removed' AND file IS NOT NULL LIMIT ?"
    return _linked(database.run(query, (most,)))


def files_of(database: Database, study_instance_uid: str) -> set[str]:
    """All names in a study's folder that are ours."""
    query = "SELECT file FROM organised WHERE study_instance_uid = ? AND file IS NOT NULL"
    return {file for (file,) in database.run(query, (study_instance_uid,))}


def unconfirmed_after(database: Database, number: int, most: int) -> list[int]:
    """Instances that some destination was still to have when last asked."""
    query = "SELECT number FROM organised WHERE number > ? AND confirmed_at IS NULL ORDER BY number LIMIT ?"
    return [number for (number,) in database.run(query, (number, most))]


def confirm(database: Database, number: int, confirmed_at: float) -> str | None:
    """All destinations have it; its study, or None where that was known, or there is no such instance."""
    query = (
        "UPDATE organised SET confirmed_at = ? WHERE number = ? AND confirmed_at IS NULL"
        " RETURNING study_instance_uid"
    )
    found = database.run(query, (confirmed_at, number)).fetchall()
    return found[0][0] if found else None


def mark_removed(database: Database, numbers: Sequence[int]) -> None:
    """Before anything is taken from the disk."""
    for number in numbers:
        database.run("UPDATE instances SET state = 'removed' WHERE number = ? AND state = 'kept'", (number,))


def kept_of(database: Database, study_instance_uid: str, after: int, most: int) -> list[Kept]:
    """The kept instances of a study, in the order of their numbers, whether organised or not."""
    query = (
        "SELECT i.number, i.place, i.size_bytes, o.file FROM instances i"
        " LEFT JOIN organised o ON o.number = i.number"
        " WHERE i.study_instance_uid = ? AND i.number > ? AND i.state = 'kept' ORDER BY i.number LIMIT ?"
    )
    return [Kept(*row) for row in database.run(query, (study_instance_uid, after, most))]


def is_kept(database: Database, number: int, place: str) -> bool:
    """True where this very instance is kept. Rows that were built again have other numbers."""
    query = "SELECT 1 FROM instances WHERE number = ? AND place = ? AND state = 'kept'"
    return database.run(query, (number, place)).fetchone() is not None


def mark_missing(database: Database, number: int, place: str) -> None:
    """It is kept no more, and nobody meant that: it is taken when it is sent again."""
    query = (
        "UPDATE instances SET state = 'missing' WHERE number = ? AND place = ? AND state = 'kept'"
        " RETURNING number"
    )
    if database.run(query, (number, place)).fetchall():
        database.run("UPDATE organised SET file = NULL WHERE number = ?", (number,))


def forget_missing(database: Database, study_instance_uid: str) -> None:
    """What is missing from the spool has no name of ours: a file of that name is to be looked at anew."""
    database.run(
        "UPDATE organised SET file = NULL WHERE study_instance_uid = ? AND file IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM instances i WHERE i.number = organised.number AND i.state = 'missing')",
        (study_instance_uid,),
    )


def forget_names(database: Database, gone: Iterable[Linked]) -> None:
    """After everything was taken from the disk."""
    for one in gone:
        query = "UPDATE organised SET file = NULL WHERE number = ? AND file = ?"
        database.run(query, (one.number, one.file))


def is_all_sent(database: Database, study_instance_uid: str) -> bool:
    """True where no part of the study is open, and all destinations have every instance of it."""
    busy = (
        "SELECT 1 FROM study_parts WHERE study_instance_uid = ? AND state = 'open'",
        "SELECT 1 FROM organised WHERE study_instance_uid = ? AND confirmed_at IS NULL",
    )
    return not any(database.run(f"{query} LIMIT 1", (study_instance_uid,)).fetchone() for query in busy)


def open_part(database: Database, study_instance_uid: str, opened_at: float) -> int:
    """The part that takes what arrives: the open one, or a new one."""
    query = "SELECT part, state FROM study_parts WHERE study_instance_uid = ? ORDER BY part DESC LIMIT 1"
    last = database.run(query, (study_instance_uid,)).fetchone()
    if last and last[1] == "open":
        return int(last[0])
    part = last[0] + 1 if last else 1
    database.run(
        "INSERT INTO study_parts VALUES (?, ?, 'open', ?, NULL, NULL, NULL)",
        (study_instance_uid, part, opened_at),
    )
    return part


def open_parts(database: Database) -> list[tuple[str, int]]:
    """Study and part of all that are open."""
    return database.run("SELECT study_instance_uid, part FROM study_parts WHERE state = 'open'").fetchall()


def complete_part(database: Database, study_instance_uid: str, by: CompletedBy, at: float) -> bool:
    """Complete the study's open part; False where none is open."""
    query = (
        "UPDATE study_parts SET state = 'complete', completed_at = ?, completed_by = ?,"
        " completion = (SELECT coalesce(max(completion), 0) + 1 FROM study_parts)"
        " WHERE study_instance_uid = ? AND state = 'open'"
    )
    return database.run(query, (at, by, study_instance_uid)).rowcount == 1


def adopt_sent_part(database: Database, study_instance_uid: str, at: float) -> None:
    """What another system sent is a part of its own: what comes later is a supplement. Nobody sends it."""
    database.run(
        "INSERT OR IGNORE INTO study_parts VALUES (?, 1, 'complete', ?, ?, 'adoption', NULL)",
        (study_instance_uid, at, at),
    )


def completed_after(database: Database, completion: int, most: int) -> list[Part]:
    """Complete parts in the order in which they were completed."""
    query = (
        "SELECT study_instance_uid, part, completed_by, completion FROM study_parts"
        " WHERE completion > ? ORDER BY completion LIMIT ?"
    )
    return [Part(*row) for row in database.run(query, (completion, most))]


def members(database: Database, study_instance_uid: str, part: int) -> list[int]:
    """The numbers of the instances of a part."""
    query = "SELECT number FROM organised WHERE study_instance_uid = ? AND part = ? ORDER BY number"
    return [number for (number,) in database.run(query, (study_instance_uid, part))]


def open_associations(database: Database) -> set[str]:
    """Those that have stored anything and go on."""
    return {name for (name,) in database.run("SELECT id FROM associations WHERE ended_at IS NULL")}


def end_stale_associations(database: Database, at: float) -> None:
    """Those of a process that is no more have ended, though nobody noted it."""
    database.run("UPDATE associations SET ending = 'lost', ended_at = ? WHERE ended_at IS NULL", (at,))


def study_values(database: Database, study_instance_uid: str) -> tuple[bytes | None, ...] | None:
    """Character set, patient's ID and name, date, time and description of a study, as its first instance has
    them."""
    query = (
        "SELECT character_set, patient_id, patient_name, study_date, study_time, study_description"
        " FROM studies WHERE study_instance_uid = ?"
    )
    found = database.run(query, (study_instance_uid,)).fetchone()
    return None if found is None else tuple(found)
