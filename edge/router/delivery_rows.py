"""What became of each instance at each destination, as rows.

A row is there before anything is sent, and says `sent` only after the destination said so itself. What is
waiting is a query, not a list in memory.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from router import organiser_rows

if TYPE_CHECKING:
    from router.database import Database

State = Literal["waiting", "sending", "sent", "committed", "refused", "given_up", "skipped"]

_RELEASED: Final = "released-parts"
LONGEST_PAUSE_S: Final = 86400.0

MIGRATION: Final = """
    CREATE TABLE delivery_positions (
        destination TEXT PRIMARY KEY, number INTEGER NOT NULL, active INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE deliveries (
        number INTEGER NOT NULL, destination TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('waiting', 'sending', 'sent', 'committed', 'refused', 'given_up', 'skipped')),
        priority INTEGER NOT NULL, part INTEGER, status INTEGER, detail TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0, failing_since REAL, unclear INTEGER NOT NULL DEFAULT 0,
        next_at REAL NOT NULL DEFAULT 0, planned_at REAL NOT NULL, sent_at REAL, sent_as TEXT,
        wants_commitment INTEGER NOT NULL, transaction_uid TEXT, committed_at REAL,
        PRIMARY KEY (number, destination)
    ) WITHOUT ROWID;
    CREATE INDEX waiting_deliveries ON deliveries (destination, priority, number, next_at)
        WHERE state = 'waiting' AND part IS NOT NULL;
    CREATE INDEX open_deliveries ON deliveries (destination, number, state)
        WHERE state IN ('waiting', 'sending', 'refused', 'given_up');
    CREATE INDEX uncommitted_deliveries ON deliveries (destination, transaction_uid, sent_at)
        WHERE state = 'sent' AND wants_commitment = 1;
    CREATE TABLE commitment_requests (
        transaction_uid TEXT PRIMARY KEY, destination TEXT NOT NULL, asked_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE uploads (
        destination TEXT NOT NULL, study_instance_uid TEXT NOT NULL, part INTEGER NOT NULL,
        object_key TEXT NOT NULL, part_bytes INTEGER NOT NULL, upload_id TEXT NOT NULL,
        PRIMARY KEY (destination, study_instance_uid, part)
    ) WITHOUT ROWID;
    CREATE TABLE upload_parts (
        upload_id TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, sha256 TEXT NOT NULL,
        PRIMARY KEY (upload_id, number)
    ) WITHOUT ROWID;
"""
"""`part` is that of the study to which the instance belongs, 0 where it goes by itself, and null while it is
not to be sent yet. `unclear` says that the destination may have it though it never said so. `sent_as` is the
SOP Instance UID where what was sent had another."""

DISMISSED: Final = "Dismissed by hand"
DELETED: Final = "Deleted by hand"
"""What is skipped by somebody's decision, and not because the destination has it, says so in its detail."""
BY_HAND: Final = (DISMISSED, DELETED)
# word for word as the index has it
OPEN: Final = "state IN ('waiting', 'sending', 'refused', 'given_up')"
_BY_HAND = f"(d.state = 'skipped' AND d.detail IN {BY_HAND})"
_CONFIRMED = (
    f"((d.state = 'skipped' AND NOT {_BY_HAND}) OR d.state = 'committed'"
    " OR (d.state = 'sent' AND d.wants_commitment = 0))"
)
_CANDIDATES = """
    SELECT i.number, i.sop_instance_uid, i.place, i.modality,
        coalesce(a.calling_ae_title, i.source_ae_title), a.called_ae_title, a.address
    FROM instances i LEFT JOIN associations a ON a.id = i.association_id
    WHERE i.number > ? AND i.state = 'kept' ORDER BY i.number LIMIT ?
"""
_PLAN = """
    INSERT OR IGNORE INTO deliveries
        (number, destination, state, priority, part, planned_at, wants_commitment)
    SELECT i.number, ?, 'waiting',
        CASE WHEN EXISTS (SELECT 1 FROM urgent_studies u WHERE u.study_instance_uid = i.study_instance_uid)
            THEN -1 ELSE ? END,
        CASE WHEN ? THEN p.part ELSE 0 END, ?, ? FROM instances i
    LEFT JOIN organised o ON o.number = i.number
    LEFT JOIN study_parts p ON p.study_instance_uid = o.study_instance_uid AND p.part = o.part
        AND p.state = 'complete'
    WHERE i.number = ? AND i.sop_instance_uid = ?
"""
_READY = """
    SELECT d.number, i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.study_instance_uid,
        i.series_instance_uid, i.place, i.size_bytes, i.dataset_start, i.state, d.attempts, d.failing_since,
        d.unclear
    FROM deliveries d JOIN instances i ON i.number = d.number
    WHERE d.destination = ? AND d.state = 'waiting' AND d.part IS NOT NULL
        AND (d.next_at <= ? OR d.next_at > ?) {also}
    ORDER BY d.priority, d.number LIMIT {limit}
"""
_SETTLE = """
    UPDATE deliveries SET state = ?, status = ?, detail = ?, attempts = ?, failing_since = ?, unclear = ?,
        next_at = ?, sent_at = ?, sent_as = ?, sent_sha256 = ?, sent_syntax = ?,
        settled_at = coalesce(?, settled_at)
    WHERE number = ? AND destination = ? AND state = 'sending'
        AND (SELECT sop_instance_uid FROM instances i WHERE i.number = deliveries.number) = ?
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance for which nobody has decided yet where it goes."""

    number: int
    sop_instance_uid: str
    place: str
    modality: bytes | None
    calling_ae_title: str | None
    called_ae_title: str | None
    address: str | None


@dataclass(frozen=True, slots=True)
class Planned:
    """An instance that is to go to a destination, by itself or with its study."""

    number: int
    sop_instance_uid: str
    destination: str
    priority: int
    waits_for_study: bool
    wants_commitment: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is in hand for a destination."""

    number: int
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    study_instance_uid: str
    series_instance_uid: str
    place: str
    size_bytes: int
    dataset_start: int
    instance_state: str
    attempts: int
    failing_since: float | None
    unclear: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a delivery in hand. `waiting` puts it back, from `next_at` on. `sent_sha256` is of the
    dataset that was sent, and `sent_syntax` its transfer syntax, where that is not what is kept."""

    delivery: Delivery
    state: State
    detail: str = ""
    status: int | None = None
    attempts: int = 0
    failing_since: float | None = None
    unclear: int = 0
    next_at: float = 0.0
    sent_at: float | None = None
    sent_as: str | None = None
    sent_sha256: bytes | None = None
    sent_syntax: str | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """The open deliveries of a destination; `oldest_at` is when the oldest of them was durable here."""

    destination: str
    active: bool
    waiting: int = 0
    sending: int = 0
    refused: int = 0
    given_up: int = 0
    oldest_at: float | None = None


def configure(database: Database, names: Sequence[str]) -> list[str]:
    """Make these the destinations there are; the names of those that are no more and had work left.

    A new one begins with the oldest instance that is kept. One that is back goes on where it was.
    """
    for name in names:
        database.run("INSERT OR IGNORE INTO delivery_positions VALUES (?, 0, 1)", (name,))
        database.run("UPDATE delivery_positions SET active = 1 WHERE destination = ? AND active = 0", (name,))
    marks = ", ".join("?" * len(names))
    database.run(
        f"UPDATE delivery_positions SET active = 0 WHERE active = 1 AND destination NOT IN ({marks})",  # noqa: S608
        names,
    )
    return [
        row[0]
        for row in database.run(
            "SELECT destination FROM delivery_positions p WHERE active = 0 AND EXISTS"  # noqa: S608
            f" (SELECT 1 FROM deliveries d WHERE d.destination = p.destination AND {OPEN})"
        )
    ]


def ask_no_commitment(database: Database, names: Iterable[str]) -> None:
    """What these have, or are to have, needs no commitment: it is not asked for any more."""
    for name in names:
        for which in ("state = 'sent'", OPEN):
            database.run(
                "UPDATE deliveries SET wants_commitment = 0"  # noqa: S608
                f" WHERE destination = ? AND {which} AND wants_commitment = 1",
                (name,),
            )


def resume(database: Database) -> int:
    """What was in hand when the router ended waits again, and may be there already; how many."""
    return database.run(
        "UPDATE deliveries SET state = 'waiting', unclear = 1, next_at = 0 WHERE state = 'sending'"
    ).rowcount


def put_back_all_but(database: Database, destination: str, numbers: Iterable[int]) -> int:
    """What the rows say is in hand, and is not among these, waits again, and may be there already."""
    return database.run(
        "UPDATE deliveries SET state = 'waiting', unclear = 1, next_at = 0"  # noqa: S608
        f" WHERE destination = ? AND {OPEN} AND state = 'sending'"
        " AND number NOT IN (SELECT value FROM json_each(?))",
        (destination, json.dumps(list(numbers))),
    ).rowcount


def positions(database: Database) -> dict[str, int]:
    """Up to which instance each destination of the configuration was planned."""
    return dict(database.run("SELECT destination, number FROM delivery_positions WHERE active = 1"))


def candidates(database: Database, after: int, most: int) -> list[Candidate]:
    """The next instances to decide on, in the order in which they came."""
    return [Candidate(*row) for row in database.run(_CANDIDATES, (after, most))]


def plan(
    database: Database, expected: dict[str, int], planned: Iterable[Planned], up_to: int, now: float
) -> bool:
    """Note what is to go where, and that all instances up to `up_to` were decided on.

    False, and nothing is noted, where the positions are not the `expected` ones: the rows were built again.
    """
    if positions(database) != expected:
        return False
    for one in planned:
        if expected.get(one.destination, up_to) < one.number:
            add(database, one, now)
    database.run("UPDATE delivery_positions SET number = ? WHERE active = 1 AND number < ?", (up_to, up_to))
    return True


def add(database: Database, one: Planned, now: float) -> bool:
    """Note what is to go; False where that was noted before."""
    values = (one.destination, one.priority, one.waits_for_study, now, one.wants_commitment)
    return database.run(_PLAN, (*values, one.number, one.sop_instance_uid)).rowcount == 1


def claim(database: Database, destination: str, most: int, most_bytes: int, now: float) -> list[Delivery]:
    """Take the next into hand: by priority, then the oldest first; no more bytes, unless one alone has them.

    A time that no pause can reach is that of a clock that was wrong.
    """
    query = _READY.format(also="", limit=most)
    return _take(database, destination, most_bytes, _ready(database, query, destination, now))


def claim_probe(database: Database, destination: str, now: float) -> list[Delivery]:
    """Take one into hand to see whether a destination that failed is well again: one that was never tried
    comes first, so that instances which make it fail do not keep it from the others."""
    for also in ("AND d.attempts = 0", ""):
        found = _ready(database, _READY.format(also=also, limit=1), destination, now)
        if found:
            return _take(database, destination, 0, found)
    return []


def _ready(database: Database, query: str, destination: str, now: float) -> list[Delivery]:
    rows = database.run(query, (destination, now, now + LONGEST_PAUSE_S))
    return [Delivery(*row) for row in rows]


def _take(database: Database, destination: str, most_bytes: int, ready: Iterable[Delivery]) -> list[Delivery]:
    taken: list[Delivery] = []
    total = 0
    for delivery in ready:
        total += delivery.size_bytes
        if taken and total > most_bytes:
            break
        taken.append(delivery)
    for delivery in taken:
        database.run(
            "UPDATE deliveries SET state = 'sending' WHERE number = ? AND destination = ?",
            (delivery.number, destination),
        )
    return taken


def settle(database: Database, destination: str, results: Iterable[Result]) -> None:
    """Write what became of what was in hand. A row that is about another instance by now stays as it is."""
    now = time.time()
    for one in results:
        was_tried = one.state != "waiting" or one.attempts > one.delivery.attempts
        values = (
            one.state, one.status, one.detail, one.attempts, one.failing_since, one.unclear, one.next_at,
            one.sent_at, one.sent_as, one.sent_sha256, one.sent_syntax, now if was_tried else None,
            one.delivery.number, destination, one.delivery.sop_instance_uid,
        )  # fmt: skip
        database.run(_SETTLE, values)


def release_parts(database: Database, most: int) -> int:
    """Let go to whoever takes studies what belongs to parts that have become complete; how many parts."""
    done = organiser_rows.position(database, _RELEASED) or 0
    parts = organiser_rows.completed_after(database, done, most)
    for one in parts:
        database.run(
            "UPDATE deliveries SET part = ? WHERE part IS NULL AND number IN"
            " (SELECT number FROM organised WHERE study_instance_uid = ? AND part = ?)",
            (one.part, one.study_instance_uid, one.part),
        )
    if parts:
        organiser_rows.move(database, _RELEASED, parts[-1].completion)
    return len(parts)


def outstanding(database: Database, number: int) -> bool:
    """True while the instance must be kept: a destination that needs it has not confirmed that it has it
    (or not committed to it, where asked), or none of any has. That somebody dismissed it for one destination
    confirms nothing: where no other has it, it stays until it is deleted by hand."""
    (found,) = database.run(
        f"""
        SELECT EXISTS (SELECT 1 FROM delivery_positions WHERE active = 1 AND number < ?1)
            OR EXISTS (
                SELECT 1 FROM deliveries d JOIN delivery_positions p ON p.destination = d.destination
                WHERE d.number = ?1 AND p.active = 1 AND NOT {_CONFIRMED} AND NOT {_BY_HAND})
            OR NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.number = ?1 AND {_CONFIRMED})
        """,  # noqa: S608
        (number,),
    ).fetchone()
    return bool(found)


def is_sending(database: Database, number: int) -> bool:
    """True while a destination has it in hand."""
    query = "SELECT 1 FROM deliveries WHERE number = ? AND state = 'sending'"
    return database.run(query, (number,)).fetchone() is not None


def close_deleted(database: Database, number: int) -> None:
    """Nobody is to have any more what was deleted by hand."""
    database.run(
        f"UPDATE deliveries SET state = 'skipped', detail = '{DELETED}', next_at = 0 WHERE number = ?"  # noqa: S608
        " AND state IN ('waiting', 'refused', 'given_up')",
        (number,),
    )


def queues(database: Database) -> list[Queue]:
    """What is open at each destination, those that are no more configured included."""
    found = []
    for name, active in database.run("SELECT destination, active FROM delivery_positions"):
        counts = dict(
            database.run(
                f"SELECT state, count(*) FROM deliveries WHERE destination = ? AND {OPEN} GROUP BY state",  # noqa: S608
                (name,),
            )
        )
        (oldest,) = database.run(
            "SELECT min(i.durable_at) FROM instances i WHERE i.number = (SELECT min(number) FROM deliveries"  # noqa: S608
            f" WHERE destination = ? AND {OPEN} AND state IN ('waiting', 'sending'))",
            (name,),
        ).fetchone()
        found.append(Queue(name, bool(active), **counts, oldest_at=oldest))
    return found
