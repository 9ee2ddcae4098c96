"""What the rows say, for whoever looks: reads alone, from any process, whether the router runs or not.
Nothing here waits for the router, and the router waits for nothing here.

Times are seconds since the epoch. Everything of a patient is left out of `repr`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import quote

from ponte.errors import InvalidRequest, TransientError
from ponte.quarantine import NO_PIXELS_FOLDER, OTHERS_FOLDER, folder_of
from router.database import FILE_NAME, MIGRATIONS
from router.delivery_rows import BY_HAND
from router.organiser_rows import NO_STUDY
from router.spool import FOLDER_NAME
from router.text import folded, person_name, text_value
from router.views_rows import SEPARATOR, STATES, day_of

StudyState = Literal["open", "complete"]
InstanceState = Literal["kept", "removed", "missing"]

MOST_STUDIES: Final = 500
MOST_INSTANCES: Final = 5000
_LEAST_VERSION: Final = 5
_BUSY_S: Final = 5.0
_MOST_RECORD_BYTES: Final = 1 << 20
_NO_PIXELS = "NO_PIXEL_DATA"
_FOUND_BY: Final = {
    "": "1",
    "open": "NOT EXISTS (SELECT 1 FROM study_parts p WHERE p.study_instance_uid = o.study_instance_uid)"
    " OR EXISTS (SELECT 1 FROM study_parts p WHERE p.study_instance_uid = o.study_instance_uid"
    " AND p.state = 'open')",
    "complete": "EXISTS (SELECT 1 FROM study_parts p WHERE p.study_instance_uid = o.study_instance_uid)"
    " AND NOT EXISTS (SELECT 1 FROM study_parts p WHERE p.study_instance_uid = o.study_instance_uid"
    " AND p.state = 'open')",
    "waiting": "o.study_instance_uid IN (SELECT study_instance_uid FROM study_deliveries"
    " WHERE waiting + sending > 0)",
    "failed": "o.study_instance_uid IN (SELECT study_instance_uid FROM study_deliveries"
    " WHERE refused + given_up > 0)",
    "quarantined": "o.study_instance_uid IN (SELECT study_instance_uid FROM quarantined"
    " WHERE study_instance_uid IS NOT NULL)",
}
SEARCH_STATES: Final = tuple(_FOUND_BY)
"""What `Search.state` may be. `waiting` and `failed` are of any destination."""

_STUDIES = """
    SELECT o.number, o.study_instance_uid, o.images, o.kept, o.size_bytes, o.modalities,
        s.character_set, s.patient_id, s.patient_name, s.study_date, s.study_time, s.accession_number,
        s.study_description, s.first_received_at, s.last_received_at, f.folder,
        EXISTS (SELECT 1 FROM study_parts p WHERE p.study_instance_uid = o.study_instance_uid),
        EXISTS (SELECT 1 FROM study_parts p WHERE p.study_instance_uid = o.study_instance_uid
            AND p.state = 'open')
    FROM study_overviews o CROSS JOIN studies s ON s.study_instance_uid = o.study_instance_uid
    LEFT JOIN study_folders f ON f.study_instance_uid = o.study_instance_uid
"""
_STUDY = f"{_STUDIES} WHERE o.study_instance_uid = ?"
_INSTANCES = """
    SELECT i.number, i.sop_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.series_instance_uid,
        i.sha256, i.size_bytes, i.received_at, i.durable_at, i.state, i.source_ae_title,
        coalesce(a.address, ''), i.place, i.removed_at, i.notes
    FROM instances i LEFT JOIN associations a ON a.id = i.association_id
    WHERE i.study_instance_uid = ? AND i.number > ? ORDER BY i.number LIMIT ?
"""
_DELIVERIES = """
    SELECT d.number, d.destination, d.state, d.status, d.detail, d.attempts,
        CASE WHEN d.state = 'waiting' AND d.next_at > 0 THEN d.next_at END,
        CASE WHEN d.state IN ('sent', 'committed') THEN d.sent_at END,
        CASE WHEN d.state = 'committed' THEN d.committed_at END,
        d.settled_at, d.sent_as, d.sent_sha256, d.sent_syntax, d.wants_commitment
    FROM instances i CROSS JOIN deliveries d ON d.number = i.number
    WHERE i.study_instance_uid = ? AND i.number BETWEEN ? AND ? ORDER BY i.number, d.destination
