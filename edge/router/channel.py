"""A socket between a carrier and the router's first process, one for each connection: a question, its answer.

A message is its length and then itself. What is torn, too long or not understood breaks the channel, and with
it the association: nobody is told of success by a channel that broke.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Any, Final

from router.messages import Answer, BadMessage, Failed, Question, decode, encode

LONGEST: Final = 16 << 20
"""Bytes of a message: 50,000 references of a Storage Commitment make 7 MB."""
_LENGTH = struct.Struct(">I")
_AT_A_TIME: Final = 64 << 10


class ChannelBroken(Exception):
    """The other side is gone, or said what cannot be understood."""


class Channel:
    """One end. It is in the hands of one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._came = bytearray()

    def fileno(self) -> int:
        """To wait for."""
        return self._socket.fileno()

    def ask(self, question: Question) -> Any:
        """The `Answer` or `Failed` to it, however long it takes. Raises `ChannelBroken`."""
        self.say(question)
        while (answer := self._next()) is None:
            self._receive()
        if not isinstance(answer, (Answer, Failed)):
            raise ChannelBroken("What came is no answer")
        return answer

    def say(self, message: Question | Answer | Failed) -> None:
        """Send it whole. Raises `ChannelBroken`."""
        data = encode(message)
        if len(data) > LONGEST:
            raise ChannelBroken(f"A message of {len(data)} bytes; expected {LONGEST} at most")
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise ChannelBroken(f"The channel cannot be written: {type(error).__name__}") from error

    def heard(self) -> Any:
        """The next message, None where it is not whole yet; to be called when the socket is ready.

        Raises `ChannelBroken`.
        """
        self._receive()
        return self._next()

    def close(self) -> None:
        """Say no more. Harmless when repeated."""
        with suppress(OSError):
            self._socket.close()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_AT_A_TIME)
        except BlockingIOError:
            return
        except OSError as error:
            raise ChannelBroken(f"The channel cannot be read: {type(error).__name__}") from error
        if not data:
            raise ChannelBroken("The channel was closed" + (" in a message" if self._came else ""))
        self._came += data

    def _next(self) -> Any:
        """The message that has come whole, if any: there is never a second one behind it."""
        if len(self._came) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._came)
        if length > LONGEST:
            raise ChannelBroken(f"A message of {length} bytes; expected {LONGEST} at most")
        if len(self._came) < _LENGTH.size + length:
            return None
        message = self._came[_LENGTH.size : _LENGTH.size + length]
        del self._came[: _LENGTH.size + length]
        try:
            return decode(message)
        except BadMessage as error:
            raise ChannelBroken(str(error)) from error
