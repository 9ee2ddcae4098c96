"""An `Intake` that keeps datasets in memory, and peers that send to the SCP before it, for tests."""

from __future__ import annotations

import gc
import os
import socket
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from infra.local.process import wait_for
from ponte_net import command, negotiation, pdu
from ponte_net.command import CommandSet
from ponte_net.contexts import Kind
from router.access import AccessRules
from router.association import AssociationLimits
from router.carriers import Carriers
from router.counters import Counters
from router.listener import Endpoint
from router.reception import SUCCESS, Asked, AssociationFacts, Ending, Referenced, RefusedInstance
from router.scp import ConnectionLimits, Scp
from tests.carriers import Shared, carriers

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CT_EXPLICIT = Kind(CT, EXPLICIT)
LOOPBACK = "127.0.0.1"


@dataclass
class MemoryIntake:
    """What it was given, and what became of each association. `refuses` and `status` are what it answers."""

    kept: list[tuple[Asked, bytes]] = field(default_factory=list)
    opened: list[AssociationFacts] = field(default_factory=list)
    closed: list[tuple[AssociationFacts, Ending]] = field(default_factory=list)
    commitments: list[tuple[str, tuple[Referenced, ...]]] = field(default_factory=list)
    reports: list[tuple[str, tuple[str, ...], dict[str, int]]] = field(default_factory=list)
    unfinished: int = 0
    refuses: str | None = None
    status: int = SUCCESS
    refuse_with: int | None = None
    refuse_after: int | None = None
    fail: BaseException | None = None
    hold: threading.Event | None = None

    def refuses_associations(self) -> str | None:
        return self.refuses

    def association_opened(self, facts: AssociationFacts) -> None:
        self.opened.append(facts)

    def association_closed(self, facts: AssociationFacts, how: Ending) -> None:
        self.closed.append((facts, how))

    def begin(self, asked: Asked) -> MemoryReception:
        if self.refuse_with is not None and self.refuse_after is None:
            raise RefusedInstance(self.refuse_with, "as the test wants")
        self.unfinished += 1
        return MemoryReception(self, asked)

    def commitment_asked(
        self, facts: AssociationFacts, transaction_uid: str, references: Sequence[Referenced]
    ) -> int:
        self.commitments.append((transaction_uid, tuple(references)))
        return self.status

    def commitment_reported(
        self, transaction_uid: str, committed: Sequence[str], failed: Mapping[str, int]
    ) -> int:
        self.reports.append((transaction_uid, tuple(committed), dict(failed)))
        return self.status

    @property
    def endings(self) -> list[Ending]:
        return [how for _, how in self.closed]

    @property
    def datasets(self) -> list[bytes]:
        return [data for _, data in self.kept]


@dataclass
class MemoryReception:
    intake: MemoryIntake
    asked: Asked
    data: bytearray = field(default_factory=bytearray)
    is_over: bool = False

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        assert not self.is_over
        if self.intake.fail is not None:
            raise self.intake.fail
        self.data += piece
        limit = self.intake.refuse_after
        if limit is not None and len(self.data) > limit:
            raise RefusedInstance(self.intake.refuse_with or 0xA700, "as the test wants")

    def finish(self) -> int:
        assert not self.is_over
        if self.intake.hold is not None:
            self.intake.hold.wait(20)
        self._over()
        self.intake.kept.append((self.asked, bytes(self.data)))
        return self.intake.status

    def abandon(self) -> None:
        if not self.is_over:
            self._over()

    def _over(self) -> None:
        self.is_over = True
        self.intake.unfinished -= 1


@dataclass
class Served:
    """An SCP that listens, and the intake behind it."""

    scp: Scp | Carriers
    intake: MemoryIntake
    counters: Counters

    @property
    def port(self) -> int:
        return self.scp.ports[0]

    def settled(self) -> None:
        """Wait until every connection is over."""
        wait_for(lambda: not self.scp.open_associations, timeout_s=20, msg="a connection is not over")


PROCESSES = 1
"""How many carry what is `served`, as far as they are processes: `tests.carriers`."""


class _Front:
    """What the first process has in front of carriers that keep datasets in memory."""

    def __init__(self, intake: MemoryIntake) -> None:
        self.refuses_associations = intake.refuses_associations
        self.committer = self.spool = self

    def run_all(self, changes: Sequence[object]) -> None:
        assert not changes

    def sweep_marked(self, mark: str) -> None:
        pass


def _made(intake: MemoryIntake, endpoints: Sequence[Endpoint], counters: Counters, **options: Any) -> Any:
    if PROCESSES == 1:
        return Scp(endpoints, intake, counters=counters, **options)
    front: Any = _Front(intake)
    return carriers(front, tuple(endpoints), counters, intake_of=lambda _: intake, **options)


