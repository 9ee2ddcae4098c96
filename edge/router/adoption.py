"""Takes in what an older router left in DICOM_ROOT: loose `.dcm` files, and those in folders of studies.

A file gets a second name in the spool (a hard link; a copy where that cannot be, or where it does not begin
as a Part 10 file should), is looked through as if it had just come, and is kept, a duplicate, or put into
quarantine. Only when that is durable its old name goes, unless it is the one that the organiser gives. What
an older router noted as sent stays where it is and is not sent again. Nothing else in DICOM_ROOT is touched:
links, other files, deeper folders.

It goes on beside the receiving, a file at a time and never more than half of the time, and does nothing
twice: what is in the spool is known by its rows.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, Literal

from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info

from ponte.filemeta import part10_head
from ponte.quarantine import Quarantine, QuarantineRecord
from ponte.quiet import BROKEN_INPUT, quiet
from ponte.scan import Scanner, Verdict
from router import metadata
from router import organiser_rows as rows
from router.committer import Committer
from router.counters import Counters
from router.database import Database, Instance, Study
from router.failpoint import failpoint
from router.folders import TIME_FORMAT, Folders, file_name, is_instance_file, is_study_folder
from router.intake import KEPT_TAGS, chunks_of, rows_of
from router.organiser import modality_of, study_texts
from router.organiser_rows import NO_STUDY, StudyFolder
from router.reception import AssociationFacts
from router.savepoint import run_apart
from router.spool import Partial, Spool, new_name
from router.worker import code_of

log = logging.getLogger(__name__)

Outcome = Literal["adopted", "duplicate", "quarantined", "later", "passed_over"]

_SETTLE_S: Final = 30.0
_NOT_AS_KEPT = frozenset({"NO_META", "PREAMBLE_NEUTRALISED", "META_MISMATCH", "PREFIX_DATA"})
_CHUNK = 1 << 20
_CANNOT_LINK = frozenset({errno.EPERM, errno.EACCES, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that may be an instance; `folder` is None for a loose one."""

    path: Path
    folder: str | None


class _SecondName(Partial):
    """A file that was there before, under a name in `incoming` too."""

    def __init__(self, path: Path, file: Path) -> None:
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            os.link(file, path, follow_symlinks=False)
        except OSError:
            os.close(self._file)
            raise
        self.path = path
        self.place = ""
        self.size_bytes = os.fstat(self._file).st_size


