"""An association that we ask for: opened, used for one request at a time, and ended (PS3.8 7, PS3.7 7)."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Self

from ponte.errors import (
    AccessRefused,
    BadAnswer,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    InvalidRequest,
    PonteError,
)
from ponte_net import command, negotiation, pdu
from ponte_net.contexts import MOST_CONTEXTS, Kind
from ponte_net.negotiation import Answered, BadNegotiation, Rejection, Role
from ponte_net.pdu import BadPdu, Buffer, Control, PeerGone, PeerTimeout, TlsFailed, Wire, WireError

AE_TITLE_LENGTH: Final = 16
_log = logging.getLogger(__name__)
_LONGEST_REPLY: Final = 64 << 10
_FAREWELL_S = 1.0
_PORT_TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Peer:
    """An application entity and where it listens."""

    host: str
    port: int
    ae_title: str


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a peer may take: to connect, with TLS; for what ends and begins an association; for an answer.

    `slowest` is how many bytes a second it must take of what is sent, beyond `dimse_s`.
    """

    connect_s: float = 10.0
    acse_s: float = 30.0
    dimse_s: float = 60.0
    slowest: int = 64 << 10


@dataclass(frozen=True, slots=True)
class Terms:
    """What we bring to an association. `local_port` is the one to connect from, None for any."""

    calling_ae_title: str
    max_pdu: int
    local_port: int | None = None
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    patience: Patience = field(default_factory=Patience)


def checked_ae_title(value: str) -> str:
    """The title without the spaces around it. Raises `InvalidRequest` (PS3.5 6.2, AE)."""
    title = value.strip(" ")
    fits = 0 < len(title) <= AE_TITLE_LENGTH and title.isascii() and title.isprintable()
    if not fits or "\\" in title:
        raise InvalidRequest(
            f"AE title {value!r}; expected 1 to {AE_TITLE_LENGTH} characters of ASCII without a backslash"
        )
    return title


