"""Storage Commitment, Push Model, as SCP (PS3.4 J): asked on one association, answered on another.

A request is answered at once, when it is durable; what became of the instances is said later, on an
association that we open. It is said from the rows and the bytes on the disk: an instance that was sent on
and removed is committed, for nothing is removed before that; one of which two contents exist is not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from threading import Event, Thread
from typing import Any, Final, Protocol

from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ponte.errors import DestinationRefused, PonteError, TransientError
from ponte.uid import is_valid_uid
from ponte_net import command
from ponte_net.association import Association, Peer, Terms
from ponte_net.contexts import Kind
from ponte_net.negotiation import Role
from router.committer import Committer
from router.counters import Counters
from router.database import Database, Instance
from router.reception import PROCESSING_FAILURE, SUCCESS, AssociationFacts, Referenced
from router.spool import Spool

log = logging.getLogger(__name__)

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
NO_SUCH_INSTANCE: Final = 0x0112
INVALID_ARGUMENT: Final = 0x0115
CLASS_INSTANCE_CONFLICT: Final = 0x0119
RESOURCE_LIMITATION: Final = 0x0213
_ALL_COMMITTED, _FAILURES_EXIST = 1, 2
_AT_A_TIME = 16
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class CommitmentLimits:
    """How much may be asked, and for how long a report is tried: after `first_s`, then four times as long
    each time up to `longest_s`, until `give_up_s` after the request."""

    references: int = 50_000
    open_requests: int = 10_000
    first_s: float = 5.0
    longest_s: float = 3600.0
    give_up_s: float = 72 * 3600.0


@dataclass(frozen=True, slots=True)
class Report:
    """What is told to who asked. Failures have a reason of PS3.3 C.14."""

    transaction_uid: str
    calling_ae_title: str
    called_ae_title: str
    address: str
    committed: tuple[Referenced, ...]
    failed: tuple[tuple[Referenced, int], ...]


class Sender(Protocol):
    """Who brings a report to its peer."""

    def send(self, report: Report) -> None:
        """Returns when the peer has acknowledged it. Raises `PonteError`."""
        ...


@dataclass(frozen=True, slots=True)
class _Request:
    number: int
    transaction_uid: str
    calling_ae_title: str
    called_ae_title: str
    address: str
    references: tuple[Referenced, ...]
    asked_at: float
    attempts: int


class Commitments:
    """Requests that wait for their report, as rows that outlive the process."""

    def __init__(
        self,
        spool: Spool,
        committer: Committer,
        sender: Sender,
        counters: Counters,
        *,
        limits: CommitmentLimits = CommitmentLimits(),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._committer = committer
        self._sender = sender
        self._counters = counters
        self._limits = limits
        self._now = now
        self._awake = Event()
        self._stopping = False
        self._thread = self._new_thread()

    def ask(self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]) -> int:
        """The N-ACTION status (PS3.4 J.3.2.1.4). Raises `TransientError` when it cannot be made durable."""
        if not is_valid_uid(transaction_uid) or not references:
            return INVALID_ARGUMENT
        if len(references) > self._limits.references:
            return RESOURCE_LIMITATION
        status = self._committer.run(
            lambda database: self._insert(database, facts, transaction_uid, references)
        )
        self._awake.set()
        self._counters.add("ponte_commitments_asked_total")
        return status if isinstance(status, int) else PROCESSING_FAILURE

    def start(self) -> None:
        """Send reports from now on, those of earlier days included."""
        self._stopping = False
        self._thread = self._new_thread()
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End after the report that is being sent; the others wait for the next start. False where that takes
        longer."""
        self._stopping = True
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """True while reports are sent."""
        return self._thread.is_alive()

    def send_due(self) -> int:
        """Try each report whose time has come; how many there were. Raises `TransientError`."""
        due = self._committer.run(self._due)
        requests = [_request(row) for row in due] if isinstance(due, list) else []
        for request in requests:
            if self._stopping:
                break
            self._try(request)
        return len(requests)

    def _new_thread(self) -> Thread:
        return Thread(target=self._work, name="commitment", daemon=True)

    def _work(self) -> None:
        while not self._stopping:
            self._awake.clear()
            try:
                found = self.send_due()
            except TransientError as error:
                found = 0
                log.error("commitments not read", extra={"code": error.code})
            except Exception as error:  # noqa: BLE001  the thread must not end; the rows are there still
                found = 0
                log.error("commitment failed", extra={"alarm": "COMMITMENT", "code": type(error).__name__})
            if not found:
                self._awake.wait(self._limits.first_s)

    def _insert(
        self,
        database: Database,
        facts: AssociationFacts,
        transaction_uid: str,
        references: Sequence[Referenced],
    ) -> int:
        same = (
            "SELECT 1 FROM commitments WHERE state = 'asked' AND transaction_uid = ? AND calling_ae_title = ?"
        )
        if database.run(same, (transaction_uid, facts.calling_ae_title)).fetchone():
            return SUCCESS
        (open_requests,) = database.run("SELECT count(*) FROM commitments WHERE state = 'asked'").fetchone()
        if open_requests >= self._limits.open_requests:
            return RESOURCE_LIMITATION
        requested = json.dumps([[one.sop_class_uid, one.sop_instance_uid] for one in references])
        now = self._now()
        database.run(
            "INSERT INTO commitments (transaction_uid, calling_ae_title, called_ae_title, address, requested,"
            " asked_at, attempts, next_at, state) VALUES (?, ?, ?, ?, ?, ?, 0, ?, 'asked')",
            (
                transaction_uid, facts.calling_ae_title, facts.called_ae_title, facts.address, requested,
                now, now,
            ),
        )  # fmt: skip
        return SUCCESS

    def _due(self, database: Database) -> list[Any]:
        """Those whose time has come; a time that no wait can reach is that of a clock that was wrong."""
        now = self._now()
        return database.run(
            "SELECT number, transaction_uid, calling_ae_title, called_ae_title, address, requested, asked_at,"
            " attempts FROM commitments WHERE state = 'asked' AND (next_at <= ? OR next_at > ?)"
            " ORDER BY next_at LIMIT ?",
            (now, now + self._limits.longest_s, _AT_A_TIME),
        ).fetchall()

    def _try(self, request: _Request) -> None:
        report = self._report(request)
        try:
            self._sender.send(report)
        except PonteError as error:
            self._counters.add("ponte_commitment_reports_total", result="failed")
            self._put_off(request, report, error)
            return
        self._counters.add("ponte_commitment_reports_total", result="reported")
        log.info("commitment reported", extra=_numbers(report))
        self._note(request, report, "reported", self._now())

    def _put_off(self, request: _Request, report: Report, error: PonteError) -> None:
        limits, now = self._limits, self._now()
        if now - request.asked_at > limits.give_up_s:
            log.error(
                "commitment report given up", extra={"alarm": "COMMITMENT_GIVEN_UP", **_numbers(report)}
            )
            self._note(request, report, "given_up", now)
            return
        wait = min(limits.first_s * 4 ** min(request.attempts, 16), limits.longest_s)
        log.warning("commitment report put off", extra={"code": error.code, **_numbers(report)})
        self._note(request, report, "asked", now + wait)

    def _note(self, request: _Request, report: Report, state: str, at: float) -> None:
        result = json.dumps({"committed": len(report.committed), "failed": [
            [one.sop_instance_uid, reason] for one, reason in report.failed
        ]})  # fmt: skip
        self._committer.run(
            lambda database: (
                database.run(
                    "UPDATE commitments SET state = ?, result = ?, attempts = attempts + 1, next_at = ?,"
                    " reported_at = ? WHERE number = ?",
                    (state, result, at, at if state == "reported" else None, request.number),
                ).rowcount
            )
        )

    def _report(self, request: _Request) -> Report:
        found = self._committer.run(
            lambda database: [_find(database, one.sop_instance_uid) for one in request.references]
        )
        results = [
            (one, self._reason_against(one, there))
            for one, there in zip(request.references, found if isinstance(found, list) else [], strict=True)
        ]
        return Report(
            transaction_uid=request.transaction_uid,
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=request.address,
            committed=tuple(one for one, reason in results if not reason),
            failed=tuple((one, reason) for one, reason in results if reason),
        )

    def _reason_against(self, asked: Referenced, there: _Found) -> int:
        """Why it cannot be committed; 0 where it can."""
        instance = there.instance
        if instance is None or instance.state == "missing":
            return NO_SUCH_INSTANCE
        if instance.sop_class_uid != asked.sop_class_uid:
            return CLASS_INSTANCE_CONFLICT
        if there.has_conflict:
            return PROCESSING_FAILURE
        if instance.state == "kept" and not self._is_intact(instance):
            log.error("kept instance is damaged", extra={"alarm": "DIGEST_MISMATCH"})
            return PROCESSING_FAILURE
        return 0

    def _is_intact(self, instance: Instance) -> bool:
        digest = hashlib.sha256()
        try:
            with self._spool.path_of(instance.place).open("rb") as file:
                file.seek(instance.dataset_start)
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError:
            return False
        return digest.digest() == instance.sha256


