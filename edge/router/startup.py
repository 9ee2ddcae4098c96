"""What happens before the first association: one router alone on the spool, nothing half received in it, and
rows and files that agree.

The files are the truth. A file without a row was whole before it got its place, so it is adopted; a row
without its file is an alarm; a database that is gone or damaged is built again from the files.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from dataclasses import dataclass, replace
from itertools import batched
from pathlib import Path
from typing import Final

from pydicom.filereader import read_file_meta_info

from ponte.errors import InvalidRequest, TransientError
from ponte.quarantine import Quarantine, QuarantineRecord
from ponte.scan import Scanner, Verdict
from router.committer import Committer
from router.database import FILE_NAME, Database, DatabaseDamaged
from router.intake import KEPT_TAGS, chunks_of, rows_of
from router.spool import Spool, sync_folder

log = logging.getLogger(__name__)

LOCK_NAME: Final = "lock"
_TOGETHER = 256
_BESIDE = ("", "-wal", "-shm")


@dataclass(slots=True)
class Findings:
    """What was found when rows and files were compared."""

    partial: int = 0
    adopted: int = 0
    doubled: int = 0
    quarantined: int = 0
    missing: int = 0
    removed: int = 0
    rebuilt: bool = False


class SpoolLock:
    """One router for each spool: the kernel lets go of it when the process ends, however it ends (FI-29)."""

    def __init__(self, spool: Spool) -> None:
        """Raises `InvalidRequest` while another process holds it."""
        path = spool.folder / LOCK_NAME
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._file)
            raise InvalidRequest(
                "Another router works on this DICOM_ROOT (its .spool/lock is held); expected one alone",
                code="SPOOL_IN_USE",
            ) from error

    def release(self) -> None:
        """Let go of it."""
        os.close(self._file)


def open_store(spool: Spool, quarantine: Quarantine) -> tuple[Committer, Findings]:
    """Make spool and rows ready; the caller holds the lock.

    Raises `InvalidRequest` for a database that is not ours or of a later version, `TransientError` for one
    that cannot be used now, `OSError` for a disk that does not serve.
    """
    try:
        return _open_store(spool, quarantine)
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        raise TransientError(f"{FILE_NAME} cannot be used: {name}", code="STORAGE") from error


def _open_store(spool: Spool, quarantine: Quarantine) -> tuple[Committer, Findings]:
    partial = spool.sweep()
    path = spool.folder / FILE_NAME
    try:
        database = _open_sound(path)
        findings = reconcile(spool, database, quarantine)
        if database.is_new:
            _note_quarantine(database, quarantine)
        findings.rebuilt = database.is_new and findings.adopted > 0
    except DatabaseDamaged:
        database, findings = rebuild(spool, quarantine)
    findings.partial = partial
    if findings.rebuilt:
        log.error("database rebuilt", extra={"alarm": "DATABASE_REBUILT", "instances": findings.adopted})
    sync_folder(spool.folder)
    return Committer(spool, database, lambda: rebuild(spool, quarantine)[0]), findings


def _open_sound(path: Path) -> Database:
    database = Database(path)
    try:
        database.check()
    except DatabaseDamaged:
        database.close()
        raise
    return database


def rebuild(spool: Spool, quarantine: Quarantine) -> tuple[Database, Findings]:
    """A new database from the files; the one there, if any, is set aside under another name."""
    path = spool.folder / FILE_NAME
    log.error("database lost", extra={"alarm": "DATABASE_LOST"})
    aside = f"{path}.damaged-{time.time_ns():016x}"
    for suffix in _BESIDE:
        beside = Path(f"{path}{suffix}")
        if beside.exists():
            beside.rename(f"{aside}{suffix}")
    database = Database(path)
    findings = reconcile(spool, database, quarantine)
    _note_quarantine(database, quarantine)
    findings.rebuilt = True
    return database, findings


def reconcile(spool: Spool, database: Database, quarantine: Quarantine) -> Findings:
    """Make rows and files agree. Nothing is received meanwhile, or only into `incoming`."""
    findings = Findings()
    files = set(spool.places())
    gone: list[str] = []
    for place, state, uid in database.places():
        if state == "kept" and place not in files:
            gone.append(uid)
        elif state == "removed" and place in files:  # killed between the row and the file
            spool.remove(place)
            findings.removed += 1
        if state != "missing":
            files.discard(place)
    _note_missing(database, gone, findings)
    for places in batched(sorted(files), _TOGETHER):
        _adopt_together(spool, database, quarantine, places, findings)
    return findings


def _note_quarantine(database: Database, quarantine: Quarantine) -> None:
    """Rows for what is in quarantine: of an instance with two contents none may be called committed."""
    database.begin()
    for kept in quarantine.list():
        record = kept.record
        row = (kept.id, record.reason, record.sha256, record.sop_instance_uid or "", None, 0, 0.0)
        database.note_quarantined(row)
    database.commit()


def _note_missing(database: Database, uids: list[str], findings: Findings) -> None:
    if not uids:
        return
    log.error("instances missing from the spool", extra={"alarm": "INSTANCE_MISSING", "instances": len(uids)})
    database.begin()
    for uid in uids:
        database.change_state(uid, "missing")
    database.commit()
    findings.missing += len(uids)


def _adopt_together(
    spool: Spool, database: Database, quarantine: Quarantine, places: tuple[str, ...], findings: Findings
) -> None:
    """Files that nobody knows become instances; what cannot goes only after the rows are committed."""
    database.begin()
    superfluous = [place for place in places if not _adopt(spool, database, quarantine, place, findings)]
    database.commit()
    for place in superfluous:
        spool.remove(place)
    log.warning("files without a row adopted", extra={"instances": len(places) - len(superfluous)})


def _adopt(spool: Spool, database: Database, quarantine: Quarantine, place: str, findings: Findings) -> bool:
    """True where the file has a row now; else it is kept elsewhere and may go."""
    path = spool.path_of(place)
    verdict = _scan(path)
    there = database.kept(verdict.sop_instance_uid or "")
    reason, detail = verdict.reason, verdict.detail
    if reason is None and there is not None:
        if there.sha256.hex() == verdict.sha256:
            findings.doubled += 1
            return False
        reason, detail = "UID_CONFLICT", "Another instance of the same UID is kept, with another content"
    if reason is not None:
        quarantine.keep(_record(verdict, reason, detail), chunks_of(path))
        log.error("orphan quarantined", extra={"alarm": "QUARANTINED", "code": reason})
        findings.quarantined += 1
        return False
    found = path.stat()
    instance, study = rows_of(verdict, found.st_size, verdict.dataset_start or 0, found.st_mtime)
    source = read_file_meta_info(path).get("SourceApplicationEntityTitle")
    row = replace(instance, place=place, durable_at=time.time(), source_ae_title=source)
    database.insert(row, study)
    findings.adopted += 1
    return True


def _scan(path: Path) -> Verdict:
    scanner = Scanner(keep=KEPT_TAGS)
    for chunk in chunks_of(path):
        scanner.feed(chunk)
    return scanner.finish()


def _record(verdict: Verdict, reason: str, detail: str) -> QuarantineRecord:
    return QuarantineRecord(
        reason=reason,
        detail=detail,
        origin="spool",
        notes=verdict.notes,
        sop_class_uid=verdict.sop_class_uid,
        sop_instance_uid=verdict.sop_instance_uid,
        transfer_syntax_uid=verdict.transfer_syntax_uid,
        sha256=verdict.sha256,
    )
