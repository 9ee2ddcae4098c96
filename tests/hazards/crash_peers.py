"""Who is on both sides of a router that is killed: modalities that behave and that do not, and archives that
note all they are given before they answer, or do worse."""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Final

from ponte.destination import Outgoing
from ponte.errors import PonteError
from ponte_net import command, pdu
from ponte_net.association import Patience
from ponte_net.scu import Peer, Scu, ScuLimits
from tests.factories import make_ct
from tests.hazards.test_router_service import outgoing
from tests.memory_intake import RawPeer, data_pdu, store_request
from tests.memory_intake import command_pdu as command_part
from tests.told_scp import Conversation, Stored, told_scp
from tests.unit.router.store import dataset_of

DUPLICATE_UID: Final = 0x0111
NO_ROOM: Final = 0xA700
_PATIENCE = Patience(connect_s=5, acse_s=10, dimse_s=30)


def digest_of(instance: Outgoing) -> str:
    """Of the dataset, as it travels."""
    return hashlib.sha256(b"".join(instance.dataset_chunks(instance.dataset_bytes))).hexdigest()


@dataclass
class Seen:
    """What the router answered to a modality: Success for these, and how often something else."""

    stored: set[str] = field(default_factory=set)
    refused: int = 0


def send(port: int, instances: Sequence[Outgoing], seen: Seen) -> None:
    """On one association, as far as it goes; what was answered is noted as it is answered."""
    scu = Scu(Peer("127.0.0.1", port, "STORESCP"), limits=ScuLimits(retries=0, patience=_PATIENCE))
    try:
        for outcome in scu.store(instances):
            if outcome.stored:
                seen.stored.add(outcome.sop_instance_uid)
            else:
                seen.refused += 1
    except PonteError:
        pass


# modalities that do what none should: each goes on until it is over


def _half(port: int) -> RawPeer:
    """An association in the middle of a dataset that never is whole."""
    instance = make_ct(999, series=999)
    data = dataset_of(instance)
    peer = RawPeer(port)
    try:
        peer.associate()
        head = command_part(store_request(instance.SOPInstanceUID))
        peer.send(head, data_pdu(data[: len(data) // 2], last=False))
    except BaseException:
        peer.sock.close()
        raise
    return peer


def aborts(port: int, over: Event, instances: Sequence[Outgoing], seen: Seen) -> None:
    """A-ABORT in the middle of a dataset, again and again."""
    while not over.wait(0.02):
        with _half(port) as peer:
            peer.send(pdu.control(pdu.ABORT))


def resets(port: int, over: Event, instances: Sequence[Outgoing], seen: Seen) -> None:
    """TCP RST in the middle of a dataset, again and again."""
    while not over.wait(0.02):
        with _half(port) as peer:
            _reset_at_close(peer.sock)


def stalls(port: int, over: Event, instances: Sequence[Outgoing], seen: Seen) -> None:
    """Falls silent in the middle of a dataset."""
    with _half(port):
        over.wait(60)


def doubles(port: int, over: Event, instances: Sequence[Outgoing], seen: Seen) -> None:
    """The same instances at the same time, on another association."""
    send(port, instances, seen)


Modality = Callable[[int, Event, Sequence[Outgoing], Seen], None]
MODALITIES: Mapping[str, Modality] = {
    "abort": aborts,
    "reset": resets,
    "stall": stalls,
    "duplicate": doubles,
}


@contextmanager
def hostile(name: str, port: int, instances: Sequence[Outgoing], seen: Seen) -> Iterator[None]:
    """The modality of that name, if any, beside what the block does."""
    over = Event()

    def work() -> None:
        with suppress(OSError, AssertionError):  # the router is gone, or lets nobody in for now
            MODALITIES[name](port, over, instances, seen)

    thread = Thread(target=work)
    if name in MODALITIES:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if name in MODALITIES:
            thread.join(60)
            assert not thread.is_alive()


# archives


@dataclass(frozen=True)
class Taken:
    """An instance that came as a whole, and what was answered; None where nothing was."""

    uid: str
    digest: str
    status: int | None


class Archive:
    """Takes everything and notes it in its ledger, and has the trouble of its name for so many instances."""

    def __init__(self, trouble: str = "", times: int = 0) -> None:
        self.ledger: list[Taken] = []
        self.trouble = trouble
        self.times_left = times
        self.port = 0

    def answered(self, uid: str) -> list[Taken]:
        """Its instances that it said it has."""
        return [one for one in self.ledger if one.uid == uid and one.status == 0]

    @contextmanager
    def listening(self) -> Iterator[None]:
        with told_scp(self._serve) as scp:
            self.port = scp.port
            yield

    def _serve(self, peer: Conversation) -> None:
        peer.accept()
        is_first = is_understood = True
        while (stored := peer.message()) is not None:
            trouble = "" if is_first and self.trouble in _LATER else self._next_trouble()
            status = self._note(stored, trouble, is_understood=is_understood)
            if trouble == "abort":
                peer.wire.send([pdu.control(pdu.ABORT)])
                return
            if trouble == "reset":
                _reset_at_close(peer.sock)
                return
            if status is not None:
                peer.answer(stored, status)
            if trouble == "duplicate":
                peer.answer(stored)
                is_understood = False
            is_first = False

    def _next_trouble(self) -> str:
        self.times_left -= 1
        return self.trouble if self.times_left >= 0 else ""

    def _note(self, stored: Stored, trouble: str, *, is_understood: bool) -> int | None:
        """Into the ledger, before anything is answered; what is to be answered. After one answer too many
        none that follows on the association says anything of the instance that it follows."""
        uid = command.text_of(stored.command, command.AFFECTED_SOP_INSTANCE_UID)
        status = None if trouble in _SILENT else NO_ROOM if trouble == "A700" else 0
        if self.trouble == "0111" and self.answered(uid):
            status = DUPLICATE_UID
        digest = hashlib.sha256(stored.dataset).hexdigest()
        self.ledger.append(Taken(uid, digest, status if is_understood else None))
        return status


_LATER: Collection[str] = {"abort", "reset", "stall", "duplicate"}
"""These come with the second instance of an association, so that something is always taken."""
_SILENT: Collection[str] = {"abort", "reset", "stall"}


def _reset_at_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def make_instances(count: int, *, large_size: int = 0) -> list[Outgoing]:
    """Small ones; with `large_size` every third is that wide."""
    return [
        outgoing(number, size=large_size if large_size and number % 3 == 2 else 64) for number in range(count)
    ]
