"""Storage Commitment, Push Model, as SCU (PS3.4 J): nothing goes before the destination commits to it.

What was sent is asked for by N-ACTION; the answer comes later, as N-EVENT-REPORT on an association that the
destination opens to our own listener. A request without an answer is made again; what the destination does
not commit to is sent again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from threading import Thread
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from ponte.errors import DestinationRefused, PonteError, TransientError
from ponte_net import command
from ponte_net.association import Association
from ponte_net.contexts import Kind
from ponte_net.scu import Scu
from router.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from router.committer import Committer
from router.database import Database
from router.deliveries import pause_s
from router.destinations import DicomNode
from router.failpoint import failpoint
from router.lanes import NAP_S, Lane
from router.links import DicomLink
from router.reception import SUCCESS, Referenced
from router.savepoint import run_apart

log = logging.getLogger(__name__)

_REQUEST_COMMITMENT = 1
_TOGETHER: Final = 1000
_SETTLED_S: Final = 2.0
"""How long nothing more was sent before the rest is asked for; a full request goes at once."""
_NEXT = """
    SELECT d.number, i.sop_class_uid, coalesce(d.sent_as, i.sop_instance_uid), d.sent_at FROM deliveries d
    JOIN instances i ON i.number = d.number
    WHERE d.destination = ? AND d.state = 'sent' AND d.wants_commitment = 1 AND d.transaction_uid IS NULL
    ORDER BY d.sent_at LIMIT ?
"""
_OF_TRANSACTION = """
    SELECT d.number, coalesce(d.sent_as, i.sop_instance_uid) FROM deliveries d
    JOIN instances i ON i.number = d.number
    WHERE d.destination = ? AND d.transaction_uid = ? AND d.state = 'sent' AND d.wants_commitment = 1