@dataclass(frozen=True, slots=True)
class _Found:
    instance: Instance | None
    has_conflict: bool


def _find(database: Database, sop_instance_uid: str) -> _Found:
    conflict = "SELECT 1 FROM quarantined WHERE sop_instance_uid = ? AND reason = 'UID_CONFLICT'"
    return _Found(
        database.kept(sop_instance_uid) or database.former(sop_instance_uid),
        database.run(conflict, (sop_instance_uid,)).fetchone() is not None,
    )


def _request(row: Sequence[Any]) -> _Request:
    number, transaction_uid, calling, called, address, requested, asked_at, attempts = row
    references = tuple(Referenced(*one) for one in json.loads(requested))
    return _Request(number, transaction_uid, calling, called, address, references, asked_at, attempts)


def _numbers(report: Report) -> dict[str, object]:
    return {
        "committed": len(report.committed),
        "failed": len(report.failed),
        "calling_ae_title": report.calling_ae_title,
    }


@dataclass(frozen=True, slots=True)
class NetworkSender:
    """Sends a report to the peer's own listener: that of `peers` by AE title, or the address that asked, at
    `default_port`."""

    peers: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    default_port: int = 104
    max_pdu: int = 131072

    def send(self, report: Report) -> None:
        """N-EVENT-REPORT on an association of its own, in the role of the SCP (PS3.4 J.3.3)."""
        host, port = self.peers.get(report.calling_ae_title, (report.address, self.default_port))
        kinds = [Kind(PUSH_MODEL, syntax) for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)]
        association = Association.open(
            Peer(host, port, report.calling_ae_title),
            kinds,
            Terms(report.called_ae_title, self.max_pdu),
            roles={PUSH_MODEL: Role(scu=False, scp=True)},
        )
        try:
            accepted = [kind for kind in kinds if kind in association.answered.contexts]
            if not accepted:
                raise DestinationRefused("The peer takes no Storage Commitment reports")
            data = _encode(report, implicit=accepted[0].transfer_syntax_uid == ImplicitVRLittleEndian)
            answer = association.request(
                association.answered.contexts[accepted[0]],
                {
                    command.AFFECTED_SOP_CLASS_UID: PUSH_MODEL,
                    command.COMMAND_FIELD: command.N_EVENT_REPORT_RQ,
                    command.AFFECTED_SOP_INSTANCE_UID: PUSH_MODEL_INSTANCE,
                    command.EVENT_TYPE_ID: _FAILURES_EXIST if report.failed else _ALL_COMMITTED,
                },
                [data],
                len(data),
            )
        finally:
            association.release()
        status = command.number_of(answer, command.STATUS)
        if status != SUCCESS:
            raise DestinationRefused(f"The peer answers the report with {status:04X}H")


def _encode(report: Report, *, implicit: bool) -> bytes:
    """The report's Event Information (PS3.4 J.3.3.1.1)."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if report.committed:
        dataset.ReferencedSOPSequence = [_item(one) for one in report.committed]
    if report.failed:
        dataset.FailedSOPSequence = [_item(one, reason) for one, reason in report.failed]
    stream = BytesIO()
    writer = DicomIO(stream)
    writer.is_little_endian, writer.is_implicit_VR = True, implicit
    write_dataset(writer, dataset)
    return stream.getvalue()


def _item(reference: Referenced, reason: int = 0) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason:
        item.FailureReason = reason
    return item
