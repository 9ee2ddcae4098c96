"""Instances to a PACS by C-STORE: the bytes as they are, and what it answers to each (PS3.4 B, PS3.7 9.1.1).

Nothing counts as stored to which the peer did not answer so itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ponte.destination import Outcome, Outgoing
from ponte.errors import DestinationRefused, DestinationUnavailable, InvalidRequest
from ponte.storeanswer import describe_failure, describe_warning, is_temporary
from ponte.uid import is_valid_uid
from ponte_net import command, tls
from ponte_net.association import Association, Patience, Peer, Terms, checked_ae_title
from ponte_net.contexts import ECHO, MOST_CONTEXTS, Kind, batches, kind_of
from ponte_net.pdu import LEAST_PDU, Buffer
from ponte_net.tls import TlsOptions

__all__ = ["Echoed", "Peer", "Scu", "ScuLimits", "Session", "TlsOptions"]

_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
_SUCCESS = 0x0000
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
"""Beside Bxxx: warnings of PS3.7 C.4, with which the instance is stored."""
_BUSY = frozenset({0x0211, 0x0213})
"""Beside A7xx and 0110H: a peer that is short of something, and may take the same instance later."""


@dataclass(frozen=True, slots=True)
class ScuLimits:
    """What a batch holds, and how a peer that fails is treated.

    `retries` are beyond the first try, each on an association of its own; `backoff_s` doubles each time.
    """

    batch_instances: int = 128
    batch_bytes: int = 64 << 20
    retries: int = 2
    backoff_s: float = 0.5
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Echoed:
    """What a peer answers to C-ECHO, and to the contexts proposed beside it: None for one that it accepts."""

    status: int
    contexts: Mapping[Kind, str | None]
    max_pdu: int
    implementation: str
    seconds: float


class Scu:
    """A peer that stores what it is sent. One association at a time, one request at a time, no threads.

    `peer` and `terms` are for associations of other services with it.
    """

    def __init__(
        self,
        peer: Peer,
        *,
        calling_ae_title: str = "PONTE",
        max_pdu: int = 131072,
        local_port: int | None = None,
        tls_options: TlsOptions | None = None,
        limits: ScuLimits | None = None,
    ) -> None:
        if not 0 < peer.port < 1 << 16:
            raise InvalidRequest(f"A port is a number from 1 to 65535; {peer.port} is not")
        if max_pdu and not LEAST_PDU <= max_pdu < 1 << 32:
            raise InvalidRequest(f"The longest PDU is {max_pdu} bytes; expected 0 or at least {LEAST_PDU}")
        self.peer = Peer(peer.host, peer.port, checked_ae_title(peer.ae_title))
        self._limits = limits or ScuLimits()
        self.terms = Terms(
            checked_ae_title(calling_ae_title),
            max_pdu,
            local_port,
            tls.client_context(tls_options) if tls_options else None,
            tls_options.server_name if tls_options else None,
            self._limits.patience,
        )

    def check(self) -> None:
        """C-ECHO.

        Raises `AccessRefused`, `DestinationRefused`, `DestinationUnavailable`, `DestinationTimeout`.
        """
        echoed = self.echo()
        if echoed.status != _SUCCESS:
            raise DestinationRefused(f"The peer answers C-ECHO with {echoed.status:04X}H")

    def echo(self, kinds: Iterable[Kind] = ()) -> Echoed:
        """C-ECHO, with up to 127 further contexts proposed. Raises as `check`, but for its status."""
        began = time.monotonic()
        further = list(kinds)
        association = Association.open(self.peer, [ECHO, *further], self.terms)
        try:
            answered = association.answered
            if ECHO not in answered.contexts:
                raise DestinationRefused("The peer does not accept Verification (C-ECHO)")
            asked: command.CommandSet = {
                command.AFFECTED_SOP_CLASS_UID: ECHO.sop_class_uid,
                command.COMMAND_FIELD: command.C_ECHO_RQ,
            }
            answer = association.request(answered.contexts[ECHO], asked)
        finally:
            association.release()
        contexts = {kind: answered.rejected.get(kind) for kind in further}
        status = command.number_of(answer, command.STATUS) or _SUCCESS
        return Echoed(status, contexts, answered.max_pdu, answered.implementation, time.monotonic() - began)

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        """Send the instances, and yield what became of each, in their order.

        They are taken as they are needed, no more than a batch at a time. Raises as `check` where an
        association fails and further ones do too, `BadAnswer`, and `SourceUnavailable`. What was yielded
        before stays true; to send one again does no harm.
        """
        limits = self._limits
        session = Session(self.peer, self.terms, limits)
        try:
            for batch in batches(instances, most=limits.batch_instances, most_bytes=limits.batch_bytes):
                yield from session.store(batch)
        except BaseException:
            session.abort()
            raise
        session.release()

    def session(self) -> Session:
        """For a caller that sends batch after batch, and knows best when to let go of the association."""
        return Session(self.peer, self.terms, self._limits, proposes_again=True)


class Session:
    """One association at a time, kept from batch to batch for as long as it serves.

    `opened` counts those that the peer accepted. With `proposes_again`, a new one has the contexts of the one
    before, too, for their kinds are likely to come again.
    """

    def __init__(self, peer: Peer, terms: Terms, limits: ScuLimits, *, proposes_again: bool = False) -> None:
        self._peer = peer
        self._terms = terms
        self._limits = limits
        self._association: Association | None = None
        self._proposed: frozenset[Kind] = frozenset()
        self._proposes_again = proposes_again
        self.opened = 0

    def store(self, batch: Sequence[Outgoing]) -> Iterator[Outcome]:
        """As `Scu.store`, of no more than 128 kinds of instances. After an error the caller must `abort`."""
        obstacles = [_obstacle(instance) for instance in batch]
        sendable = [instance for instance, obstacle in zip(batch, obstacles, strict=True) if not obstacle]
        kinds = list(dict.fromkeys(map(kind_of, sendable)))
        for instance, obstacle in zip(batch, obstacles, strict=True):
            if obstacle:
                yield Outcome(instance.sop_instance_uid, "refused", obstacle)
            else:
                yield self._persist(instance, kinds)

    def rejected(self, instance: Outgoing) -> str | None:
        """Why the peer does not accept the kind of the instance; None where it does, or was not asked."""
        if self._association is None:
            return None
        return self._association.answered.rejected.get(kind_of(instance))

    def release(self) -> None:
        """End the association in order, if there is one; the next batch makes another."""
        if self._association is not None:
            self._association.release()

    def abort(self) -> None:
        """End it at once."""
        if self._association is not None:
            self._association.abort()

    def _persist(self, instance: Outgoing, kinds: Sequence[Kind]) -> Outcome:
        """The outcome of one instance; where the association breaks off it goes again, on another."""
        attempt = 0
        while True:
            try:
                return _send(self._with(kinds), instance)
            except DestinationUnavailable:
                if attempt == self._limits.retries:
                    raise
                longest = self._limits.backoff_s * 2**attempt
                time.sleep(random.uniform(longest / 2, longest))  # noqa: S311  (keeps no secret)
                attempt += 1

    def _with(self, kinds: Sequence[Kind]) -> Association:
        """The association that is open, where all kinds were proposed on it, else a new one."""
        if self._association is not None and self._association.is_open and self._proposed.issuperset(kinds):
            return self._association
        self.release()
        self._association = None
        known = [kind for kind in self._proposed if self._proposes_again and kind not in kinds]
        proposed = [*kinds, *known][:MOST_CONTEXTS]
        self._association = Association.open(self._peer, proposed, self._terms)
        self._proposed = frozenset(proposed)
        self.opened += 1
        return self._association


def _obstacle(instance: Outgoing) -> str | None:
    """Why no message can carry the instance, or None."""
    uids = {
        "SOP Instance UID (0008,0018)": instance.sop_instance_uid,
        "SOP Class UID (0008,0016)": instance.sop_class_uid,
        "Transfer Syntax UID (0002,0010)": instance.transfer_syntax_uid,
    }
    for name, value in uids.items():
        if not is_valid_uid(value):
            return f"{name} is no UID; expected one"
    if instance.dataset_bytes % 2 and instance.transfer_syntax_uid not in _DEFLATED:
        return "The dataset has an odd number of bytes; expected an even one (PS3.5 7.1)"
    return None


def _send(association: Association, instance: Outgoing) -> Outcome:
    kind = kind_of(instance)
    context_id = association.answered.contexts.get(kind)
    if context_id is None:
        why = association.answered.rejected[kind]
        text = f"The peer does not accept {kind.words}: {why}"
        return Outcome(instance.sop_instance_uid, "refused", text)
    asked: command.CommandSet = {
        command.AFFECTED_SOP_CLASS_UID: kind.sop_class_uid,
        command.COMMAND_FIELD: command.C_STORE_RQ,
        command.PRIORITY: 0,
        command.AFFECTED_SOP_INSTANCE_UID: instance.sop_instance_uid,
    }
    size = instance.dataset_bytes
    data = _dataset(instance, size)
    if size % 2:  # a deflated one, which has its padding after its end (PS3.5 A.5)
        data, size = _padded(data), size + 1
    answer = association.request(context_id, asked, data, size)
    return outcome_of(instance.sop_instance_uid, command.number_of(answer, command.STATUS) or _SUCCESS)


def _dataset(instance: Outgoing, size: int) -> Iterable[Buffer]:
    """The bytes of the dataset, uncopied where they are in memory."""
    if isinstance(instance.content, bytes):
        return [memoryview(instance.content)[instance.dataset_start :]] if size else []
    return instance.dataset_chunks(size)


def _padded(chunks: Iterable[Buffer]) -> Iterator[Buffer]:
    held: Buffer = b""
    for chunk in chunks:
        if held:
            yield held
        held = chunk
    yield bytes(held) + b"\0"


def outcome_of(sop_instance_uid: str, status: int) -> Outcome:
    """What a C-STORE status means for the instance (PS3.4 B.2.3, PS3.7 C).

    Words of the peer's own (Error Comment) are not repeated: they may name the patient.
    """
    if status == _SUCCESS:
        return Outcome(sop_instance_uid, "stored")
    if status >> 12 == 0xB or status in _WARNINGS:
        return Outcome(sop_instance_uid, "stored_with_warning", describe_warning(status), status)
    retryable = is_temporary(status) or status in _BUSY
    return Outcome(sop_instance_uid, "refused", describe_failure(status), status, retryable=retryable)
