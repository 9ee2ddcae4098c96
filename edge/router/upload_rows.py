"""Uploads to inboxes, as rows: which deliveries make up an archive, and how far it is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.delivery_rows import LONGEST_PAUSE_S, Delivery

if TYPE_CHECKING:
    from router.database import Database

_NEXT = """
    SELECT o.study_instance_uid, d.part FROM deliveries d JOIN organised o ON o.number = d.number
    WHERE d.destination = ? AND d.state = 'waiting' AND d.part IS NOT NULL
        AND (d.next_at <= ? OR d.next_at > ?)
    ORDER BY d.priority, d.number LIMIT 1
"""
_MEMBERS = """
    SELECT d.number, i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.study_instance_uid,
        i.series_instance_uid, i.place, i.size_bytes, i.dataset_start, i.state, d.attempts, d.failing_since,
        d.unclear, i.sha256
    FROM organised o CROSS JOIN deliveries d ON d.number = o.number AND d.destination = ?
    JOIN instances i ON i.number = d.number
    WHERE o.study_instance_uid = ? AND o.part = ? AND d.part = o.part AND d.state = 'waiting'
    ORDER BY d.number
"""


@dataclass(frozen=True, slots=True)
class StudyPart:
    """What goes into one archive."""

    study_instance_uid: str
    part: int
    deliveries: tuple[tuple[Delivery, bytes], ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that was begun; `parts` are ETag and SHA-256 (base64) by number."""

    object_key: str
    part_bytes: int
    upload_id: str
    parts: dict[int, tuple[str, str]]


def claim_part(database: Database, destination: str) -> StudyPart | None:
    """Take the instances of the next finished part of a study into hand."""
    now = time.time()
    row = database.run(_NEXT, (destination, now, now + LONGEST_PAUSE_S)).fetchone()
    if row is None:
        return None
    members = database.run(_MEMBERS, (destination, *row)).fetchall()
    for member in members:
        database.run(
            "UPDATE deliveries SET state = 'sending' WHERE number = ? AND destination = ?",
            (member[0], destination),
        )
    study, part = row
    return StudyPart(study, part, tuple((Delivery(*one[:-1]), one[-1]) for one in members))


def upload(database: Database, destination: str, part: StudyPart) -> Upload | None:
    """The upload that was begun for it, if any."""
    row = database.run(
        "SELECT object_key, part_bytes, upload_id FROM uploads"
        " WHERE destination = ? AND study_instance_uid = ? AND part = ?",
        (destination, part.study_instance_uid, part.part),
    ).fetchone()
    if row is None:
        return None
    parts = database.run("SELECT number, etag, sha256 FROM upload_parts WHERE upload_id = ?", (row[2],))
    key, part_bytes, upload_id = row
    return Upload(key, part_bytes, upload_id, {number: (etag, sha256) for number, etag, sha256 in parts})


def keep_upload(database: Database, destination: str, part: StudyPart, begun: Upload) -> None:
    """It takes the place of one before, whose parts are forgotten."""
    forget_upload(database, destination, part)
    database.run(
        "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)",
        (
            destination, part.study_instance_uid, part.part, begun.object_key, begun.part_bytes,
            begun.upload_id,
        ),
    )  # fmt: skip


def keep_uploaded(database: Database, upload_id: str, number: int, etag: str, sha256: str) -> None:
    """A part that the bucket has."""
    database.run("INSERT OR REPLACE INTO upload_parts VALUES (?, ?, ?, ?)", (upload_id, number, etag, sha256))


def forget_upload(database: Database, destination: str, part: StudyPart) -> None:
    """It is complete, or begins anew."""
    where = (destination, part.study_instance_uid, part.part)
    database.run(
        "DELETE FROM upload_parts WHERE upload_id IN (SELECT upload_id FROM uploads"
        " WHERE destination = ? AND study_instance_uid = ? AND part = ?)",
        where,
    )
    database.run("DELETE FROM uploads WHERE destination = ? AND study_instance_uid = ? AND part = ?", where)
