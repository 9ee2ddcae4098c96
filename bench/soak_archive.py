"""A destination of the soak, in a process of its own: `python -m bench.soak_archive PORT LEDGER`.

A line for each instance, UID and SHA-256 of the dataset, is in the ledger before it is answered: there it
stays, though the process is killed.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path

from bench.receivers import HOST, Nothing
from router.listener import Endpoint
from router.reception import SUCCESS, Asked, Reception
from router.scp import Scp


class Ledger(Nothing):
    """An intake that keeps digests."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        self._file = open_ledger(path)

    def begin(self, asked: Asked) -> Reception:
        return _Noted(self._file, asked.sop_instance_uid)


class _Noted:
    def __init__(self, file: int, uid: str) -> None:
        self._file, self._uid = file, uid
        self._digest = hashlib.sha256()

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._digest.update(piece)

    def finish(self) -> int:
        note(self._file, self._uid, self._digest.hexdigest())
        return SUCCESS

    def abandon(self) -> None:
        pass


def open_ledger(path: Path) -> int:
    """To append to."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def note(file: int, uid: str, digest: str) -> None:
    """One line, in one write."""
    os.write(file, f"{uid} {digest}\n".encode())


def read_ledger(path: Path) -> list[tuple[str, str]]:
    """UIDs and digests, in their order."""
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [(uid, digest) for uid, _, digest in (line.partition(" ") for line in lines)]


def main() -> None:
    port, ledger = int(sys.argv[1]), Path(sys.argv[2])
    Scp([Endpoint(port, HOST)], Ledger(ledger)).start()
    signal.pause()


if __name__ == "__main__":
    main()