"""


@dataclass(frozen=True, slots=True)
class _Request:
    transaction_uid: str
    references: tuple[Referenced, ...]


class Committing:
    """Asks one destination, in a thread of its own, and takes its reports."""

    def __init__(
        self,
        lane: Lane,
        committer: Committer,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(lane.target, DicomNode):
            raise TypeError("only a DICOM node commits")
        self._target: DicomNode = lane.target
        self._scu: Scu = DicomLink(lane.target).scu
        self._lane = lane
        self._committer = committer
        self._now = now
        self._failures = 0
        self._stopping = False
        self._sleeper = lane.sleeper()
        self._thread = Thread(target=self._work, name=f"{lane.target.name}-commitment", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._lane.wake()

    def join(self, timeout_s: float) -> bool:
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def step(self) -> bool:
        """Ask for what was sent; False where there was nothing to ask for. Raises `PonteError`."""
        request = run_apart(self._committer, self._begin)
        if request is None:
            return False
        failpoint("commitment-begun")
        try:
            _ask(self._scu, request)
        except PonteError:
            run_apart(self._committer, lambda database: _forget(database, request.transaction_uid))
            raise
        self._failures = 0
        self._lane.counters.add("ponte_commitment_requests_total", destination=self._target.name)
        return True

    def _work(self) -> None:
        while not self._stopping:
            pause = NAP_S
            try:
                if self._lane.wait_s() == 0 and self.step():
                    continue
            except PonteError as error:
                pause = self._put_off(error)
            except Exception as error:  # noqa: BLE001  the thread must not end; the rows are there still
                pause = self._put_off(TransientError(type(error).__name__))
            until = time.monotonic() + pause
            while not self._stopping and time.monotonic() < until:
                self._lane.nap(self._sleeper, until - time.monotonic())

    def _put_off(self, error: PonteError) -> float:
        """An alarm at once where it is refused, and where it failed for long."""
        self._failures += 1
        extra = {"destination": self._target.name, "code": error.code, "failures": self._failures}
        if isinstance(error, DestinationRefused) or self._failures % 10 == 0:
            extra["alarm"] = "COMMITMENT_REFUSED"
            log.error("commitment cannot be asked for", extra=extra)
        else:
            log.warning("commitment cannot be asked for now", extra=extra)
        return pause_s(self._target.retry, self._failures - 1)

    def _begin(self, database: Database) -> _Request | None:
        """The next request, durable before it is made: an answer may come at once."""
        name, now = self._target.name, self._now()
        _expire(database, name, now - self._target.commitment_timeout_s)
        rows = database.run(_NEXT, (name, _TOGETHER)).fetchall()
        if not rows or (len(rows) < _TOGETHER and now - rows[-1][3] < _SETTLED_S):
            return None
        transaction_uid = str(generate_uid(prefix=None))
        database.run("INSERT INTO commitment_requests VALUES (?, ?, ?)", (transaction_uid, name, now))
        for number, *_ in rows:
            database.run(
                "UPDATE deliveries SET transaction_uid = ? WHERE number = ? AND destination = ?",
                (transaction_uid, number, name),
            )
        return _Request(transaction_uid, tuple(Referenced(row[1], row[2]) for row in rows))


class Reports:
    """Takes what destinations report, whichever listener it comes by."""

    def __init__(
        self,
        committer: Committer,
        targets: Sequence[DicomNode],
        *,
        confirmed: Callable[[int], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._committer = committer
        self._targets = {target.name: target for target in targets}
        self._confirmed = confirmed
        self._now = now

    def reported(self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]) -> bool:
        """Note what a destination commits to, by SOP Instance UID, durably; False where nobody asked for it.

        What it names neither as committed nor as failed stays open. Raises `TransientError`.
        """
        done = run_apart(
            self._committer, lambda database: self._note(database, transaction_uid, set(committed), failed)
        )
        if done is None:
            return False
        for number in done:
            self._confirmed(number)
        return True

    def _note(
        self, database: Database, transaction_uid: str, committed: set[str], failed: Mapping[str, int]
    ) -> list[int] | None:
        query = "SELECT destination FROM commitment_requests WHERE transaction_uid = ?"
        row = database.run(query, (transaction_uid,)).fetchone()
        if row is None or row[0] not in self._targets:
            return None
        target, now, done = self._targets[row[0]], self._now(), []
        for number, uid in database.run(_OF_TRANSACTION, (target.name, transaction_uid)).fetchall():
            if uid in failed:
                self._send_again(database, target, number, failed[uid])
            elif uid in committed:
                database.run(
                    "UPDATE deliveries SET state = 'committed', committed_at = ? WHERE number = ?"
                    " AND destination = ?",
                    (now, number, target.name),
                )
                done.append(number)
        _forget(database, transaction_uid)
        return done

    def _send_again(self, database: Database, target: DicomNode, number: int, reason: int) -> None:
        extra = {"alarm": "NOT_COMMITTED", "destination": target.name, "status": f"{reason:04X}"}
        log.error("the destination does not commit to an instance", extra=extra)
        now = self._now()
        database.run(
            "UPDATE deliveries SET state = 'waiting', status = ?, detail = 'Not committed', unclear = 1,"
            " attempts = attempts + 1, failing_since = coalesce(failing_since, ?), next_at = ?,"
            " transaction_uid = NULL WHERE number = ? AND destination = ?",
            (reason, now, now + pause_s(target.retry, 0), number, target.name),
        )


def _expire(database: Database, name: str, asked_before: float) -> None:
    """Requests that were never answered are made again."""
    query = "SELECT transaction_uid FROM commitment_requests WHERE destination = ? AND asked_at < ?"
    for (transaction_uid,) in database.run(query, (name, asked_before)).fetchall():
        extra = {"alarm": "NO_COMMITMENT", "destination": name}
        log.error("a request for commitment was not answered", extra=extra)
        _forget(database, transaction_uid)


def _forget(database: Database, transaction_uid: str) -> None:
    """What it left open is to be asked for again."""
    database.run("DELETE FROM commitment_requests WHERE transaction_uid = ?", (transaction_uid,))
    database.run(
        "UPDATE deliveries SET transaction_uid = NULL WHERE transaction_uid = ? AND state = 'sent'"
        " AND wants_commitment = 1",
        (transaction_uid,),
    )


def _ask(scu: Scu, request: _Request) -> None:
    """N-ACTION (PS3.4 J.3.2). Raises `PonteError`."""
    kinds = [Kind(PUSH_MODEL, syntax) for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian)]
    association = Association.open(scu.peer, kinds, scu.terms)
    try:
        accepted = next((kind for kind in kinds if kind in association.answered.contexts), None)
        if accepted is None:
            raise DestinationRefused("The peer does not commit (Storage Commitment is not accepted)")
        data = _encoded(request, implicit=accepted.transfer_syntax_uid == ImplicitVRLittleEndian)
        asked: command.CommandSet = {
            command.REQUESTED_SOP_CLASS_UID: PUSH_MODEL,
            command.COMMAND_FIELD: command.N_ACTION_RQ,
            command.REQUESTED_SOP_INSTANCE_UID: PUSH_MODEL_INSTANCE,
            command.ACTION_TYPE_ID: _REQUEST_COMMITMENT,
        }
        answer = association.request(association.answered.contexts[accepted], asked, [data], len(data))
    finally:
        association.release()
    status = command.number_of(answer, command.STATUS)
    if status != SUCCESS:
        raise DestinationRefused(f"The peer answers the request for commitment with {status:04X}H")


def _encoded(request: _Request, *, implicit: bool) -> bytes:
    """Action Information (PS3.4 J.3.2.1.1)."""
    dataset = Dataset()
    dataset.TransactionUID = request.transaction_uid
    dataset.ReferencedSOPSequence = [_item(one) for one in request.references]
    stream = BytesIO()
    writer = DicomIO(stream)
    writer.is_little_endian, writer.is_implicit_VR = True, implicit
    write_dataset(writer, dataset)
    return stream.getvalue()


def _item(reference: Referenced) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
