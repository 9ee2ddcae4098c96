"""What a page shows at once, as rows of their own: counts that triggers keep, and keys that a search reads.

Nobody counts a million rows to show ten numbers. Each change of an instance's or a delivery's state moves the
counts of its study and of its destination, in the same transaction, whoever makes it. What a study is called
is decoded once, without case and accents, by the organiser with the study's instances; for studies that were
there before these rows, by `describe_some`, a few at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.text import folded, text_value, whole_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from router.database import Database

STATES: Final = ("waiting", "sending", "sent", "committed", "skipped", "refused", "given_up")
SEPARATOR: Final = "\\"
"""Between modalities, as between values in DICOM (PS3.5 6.4)."""
_AT_A_TIME: Final = 20
_DAY: Final = len("YYYYMMDD")

_NOW = "(julianday('now') - 2440587.5) * 86400.0"
_COLUMNS = ", ".join(f"{state} INTEGER NOT NULL DEFAULT 0" for state in STATES)
_NAMES = ", ".join(STATES)
_COUNTED = ", ".join(f"sum(d.state = '{state}')" for state in STATES)
_PLUS = ", ".join(f"{state} = {state} + (NEW.state = '{state}')" for state in STATES)
_MOVED = ", ".join(
    f"{state} = {state} + (NEW.state = '{state}') - (OLD.state = '{state}')" for state in STATES
)
_STUDY_OF_DELIVERY = "(SELECT study_instance_uid FROM instances WHERE number = NEW.number)"

MIGRATION: Final = f"""
    ALTER TABLE instances ADD COLUMN removed_at REAL;
    ALTER TABLE deliveries ADD COLUMN settled_at REAL;
    ALTER TABLE deliveries ADD COLUMN sent_sha256 BLOB;
    ALTER TABLE deliveries ADD COLUMN sent_syntax TEXT;
    ALTER TABLE quarantined ADD COLUMN study_instance_uid TEXT;
    UPDATE quarantined SET study_instance_uid = coalesce(
        (SELECT study_instance_uid FROM instances i
            WHERE i.sop_instance_uid = quarantined.sop_instance_uid AND i.state = 'kept'),
        (SELECT study_instance_uid FROM instances i
            WHERE i.sop_instance_uid = quarantined.sop_instance_uid AND i.state <> 'kept'));
    CREATE INDEX quarantined_of_study ON quarantined (study_instance_uid)
        WHERE study_instance_uid IS NOT NULL;

    CREATE TABLE study_overviews (
        number INTEGER PRIMARY KEY, study_instance_uid TEXT NOT NULL UNIQUE,
        images INTEGER NOT NULL DEFAULT 0, kept INTEGER NOT NULL DEFAULT 0,
        size_bytes INTEGER NOT NULL DEFAULT 0, modalities TEXT NOT NULL DEFAULT '', study_date TEXT,
        name_key TEXT, id_key TEXT, accession_key TEXT, description_key TEXT
    );
    CREATE INDEX undescribed_studies ON study_overviews (number) WHERE name_key IS NULL;
    CREATE TABLE kept_totals (
        one INTEGER PRIMARY KEY CHECK (one = 1), instances_ever INTEGER NOT NULL,
        instances_kept INTEGER NOT NULL, bytes_kept INTEGER NOT NULL
    );
    CREATE TABLE study_deliveries (
        study_instance_uid TEXT NOT NULL, destination TEXT NOT NULL, {_COLUMNS},
        PRIMARY KEY (study_instance_uid, destination)
    ) WITHOUT ROWID;
    CREATE INDEX waiting_studies ON study_deliveries (study_instance_uid) WHERE waiting + sending > 0;
    CREATE INDEX failed_studies ON study_deliveries (study_instance_uid) WHERE refused + given_up > 0;
    CREATE TABLE destination_totals (
        destination TEXT PRIMARY KEY, {_COLUMNS}, last_sent_at REAL
    ) WITHOUT ROWID;

    INSERT INTO study_overviews (study_instance_uid, images, kept, size_bytes)
        SELECT s.study_instance_uid, count(DISTINCT i.sop_instance_uid), total(i.state = 'kept'),
            total(i.size_bytes)
        FROM studies s LEFT JOIN instances i ON i.study_instance_uid = s.study_instance_uid
        GROUP BY s.study_instance_uid ORDER BY s.first_received_at;
    INSERT INTO kept_totals
        SELECT 1, total(images), total(kept),
            (SELECT total(size_bytes) FROM instances WHERE state = 'kept')
        FROM study_overviews;
    INSERT INTO study_deliveries (study_instance_uid, destination, {_NAMES})
        SELECT i.study_instance_uid, d.destination, {_COUNTED}
        FROM deliveries d JOIN instances i ON i.number = d.number
        GROUP BY i.study_instance_uid, d.destination;
    INSERT INTO destination_totals (destination, {_NAMES}, last_sent_at)
        SELECT d.destination, {_COUNTED}, max(d.sent_at) FROM deliveries d GROUP BY d.destination;

    CREATE TRIGGER instance_arrived AFTER INSERT ON instances BEGIN
        INSERT INTO study_overviews (study_instance_uid) SELECT NEW.study_instance_uid WHERE NOT EXISTS
            (SELECT 1 FROM study_overviews WHERE study_instance_uid = NEW.study_instance_uid);
        UPDATE study_overviews SET
            images = images + NOT EXISTS (SELECT 1 FROM instances i
                WHERE i.sop_instance_uid = NEW.sop_instance_uid AND i.state <> 'kept'
                AND +i.study_instance_uid = NEW.study_instance_uid AND i.number <> NEW.number),
            kept = kept + (NEW.state = 'kept'), size_bytes = size_bytes + NEW.size_bytes
            WHERE study_instance_uid = NEW.study_instance_uid;
        UPDATE kept_totals SET
            instances_ever = instances_ever + NOT EXISTS (SELECT 1 FROM instances i
                WHERE i.sop_instance_uid = NEW.sop_instance_uid AND i.state <> 'kept'
                AND +i.study_instance_uid = NEW.study_instance_uid AND i.number <> NEW.number),
            instances_kept = instances_kept + (NEW.state = 'kept'),
            bytes_kept = bytes_kept + (NEW.state = 'kept') * NEW.size_bytes;
    END;
    CREATE TRIGGER instance_changed AFTER UPDATE OF state ON instances WHEN NEW.state <> OLD.state BEGIN
        UPDATE study_overviews SET kept = kept + (NEW.state = 'kept') - (OLD.state = 'kept')
            WHERE study_instance_uid = NEW.study_instance_uid;
        UPDATE kept_totals SET
            instances_kept = instances_kept + (NEW.state = 'kept') - (OLD.state = 'kept'),
            bytes_kept = bytes_kept + ((NEW.state = 'kept') - (OLD.state = 'kept')) * NEW.size_bytes;
        UPDATE instances SET removed_at = CASE WHEN NEW.state <> 'kept' THEN {_NOW} END
            WHERE number = NEW.number;
    END;
    CREATE TRIGGER delivery_planned AFTER INSERT ON deliveries BEGIN
        INSERT INTO study_deliveries (study_instance_uid, destination)
            SELECT i.study_instance_uid, NEW.destination FROM instances i WHERE i.number = NEW.number
            AND NOT EXISTS (SELECT 1 FROM study_deliveries s
                WHERE s.study_instance_uid = i.study_instance_uid AND s.destination = NEW.destination);
        UPDATE study_deliveries SET {_PLUS}
            WHERE study_instance_uid = {_STUDY_OF_DELIVERY} AND destination = NEW.destination;
        INSERT INTO destination_totals (destination) SELECT NEW.destination
            WHERE NOT EXISTS (SELECT 1 FROM destination_totals WHERE destination = NEW.destination);
        UPDATE destination_totals SET {_PLUS} WHERE destination = NEW.destination;
    END;
    CREATE TRIGGER delivery_changed AFTER UPDATE OF state ON deliveries WHEN NEW.state <> OLD.state BEGIN
        UPDATE study_deliveries SET {_MOVED}
            WHERE study_instance_uid = {_STUDY_OF_DELIVERY} AND destination = NEW.destination;
        UPDATE destination_totals SET {_MOVED},
            last_sent_at = CASE WHEN NEW.state = 'sent' THEN coalesce(NEW.sent_at, last_sent_at)
                ELSE last_sent_at END
            WHERE destination = NEW.destination;
    END;