class Association:
    """An association with `peer`, as requestor. Not for several threads.

    Every failure ends it: `AccessRefused`, `DestinationRefused`, `DestinationUnavailable`,
    `DestinationTimeout`, `BadAnswer`.
    """

    def __init__(self, wire: Wire, answered: Answered, terms: Terms) -> None:
        self.answered = answered
        self.is_open = True
        self._wire = wire
        self._terms = terms
        self._message_id = 0

    @classmethod
    def open(
        cls, peer: Peer, kinds: Sequence[Kind], terms: Terms, *, roles: Mapping[str, Role] | None = None
    ) -> Self:
        """Connect and propose the kinds. With none accepted it is an association still.

        Raises `InvalidRequest` for more than 128, and as the class says.
        """
        if not 0 < len(kinds) <= MOST_CONTEXTS:
            raise InvalidRequest(f"{len(kinds)} presentation contexts; expected 1 to {MOST_CONTEXTS}")
        wire = _connect(peer, terms)
        try:
            with _translated():
                answered = _negotiate(wire, peer, kinds, terms, roles)
        except BaseException:
            wire.close(at_once=True)
            raise
        _log.info("Association established: %s@%s:%d", peer.ae_title, peer.host, peer.port)
        _log.debug("Accepted: %s; at most %d bytes a PDU", list(answered.contexts), answered.max_pdu)
        _log.debug("Rejected: %s", dict(answered.rejected))
        return cls(wire, answered, terms)

    def request(
        self,
        context_id: int,
        elements: Mapping[int, int | str],
        data: Iterable[Buffer] | None = None,
        size: int = 0,
    ) -> command.CommandSet:
        """Send a request, with the `size` bytes of its data set, and return the response's command set.

        Raises as the class says, and whatever reading `data` raises: then the association is aborted too.
        """
        self._message_id = self._message_id % 0xFFFF + 1
        rest = {
            command.MESSAGE_ID: self._message_id,
            command.DATA_SET_TYPE: command.NO_DATA_SET if data is None else command.DATA_SET,
        }
        try:
            with _translated():
                self._send(context_id, command.encode({**elements, **rest}), data, size)
                return self._answer(context_id, {**elements, **rest})
        except BaseException:
            self.abort()
            raise

    def release(self) -> None:
        """End it in order; how the peer takes that changes nothing."""
        if not self.is_open:
            return
        self.is_open = False
        with suppress(WireError):
            self._wire.until = time.monotonic() + self._terms.patience.acse_s
            self._wire.send([pdu.control(pdu.RELEASE_RQ)])
            while True:
                got = self._wire.receive()
                if isinstance(got, Control) and got.type != pdu.RELEASE_RQ:
                    break
                if isinstance(got, Control):
                    self._wire.send([pdu.control(pdu.RELEASE_RP)])
        _log.info("Association released")
        self._close()

    def abort(self) -> None:
        """End it at once."""
        if not self.is_open:
            return
        self.is_open = False
        with suppress(WireError):
            self._wire.until = time.monotonic() + _FAREWELL_S
            self._wire.send([pdu.control(pdu.ABORT)])
            while self._terms.local_port is not None:  # until the peer has taken notice
                self._wire.receive()
        _log.info("Association aborted")
        self._close()

    def _send(self, context_id: int, request: bytes, data: Iterable[Buffer] | None, size: int) -> None:
        """The command and what comes first of the data set go in one write."""
        patience, longest = self._terms.patience, self.answered.max_pdu
        self._wire.until = time.monotonic() + patience.dimse_s + size / patience.slowest
        waiting = pdu.fragments(context_id, request, longest, is_command=True)
        sent = 0
        for chunk in data or ():
            sent += len(chunk)
            waiting += pdu.fragments(context_id, chunk, longest, is_command=False, last=sent == size)
            self._wire.send(waiting)
            waiting = []
        if data is not None and not size:
            waiting += pdu.fragments(context_id, b"", longest, is_command=False)
        if waiting:
            self._wire.send(waiting)

    def _answer(self, context_id: int, asked: Mapping[int, int | str]) -> command.CommandSet:
        """The response to this very request."""
        self._wire.until = time.monotonic() + self._terms.patience.dimse_s
        try:
            answer = command.decode(self._gather(context_id, is_command=True))
        except command.BadCommand as error:
            raise BadAnswer("The peer answers with what is no command set") from error
        expected = {
            command.COMMAND_FIELD: command.number_of(asked, command.COMMAND_FIELD) or 0,
            command.MESSAGE_ID_RESPONDED_TO: self._message_id,
        }
        expected[command.COMMAND_FIELD] |= command.RESPONSE
        if any(answer.get(element) != value for element, value in expected.items()):
            raise BadAnswer("The peer answers another request than ours")
        uid = command.AFFECTED_SOP_INSTANCE_UID
        if command.text_of(answer, uid) not in ("", command.text_of(asked, uid)):
            raise BadAnswer("The peer answers for another instance than ours")
        if command.number_of(answer, command.STATUS) is None:
            raise BadAnswer("The peer answers without a status")
        if answer.get(command.DATA_SET_TYPE, command.NO_DATA_SET) != command.NO_DATA_SET:
            self._gather(context_id, is_command=False)
        return answer

    def _gather(self, context_id: int, *, is_command: bool) -> bytes:
        gathered = bytearray()
        while True:
            got = self._wire.receive()
            if isinstance(got, Control):
                raise self._over(got)
            if got.context_id != context_id or got.is_command != is_command:
                raise BadAnswer("The peer answers out of turn")
            gathered += got.data
            if len(gathered) > _LONGEST_REPLY:
                raise BadAnswer(f"The peer's answer is longer than {_LONGEST_REPLY} bytes")
            if got.last:
                return bytes(gathered)

    def _over(self, control: Control) -> PonteError:
        """What it means that this came in place of an answer."""
        if control.type == pdu.RELEASE_RQ:
            with suppress(WireError):
                self._wire.send([pdu.control(pdu.RELEASE_RP)])
            return DestinationUnavailable("The peer released the association before it answered")
        if control.type == pdu.ABORT:
            return DestinationUnavailable("The peer aborted the association")
        return BadAnswer("The peer answers with a PDU that has no place here")

    def _close(self) -> None:
        """A port that was asked for is to be free for the next association: without TIME_WAIT."""
        self._wire.close(at_once=self._terms.local_port is not None)