class Adoption:
    """One pass over DICOM_ROOT, then others over what was too new or failed. One thread calls `step`."""

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        quarantine: Quarantine,
        folders: Folders,
        counters: Counters,
        *,
        zone: tzinfo,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._spool = spool
        self._committer = committer
        self._quarantine = quarantine
        self._folders = folders
        self._counters = counters
        self._zone = zone
        self._now = now
        self._pause = pause
        self._facts = AssociationFacts(f"adoption-{new_name()}", "", "", "", "adoption", now())
        self._left = self._files()
        self._later: list[_Found] = []
        self._outcomes: Counter[Outcome] = Counter()
        self._is_done = False

    def step(self) -> bool:
        """Take in one file; False where there is none to be taken in now. Raises `TransientError`."""
        if self._is_done or run_apart(self._committer, _is_unprepared):
            return False
        found = next(self._left, None)
        if found is None:
            self._end_pass()
            return False
        began = time.monotonic()
        outcome: Outcome = "later"
        try:
            outcome = self._take_in(found)
        except OSError as error:
            log.error("file not adopted", extra={"alarm": "NOT_ADOPTED", "code": code_of(error)})
        finally:
            if outcome == "later":
                self._later.append(found)
        self._count(outcome)
        self._pause(time.monotonic() - began)
        return True

    def _count(self, outcome: Outcome, number: int = 1) -> None:
        self._outcomes[outcome] += number
        self._counters.add("ponte_adopted_total", number, outcome=outcome)

    def _end_pass(self) -> None:
        """Its studies may be complete now. What is left is looked at again when `step` is called next."""
        identity, now = self._facts.id, self._now()
        run_apart(self._committer, lambda database: database.close_association(identity, "released", now))
        if self._outcomes.total():
            log.warning(
                "older files taken in",
                extra={str(outcome): number for outcome, number in self._outcomes.items()},
            )
        self._outcomes.clear()
        later, self._later = self._later, []
        self._left = iter(later)
        self._is_done = not later

    # what there is

    def _files(self) -> Iterator[_Found]:
        """Loose files, then those of one folder after the other: the oldest first, by their names."""
        with os.scandir(self._folders.root) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if is_instance_file(entry.name) and not entry.is_dir(follow_symlinks=False):
                yield _Found(Path(entry.path), None)
        for entry in found:
            if entry.is_dir(follow_symlinks=False) and is_study_folder(entry.name):
                yield from self._in_folder(entry.name)

    def _in_folder(self, folder: str) -> Iterator[_Found]:
        """Those that are not ours already; none where the study was sent."""
        try:
            with os.scandir(self._folders.root / folder) as entries:
                names = sorted(entry.name for entry in entries if is_instance_file(entry.name))
        except OSError as error:
            log.error("folder not adopted", extra={"alarm": "NOT_ADOPTED", "code": code_of(error)})
            return
        # only then the rows, which come before the names that are ours
        study, known = run_apart(self._committer, lambda database: _known(database, folder))
        unknown = [name for name in names if name not in known]
        if study is not None and study.sent:
            self._count("passed_over", len(unknown))
            return
        yield from (_Found(self._folders.root / folder / name, folder) for name in unknown)

    # one file

    def _take_in(self, found: _Found) -> Outcome:
        try:
            before = os.lstat(found.path)
        except FileNotFoundError:
            return "passed_over"
        if not stat.S_ISREG(before.st_mode):
            return "passed_over"
        if 0 <= self._now() - before.st_mtime < _SETTLE_S:
            return "later"
        partials = [self._second_name(found.path)]
        failpoint("adoption-linked")
        try:
            verdict = _scan(partials[0].path)
            if _differs(before, found.path):
                return "later"
            if verdict.reason is not None:
                self._put_away(partials[0].path, verdict, verdict.reason, verdict.detail)
                self._forget(found, before)
                return "quarantined"
            source = _source_of(partials[0].path)
            if _NOT_AS_KEPT.intersection(verdict.notes):
                partials.append(self._rewritten(partials[0].path, verdict, source))
            return self._keep(found, partials[-1], verdict, before, source)
        finally:
            for partial in partials:
                partial.discard()

    def _second_name(self, file: Path) -> Partial:
        try:
            return _SecondName(self._spool.incoming / new_name(), file)
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
        partial = self._spool.receive(b"")
        try:
            for chunk in chunks_of(file):
                partial.write(chunk)
        except OSError:
            partial.discard()
            raise
        return partial

    def _rewritten(self, path: Path, verdict: Verdict, source: str | None) -> Partial:
        """A copy with a head that says what follows: what is kept is a Part 10 file (PS3.10 7.1) that can be
        sent as it is. The dataset is the same. Raises `OSError`."""
        head = part10_head(
            verdict.sop_class_uid or "",
            verdict.sop_instance_uid or "",
            verdict.transfer_syntax_uid or "",
            source_ae_title=source or "",
        )
        partial, digest = self._spool.receive(head), hashlib.sha256()
        try:
            with path.open("rb") as file:
                file.seek(verdict.dataset_start or 0)
                while chunk := file.read(_CHUNK):
                    partial.write(chunk)
                    digest.update(chunk)
        except OSError:
            partial.discard()
            raise
        if digest.hexdigest() != verdict.sha256:
            partial.discard()
            raise OSError(errno.ESTALE, "the file has changed")
        return partial

    def _keep(
        self, found: _Found, partial: Partial, verdict: Verdict, before: os.stat_result, source: str | None
    ) -> Outcome:
        """Durably, and only then without its old name."""
        with contextlib.suppress(PermissionError):
            partial.path.chmod(0o600)
        partial.sync()
        start = partial.size_bytes - _dataset_bytes(before, verdict)
        instance, study = rows_of(verdict, partial.size_bytes, start, before.st_mtime)
        instance = replace(instance, association_id=self._facts.id, source_ae_title=source)
        run_apart(
            self._committer, lambda database: self._give_folder(database, found.folder, instance, study)
        )
        settlement = self._committer.arrive(partial, instance, study, self._facts)
        failpoint("adoption-kept")
        if settlement == "conflict":
            detail = "Another instance of the same UID is kept, with another content"
            self._put_away(partial.path, verdict, "UID_CONFLICT", detail)
            self._forget(found, before)
            return "quarantined"
        with self._folders.lock:
            if not self._has_its_name(found, instance):
                self._forget(found, before)
        return "adopted" if settlement == "kept" else "duplicate"

    def _put_away(self, path: Path, verdict: Verdict, reason: str, detail: str) -> None:
        record = QuarantineRecord(
            reason=reason,
            detail=detail,
            origin="adoption",
            notes=verdict.notes,
            sop_class_uid=verdict.sop_class_uid,
            sop_instance_uid=verdict.sop_instance_uid,
            transfer_syntax_uid=verdict.transfer_syntax_uid,
            sha256=verdict.sha256,
        )
        identity = self._quarantine.keep(record, chunks_of(path))
        failpoint("adoption-quarantined")
        extra = {"alarm": "QUARANTINED", "code": reason, "quarantine": identity}
        log.error("older file quarantined", extra=extra)

    def _forget(self, found: _Found, before: os.stat_result) -> None:
        """Take the old name away, unless it is another file's by now."""
        if _differs(before, found.path):
            return
        found.path.unlink()
        failpoint("adoption-forgotten")
        if found.folder is not None:
            self._folders.clear(found.folder)

    def _has_its_name(self, found: _Found, instance: Instance) -> bool:
        """True where the old name is the one that the organiser gives to the kept file."""
        uid, study = instance.sop_instance_uid, instance.study_instance_uid
        kept, row = run_apart(
            self._committer,
            lambda database: (database.kept(uid), rows.study_folder(database, study)),
        )
        if kept is None or row is None or row.folder is None or row.folder != found.folder:
            return False
        is_named = found.path.name == file_name(instance.modality, uid)
        return is_named and self._folders.has(self._spool.path_of(kept.place), row.folder, found.path.name)

    def _give_folder(self, database: Database, folder: str | None, instance: Instance, study: Study) -> None:
        """The study stays in the folder that it is found in, where it has no other, and no other study is."""
        uid = instance.study_instance_uid
        row = rows.study_folder(database, uid)
        if (
            folder is None
            or uid == NO_STUDY
            or (row is not None and row.folder is not None)
            or rows.folder_is_taken(database, folder)
        ):
            return
        self._folders.close_to_others(folder)
        if row is not None:
            told = metadata.dumped({**json.loads(row.entry), "folder": folder})
            rows.keep_study(database, replace(row, folder=folder, entry=told))
            return
        entry = metadata.new_entry(
            folder=folder,
            study_uid=uid,
            values=study_texts(_values_of(study)),
            modality=modality_of(instance),
            created_at=self._made_at(folder, instance.received_at),
        )
        rows.keep_study(database, StudyFolder(uid, folder, 0, sent=False, entry=metadata.dumped(entry)))

    def _made_at(self, folder: str, seconds: float) -> datetime:
        """As the folder's name says; else by its first file."""
        try:
            return datetime.strptime(folder[:15], TIME_FORMAT).replace(tzinfo=self._zone)
        except ValueError:
            return datetime.fromtimestamp(seconds, self._zone)


