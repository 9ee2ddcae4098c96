"""Gives every kept instance its name in its study's folder, counts it, and says when a study is complete.

It reads what was committed, a batch at a time, after the peer had its answer. A batch is one transaction,
which shares its commit with what arrives: names, counts, parts and the position move together. Then the disk
follows the rows; killed in between, the next start compares the two and links what has no link yet. Names in
these folders are not synced: they are made again from rows and spool.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Final

from ponte.errors import InvalidRequest
from router import metadata
from router import organiser_rows as rows
from router.committer import Committer
from router.completion import CompletionRules, OpenParts
from router.counters import Counters
from router.database import Database, Instance
from router.failpoint import failpoint
from router.folders import TIME_FORMAT, Folders, file_name, folder_name, is_instance_file, is_study_folder
from router.metadata import Entry, MetadataFile
from router.organiser_rows import NO_STUDY, ORGANISED, CompletedBy, Linked, StudyFolder
from router.savepoint import run_apart
from router.spool import Spool
from router.text import person_name, text_value
from router.views_rows import describe

log = logging.getLogger(__name__)

BATCH: Final = 64
_PAGE = 256
_RECHECK_S = 30.0
_MOST_IMAGES = 10**9
_NO_STUDY_NAME = "NO_STUDY"


@dataclass(slots=True)
class _Batch:
    """What one transaction decided."""

    instances: list[Instance]
    links: list[Linked]
    open_associations: set[str] | None
    """None where there is more to organise."""


@dataclass(slots=True)
class _StudyChange:
    """A study within a batch."""

    row: StudyFolder
    part: int
    entry: Entry | None
    arrived: int = 0
    modalities: set[str] = field(default_factory=set)
    links: list[tuple[Instance, str]] = field(default_factory=list)


class Organiser:
    """Only one thread calls `step`; `complete` may be called by any."""

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        folders: Folders,
        metadata_file: MetadataFile,
        counters: Counters,
        *,
        zone: tzinfo,
        rules: CompletionRules,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._committer = committer
        self._folders = folders
        self._metadata = metadata_file
        self._counters = counters
        self._zone = zone
        self._clock = clock
        self._now = now
        self._open = OpenParts(rules)
        self._check_after: int | None = 0
        self._check_at = 0.0

    def prepare(self, *, is_first: bool = False) -> None:
        """Before the first association, and again after the rows were built anew: take the metadata in where
        the rows know nothing. The first of a process ends the associations that a former one left open.
        Raises `NotCommitted`, `OSError`."""
        if self._run(lambda database: rows.position(database, ORGANISED)) is None:
            self._take_in_metadata()
        if is_first:
            self._run(lambda database: rows.end_stale_associations(database, self._now()))
        studies = self._run(rows.open_parts)
        self._open.begin((study for study, _ in studies), self._clock())
        self._check_after, self._check_at = 0, 0.0
        self._metadata.touch()

    def step(self) -> bool:
        """Do some of what there is to do; True where there is more. Raises `NotCommitted`, `OSError`."""
        with self._folders.lock:
            batch = self._run(self._organise)
            if batch is None:
                self.prepare()
                return True
            failpoint("organised")
            self._note(batch)
            self._link_all(batch.links)
            failpoint("linked")
            is_checking = self._check()
        if batch.open_associations is not None:
            self._complete(batch.open_associations)
        self._metadata.write_if_due()
        return is_checking or batch.open_associations is None

    def complete(self, study_instance_uid: str) -> bool:
        """Somebody says that the study is complete; False where none of it is open. Raises `NotCommitted`."""
        found = self._run(lambda database: self._complete_in(database, study_instance_uid, "hand"))
        self._metadata.touch()
        return found

    def _run[T](self, apply: Callable[[Database], T]) -> T:
        return run_apart(self._committer, apply)

    # one batch, within one transaction

    def _organise(self, database: Database) -> _Batch | None:
        """None where the rows are new, and nobody told them what there was."""
        position = rows.position(database, ORGANISED)
        if position is None:
            return None
        instances = database.after(position, BATCH)
        changes: dict[str, _StudyChange] = {}
        for instance in instances:
            study = instance.study_instance_uid
            if study not in changes:
                changes[study] = self._begin_study(database, instance)
            self._name(database, changes[study], instance)
        for change in changes.values():
            self._keep_study(database, change)
        if instances:
            rows.move(database, ORGANISED, instances[-1].number)
        is_all = len(instances) < BATCH
        links = [link for change in changes.values() for link in _links(change)]
        return _Batch(instances, links, rows.open_associations(database) if is_all else None)

    def _begin_study(self, database: Database, instance: Instance) -> _StudyChange:
        study = instance.study_instance_uid
        row = rows.study_folder(database, study)
        if row is None or row.folder is None:
            row = self._new_folder(database, instance, row)
            rows.keep_study(database, row)
        part = rows.open_part(database, study, self._now())
        return _StudyChange(row, part, json.loads(row.entry) if row.entry else None)

    def _new_folder(self, database: Database, instance: Instance, known: StudyFolder | None) -> StudyFolder:
        """A study known by its metadata alone keeps what was known, and gets a folder."""
        uid, made_at = instance.study_instance_uid, self._local(self._now())
        values = study_texts(rows.study_values(database, uid)) if uid else {}
        wanted = folder_name(
            made_at, values.get("patient_id", _NO_STUDY_NAME), values.get("patient_name", _NO_STUDY_NAME)
        )
        folder = self._free_name(database, wanted)
        if known is not None:
            told = metadata.dumped({**json.loads(known.entry), "folder": folder})
            return replace(known, folder=folder, entry=told)
        if uid == NO_STUDY:
            return StudyFolder(uid, folder, 0, sent=False, entry="")
        entry = metadata.new_entry(
            folder=folder, study_uid=uid, values=values, modality=modality_of(instance), created_at=made_at
        )
        return StudyFolder(uid, folder, 0, sent=False, entry=metadata.dumped(entry))

    def _free_name(self, database: Database, wanted: str) -> str:
        name, number = wanted, 1
        while rows.folder_is_taken(database, name) or os.path.lexists(self._folders.root / name):
            number += 1
            name = f"{wanted}_{number}"
        return name

    def _name(self, database: Database, change: _StudyChange, instance: Instance) -> None:
        uid, number = instance.sop_instance_uid, instance.number
        if not rows.was_organised(database, uid, number):
            change.arrived += 1
        change.modalities.add(modality_of(instance))
        file = rows.give_name(
            database, number, change.row.study_instance_uid, change.part, file_name(instance.modality, uid)
        )
        change.links.append((instance, file))

    def _keep_study(self, database: Database, change: _StudyChange) -> None:
        count = change.row.image_count + change.arrived
        row = replace(change.row, image_count=count, sent=False)
        if change.entry is not None:
            change.entry.update(image_count=count, sent=False, sent_at=None)
            row = replace(row, entry=metadata.dumped(change.entry))
        rows.keep_study(database, row)
        describe(database, row.study_instance_uid, change.modalities)

    # the disk, after the commit

    def _link_all(self, links: Sequence[Linked]) -> None:
        done = 0
        try:
            while done < len(links) and self._link(links[done]):
                done += 1
        finally:
            if done < len(links):
                self._check_later(links[done].number)

    def _link(self, linked: Linked) -> bool:
        """False where it cannot be had now, and is to be tried again."""
        file = self._spool.path_of(linked.place)
        try:
            if self._folders.link(file, linked.folder, linked.file):
                return True
            other = rows.other_name(linked.file, linked.number)
            self._run(lambda database: rows.rename(database, linked.number, linked.file, other))
            return self._folders.link(file, linked.folder, other)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not file.exists():
                return True  # the instance is missing from the spool, which is somebody else's alarm
            extra = {"alarm": "NOT_LINKED", "instance": linked.number, "errno": error.errno}
            log.error("instance not linked", extra=extra)
            return False

    def _check(self) -> bool:
        """Compare a page of the rows with the disk, at start and after a failure; True while it goes on."""
        if self._check_after is None or self._clock() < self._check_at:
            return False
        after = self._check_after
        page = self._run(lambda database: rows.linked_after(database, after, _PAGE))
        self._check_after = page[-1].number if page else None
        kept = (linked for linked in page if linked.state == "kept")
        failed = next((linked for linked in kept if not self._has(linked) and not self._link(linked)), None)
        if failed is not None:
            self._check_later(failed.number)
        return bool(page) and failed is None

    def _has(self, linked: Linked) -> bool:
        return self._folders.has(self._spool.path_of(linked.place), linked.folder, linked.file)

    def _check_later(self, number: int) -> None:
        after = number - 1 if self._check_after is None else min(number - 1, self._check_after)
        self._check_after, self._check_at = after, self._clock() + _RECHECK_S

    # what follows from it

    def _note(self, batch: _Batch) -> None:
        now = self._clock()
        for instance in batch.instances:
            self._open.arrived(instance.study_instance_uid, instance.association_id, now)
        if batch.instances:
            self._metadata.touch()
            self._counters.add("ponte_organised_total", len(batch.instances))

    def _complete(self, open_associations: set[str]) -> None:
        for study, by in self._open.complete(open_associations, self._clock()):
            if self._run(lambda database: self._complete_in(database, study, by)):  # noqa: B023
                self._counters.add("ponte_studies_completed_total", by=by)
                self._metadata.touch()
            self._open.forget(study)

    def _complete_in(self, database: Database, study_instance_uid: str, by: CompletedBy) -> bool:
        found = rows.complete_part(database, study_instance_uid, by, self._now())
        if found:
            note_sent(database, study_instance_uid, self._local(self._now()))
        return found

    def _local(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, self._zone)

    # metadata that was there before the rows

    def _take_in_metadata(self) -> None:
        """Once for new rows, a page at a time; the position comes last, so that what is cut short begins
        anew, and finds what it did."""
        try:
            found = self._metadata.read()
        except InvalidRequest as error:
            log.error("metadata cannot be read", extra={"alarm": "METADATA_DAMAGED", "code": error.code})
            self._metadata.set_aside()
            found = {}
        entries, empty = list(found.items()), 0
        for at in range(0, len(entries), _PAGE):
            page = entries[at : at + _PAGE]
            empty += self._run(lambda database: self._take_in(database, page))  # noqa: B023
        if empty:
            log.warning("unsent studies without images in the metadata", extra={"studies": empty})
        failpoint("metadata-taken-in")
        self._run(lambda database: rows.move(database, ORGANISED, 0))

    def _take_in(self, database: Database, entries: Sequence[tuple[str, Entry]]) -> int:
        """How many of them are neither sent nor have anything that could be."""
        empty = 0
        for study_uid, entry in entries:
            if rows.study_folder(database, study_uid):
                continue
            name, sent = self._folder_of(database, entry), entry.get("sent") is True
            still_there = self._still_to_count(name, is_sent=sent)
            empty += not sent and not still_there
            count = max(0, _count_of(entry) - still_there)
            told = metadata.dumped({**entry, "image_count": count})
            rows.keep_study(database, StudyFolder(study_uid, name, count, sent, told))
            if sent:
                rows.adopt_sent_part(database, study_uid, self._now())
            if name is not None:
                self._folders.close_to_others(name)
        return empty

    def _folder_of(self, database: Database, entry: Entry) -> str | None:
        """The folder that an entry names, where a study may have it."""
        name = entry.get("folder")
        if not isinstance(name, str) or not is_study_folder(name) or rows.folder_is_taken(database, name):
            return None
        return None if (self._folders.root / name).is_symlink() else name

    def _still_to_count(self, folder: str | None, *, is_sent: bool) -> int:
        """The files in a known folder that are counted when they are organised: of a study that was sent,
        those alone which are in the spool."""
        if folder is None:
            return 0
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            with os.scandir(self._folders.root / folder) as found:
                files = [file for file in found if is_instance_file(file.name)]
            return sum(not is_sent or file.stat(follow_symlinks=False).st_nlink > 1 for file in files)
        return 0


def note_sent(database: Database, study_instance_uid: str, at: datetime) -> bool:
    """Note in the study's entry that all destinations have all of it, where they do, and did not before."""
    row = rows.study_folder(database, study_instance_uid)
    if row is None or row.sent or not rows.is_all_sent(database, study_instance_uid):
        return False
    if row.entry:
        entry = {**json.loads(row.entry), "sent": True, "sent_at": at.strftime(TIME_FORMAT)}
        row = replace(row, entry=metadata.dumped(entry))
    rows.keep_study(database, replace(row, sent=True))
    return True


def study_texts(values: Sequence[bytes | None] | None) -> dict[str, str]:
    """The texts of an entry, from what `study_values` gives."""
    charset, patient_id, patient_name, date, clock, description = values or (None,) * 6
    return {
        "patient_id": text_value(patient_id, charset),
        "patient_name": person_name(patient_name, charset),
        "study_date": text_value(date, None),
        "study_time": text_value(clock, None),
        "study_description": text_value(description, charset),
    }


def modality_of(instance: Instance) -> str:
    """As text; that of a study's first instance is what its entry says."""
    return text_value(instance.modality, None)


def _links(change: _StudyChange) -> list[Linked]:
    uid, folder = change.row.study_instance_uid, change.row.folder or ""
    return [
        Linked(instance.number, instance.place, "kept", uid, folder, file) for instance, file in change.links
    ]


def _count_of(entry: Entry) -> int:
    count = entry.get("image_count")
    return count if isinstance(count, int) and 0 < count < _MOST_IMAGES else 0
