"""What happens to an instance that arrives: written, looked at and digested while it comes, then kept or put
into quarantine, and only then answered. The statuses are those of PS3.4 B.2.3."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from ponte.errors import StorageFull, TransientError
from ponte.filemeta import part10_head
from ponte.quarantine import Quarantine, QuarantineRecord
from ponte.scan import Scanner, Verdict
from ponte.scanning.identity import text_of
from ponte.uid import is_valid_uid
from router.committer import Committer, Settlement
from router.counters import Counters
from router.database import Instance, Study
from router.failpoint import failpoint
from router.live import Live
from router.reception import (
    CANNOT_UNDERSTAND,
    DOES_NOT_MATCH,
    INVALID_UID,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
    Asked,
    AssociationFacts,
    Ending,
    Reception,
    Referenced,
    RefusedInstance,
)
from router.spool import Partial, Spool
from router.watermarks import Watermarks

log = logging.getLogger(__name__)

CHARACTER_SET: Final = 0x00080005
STUDY_DATE: Final = 0x00080020
STUDY_TIME: Final = 0x00080030
ACCESSION_NUMBER: Final = 0x00080050
MODALITY: Final = 0x00080060
STUDY_DESCRIPTION: Final = 0x00081030
PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
KEPT_TAGS: Final = frozenset(
    {
        CHARACTER_SET, STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER, MODALITY, STUDY_DESCRIPTION, PATIENT_NAME,
        PATIENT_ID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID,
    }
)  # fmt: skip
NO_SUCH_INSTANCE: Final = 0x0112
STORE_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds of the histogram `ponte_store_seconds`: from the command to the durable answer."""
_CHUNK = 1 << 20


class Keeper(Protocol):
    """Who gives instances their place and their row, as far as receiving needs it."""

    @property
    def is_well(self) -> bool:
        """False while nothing can be committed."""
        ...

    def arrive(
        self, partial: Partial, instance: Instance, study: Study, facts: AssociationFacts
    ) -> Settlement:
        """See `Committer.arrive`."""
        ...

    def close_association(self, association_id: str, how: Ending, ended_at: float) -> None:
        """Note how and when it ended. Raises `NotCommitted`."""
        ...

    def note_quarantined(
        self, row: Sequence[object], study_instance_uid: str, facts: AssociationFacts
    ) -> None:
        """See `Database.note_quarantined`. Raises `NotCommitted`."""
        ...


class Commitments(Protocol):
    """Who takes requests for Storage Commitment."""

    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        """The N-ACTION status, once the request is durable."""
        ...


class Reports(Protocol):
    """Who takes what destinations report of Storage Commitment."""

    def reported(self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]) -> bool:
        """False where nobody asked for it. Raises `TransientError`."""
        ...


@dataclass(frozen=True, slots=True)
class DiskLimits:
    """Below `associations_bytes` of free space, or `files` that can be made, no association is accepted;
    below `instances_bytes` no instance of those that are there; below `warning_bytes` there is an alarm.
    Nothing is ever removed to make room."""

    associations_bytes: int = 2 << 30
    instances_bytes: int = 512 << 20
    warning_bytes: int = 20 << 30
    files: int = 1024