"""
_SERIES = """
    SELECT i.series_instance_uid, i.modality, count(DISTINCT i.sop_instance_uid), sum(i.state = 'kept'),
        min(i.number)
    FROM instances i WHERE i.study_instance_uid = ? GROUP BY i.series_instance_uid ORDER BY min(i.number)
"""
_COUNTS = ", ".join(
    f"coalesce(t.{'skipped - t.dismissed' if state == 'skipped' else state}, 0)" for state in STATES
)
_QUEUES = f"""
    SELECT p.destination, p.active, {_COUNTS}, t.last_sent_at, coalesce(t.dismissed, 0)
    FROM delivery_positions p LEFT JOIN destination_totals t ON t.destination = p.destination
    ORDER BY p.destination
"""  # noqa: S608
_OLDEST_WAITING = """
    SELECT i.durable_at FROM deliveries d CROSS JOIN instances i ON i.number = d.number
    WHERE d.destination = ? AND d.state IN ('waiting', 'sending', 'refused', 'given_up')
        AND d.state IN ('waiting', 'sending')
    ORDER BY d.number LIMIT 1
"""
_DECIDED_UP_TO = "SELECT min(number) FROM delivery_positions WHERE active = 1"
_OLDEST_UNPLANNED = f"""
    SELECT durable_at FROM instances WHERE state = 'kept' AND number > ({_DECIDED_UP_TO})
    ORDER BY number LIMIT 1
"""  # noqa: S608
_EXPECTED = """
    SELECT coalesce(d.sent_as, i.sop_instance_uid), i.number,
        d.state IN ('sent', 'committed', 'skipped')
    FROM instances i CROSS JOIN deliveries d ON d.number = i.number AND d.destination = ?
    WHERE i.study_instance_uid = ? AND NOT (d.state = 'skipped' AND d.detail IN (?, ?))
    ORDER BY i.number
"""
_ARRIVED = """
    SELECT state, count(*), min(received_at), max(received_at), min(removed_at), max(removed_at)
    FROM instances WHERE study_instance_uid = ? GROUP BY state
"""
_BECAME = f"""
    SELECT d.destination,
        CASE WHEN d.state = 'skipped' AND d.detail IN {BY_HAND} THEN 'dismissed' ELSE d.state END AS became,
        count(*), max(d.sent_at), max(d.committed_at), max(d.settled_at)
    FROM instances i CROSS JOIN deliveries d ON d.number = i.number
    WHERE i.study_instance_uid = ? GROUP BY d.destination, became ORDER BY d.destination