"""  # noqa: S608
"""The `+` keeps SQLite from going through the whole study: the UID alone is to be looked up.

`removed_at` is when an instance's row said that it is kept no more, `settled_at` when a destination last
answered for it, `sent_sha256` the digest of the dataset that it was sent, and `sent_syntax` its transfer
syntax, where that is not what is kept. `images` counts every SOP Instance UID that ever came, once. The
numbers of `study_overviews` are in the order in which studies began; `name_key` is NULL until somebody has
read what the study is called."""


def describe(database: Database, study_instance_uid: str, modalities: Iterable[str]) -> None:
    """Note what a study can be found by, and the modalities that more of it has."""
    row = database.run(
        "SELECT modalities, name_key IS NULL FROM study_overviews WHERE study_instance_uid = ?",
        (study_instance_uid,),
    ).fetchone()
    if row is None:
        return
    known = {one for one in row[0].split(SEPARATOR) if one}
    found = known | {one.replace(SEPARATOR, " ") for one in modalities if one}
    if found != known:
        query = "UPDATE study_overviews SET modalities = ? WHERE study_instance_uid = ?"
        database.run(query, (SEPARATOR.join(sorted(found)), study_instance_uid))
    if row[1]:
        _keep_keys(database, study_instance_uid)


def describe_some(database: Database) -> bool:
    """The same for a few studies of which it was not done; False where there are no more."""
    query = "SELECT study_instance_uid FROM study_overviews WHERE name_key IS NULL ORDER BY number LIMIT ?"
    studies = [study for (study,) in database.run(query, (_AT_A_TIME,))]
    for study in studies:
        values = "SELECT DISTINCT modality FROM instances WHERE study_instance_uid = ?"
        describe(database, study, [text_value(one, None) for (one,) in database.run(values, (study,))])
    return len(studies) == _AT_A_TIME


def _keep_keys(database: Database, study_instance_uid: str) -> None:
    charset, name, patient_id, accession, description, date = (
        database.run(
            "SELECT character_set, patient_name, patient_id, accession_number, study_description, study_date"
            " FROM studies WHERE study_instance_uid = ?",
            (study_instance_uid,),
        ).fetchone()
        or (None,) * 6
    )
    texts = [text_value(value, charset) for value in (patient_id, accession, description)]
    keys = [folded(text) for text in (whole_name(name, charset), *texts)]
    database.run(
        "UPDATE study_overviews SET name_key = ?, id_key = ?, accession_key = ?, description_key = ?,"
        " study_date = ? WHERE study_instance_uid = ?",
        (*keys, day_of(text_value(date, None)), study_instance_uid),
    )


def day_of(date: str) -> str | None:
    """A date as `YYYYMMDD`, whether it came so, with hyphens, or with the dots of ACR-NEMA (PS3.5 6.2); None
    for what is none."""
    day = date.replace("-", "").replace(".", "").strip()
    return day if len(day) == _DAY and day.isascii() and day.isdigit() else None