def _is_unprepared(database: Database) -> bool:
    """True until the metadata was taken in, which says what was sent."""
    return rows.position(database, rows.ORGANISED) is None


def _known(database: Database, folder: str) -> tuple[StudyFolder | None, set[str]]:
    """The study of a folder, and the names in it that are ours. Where the spool alone lost a file, its name
    here is the one place that still has it: it is adopted again."""
    study = rows.study_of_folder(database, folder)
    if study is None:
        return None, set()
    rows.forget_missing(database, study.study_instance_uid)
    return study, rows.files_of(database, study.study_instance_uid)


def _differs(before: os.stat_result, path: Path) -> bool:
    """True where the name is not this file's any more, or the file has changed."""
    try:
        now = os.lstat(path)
    except FileNotFoundError:
        return True
    return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != (
        before.st_dev,
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )


def _dataset_bytes(file: os.stat_result, verdict: Verdict) -> int:
    """The dataset is what stands at the end of the file, whatever stands before it."""
    return file.st_size - (verdict.dataset_start or 0)


def _scan(path: Path) -> Verdict:
    scanner = Scanner(keep=KEPT_TAGS)
    for chunk in chunks_of(path):
        scanner.feed(chunk)
    return scanner.finish()


def _source_of(path: Path) -> str | None:
    """Who sent it, as the file meta has it (0002,0016)."""
    with quiet():
        try:
            source = read_file_meta_info(path).get("SourceApplicationEntityTitle")
        except (*BROKEN_INPUT, BytesLengthException, InvalidDicomError):
            return None
    return None if source is None else str(source)


def _values_of(study: Study) -> tuple[bytes | None, ...]:
    """As `study_values` gives them of a study that has its row."""
    return (
        study.character_set,
        study.patient_id,
        study.patient_name,
        study.study_date,
        study.study_time,
        study.study_description,
    )
