"""The process that carriers are forked from: `python -m router.stem FILE`.

It has one thread, has imported all that a carrier needs, and has no connection, file or row: so to fork it is
safe, and carriers share its memory. It ends with the process that started it.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Final, NoReturn

from router.carrier import CarrierSettings, carry
from router.door import Door, DoorClosed
from router.memory import share_arenas

log = logging.getLogger(__name__)

_LONGEST: Final = 256 << 10
_ALONE: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""What keeps libraries from starting threads, which a fork would lose."""


class Stem:
    """The first process's end. One thread uses it."""

    def __init__(self, settings: CarrierSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def grow(self, mark: str, door: socket.socket) -> None:
        """A carrier behind this door, which is closed here. Raises `OSError`."""
        with door:
            try:
                self._send(mark, door)
            except OSError:
                self.close()  # it has ended: start another
                self._send(mark, door)

    def close(self) -> None:
        """End it; the carriers go on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _send(self, mark: str, door: socket.socket) -> None:
        if self._socket is None:
            self._socket = self._start()
        socket.send_fds(self._socket, [mark.encode()], [door.fileno()])

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            environment = {**os.environ, **_ALONE, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            command = [sys.executable, "-P", "-m", "router.stem", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
            )
        ours.send(pickle.dumps(self._settings))
        return ours


def main(file: int) -> None:
    """Fork a carrier for each door that comes, until the first process is gone."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # who tells a group means the first process
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    share_arenas()
    above = socket.socket(fileno=file)
    settings: CarrierSettings = pickle.loads(above.recv(_LONGEST))  # noqa: S301  from who started us
    gc.collect()
    gc.freeze()
    while True:
        mark, files, _, _ = socket.recv_fds(above, _LONGEST, 1)
        if not mark:
            return
        if not os.fork():
            above.close()
            _be_carrier(Door(socket.socket(fileno=files[0])), settings, mark.decode())
        os.close(files[0])


def _be_carrier(door: Door, settings: CarrierSettings, mark: str) -> NoReturn:
    """Nothing that is set aside for the end of a process happens: it is the stem's."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 1
    try:
        carry(door, settings, mark)
        code = 0
    except DoorClosed:
        pass
    except BaseException as error:  # noqa: BLE001  its text may say anything
        with suppress(Exception):
            log.error("carrier failed", extra={"code": type(error).__name__})
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
