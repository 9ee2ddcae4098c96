"""A storage SCP that does as a test tells it, also what no SCP should."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ponte_net import command, negotiation, pdu
from ponte_net.pdu import Control, Piece, Wire, WireError

Results = dict[int, tuple[int, str]]


@dataclass
class Stored:
    """A request as it came."""

    context_id: int
    command: command.CommandSet
    dataset: bytes


class Aborted(WireError):
    """The peer sent A-ABORT."""


class Conversation:
    """One association, from the acceptor's side. `over` is set when the test has what it wanted."""

    def __init__(self, sock: socket.socket, over: threading.Event) -> None:
        self.sock = sock
        self.peer_port: int = sock.getpeername()[1]
        self.over = over
        self.wire = Wire(sock, idle_s=20, pdu_s=20)
        self.wire.handshake()
        self.asked: negotiation.Request | None = None

    def request(self) -> negotiation.Request:
        got = self.wire.receive()
        assert isinstance(got, Control)
        assert got.type == pdu.ASSOCIATE_RQ
        self.asked = negotiation.read_request(got.body)
        return self.asked

    def accept(self, *, max_pdu: int = 16384, changed: Results | None = None) -> negotiation.Request:
        """Accept all that is proposed, but for the contexts that `changed` names."""
        asked = self.request()
        results = negotiation.judge(asked) | (changed or {})
        self.wire.send([pdu.control(pdu.ASSOCIATE_AC, _body(asked, results, max_pdu))])
        self.wire.longest = max_pdu or None
        return asked

    def message(self) -> Stored | None:
        """The next request with its data set; None when the peer releases, to which it is answered."""
        first = self._piece()
        if isinstance(first, Control):
            assert first.type == pdu.RELEASE_RQ, first
            self.wire.send([pdu.control(pdu.RELEASE_RP)])
            return None
        asked = command.decode(self._rest(bytes(first.data), whole=first.last, is_command=True))
        whole = asked[command.DATA_SET_TYPE] == command.NO_DATA_SET
        return Stored(first.context_id, asked, self._rest(b"", whole=whole, is_command=False))

    def _rest(self, held: bytes, *, whole: bool, is_command: bool) -> bytes:
        gathered = bytearray(held)
        while not whole:
            piece = self._piece()
            assert isinstance(piece, Piece)
            assert piece.is_command == is_command
            gathered += piece.data
            whole = piece.last
        return bytes(gathered)

    def _piece(self) -> Piece | Control:
        got = self.wire.receive()
        if isinstance(got, Control) and got.type == pdu.ABORT:
            raise Aborted
        return got

    def answer(self, stored: Stored, status: int = 0, **changes: Any) -> None:
        """The response; `changes` are elements of its command set by name, or `context_id`."""
        context_id = changes.pop("context_id", stored.context_id)
        answer = {
            command.AFFECTED_SOP_CLASS_UID: stored.command[command.AFFECTED_SOP_CLASS_UID],
            command.COMMAND_FIELD: command.RESPONSE | int(stored.command[command.COMMAND_FIELD]),
            command.MESSAGE_ID_RESPONDED_TO: stored.command[command.MESSAGE_ID],
            command.DATA_SET_TYPE: command.NO_DATA_SET,
            command.STATUS: status,
        }
        instance = command.text_of(stored.command, command.AFFECTED_SOP_INSTANCE_UID)
        if instance:
            answer[command.AFFECTED_SOP_INSTANCE_UID] = instance
        answer |= {getattr(command, name): value for name, value in changes.items()}
        self.wire.send(pdu.fragments(context_id, command.encode(answer), 0, is_command=True))

    def serve(self, *statuses: int, **options: Any) -> list[Stored]:
        """A whole association: each message has the next status as its answer, or 0."""
        self.accept(**options)
        taken: list[Stored] = []
        while (stored := self.message()) is not None:
            taken.append(stored)
            self.answer(stored, statuses[len(taken) - 1] if len(taken) <= len(statuses) else 0)
        return taken


@dataclass
class ToldScp:
    """Where it listens, and what it was asked."""

    port: int
    conversations: list[Conversation] = field(default_factory=list)
    taken: list[Stored] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


Script = Callable[[Conversation], list[Stored] | None]


@contextmanager
def told_scp(
    *scripts: Script, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None
) -> Iterator[ToldScp]:
    """An SCP on a free port: each association has the next script, the last one again and again.

    An error of a script's own, a failed assertion above all, is raised at the end.
    """
    with socket.socket() as listener:
        if receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        scp = ToldScp(listener.getsockname()[1])
        thread = threading.Thread(target=_listen, args=(listener, scp, scripts, tls))
        thread.start()
        try:
            yield scp
        finally:
            scp.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for conversation in scp.conversations:
                with suppress(OSError):
                    conversation.sock.shutdown(socket.SHUT_RDWR)
            thread.join(20)
            assert not thread.is_alive()
    if scp.failures:
        raise scp.failures[0]


def _listen(
    listener: socket.socket, scp: ToldScp, scripts: Sequence[Script], tls: ssl.SSLContext | None
) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        script = scripts[min(len(scp.conversations), len(scripts) - 1)]
        with sock:
            _converse(sock, scp, script, tls)


def _converse(sock: socket.socket, scp: ToldScp, script: Script, tls: ssl.SSLContext | None) -> None:
    try:
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        conversation = Conversation(sock, scp.over)
        scp.conversations.append(conversation)
        scp.taken += script(conversation) or []
    except (WireError, OSError):  # gone, maybe before it was accepted
        pass
    except BaseException as error:  # noqa: BLE001  (raised in the test's thread)
        scp.failures.append(error)
    finally:
        sock.close()


def _body(asked: negotiation.Request, results: Results, max_pdu: int) -> bytes:
    return negotiation.accept(asked, results, max_pdu=max_pdu, roles={})[6:]
