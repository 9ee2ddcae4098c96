"""One association, from the first byte to the last: negotiated, served, ended (PS3.8 7, PS3.7 9 and 10).

Datasets go to the `Intake` as they arrive, piece by piece; nothing of them is kept here.
"""

from __future__ import annotations

import logging
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ponte_net import command, negotiation, pdu
from ponte_net.command import BadCommand, CommandSet
from ponte_net.contexts import VERIFICATION, Kind
from ponte_net.negotiation import BadNegotiation, Rejection, Request
from ponte_net.pdu import BadPdu, Control, PeerTimeout, Piece, Wire, WireError
from router import action
from router.access import (
    AT_LIMIT,
    CONGESTED,
    STORAGE_COMMITMENT,
    Access,
    Places,
    Slot,
    is_echo_alone,
    roles_for,
)
from router.counters import Counters
from router.reception import (
    CANNOT_UNDERSTAND,
    PROCESSING_FAILURE,
    SUCCESS,
    Asked,
    AssociationFacts,
    Ending,
    Intake,
    Reception,
    RefusedInstance,
)

log = logging.getLogger(__name__)

CLASS_NOT_SUPPORTED: Final = 0x0122
NO_SUCH_ACTION: Final = 0x0123
NO_SUCH_INSTANCE: Final = 0x0112
INVALID_ARGUMENT: Final = 0x0115
UNRECOGNIZED_OPERATION: Final = 0x0211
_NAMES: Final = {
    command.AFFECTED_SOP_CLASS_UID: command.AFFECTED_SOP_CLASS_UID,
    command.REQUESTED_SOP_CLASS_UID: command.AFFECTED_SOP_CLASS_UID,
    command.AFFECTED_SOP_INSTANCE_UID: command.AFFECTED_SOP_INSTANCE_UID,
    command.REQUESTED_SOP_INSTANCE_UID: command.AFFECTED_SOP_INSTANCE_UID,
}
"""What a response repeats of the request, and as what."""
_PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_REQUEST_COMMITMENT = 1
_BY_USER, _BY_PROVIDER = b"\0\0\0\0", b"\0\0\2\0"
_UNEXPECTED_PDU, _INVALID_PDU = b"\0\0\2\2", b"\0\0\2\6"
_FAREWELL_S = 1.0
_SLOWEST = 1 << 10  # bytes a second that a dataset must come at, beyond `idle_s`


@dataclass(frozen=True, slots=True)
class AssociationLimits:
    """What a peer may take: the time for its whole handshake, TLS included; between two PDUs; and for each.

    `max_pdu_bytes` is what we tell it, 0 for any length; `instance_bytes` is where a dataset is cut off.
    """

    max_pdu_bytes: int = 131072
    instance_bytes: int = 8 << 30
    handshake_s: float = 10.0
    idle_s: float = 60.0
    pdu_s: float = 30.0


class _Over(Exception):
    """The association is over, after these bytes of an A-ABORT where there are any."""

    def __init__(self, how: Ending, abort: bytes | None = None) -> None:
        self.how = how
        self.abort = abort


