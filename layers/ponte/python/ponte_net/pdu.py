"""PDUs over one socket, each way, with limits and deadlines (PS3.8 9.3).

What arrives is handed on as it comes, out of one buffer: a PDU is never gathered, whatever length it
declares, except those of the negotiation, which have a limit of their own. Nothing waits for ever.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, TypeVar

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
LONGEST_NEGOTIATION: Final = 256 << 10
"""Bytes of an A-ASSOCIATE PDU: 128 contexts of 45 transfer syntaxes take 148 KB."""
PDV_OVERHEAD: Final = 6
"""Bytes that a P-DATA-TF PDU of one fragment has beyond the fragment (PS3.8 9.3.5)."""
LEAST_PDU: Final = 128
"""A peer that takes less at a time is not served: its next image would be a million PDUs."""

_BUFFER: Final = 256 << 10
_FIRST_BUFFER: Final = 8 << 10
_LONGEST_PDU: Final = 256 << 10
_MOST_BUFFERS: Final = 1024  # IOV_MAX of Linux
_LENGTHS = {ASSOCIATE_RJ: 4, RELEASE_RQ: 4, RELEASE_RP: 4, ABORT: 4}
_MOST_EMPTY: Final = 1000
_HEAD = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")
_BOTH = struct.Struct(">BxIIBB")
_COMMAND, _LAST = 1, 2
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)

Buffer = bytes | memoryview
_T = TypeVar("_T")


class WireError(Exception):
    """The association is over, and so is the connection. The text names nothing that the peer sent."""


class PeerGone(WireError):
    """The peer closed the connection, or the network did."""


class PeerTimeout(WireError):
    """The peer did not speak, or did not listen, in time."""


class BadPdu(WireError):
    """What arrived is no PDU, or is longer than was agreed."""


class TlsFailed(WireError):
    """TLS is not to be had with this peer: its certificate, ours, or no version and cipher in common."""


class Control(NamedTuple):
    """A PDU that is not P-DATA-TF."""

    type: int
    body: bytes


class Piece(NamedTuple):
    """Some bytes of a message (PS3.8 E.2). `data` is valid until the next is received.

    `last` says that the command, or the data set, is whole with it.
    """

    context_id: int
    is_command: bool
    last: bool
    data: memoryview


class Wire:
    """A connected socket, which it takes over.

    `idle_s` may pass before a PDU begins, or while none of what we send is taken; `pdu_s` from a PDU's first
    byte to its last; `until` (of the monotonic clock) is the end of all, where it is set. `longest` is what a
    PDU may declare, its six first bytes not counted; None where we said that there is no limit: then `pdu_s`
    is for each piece of it, and `until` alone ends one that dribbles.
    """

    def __init__(self, sock: socket.socket, *, idle_s: float, pdu_s: float) -> None:
        sock.setblocking(False)
        self.idle_s, self.pdu_s = idle_s, pdu_s
        self.until: float | None = None
        self.longest: int | None = LONGEST_NEGOTIATION
        self.socket = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
        if self._tcp:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(_FIRST_BUFFER))
        self._start = self._end = 0
        self._pdu_left = self._pdv_left = 0
        self._context_id = self._flags = self._empty = 0
        self._allowed_s, self._give_up = idle_s, 0.0

    def handshake(self) -> None:
        """Of TLS, where the socket has it. Raises `TlsFailed`, `PeerTimeout`, `PeerGone`."""
        if isinstance(self.socket, ssl.SSLSocket):
            self._allow(self.idle_s)
            self._attempt(self.socket.do_handshake, select.POLLIN)

    def receive(self) -> Piece | Control:
        """The next piece of a message, or the next PDU of another kind.

        Raises `PeerGone`, `PeerTimeout`, `BadPdu`, `TlsFailed`.
        """
        if not self._pdv_left:
            if not self._pdu_left:
                control = self._next_pdu()
                if control is not None:
                    return control
            self._next_pdv()
        data = self._some(self._pdv_left) if self._pdv_left else self._nothing()
        self._pdv_left -= len(data)
        if self.longest is None:  # a whole dataset may be one PDU: what counts then is that more of it comes
            self._allow(self.pdu_s)
        last = bool(self._flags & _LAST) and not self._pdv_left
        return Piece(self._context_id, bool(self._flags & _COMMAND), last, data)

    def send(self, buffers: Sequence[Buffer]) -> None:
        """All of the buffers, in as few writes as the socket takes.

        Raises `PeerGone`, `PeerTimeout`, `TlsFailed`.
        """
        if self._tls:
            buffers = [b"".join(buffers)]
        for at in range(0, len(buffers), _MOST_BUFFERS):
            waiting = list(buffers[at : at + _MOST_BUFFERS])
            while waiting:
                self._allow(self.idle_s)
                waiting = _after(waiting, self._attempt(partial(self._write, waiting), select.POLLOUT))
        self._allow(self.pdu_s)

    def linger(self) -> None:
        """Send no more, and throw away what still comes, until the peer closes or `until`.

        To close at once would lose what was just sent, where the peer has sent something that was not read.
        """
        with suppress(OSError, WireError):
            self.socket.shutdown(socket.SHUT_WR)
            self._allow(self.idle_s)
            while True:
                self._start = self._end
                self._fill()

    def close(self, *, at_once: bool = False) -> None:
        """End the connection; `at_once` frees its local port, and drops what was not delivered yet."""
        if at_once:
            with suppress(OSError):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _next_pdu(self) -> Control | None:
        """The header of the next PDU, and the PDU itself where it is not P-DATA-TF."""
        self._allow(self.idle_s)
        if self._start == self._end:
            self._fill()
        self._allow(self.pdu_s)
        kind, length = _HEAD.unpack(self._exactly(_HEAD.size))
        if not ASSOCIATE_RQ <= kind <= ABORT or _LENGTHS.get(kind, length) != length:
            raise BadPdu("What arrived is no PDU of DICOM")
        longest = self.longest if kind == P_DATA else LONGEST_NEGOTIATION
        if longest is not None and length > longest:
            raise BadPdu(f"A PDU of {length} bytes; at most {longest} were agreed")
        self._pdu_left = length
        return None if kind == P_DATA else Control(kind, self._whole())

    def _whole(self) -> bytes:
        gathered = bytearray()
        while self._pdu_left:
            gathered += self._some(self._pdu_left)
        return bytes(gathered)

    def _next_pdv(self) -> None:
        if self._pdu_left < PDV_OVERHEAD:
            raise BadPdu("A P-DATA-TF PDU ends inside a fragment's header")
        length, self._context_id, self._flags = _PDV.unpack(self._exactly(PDV_OVERHEAD))
        self._pdu_left -= PDV_OVERHEAD
        if not 0 <= length - 2 <= self._pdu_left:
            raise BadPdu("A fragment is longer than its PDU")
        self._pdv_left = length - 2

    def _nothing(self) -> memoryview:
        """The data of a fragment without any: it may end a message, but must not go on for ever."""
        self._empty += not self._flags & _LAST
        if self._empty > _MOST_EMPTY:
            raise BadPdu("One fragment without data after the other")
        return self._buffer[:0]

    def _exactly(self, size: int) -> memoryview:
        """The next few bytes in one piece."""
        while self._end - self._start < size:
            if len(self._buffer) - self._start < size:
                held = self._end - self._start
                self._buffer[:held] = bytes(self._buffer[self._start : self._end])
                self._start, self._end = 0, held
            self._fill()
        self._start += size
        return self._buffer[self._start - size : self._start]

    def _some(self, most: int) -> memoryview:
        """What has arrived, one byte at least, of the PDU that is being read."""
        if self._start == self._end:
            self._fill()
        start = self._start
        self._start = min(self._end, start + most)
        self._pdu_left -= self._start - start
        return self._buffer[start : self._start]

    def _fill(self) -> None:
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) < _BUFFER and self._pdu_left > _FIRST_BUFFER:
                self._buffer = memoryview(bytearray(_BUFFER))
        free = self._buffer[self._end :]
        received = self._attempt(partial(self.socket.recv_into, free), select.POLLIN)
        if not received:
            raise PeerGone("The peer closed the connection")
        self._end += received

    def _write(self, buffers: Sequence[Buffer]) -> int:
        return self.socket.send(buffers[0]) if self._tls else self.socket.sendmsg(buffers)

    def _attempt(self, operation: Callable[[], _T], event: int) -> _T:
        """What `operation` gives when the socket is ready for it."""
        while True:
            try:
                return operation()
            except BlockingIOError:
                self._wait(event)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                raise PeerGone("The peer closed the connection") from error
            except ssl.SSLError as error:
                raise TlsFailed(_why(error)) from error
            except OSError as error:
                raise PeerGone(f"The connection broke: {type(error).__name__}") from error

    def _allow(self, seconds: float) -> None:
        """What comes next may wait for so long; the clock is read when it does."""
        self._allowed_s, self._give_up = seconds, 0.0

    def _wait(self, event: int) -> None:
        now = time.monotonic()
        self._give_up = self._give_up or now + self._allowed_s
        left = min(self._give_up, self.until or self._give_up) - now
        if event == select.POLLIN and self._tcp and _QUICKACK is not None:
            # A peer without TCP_NODELAY keeps the rest of its answer until what it sent is acknowledged.
            self.socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        poll = select.poll()
        poll.register(self.socket, event)
        if left <= 0 or not poll.poll(left * 1000):
            raise PeerTimeout("The peer takes nothing" if event == select.POLLOUT else "The peer fell silent")


def control(kind: int, body: bytes = bytes(4)) -> bytes:
    """A PDU that is not P-DATA-TF."""
    return _HEAD.pack(kind, len(body)) + body


def fragments(
    context_id: int, data: Buffer, longest: int, *, is_command: bool, last: bool = True
) -> list[Buffer]:
    """The P-DATA-TF PDUs, of one fragment each, that carry `data` to a peer that takes `longest` bytes.

    With 0 it takes any length. The data is not copied: headers and slices in turn.
    """
    size = (min(longest, _LONGEST_PDU) if longest else _LONGEST_PDU) - PDV_OVERHEAD & ~1
    flags = _COMMAND if is_command else 0
    head = _BOTH.pack(P_DATA, size + PDV_OVERHEAD, size + 2, context_id, flags)
    view = memoryview(data)
    buffers: list[Buffer] = []
    ends = max(0, len(view) - 1) // size * size
    for at in range(0, ends, size):
        buffers += (head, view[at : at + size])
    rest = view[ends:]
    flags |= _LAST if last else 0
    return [*buffers, _BOTH.pack(P_DATA, len(rest) + PDV_OVERHEAD, len(rest) + 2, context_id, flags), rest]


def _after(buffers: list[Buffer], sent: int) -> list[Buffer]:
    """What is left of the buffers when so many bytes are gone."""
    for index, buffer in enumerate(buffers):
        if sent < len(buffer):
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= len(buffer)
    return []


def _why(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The peer's certificate is not trusted: {error.verify_message}"
    return f"TLS failed: {error.reason or type(error).__name__}"