class FileIntake[K: Keeper]:
    """The `Intake` on a spool, whoever keeps its rows."""

    def __init__(
        self,
        spool: Spool,
        committer: K,
        quarantine: Quarantine,
        commitments: Commitments,
        counters: Counters,
        *,
        limits: DiskLimits = DiskLimits(),
        live: Live | None = None,
    ) -> None:
        self.spool = spool
        self.committer = committer
        self.quarantine = quarantine
        self.counters = counters
        self.commitments = commitments
        self.reports: Reports | None = None
        self.live = live or Live()
        self.watermarks = Watermarks(spool.folder, limits)
        self.is_draining = False
        self._stopping = False

    def stop(self) -> None:
        """Accept no association from now on; those that are there go on."""
        self._stopping = True

    def refuses_associations(self) -> str | None:
        """`stopping`, `draining` by hand, `disk` or `queue`, the last while nothing can be committed."""
        if self._stopping or self.is_draining:
            return "stopping" if self._stopping else "draining"
        if self.watermarks.refuses_associations():
            return "disk"
        return None if self.committer.is_well else "queue"

    def association_opened(self, facts: AssociationFacts) -> None:
        """Its row comes with its first instance: who only asks whether we are there leaves none."""
        self.counters.add("ponte_associations_total", listener=facts.listener)
        self.live.opened(facts)

    def association_closed(self, facts: AssociationFacts, how: Ending) -> None:
        """Note how it ended, where it stored anything."""
        self.counters.add("ponte_associations_ended_total", how=how)
        self.live.closed(facts.id)
        try:
            self.committer.close_association(facts.id, how, time.time())
        except TransientError as error:
            log.warning("association's end not noted", extra={"code": error.code, "association": facts.id})

    def begin(self, asked: Asked) -> Reception:
        """Make a file ready. Raises `RefusedInstance`: 0x0117, 0xA700."""
        uids = (asked.sop_class_uid, asked.sop_instance_uid, asked.transfer_syntax_uid)
        if not all(map(is_valid_uid, uids)):
            raise self.refusal(asked, INVALID_UID, "A UID of the command is none", "BAD_UID")
        try:
            if self.watermarks.refuses_instances():
                raise self.refusal(asked, OUT_OF_RESOURCES, "The disk is nearly full", "STORAGE")
            head = part10_head(*uids, source_ae_title=asked.association.calling_ae_title)
            partial = self.spool.receive(head)
        except OSError as error:
            raise self.refusal(asked, OUT_OF_RESOURCES, f"No file: errno {error.errno}", "STORAGE") from error
        return _Arriving(self, asked, partial)

    def commitment_asked(
        self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]
    ) -> int:
        """See `Intake`."""
        try:
            return self.commitments.ask(facts, transaction_uid, references)
        except TransientError as error:
            log.error("commitment request not kept", extra={"code": error.code, "association": facts.id})
            return PROCESSING_FAILURE

    def commitment_reported(
        self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]
    ) -> int:
        """See `Intake`. What nobody asked for is no such instance."""
        try:
            known = self.reports is not None and self.reports.reported(transaction_uid, committed, failed)
        except TransientError as error:
            log.error("commitment report not kept", extra={"code": error.code})
            return PROCESSING_FAILURE
        return SUCCESS if known else NO_SUCH_INSTANCE

    def free_bytes(self) -> int:
        """Of the disk that the spool is on."""
        return self.watermarks.free().size_bytes

    def refusal(self, asked: Asked, status: int, detail: str, code: str) -> RefusedInstance:
        """What says that an instance is not taken, counted and logged."""
        self.count(asked, status)
        log.warning("instance refused", extra={"status": f"{status:04X}", "code": code})
        return RefusedInstance(status, detail, code=code)

    def count(self, asked: Asked, status: int) -> None:
        """An answer to a C-STORE."""
        calling_ae = asked.association.calling_ae_title
        self.counters.add("ponte_cstore_total", status=f"{status:04X}", calling_ae=calling_ae)


class SpoolIntake(FileIntake[Committer]):
    """The `Intake` of the process that has the rows."""