"""  # noqa: S608


class NoRouterHere(InvalidRequest):
    """There are no rows: no router has worked in this folder yet."""

    default_code = "NO_ROUTER_HERE"


@dataclass(frozen=True, slots=True)
class QueueView:
    """A destination. `oldest_waiting_at` is when the oldest instance that it is still to have was durable
    here. One that is not `active` is in the configuration no more."""

    destination: str
    waiting: int
    sending: int
    sent: int
    committed: int
    skipped: int
    refused: int
    given_up: int
    oldest_waiting_at: float | None
    last_sent_at: float | None
    active: bool = True
    dismissed: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """`instances_ever` counts what was removed since too, and what came twice once."""

    studies: int
    instances_kept: int
    instances_ever: int
    bytes_kept: int


@dataclass(frozen=True, slots=True)
class Search:
    """What studies to look for; "" looks for all. Each word must be in the field, whatever its case and
    accents; `text` looks in name, ID, accession number and description. Dates are those of the study,
    `YYYYMMDD` or `YYYY-MM-DD`, both included. `state` is one of `SEARCH_STATES`."""

    patient_name: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    date_from: str = ""
    date_to: str = ""
    text: str = field(default="", repr=False)
    state: str = ""


@dataclass(frozen=True, slots=True)
class StudyDelivery:
    """How many instances of a study are in which state at a destination. `skipped` are there already; what
    somebody `dismissed`, or deleted unsent, is not there."""

    destination: str
    waiting: int
    sent: int
    committed: int
    skipped: int
    refused: int
    given_up: int
    dismissed: int = 0


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study. `images` and `bytes` are of all that ever came, `kept` of what is still here; an instance in
    hand counts as waiting. `quarantined` counts what nobody has decided on."""

    study_instance_uid: str
    patient_id: str = field(repr=False)
    patient_name: str = field(repr=False)
    study_date: str = field(repr=False)
    study_time: str = field(repr=False)
    accession_number: str = field(repr=False)
    description: str = field(repr=False)
    modalities: tuple[str, ...]
    images: int
    kept: int
    bytes: int
    first_received_at: float
    last_received_at: float
    state: StudyState
    quarantined: int
    folder: str = field(repr=False)
    destinations: tuple[StudyDelivery, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some studies; `next` is what `after` is to be for those that follow, None where there are none."""

    studies: list[StudyView]
    next: str | None


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A series. `first_number` is the number of the first of its instances that came."""

    series_instance_uid: str
    modality: str
    images: int
    kept: int
    first_number: int


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """An instance at a destination. `sent_at` and `committed_at` are there while the state says so alone;
    `settled_at` is when the destination last answered for it. `detail` may quote the destination's answer.
    `sent_as`, `sent_sha256` (hex, of the dataset) and `sent_transfer_syntax_uid` are those of what was sent,
    where that was not what is kept."""

    destination: str
    state: str
    status: int | None
    detail: str = field(repr=False)
    attempts: int
    next_at: float | None
    sent_at: float | None
    committed_at: float | None
    settled_at: float | None = None
    sent_as: str | None = None
    sent_sha256: str | None = None
    sent_transfer_syntax_uid: str | None = None
    wants_commitment: bool = False


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance. `sha256` is of its dataset, in hex; `place` its path within the spool's `kept`, where
    there is a file while `state` is `kept`; `removed_at` when it was kept no more."""

    number: int
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    series_instance_uid: str
    sha256: str
    size_bytes: int
    received_at: float
    durable_at: float
    state: InstanceState
    source_ae_title: str | None
    address: str
    place: str
    deliveries: tuple[DeliveryView, ...]
    removed_at: float | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True)
class QuarantinedView:
    """What was put into quarantine. `is_there` says that it still is, and nobody has decided on it."""

    id: str
    reason: str
    sop_instance_uid: str
    sha256: str | None
    status: int
    received_at: float
    is_there: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """Who was connected in an association."""

    calling_ae_title: str
    address: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a study, condensed. `kind`: `first_received`, `last_received`, `complete`,
    `waiting`, `sent`, `committed`, `skipped`, `dismissed`, `refused`, `given_up`, `quarantined`, `removed`,
    `missing`. `at` is when it last happened, None where that is not known."""

    at: float | None
    kind: str
    destination: str | None
    count: int
    detail: str = ""


class Views:
    """Reads. Not for several threads at once; what one call answers is of one moment."""

    def __init__(self, root: Path) -> None:
        """Raises `NoRouterHere`, `InvalidRequest` for rows that cannot be read at all, `TransientError`."""
        self.root = root
        path = (root / FOLDER_NAME / FILE_NAME).absolute()
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NoRouterHere(
                f"No router has worked in DICOM_ROOT yet: {FOLDER_NAME}/{FILE_NAME}"
            ) from error
        except OSError as error:
            detail = (
                f"{FOLDER_NAME}/{FILE_NAME} cannot be read: errno {error.errno}; expected the router's user"
            )
            raise InvalidRequest(detail) from error
        with _translated():
            self._connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro",
                uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False,
            )  # fmt: skip
        try:
            self._check()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _check(self) -> None:
        with _translated():
            self._connection.execute("PRAGMA query_only = 1")
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if not _LEAST_VERSION <= version <= len(MIGRATIONS):
            older = version < _LEAST_VERSION
            hint = "start the router of this version once" if older else "update this program"
            raise InvalidRequest(
                f"{FILE_NAME} has schema {version}; expected {_LEAST_VERSION} to {len(MIGRATIONS)}: {hint}",
                code="SCHEMA",
            )

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """All that is read in this block is of one moment. May be within another."""
        if self._connection.in_transaction:
            yield
            return
        with _translated():
            self._connection.execute("BEGIN")
        try:
            with _translated():
                yield
        finally:
            self._connection.execute("ROLLBACK")

    def _run(self, query: str, *values: Any) -> list[Any]:
        with _translated():
            return self._connection.execute(query, values).fetchall()

    # all of it

    def queues(self) -> list[QueueView]:
        """Every destination, those that are configured no more included."""
        with self.moment():
            return [
                QueueView(*(name, *counts, self._oldest_waiting(name), last_sent_at, bool(active), dismissed))
                for name, active, *counts, last_sent_at, dismissed in self._run(_QUEUES)
            ]

    def _oldest_waiting(self, destination: str) -> float | None:
        rows = self._run(_OLDEST_WAITING, destination)
        return float(rows[0][0]) if rows else None

    def oldest_unforwarded_at(self) -> float | None:
        """When the oldest instance was durable here that a destination is still to have, those included on
        which nobody has decided yet; None where there is none, and where there is no destination. What a
        destination refused, and what was given up, is somebody's to decide on, and counted by `queues`."""
        with self.moment():
            found = [one.oldest_waiting_at for one in self.queues() if one.active]
            found += [row[0] for row in self._run(_OLDEST_UNPLANNED)]
        return min((at for at in found if at is not None), default=None)

    def decided_up_to(self) -> int | None:
        """The number of the last instance for which every destination was decided on: of a later one that is
        kept, more rows may come. None where there is no destination."""
        (found,) = self._run(_DECIDED_UP_TO)[0]
        return None if found is None else int(found)

    def quarantine_counts(self) -> dict[str, int]:
        """How much is in quarantine for which reason, and not decided on."""
        counts: dict[str, int] = {}
        for reason, folder in self._quarantine_folders():
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
                count = sum(_is_undecided(entry) for entry in entries)
                if count:
                    counts[reason] = count
        return counts

    def _quarantine_folders(self) -> Iterator[tuple[str, Path]]:
        yield _NO_PIXELS, self.root / NO_PIXELS_FOLDER
        with contextlib.suppress(FileNotFoundError), os.scandir(self.root / OTHERS_FOLDER) as folders:
            yield from sorted(
                (one.name, Path(one.path)) for one in folders if one.is_dir(follow_symlinks=False)
            )

    def totals(self) -> Totals:
        """How much there is, and was."""
        query = (
            "SELECT (SELECT count(*) FROM study_overviews WHERE study_instance_uid <> ''), instances_kept,"
            " instances_ever, bytes_kept FROM kept_totals"
        )
        return Totals(*self._run(query)[0])

    # studies

    def studies(self, search: Search, most: int, after: str | None = None) -> Page:
        """Studies in the order in which they began, the newest first. Raises `InvalidRequest`."""
        if not 0 < most <= MOST_STUDIES:
            raise InvalidRequest(f"{most} studies asked for; expected 1 to {MOST_STUDIES}")
        conditions, values = _conditions(search, _number(after))
        query = f"{_STUDIES} WHERE {' AND '.join(conditions)} ORDER BY o.number DESC LIMIT ?"
        with self.moment():
            rows = self._run(query, *values, most + 1)
            studies = [self._study(row) for row in rows[:most]]
        return Page(studies, str(rows[most - 1][0]) if len(rows) > most else None)

    def study(self, study_instance_uid: str) -> StudyView | None:
        """One study, None where there is none of this UID."""
        with self.moment():
            rows = self._run(_STUDY, study_instance_uid)
            return self._study(rows[0]) if rows else None

    def studies_since(self, received_at: float) -> list[str]:
        """The studies of which anything came since then, in the order in which they began."""
        query = (
            "SELECT o.study_instance_uid FROM study_overviews o CROSS JOIN studies s"
            " ON s.study_instance_uid = o.study_instance_uid"
            " WHERE s.last_received_at >= ? AND o.study_instance_uid <> '' ORDER BY o.number"
        )
        return [uid for (uid,) in self._run(query, received_at)]

    def _study(self, row: Sequence[Any]) -> StudyView:
        _, uid, images, kept, size, modalities, charset, patient_id, name, date, clock, accession, *rest = row
        description, first_at, last_at, folder, has_parts, has_open_part = rest
        return StudyView(
            study_instance_uid=uid,
            patient_id=text_value(patient_id, charset),
            patient_name=person_name(name, charset),
            study_date=text_value(date, None),
            study_time=text_value(clock, None),
            accession_number=text_value(accession, charset),
            description=text_value(description, charset),
            modalities=tuple(one for one in modalities.split(SEPARATOR) if one),
            images=images, kept=kept, bytes=size, first_received_at=first_at, last_received_at=last_at,
            state="complete" if has_parts and not has_open_part else "open",
            quarantined=sum(one.is_there for one in self.quarantined(uid)),
            folder=folder or "",
            destinations=self._destinations_of(uid),
        )  # fmt: skip

    def _destinations_of(self, uid: str) -> tuple[StudyDelivery, ...]:
        query = (
            "SELECT destination, waiting + sending, sent, committed, skipped - dismissed, refused, given_up,"
            " dismissed FROM study_deliveries WHERE study_instance_uid = ? ORDER BY destination"
        )
        return tuple(StudyDelivery(*row) for row in self._run(query, uid))

    # one study

    def series(self, study_instance_uid: str) -> list[SeriesView]:
        """In the order in which they came."""
        rows = self._run(_SERIES, study_instance_uid)
        return [SeriesView(row[0], text_value(row[1], None), *row[2:]) for row in rows]

    def instances(
        self, study_instance_uid: str, most: int = 500, after_number: int = 0
    ) -> list[InstanceView]:
        """The next instances of a study, in the order in which they came. Raises `InvalidRequest`."""
        if not 0 < most <= MOST_INSTANCES:
            raise InvalidRequest(f"{most} instances asked for; expected 1 to {MOST_INSTANCES}")
        with self.moment():
            rows = self._run(_INSTANCES, study_instance_uid, after_number, most)
            found = self._run(_DELIVERIES, study_instance_uid, rows[0][0], rows[-1][0]) if rows else []
        deliveries = {
            number: tuple(_delivery(one) for one in group)
            for number, group in groupby(found, key=lambda one: one[0])
        }
        return [_instance(row, deliveries.get(row[0], ())) for row in rows]

    def expected(self, study_instance_uid: str, destination: str) -> list[tuple[str, int, bool]]:
        """What of a study is to be at a destination: SOP Instance UID there, number, and whether it said that
        it has it. What a person decided that it is not to have is left out."""
        rows = self._run(_EXPECTED, destination, study_instance_uid, *BY_HAND)
        return [(uid, number, bool(is_confirmed)) for uid, number, is_confirmed in rows]

    def studies_called(self, text: str) -> list[str]:
        """The studies of exactly this UID; else of this accession number; else of this patient's ID."""
        key = folded(text)
        for column, value in (("study_instance_uid", text.strip()), ("accession_key", key), ("id_key", key)):
            query = f"SELECT study_instance_uid FROM study_overviews WHERE {column} = ? AND {column} <> ''"  # noqa: S608
            found = [uid for (uid,) in self._run(query, value) if uid != NO_STUDY]
            if found:
                return found
        return []

    def quarantined(self, study_instance_uid: str) -> list[QuarantinedView]:
        """What was put into quarantine of a study, as far as its study is known; the oldest first."""
        query = (
            "SELECT id, reason, sop_instance_uid, sha256, status, received_at FROM quarantined"
            " WHERE study_instance_uid = ? ORDER BY received_at, id"
        )
        if study_instance_uid == NO_STUDY:
            return []
        return [
            QuarantinedView(*(*row, _is_undecided_id(self.root, row[0], row[1])))
            for row in self._run(query, study_instance_uid)
        ]

    def sender(self, association_id: str) -> Sender | None:
        """Who sent what has this association as its origin in quarantine; None for any other origin."""
        query = "SELECT calling_ae_title, address FROM associations WHERE id = ?"
        rows = self._run(query, association_id)
        return Sender(*rows[0]) if rows else None

    def timeline(self, study_instance_uid: str) -> list[Event]:
        """What happened to it, by time; what is of an unknown time comes last."""
        uid = study_instance_uid
        with self.moment():
            arrived, became = self._run(_ARRIVED, uid), self._run(_BECAME, uid)
            parts = self._run(
                "SELECT completed_at, part, completed_by,"
                " (SELECT count(*) FROM organised o WHERE o.study_instance_uid = p.study_instance_uid"
                " AND o.part = p.part)"
                " FROM study_parts p WHERE study_instance_uid = ? AND state = 'complete'",
                uid,
            )
            quarantined = self.quarantined(uid)
        events = [*_arrivals(arrived), *_changes(became)]
        events += [Event(at, "complete", None, count, by or "") for at, _, by, count in parts]
        events += [Event(one.received_at or None, "quarantined", None, 1, one.reason) for one in quarantined]
        return sorted(events, key=lambda event: (event.at is None, event.at))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """What SQLite raises, as an error of ours that quotes nothing."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise TransientError(f"{FILE_NAME} cannot be read: {name}", code="STORAGE") from error


def _number(after: str | None) -> int | None:
    if after is None:
        return None
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise InvalidRequest("This is no place in the list of studies; expected what `next` was")
    return int(after)


def _conditions(search: Search, before: int | None) -> tuple[list[str], list[Any]]:
    """What a study must be to be found. Raises `InvalidRequest`."""
    if search.state not in _FOUND_BY:
        raise InvalidRequest(f"{search.state!r:.40} is no state; expected one of {', '.join(_FOUND_BY)}")
    conditions, values = ["o.study_instance_uid <> ''", f"({_FOUND_BY[search.state]})"], list[Any]()
    if before is not None:
        conditions.append("o.number < ?")
        values.append(before)
    for sign, day in ((">=", search.date_from), ("<=", search.date_to)):
        if day:
            conditions.append(f"o.study_date {sign} ?")
            values.append(_day(day))
    named = ((search.patient_name, "name"), (search.patient_id, "id"), (search.accession, "accession"))
    for text, column in named:
        for word in folded(text).split():
            conditions.append(f"instr(o.{column}_key, ?) > 0")
            values.append(word)
    for word in folded(search.text).split():
        columns = ("name", "id", "accession", "description")
        conditions.append(f"({' OR '.join(f'instr(o.{column}_key, ?) > 0' for column in columns)})")
        values += [word] * len(columns)
    return conditions, values


def _day(text: str) -> str:
    day = day_of(text)
    if day is None:
        raise InvalidRequest("This is no date; expected YYYYMMDD or YYYY-MM-DD")
    return day


def _instance(row: Sequence[Any], deliveries: tuple[DeliveryView, ...]) -> InstanceView:
    number, uid, sop_class, syntax, series, sha256, size, received, durable, state, *rest = row
    source, address, place, removed_at, notes = rest
    return InstanceView(
        number, uid, sop_class, syntax, series, sha256.hex(), size, received, durable, state, source, address,
        place, deliveries, removed_at, notes,
    )  # fmt: skip


def _delivery(row: Sequence[Any]) -> DeliveryView:
    *values, sent_sha256, syntax, wants_commitment = row[1:]
    digest = None if sent_sha256 is None else sent_sha256.hex()
    return DeliveryView(*(*values, digest, syntax, bool(wants_commitment)))


def _arrivals(rows: Sequence[Sequence[Any]]) -> Iterator[Event]:
    if not rows:
        return
    count = sum(row[1] for row in rows)
    yield Event(min(row[2] for row in rows), "first_received", None, 1)
    yield Event(max(row[3] for row in rows), "last_received", None, count)
    for state, number, _, _, _, last_removed in rows:
        if state != "kept":
            yield Event(last_removed, state, None, number)


def _changes(rows: Sequence[Sequence[Any]]) -> Iterator[Event]:
    """What became of it at each destination; what is committed was sent before."""
    for destination, state, count, sent_at, committed_at, settled_at in rows:
        at = {"sent": sent_at, "committed": committed_at, "waiting": None, "sending": None}
        kind = "waiting" if state == "sending" else state
        if state == "committed":
            yield Event(sent_at, "sent", destination, count)
        yield Event(at.get(state, settled_at), kind, destination, count)


def _is_undecided(entry: os.DirEntry[str]) -> bool:
    if not entry.name.endswith(".json") or entry.name.startswith("."):
        return False
    with contextlib.suppress(FileNotFoundError):
        return not _is_released(entry.path, entry.stat().st_mtime_ns)
    return False


def _is_undecided_id(root: Path, quarantine_id: str, reason: str) -> bool:
    try:
        path = root / folder_of(reason) / f"{quarantine_id}.json"
        return not _is_released(str(path), path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=1 << 16)
def _is_released(record: str, changed_ns: int) -> bool:  # noqa: ARG001  read anew when changed
    """Whether somebody has decided on an entry; one that is gone counts as decided on, a damaged one does
    not."""
    try:
        with Path(record).open("rb") as file:
            value = json.loads(file.read(_MOST_RECORD_BYTES))
    except FileNotFoundError:
        return True
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("released") is not None