def _negotiate(
    wire: Wire, peer: Peer, kinds: Sequence[Kind], terms: Terms, roles: Mapping[str, Role] | None
) -> Answered:
    wire.until = time.monotonic() + terms.patience.acse_s
    asked = negotiation.request(
        calling=terms.calling_ae_title, called=peer.ae_title, kinds=kinds, max_pdu=terms.max_pdu, roles=roles
    )
    wire.send([asked])
    got = wire.receive()
    if isinstance(got, Control) and got.type == pdu.ASSOCIATE_RJ:
        raise _rejected(Rejection.of(got.body))
    if isinstance(got, Control) and got.type == pdu.ABORT:
        raise DestinationUnavailable("The peer aborted the association that was asked for")
    if not isinstance(got, Control) or got.type != pdu.ASSOCIATE_AC:
        raise BadAnswer("The peer does not answer as DICOM does")
    try:
        answered = negotiation.read_answer(got.body, kinds)
    except BadNegotiation as error:
        raise BadAnswer("The peer accepts in words that cannot be read") from error
    if 0 < answered.max_pdu < pdu.LEAST_PDU:
        raise DestinationRefused(f"The peer takes {answered.max_pdu} bytes at a time, which is not enough")
    wire.longest = terms.max_pdu + pdu.PDV_OVERHEAD if terms.max_pdu else None
    wire.idle_s = terms.patience.dimse_s
    return answered


def _rejected(rejection: Rejection) -> PonteError:
    if rejection.result != negotiation.PERMANENT:
        return DestinationUnavailable(f"The peer rejects associations for now: {rejection.words}")
    text = f"The peer rejects the association: {rejection.words}"
    unknown = (rejection.source, rejection.reason) == (negotiation.BY_USER, 3)
    return AccessRefused(text) if unknown else DestinationRefused(text)


def _connect(peer: Peer, terms: Terms) -> Wire:
    """A connection, with TLS where it is asked for."""
    patience = terms.patience
    with _translated():
        sock = _dial(peer, terms)
        if terms.tls is not None:
            try:
                sock = terms.tls.wrap_socket(
                    sock, do_handshake_on_connect=False, server_hostname=terms.server_name or peer.host
                )
            except BaseException:
                sock.close()
                raise
        wire = Wire(sock, idle_s=patience.acse_s, pdu_s=patience.acse_s)
        if terms.tls is not None:
            try:
                wire.until = time.monotonic() + patience.acse_s
                wire.handshake()
            except BaseException:
                wire.close()
                raise
        return wire


def _dial(peer: Peer, terms: Terms) -> socket.socket:
    """A connected socket: the first of the host's addresses that takes us."""
    try:
        addresses = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DestinationUnavailable("The peer's host name cannot be resolved") from error
    failure: OSError = OSError()
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(terms.patience.connect_s)
            if terms.local_port is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("", terms.local_port))
            sock.connect(address)
        except OSError as error:
            failure = error
            sock.close()
        else:
            return sock
    raise _not_connected(failure, terms) from failure


def _not_connected(failure: OSError, terms: Terms) -> PonteError:
    if isinstance(failure, TimeoutError):
        return DestinationTimeout("The peer cannot be reached in time")
    if terms.local_port is not None and failure.errno in _PORT_TAKEN:
        return DestinationUnavailable(f"The local port {terms.local_port} is not free")
    return DestinationUnavailable(f"The peer cannot be reached: {type(failure).__name__}")


@contextmanager
def _translated() -> Iterator[None]:
    """The wire's errors as ours."""
    try:
        yield
    except PeerTimeout as error:
        raise DestinationTimeout(str(error)) from error
    except PeerGone as error:
        raise DestinationUnavailable(str(error)) from error
    except TlsFailed as error:
        raise DestinationRefused(str(error)) from error
    except BadPdu as error:
        raise BadAnswer(str(error)) from error
