"""The socket between the first process and a carrier itself: connections go in, log records and counts out.

Each packet is whole or does not come; its end says that the other process has ended, however it did.
"""

from __future__ import annotations

import json
import select
import socket
from array import array
from collections.abc import Sequence
from typing import Any, Final

LONGEST: Final = 60 << 10
"""Bytes of a packet: well below what a socket takes at once."""
_MOST_FILES = 2


class DoorClosed(Exception):
    """The other process is gone, or takes nothing now."""


class Door:
    """One end. Any thread may speak; one listens."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    @classmethod
    def pair(cls) -> tuple[Door, socket.socket]:
        """Ours, and the socket for the other's."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    def fileno(self) -> int:
        """To wait for."""
        return self._socket.fileno()

    def say(self, kind: str, *values: Any, files: Sequence[int] = (), wait: bool = True) -> None:
        """Send it, with copies of these files. Raises `DoorClosed`, without `wait` where there is no room."""
        data = json.dumps([kind, *values], default=str).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", files))] if files else []
        if len(data) > LONGEST:
            raise DoorClosed(f"A packet of {len(data)} bytes; expected {LONGEST} at most")
        try:
            # not by `send_fds`, which passes its flags over
            self._socket.sendmsg([data], rights, 0 if wait else socket.MSG_DONTWAIT)
        except OSError as error:
            raise DoorClosed(f"Nothing goes through the door: {type(error).__name__}") from error

    def hear(self, timeout_s: float | None) -> tuple[list[Any], list[int]] | None:
        """The next packet and the files that came with it, which are the caller's; None where none came in
        time. Raises `DoorClosed`."""
        if not self._poll.poll(None if timeout_s is None else timeout_s * 1000):
            return None
        try:
            data, files, _, _ = socket.recv_fds(self._socket, LONGEST, _MOST_FILES)
            if not data:
                raise DoorClosed("The other process has ended")
            return json.loads(data), files
        except (OSError, ValueError) as error:
            raise DoorClosed(f"Nothing comes through the door: {type(error).__name__}") from error

    def close(self) -> None:
        """The other process is told by it."""
        self._socket.close()