class _Arriving:
    """One dataset on its way into the spool."""

    def __init__(self, intake: FileIntake[Any], asked: Asked, partial: Partial) -> None:
        self._intake = intake
        self._asked = asked
        self._partial = partial
        self._dataset_start = partial.size_bytes
        self._scanner = Scanner(transfer_syntax_uid=asked.transfer_syntax_uid, keep=KEPT_TAGS)
        self._began, self._since = time.time(), time.monotonic()

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        """Into the file, and past the scanner."""
        try:
            self._partial.write(piece)
        except OSError as error:
            self.abandon()
            raise self._intake.refusal(
                self._asked, OUT_OF_RESOURCES, f"It cannot be written: errno {error.errno}", "STORAGE"
            ) from error
        self._scanner.feed(piece)

    def finish(self) -> int:
        """See `Reception`."""
        failpoint("received")
        try:
            status = self._settle(self._scanner.finish())
        except (OSError, TransientError) as error:
            status = OUT_OF_RESOURCES
            self._log_failure(error)
        except Exception as error:  # noqa: BLE001  the peer is told, whatever it was
            status = PROCESSING_FAILURE
            self._log_failure(error)
        finally:
            self._partial.discard()
        self._intake.count(self._asked, status)
        self._intake.counters.add("ponte_received_bytes_total", self._partial.size_bytes)
        seconds = time.monotonic() - self._since
        self._intake.counters.observe("ponte_store_seconds", seconds, STORE_SECONDS)
        if status == SUCCESS:
            self._intake.live.stored(self._asked.association.id, self._partial.size_bytes)
        return status

    def abandon(self) -> None:
        """See `Reception`."""
        self._partial.discard()

    def _settle(self, verdict: Verdict) -> int:
        """Keep what is sound and put away what is not; the status, once that is durable."""
        if verdict.reason is not None:
            status = DOES_NOT_MATCH if verdict.reason == "NO_PIXEL_DATA" else CANNOT_UNDERSTAND
            return self._put_away(verdict, verdict.reason, verdict.detail, status)
        if (verdict.sop_class_uid, verdict.sop_instance_uid) != (
            self._asked.sop_class_uid,
            self._asked.sop_instance_uid,
        ):
            detail = "The dataset's class or instance is not the command's"
            return self._put_away(verdict, "COMMAND_MISMATCH", detail, DOES_NOT_MATCH)
        self._partial.sync()
        facts = self._asked.association
        instance, study = rows_of(verdict, self._partial.size_bytes, self._dataset_start, self._began)
        instance = replace(instance, association_id=facts.id, source_ae_title=facts.calling_ae_title)
        settlement = self._intake.committer.arrive(self._partial, instance, study, facts)
        if settlement == "conflict":
            detail = "Another instance of the same UID is kept, with another content"
            return self._put_away(verdict, "UID_CONFLICT", detail, SUCCESS)
        self._intake.counters.add("ponte_instances_total", settlement=settlement)
        return SUCCESS

    def _put_away(self, verdict: Verdict, reason: str, detail: str, status: int) -> int:
        """Into quarantine. Where that is full, a failure stays what it is; a success there is not."""
        record = QuarantineRecord(
            reason=reason,
            detail=detail,
            origin=self._asked.association.id,
            notes=verdict.notes,
            sop_class_uid=self._asked.sop_class_uid,
            sop_instance_uid=self._asked.sop_instance_uid,
            transfer_syntax_uid=self._asked.transfer_syntax_uid,
            sha256=verdict.sha256,
        )
        try:
            identity = self._intake.quarantine.keep(record, chunks_of(self._partial.path))
        except StorageFull:
            log.error("quarantine full", extra={"alarm": "QUARANTINE_FULL", "code": reason})
            return OUT_OF_RESOURCES if status == SUCCESS else status
        asked = self._asked
        uid, association = asked.sop_instance_uid, asked.association.id
        row = (identity, reason, verdict.sha256, uid, association, status, self._began)
        said = text_of(verdict.values.get(STUDY_INSTANCE_UID))
        study = said if is_valid_uid(said) else ""
        self._intake.committer.note_quarantined(row, study, asked.association)
        self._intake.counters.add("ponte_quarantine_total", reason=reason)
        log.error(
            "instance quarantined", extra={"alarm": "QUARANTINED", "code": reason, "quarantine": identity}
        )
        return status

    def _log_failure(self, error: Exception) -> None:
        code = error.code if isinstance(error, TransientError) else type(error).__name__
        extra = {"alarm": "NOT_STORED", "code": code, "association": self._asked.association.id}
        log.error("instance not stored", extra=extra)


def rows_of(
    verdict: Verdict, size_bytes: int, dataset_start: int, received_at: float
) -> tuple[Instance, Study]:
    """What the instance itself says for its row, and for its study's."""
    values = verdict.values
    study_uid = text_of(values.get(STUDY_INSTANCE_UID))
    instance = Instance(
        sop_instance_uid=verdict.sop_instance_uid or "",
        sop_class_uid=verdict.sop_class_uid or "",
        transfer_syntax_uid=verdict.transfer_syntax_uid or "",
        study_instance_uid=study_uid,
        series_instance_uid=text_of(values.get(SERIES_INSTANCE_UID)),
        modality=values.get(MODALITY),
        sha256=bytes.fromhex(verdict.sha256 or ""),
        size_bytes=size_bytes,
        dataset_start=dataset_start,
        place="",
        notes=" ".join(verdict.notes),
        association_id=None,
        source_ae_title=None,
        received_at=received_at,
        durable_at=received_at,
    )
    study = Study(
        study_uid,
        *(
            values.get(tag)
            for tag in (
                CHARACTER_SET, PATIENT_ID, PATIENT_NAME, STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER,
                STUDY_DESCRIPTION,
            )
        ),
    )  # fmt: skip
    return instance, study


def chunks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a part at a time."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