class Conversation:
    """A connection that was let in. `run` is the whole of it, and raises nothing."""

    def __init__(
        self,
        connection: socket.socket,
        slot: Slot,
        places: Places,
        *,
        listener: str,
        tls: ssl.SSLContext | None,
        access: Access,
        limits: AssociationLimits,
        intake: Intake,
        counters: Counters,
    ) -> None:
        self._connection = connection
        self._slot = slot
        self._places = places
        self._listener = listener
        self._tls = tls
        self._access = access
        self._limits = limits
        self._intake = intake
        self._counters = counters
        self._draining = False
        self._contexts: Mapping[int, Kind] = {}
        self._peer_takes = 0
        self._instances = self._bytes = 0
        self._idle_since: float | None = None

    def idle_s(self) -> float:
        """How long it has been between two messages."""
        since = self._idle_since
        return 0.0 if since is None else time.monotonic() - since

    def drain(self) -> None:
        """End it, from another thread: what has come whole is answered, what has not is given up."""
        self._draining = True
        with suppress(OSError):  # not by an SSLSocket's own, which would take TLS from its thread
            socket.socket.shutdown(self._connection, socket.SHUT_RD)

    def run(self) -> None:
        """Shake hands, serve, part."""
        try:
            self._converse()
        except Exception as error:  # noqa: BLE001  (one association's failure is not the others')
            log.error("association failed", extra={"code": type(error).__name__})
        finally:
            self._connection.close()
            self._places.give_back(self._slot)

    def _converse(self) -> None:
        limits = self._limits
        deadline = time.monotonic() + limits.handshake_s
        try:
            self._secure()
            wire = self._wire = Wire(self._connection, idle_s=limits.handshake_s, pdu_s=limits.handshake_s)
            wire.until = deadline
            wire.handshake()
            asked = self._negotiated()
        except _Over as over:
            self._part(over)
        except (WireError, OSError) as error:
            self._count_refused(type(error).__name__)
            if isinstance(error, BadPdu):
                self._part(_Over("aborted", _INVALID_PDU))
        else:
            self._serve_all(self._facts(asked))

    def _secure(self) -> None:
        if self._tls is not None:
            self._connection = self._slot.connection = self._tls.wrap_socket(
                self._connection, server_side=True, do_handshake_on_connect=False
            )

    def _negotiated(self) -> Request:
        """Read the request and accept it. Raises `_Over` where it is not to be."""
        got = self._wire.receive()
        if not isinstance(got, Control) or got.type != pdu.ASSOCIATE_RQ:
            self._count_refused("not_dicom")
            abort = isinstance(got, Control) and got.type == pdu.ABORT
            raise _Over("aborted", None if abort else _UNEXPECTED_PDU)
        try:
            asked = negotiation.read_request(got.body)
            results = self._access.results(asked)
        except BadNegotiation as error:
            self._count_refused("bad_request")
            raise _Over("aborted", _INVALID_PDU) from error
        rejection = self._access.rejection(asked) or self._rejection_for_now(asked)
        if rejection is not None:
            self._reject(asked, rejection)
        taken = {identifier: syntax for identifier, (result, syntax) in results.items() if result == 0}
        self._contexts = {
            context.context_id: Kind(context.abstract_syntax, taken[context.context_id])
            for context in asked.contexts
            if context.context_id in taken
        }
        self._peer_takes = asked.max_pdu
        longest = self._limits.max_pdu_bytes
        self._wire.send([negotiation.accept(asked, results, max_pdu=longest, roles=roles_for(asked))])
        self._wire.until = None
        self._wire.idle_s, self._wire.pdu_s = self._limits.idle_s, self._limits.pdu_s
        self._wire.longest = longest + pdu.PDV_OVERHEAD if longest else None
        return asked

    def _rejection_for_now(self, asked: Request) -> Rejection | None:
        """Why it should come again later, unless all it wants is an answer to C-ECHO."""
        if 0 < asked.max_pdu < pdu.LEAST_PDU:
            return AT_LIMIT
        why = None if is_echo_alone(asked) else self._intake.refuses_associations()
        if why is None:
            return None if self._places.associate(self._slot) else CONGESTED
        return AT_LIMIT if why == "disk" else CONGESTED

    def _reject(self, asked: Request, rejection: Rejection) -> None:
        self._count_refused(rejection.words)
        log.warning(
            "association rejected",
            extra={
                "calling_ae_title": _shown(asked.calling_ae_title),
                "called_ae_title": _shown(asked.called_ae_title),
                "address": self._slot.address,
                "listener": self._listener,
                "reason": rejection.words,
            },
        )
        self._wire.send([pdu.control(pdu.ASSOCIATE_RJ, rejection.body)])
        raise _Over("released")

    def _facts(self, asked: Request) -> AssociationFacts:
        return AssociationFacts(
            id=secrets.token_hex(8),
            calling_ae_title=_shown(asked.calling_ae_title),
            called_ae_title=_shown(asked.called_ae_title),
            address=self._slot.address,
            listener=self._listener,
            started_at=time.time(),
            tls_subject=_subject(self._connection),
        )

    def _serve_all(self, facts: AssociationFacts) -> None:
        who = {
            "association": facts.id,
            "calling_ae_title": facts.calling_ae_title,
            "called_ae_title": facts.called_ae_title,
            "address": facts.address,
            "listener": facts.listener,
        }
        log.info("association accepted", extra={**who, "contexts": len(self._contexts)})
        self._intake.association_opened(facts)
        began = time.monotonic()
        how: Ending = "lost"
        try:
            how = self._serve_until_over(facts)
        finally:
            self._intake.association_closed(facts, how)
            seconds = round(time.monotonic() - began, 3)
            came = {"instances": self._instances, "bytes": self._bytes, "seconds": seconds}
            log.info("association ended", extra={**who, "how": how, **came})

    def _serve_until_over(self, facts: AssociationFacts) -> Ending:
        try:
            while True:
                self._serve(facts)
        except _Over as over:
            ending = over
        except PeerTimeout:
            ending = _Over("timed_out", _BY_PROVIDER)
        except BadPdu:
            ending = _Over("aborted", _INVALID_PDU)
        except WireError:
            ending = _Over("drained", _BY_USER) if self._draining else _Over("lost")
        except Exception as error:  # noqa: BLE001  (the peer is told, by an abort, that nothing is certain)
            log.error("association failed", extra={"code": type(error).__name__, "association": facts.id})
            ending = _Over("aborted", _BY_PROVIDER)
        self._part(ending)
        return ending.how

    def _part(self, over: _Over) -> None:
        """Say the last word, and wait a moment for the peer to hear it."""
        self._wire.until = time.monotonic() + _FAREWELL_S
        try:
            if over.abort is not None:
                self._wire.send([pdu.control(pdu.ABORT, over.abort)])
            if over.abort is not None or over.how == "released":
                self._wire.linger()
        except WireError:
            log.debug("peer gone before the end")

    def _serve(self, facts: AssociationFacts) -> None:
        """One message."""
        if self._draining:
            raise _Over("drained", _BY_USER)
        self._idle_since = time.monotonic()
        first = self._wire.receive()
        self._idle_since = None
        if isinstance(first, Control):
            raise self._ending(first)
        asked = self._command(first)
        field = command.number_of(asked, command.COMMAND_FIELD)
        if field is None or field & command.RESPONSE or command.MESSAGE_ID not in asked:
            raise _Over("aborted", _UNEXPECTED_PDU)
        kind = self._contexts.get(first.context_id)
        if field == command.C_STORE_RQ:
            self._store(facts, first.context_id, kind, asked)
        elif field == command.C_ECHO_RQ:
            self._skip(first.context_id, asked)
            status = SUCCESS if kind and kind.sop_class_uid == VERIFICATION else CLASS_NOT_SUPPORTED
            self._answer(first.context_id, asked, status)
        elif field == command.N_ACTION_RQ and kind and kind.sop_class_uid == STORAGE_COMMITMENT:
            self._act(facts, first.context_id, kind, asked)
        elif field == command.N_EVENT_REPORT_RQ and kind and kind.sop_class_uid == STORAGE_COMMITMENT:
            self._hear(first.context_id, kind, asked)
        elif field != command.C_CANCEL_RQ:
            self._skip(first.context_id, asked)
            self._answer(first.context_id, asked, UNRECOGNIZED_OPERATION if kind else CLASS_NOT_SUPPORTED)

    def _ending(self, control: Control) -> _Over:
        """What is no message ends the association, in order or not."""
        if control.type == pdu.RELEASE_RQ:
            self._wire.send([pdu.control(pdu.RELEASE_RP)])
            return _Over("released")
        return _Over("aborted", None if control.type == pdu.ABORT else _UNEXPECTED_PDU)

    def _command(self, piece: Piece) -> CommandSet:
        """The whole command set that begins with this piece."""
        context_id = piece.context_id
        gathered = bytearray()
        while True:
            if not piece.is_command or piece.context_id != context_id:
                raise _Over("aborted", _UNEXPECTED_PDU)
            gathered += piece.data
            if piece.last:
                break
            if len(gathered) > command.LONGEST:
                raise _Over("aborted", _INVALID_PDU)
            piece = self._next_piece()
        try:
            return command.decode(bytes(gathered))
        except BadCommand as error:
            raise _Over("aborted", _INVALID_PDU) from error

    def _next_piece(self) -> Piece:
        got = self._wire.receive()
        if isinstance(got, Control):
            raise _Over("aborted", None if got.type == pdu.ABORT else _UNEXPECTED_PDU)
        return got

    def _store(self, facts: AssociationFacts, context_id: int, kind: Kind | None, asked: CommandSet) -> None:
        """C-STORE (PS3.7 9.1.1): answered when the intake has said what it is worth."""
        sop_class = command.text_of(asked, command.AFFECTED_SOP_CLASS_UID)
        instance = command.text_of(asked, command.AFFECTED_SOP_INSTANCE_UID)
        if asked.get(command.DATA_SET_TYPE) == command.NO_DATA_SET or not (sop_class and instance):
            self._skip(context_id, asked)
            self._answer(context_id, asked, CANNOT_UNDERSTAND)
        elif kind is None or kind.sop_class_uid != sop_class:
            self._skip(context_id, asked)
            self._answer(context_id, asked, CLASS_NOT_SUPPORTED)
        else:
            wanted = Asked(facts, sop_class, instance, kind.transfer_syntax_uid)
            self._answer(context_id, asked, self._received(context_id, wanted))

    def _received(self, context_id: int, wanted: Asked) -> int:
        """The status, once the whole dataset has been read, whatever became of it."""
        try:
            reception = self._intake.begin(wanted)
        except RefusedInstance as refused:
            self._take(context_id, None)
            return refused.status
        try:
            refused_with = self._take(context_id, reception)
        except BaseException:
            reception.abandon()
            raise
        if refused_with is not None:
            return refused_with
        self._instances += 1
        return reception.finish()

    def _take(self, context_id: int, reception: Reception | None) -> int | None:
        """Read the dataset into the reception; the status where that has enough of it before the end."""
        wire, limits = self._wire, self._limits
        patience_ends = time.monotonic() + limits.idle_s
        received, status = 0, None
        while True:
            piece = self._next_piece()
            if piece.is_command or piece.context_id != context_id:
                raise _Over("aborted", _UNEXPECTED_PDU)
            received += len(piece.data)
            if received > limits.instance_bytes:
                log.warning("dataset cut off", extra={"limit_bytes": limits.instance_bytes})
                raise _Over("aborted", _BY_USER)
            if reception is not None:
                try:
                    reception.write(piece.data)
                except RefusedInstance as refused:
                    reception.abandon()
                    reception, status = None, refused.status
            if piece.last:
                break
            if self._draining:  # it may be there still: Linux goes on receiving
                raise _Over("drained", _BY_USER)
            wire.until = patience_ends + received / _SLOWEST
        wire.until = None
        self._bytes += received
        return status

    def _skip(self, context_id: int, asked: CommandSet) -> None:
        """Read the data set of a request that is answered without it."""
        if asked.get(command.DATA_SET_TYPE, command.NO_DATA_SET) != command.NO_DATA_SET:
            self._take(context_id, None)

    def _act(self, facts: AssociationFacts, context_id: int, kind: Kind, asked: CommandSet) -> None:
        """N-ACTION of Storage Commitment (PS3.4 J.3.2): taken down now, reported on later."""
        if asked.get(command.DATA_SET_TYPE) == command.NO_DATA_SET:
            self._answer(context_id, asked, INVALID_ARGUMENT)
            return
        gathered = _Gathered()
        status = self._take(context_id, gathered)
        if status is None:
            status = self._commitment(facts, kind, asked, bytes(gathered.data))
        self._answer(context_id, asked, status)

    def _hear(self, context_id: int, kind: Kind, asked: CommandSet) -> None:
        """N-EVENT-REPORT of Storage Commitment (PS3.4 J.3.3): acknowledged once it is durable."""
        gathered = _Gathered()
        status: int | None = INVALID_ARGUMENT
        if asked.get(command.DATA_SET_TYPE) != command.NO_DATA_SET:
            status = self._take(context_id, gathered)
        if status is None:
            try:
                told = action.read_report(bytes(gathered.data), kind.transfer_syntax_uid)
            except action.BadAction:
                status = INVALID_ARGUMENT
            else:
                status = self._intake.commitment_reported(told.transaction_uid, told.committed, told.failed)
        self._answer(context_id, asked, status)

    def _commitment(self, facts: AssociationFacts, kind: Kind, asked: CommandSet, data: bytes) -> int:
        if asked.get(command.ACTION_TYPE_ID) != _REQUEST_COMMITMENT:
            return NO_SUCH_ACTION
        if command.text_of(asked, command.REQUESTED_SOP_INSTANCE_UID) != _PUSH_MODEL_INSTANCE:
            return NO_SUCH_INSTANCE
        try:
            wanted = action.read_action(data, kind.transfer_syntax_uid)
        except action.BadAction:
            return INVALID_ARGUMENT
        return self._intake.commitment_asked(facts, wanted.transaction_uid, wanted.references)

    def _answer(self, context_id: int, asked: CommandSet, status: int) -> None:
        """The response that goes with the request (PS3.7 9.3, 10.3)."""
        field = command.number_of(asked, command.COMMAND_FIELD) or 0
        answer: CommandSet = {
            command.COMMAND_FIELD: field | command.RESPONSE,
            command.MESSAGE_ID_RESPONDED_TO: asked[command.MESSAGE_ID],
            command.DATA_SET_TYPE: command.NO_DATA_SET,
            command.STATUS: status,
        }
        for element, value in _NAMES.items():
            if found := command.text_of(asked, element):
                answer[value] = found
        if field == command.N_ACTION_RQ and command.ACTION_TYPE_ID in asked:
            answer[command.ACTION_TYPE_ID] = asked[command.ACTION_TYPE_ID]
        encoded = command.encode(answer)
        self._wire.send(pdu.fragments(context_id, encoded, self._peer_takes, is_command=True))

    def _count_refused(self, reason: str) -> None:
        self._counters.add("ponte_associations_refused_total", listener=self._listener, reason=reason)


class _Gathered:
    """A small data set, which is read whole."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self.data += piece
        if len(self.data) > action.LONGEST:
            raise RefusedInstance(PROCESSING_FAILURE, "The data set is too long")

    def finish(self) -> int:
        return SUCCESS

    def abandon(self) -> None:
        self.data.clear()


def _shown(ae_title: str) -> str:
    """As it came, but for what no log should have in it."""
    return "".join(one if one.isprintable() else "?" for one in ae_title)


def _subject(connection: socket.socket) -> str | None:
    """The subject of the peer's certificate, where it showed one that was asked for."""
    certificate: Any = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    names = [pair for part in (certificate or {}).get("subject", ()) for pair in part]
    return ", ".join(f"{name}={value}" for name, value in names) or None
