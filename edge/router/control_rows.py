"""What people tell a running router, as rows: what is held, what goes first, what is tried or sent again.

Each change takes the numbers of some instances, a page at a time, so that nobody who receives waits for long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from router.delivery_rows import BY_HAND, DISMISSED, OPEN
from router.reception import AssociationFacts

if TYPE_CHECKING:
    from router.database import Database

_WAS_BY_HAND = f"OLD.state = 'skipped' AND OLD.detail IN {BY_HAND}"
_IS_BY_HAND = f"NEW.state = 'skipped' AND NEW.detail IN {BY_HAND}"
MIGRATION: Final = f"""
    CREATE TABLE held_destinations (destination TEXT PRIMARY KEY, held_at REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE urgent_studies (study_instance_uid TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID;
    ALTER TABLE study_deliveries ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE destination_totals ADD COLUMN dismissed INTEGER NOT NULL DEFAULT 0;
    UPDATE study_deliveries SET dismissed = (SELECT count(*) FROM deliveries d
        JOIN instances i ON i.number = d.number
        WHERE i.study_instance_uid = study_deliveries.study_instance_uid
        AND d.destination = study_deliveries.destination AND d.state = 'skipped' AND d.detail IN {BY_HAND})
        WHERE skipped > 0;
    UPDATE destination_totals SET dismissed = (SELECT total(s.dismissed) FROM study_deliveries s
        WHERE s.destination = destination_totals.destination);
    CREATE TRIGGER delivery_closed_by_hand AFTER UPDATE OF state ON deliveries
    WHEN ({_IS_BY_HAND}) <> ({_WAS_BY_HAND}) BEGIN
        UPDATE study_deliveries SET dismissed = dismissed + ({_IS_BY_HAND}) - ({_WAS_BY_HAND})
            WHERE study_instance_uid = (SELECT study_instance_uid FROM instances WHERE number = NEW.number)
            AND destination = NEW.destination;
        UPDATE destination_totals SET dismissed = dismissed + ({_IS_BY_HAND}) - ({_WAS_BY_HAND})
            WHERE destination = NEW.destination;
    END;
"""  # noqa: S608
"""`dismissed` are those of `skipped` that somebody closed by hand: no destination has them."""

PAGE: Final = 500
URGENT: Final = -1
"""Before every priority that can be configured."""
_OF_INSTANCE = "number = ? AND destination = coalesce(?, destination)"
_IS_KEPT = "EXISTS (SELECT 1 FROM instances i WHERE i.number = deliveries.number AND i.state = 'kept')"
_ACTIVE = (
    "EXISTS (SELECT 1 FROM delivery_positions p"
    " WHERE p.destination = deliveries.destination AND p.active = 1)"
)
_RETRY = f"""
    UPDATE deliveries SET state = 'waiting', attempts = 0, failing_since = NULL, next_at = 0
    WHERE {_OF_INSTANCE} AND (state IN ('refused', 'given_up') OR (state = 'waiting' AND next_at > 0))
        AND {_IS_KEPT} AND {_ACTIVE} RETURNING destination
"""  # noqa: S608
_DISMISS = f"""
    UPDATE deliveries SET state = 'skipped', detail = '{DISMISSED}', next_at = 0
    WHERE {_OF_INSTANCE} AND (state IN ('refused', 'given_up') OR (state = 'waiting' AND NOT {_ACTIVE}))
    RETURNING destination
"""  # noqa: S608
_RESEND = f"""
    UPDATE deliveries SET state = 'waiting', status = NULL, detail = '', attempts = 0, failing_since = NULL,
        unclear = 1, next_at = 0, planned_at = ?, sent_at = NULL, sent_as = NULL, sent_sha256 = NULL,
        sent_syntax = NULL, transaction_uid = NULL, committed_at = NULL
    WHERE {_OF_INSTANCE} AND state NOT IN ('waiting', 'sending') AND {_IS_KEPT} AND {_ACTIVE}
    RETURNING destination
"""  # noqa: S608
_HURRY = f"""
    UPDATE deliveries SET priority = {URGENT} WHERE {_OF_INSTANCE} AND priority <> {URGENT}
        AND state IN ('waiting', 'sending', 'refused', 'given_up') RETURNING destination
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Which:
    """Deliveries: those of a destination, of a study, of one instance, or of all three at once."""

    destination: str | None = None
    study: str | None = None
    number: int | None = None


def hold(database: Database, destination: str, now: float) -> None:
    """Nothing is sent there, also after a restart, until `let_go`."""
    database.run("INSERT OR IGNORE INTO held_destinations VALUES (?, ?)", (destination, now))


def let_go(database: Database, destination: str) -> None:
    """It is sent to again."""
    database.run("DELETE FROM held_destinations WHERE destination = ?", (destination,))


def held(database: Database) -> dict[str, float]:
    """Those that are held, and since when."""
    return dict(database.run("SELECT destination, held_at FROM held_destinations"))


def destinations(database: Database) -> set[str]:
    """All that ever were."""
    return {name for (name,) in database.run("SELECT destination FROM delivery_positions")}


def is_known(database: Database, study: str) -> bool:
    """True where any of the study ever came."""
    query = "SELECT 1 FROM instances WHERE study_instance_uid = ? LIMIT 1"
    return database.run(query, (study,)).fetchone() is not None


def page(database: Database, which: Which, after: int) -> list[int]:
    """The next instances that may be concerned, by index, in the order of their numbers."""
    if which.number is not None:
        return [which.number] if after < which.number else []
    if which.study is not None:
        query = "SELECT number FROM instances WHERE study_instance_uid = ? AND number > ?"
        values: tuple[object, ...] = (which.study, after)
    else:
        query = f"SELECT number FROM deliveries WHERE destination = ? AND number > ? AND {OPEN}"  # noqa: S608
        values = (which.destination, after)
    found = database.run(f"{query} ORDER BY number LIMIT {PAGE}", values)
    return [number for (number,) in found]


def retry(database: Database, numbers: Sequence[int], destination: str | None) -> Counter[str]:
    """Try at once what was refused, what was given up and what waits for its next turn; how many of each
    destination that is configured."""
    return _changed(database, _RETRY, (), numbers, destination)


def dismiss(database: Database, numbers: Sequence[int], destination: str | None) -> Counter[str]:
    """Somebody decides that a destination is not to have what it refused, or what was given up; or that one
    which is configured no more is not to have what waits for it."""
    return _changed(database, _DISMISS, (), numbers, destination)


def hurry(database: Database, numbers: Sequence[int], destination: str | None = None) -> Counter[str]:
    """What is still to go, goes before everything else."""
    return _changed(database, _HURRY, (), numbers, destination)


def mark_urgent(database: Database, study: str, now: float) -> None:
    """What comes of the study from now on goes before everything else, too."""
    database.run("INSERT OR IGNORE INTO urgent_studies VALUES (?, ?)", (study, now))


def resend(database: Database, numbers: Sequence[int], destination: str | None, now: float) -> Counter[str]:
    """Send again what is still here, whatever became of it; it must stay until that is done."""
    found = _changed(database, _RESEND, (now,), numbers, destination)
    for number in numbers:
        database.run("UPDATE organised SET confirmed_at = NULL WHERE number = ?", (number,))
    return found


def gone(database: Database, numbers: Sequence[int]) -> int:
    """How many of them are not here any more."""
    query = "SELECT 1 FROM instances WHERE number = ? AND state <> 'kept'"
    return sum(database.run(query, (number,)).fetchone() is not None for number in numbers)


def source_of(database: Database, quarantine: str) -> AssociationFacts | None:
    """The association that brought what is in quarantine, where it is known."""
    row = database.run(
        "SELECT a.id, a.calling_ae_title, a.called_ae_title, a.address, a.listener, a.started_at"
        " FROM quarantined q JOIN associations a ON a.id = q.association_id WHERE q.id = ?",
        (quarantine,),
    ).fetchone()
    return None if row is None else AssociationFacts(*row)


def forget_quarantined(database: Database, quarantine: str) -> None:
    """It was let go: it speaks against nothing any more."""
    database.run("DELETE FROM quarantined WHERE id = ?", (quarantine,))


def _changed(
    database: Database,
    statement: str,
    values: tuple[object, ...],
    numbers: Sequence[int],
    destination: str | None,
) -> Counter[str]:
    found: Counter[str] = Counter()
    for number in numbers:
        rows = database.run(statement, (*values, number, destination)).fetchall()
        found.update(name for (name,) in rows)
    return found