@contextmanager
def served(
    intake: MemoryIntake | None = None, *, endpoints: Sequence[Endpoint] | None = None, **options: Any
) -> Iterator[Served]:
    """Afterwards no thread, file or unfinished reception may be left."""
    threads, files = threading.active_count(), _open_files()
    intake, counters = intake or MemoryIntake(), Shared()
    scp = _made(intake, endpoints or [Endpoint(0, LOOPBACK)], counters, **options)
    scp.start()
    try:
        yield Served(scp, intake, counters)
    finally:
        assert scp.stop(0)
    wait_for(lambda: threading.active_count() <= threads, timeout_s=20, msg="a thread is left")
    wait_for(lambda: _open_files() <= files, timeout_s=20, msg="a file is left")
    assert intake.unfinished == 0
    assert len(intake.opened) == len(intake.closed)


def quick(**limits: Any) -> dict[str, Any]:
    """Limits that a test can wait for."""
    return {"limits": AssociationLimits(**{"handshake_s": 5, "idle_s": 5, "pdu_s": 5, **limits})}


def only(**rules: Any) -> dict[str, Any]:
    return {"access": AccessRules(**rules)}


def at_most(associations: int, per_address: int) -> dict[str, Any]:
    return {"connections": ConnectionLimits(associations, per_address)}


def _open_files() -> int:
    """Those that somebody holds: a client of the test may have left one to the collector."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


class RawPeer:
    """A socket, and the words of the protocol where a test wants them."""

    def __init__(self, port: int, *, source: str = LOOPBACK, family: int = socket.AF_INET) -> None:
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET:
            self.sock.bind((source, 0))
        self.sock.settimeout(20)
        try:
            self.sock.connect((LOOPBACK if family == socket.AF_INET else "::1", port))
        except OSError:
            self.sock.close()
            raise

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *parts: bytes | memoryview) -> None:
        self.sock.sendall(b"".join(parts))

    def request(self, *kinds: Kind, called: str = "PONTE", calling: str = "TEST", **options: Any) -> bytes:
        return negotiation.request(
            calling=calling, called=called, kinds=kinds or (CT_EXPLICIT,), max_pdu=16384, **options
        )

    def associate(self, *kinds: Kind, **options: Any) -> negotiation.Answered:
        self.send(self.request(*kinds, **options))
        kind, body = self.pdu()
        assert kind == pdu.ASSOCIATE_AC, (kind, body)
        return negotiation.read_answer(body, kinds or (CT_EXPLICIT,))

    def pdu(self) -> tuple[int, bytes]:
        """The next PDU, or `(0, b"")` at the end."""
        head = self._exactly(6)
        if len(head) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxI", head)
        return kind, self._exactly(length)

    def ends(self) -> list[int]:
        """The types of the PDUs that still come before the connection ends; then it is closed here too."""
        kinds = []
        while (kind := self.pdu()[0]) != 0:
            kinds.append(kind)
        self.sock.close()
        return kinds

    def answer(self) -> CommandSet:
        kind, body = self.pdu()
        assert kind == pdu.P_DATA, (kind, body)
        assert body[5] == 3
        return command.decode(body[6:])

    def release(self) -> None:
        self.send(pdu.control(pdu.RELEASE_RQ))
        assert self.pdu()[0] == pdu.RELEASE_RP

    def _exactly(self, size: int) -> bytes:
        gathered = b""
        while len(gathered) < size:
            try:
                chunk = self.sock.recv(size - len(gathered))
            except ConnectionError:
                return b""
            if not chunk:
                return b""
            gathered += chunk
        return gathered


def store_request(uid: str = "1.2.3.4", **changes: Any) -> bytes:
    """A C-STORE-RQ's command set; `changes` are elements by name, None to leave one out."""
    elements: dict[int, Any] = {
        command.AFFECTED_SOP_CLASS_UID: CT,
        command.COMMAND_FIELD: command.C_STORE_RQ,
        command.MESSAGE_ID: 1,
        command.PRIORITY: 0,
        command.DATA_SET_TYPE: command.DATA_SET,
        command.AFFECTED_SOP_INSTANCE_UID: uid,
    }
    elements |= {getattr(command, name): value for name, value in changes.items()}
    return command.encode({element: value for element, value in elements.items() if value is not None})


def command_pdu(data: bytes, context_id: int = 1) -> bytes:
    return b"".join(pdu.fragments(context_id, data, 0, is_command=True))


def data_pdu(data: bytes, context_id: int = 1, *, last: bool = True, longest: int = 16384) -> bytes:
    return b"".join(pdu.fragments(context_id, data, longest, is_command=False, last=last))
