"""What `.ponte/` says of the stack that `ponte up` left running. Its lock says whether it still runs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from infra.local.errors import LocalStackError
from infra.local.synth import PROJECT

FOLDER = PROJECT / ".ponte"


@dataclass(frozen=True, slots=True)
class StackState:
    """Where to reach the stack that is up. Kept in a file that only its user can read."""

    pid: int
    started: str
    api_url: str
    docs_url: str
    emulator_url: str
    dicom_wado_url: str
    study_instance_uid: str
    orthanc_url: str
    orthanc_username: str
    orthanc_password: str
    inbox_bucket: str
    folder: str
    log: str


class StateFolder:
    """The files by which the commands know of a stack that another of them started."""

    def __init__(self, path: Path = FOLDER) -> None:
        self._path = path
        self.log = path / "stack.log"
        self._state = path / "stack.json"
        self._lock = path / "stack.lock"

    def make(self) -> None:
        self._path.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Be the one stack of this project; raises `LocalStackError` when another is."""
        self.make()
        with self._lock.open("a+") as stream:
            if not _try_lock(stream):
                raise LocalStackError("the local stack is already up")
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            try:
                yield
            finally:
                self._state.unlink(missing_ok=True)
                stream.truncate(0)

    def owner(self) -> int | None:
        """The process id of the stack that runs, also while it starts; None when there is none."""
        if not self._lock.exists():
            return None
        with self._lock.open("r+") as stream:
            if _try_lock(stream):
                return None
            text = stream.read().strip()
        return int(text) if text.isdigit() else None

    def write(self, state: StackState) -> None:
        partial = self._state.with_suffix(".partial")
        partial.touch(mode=0o600)
        partial.write_text(json.dumps(asdict(state), indent=1) + "\n")
        partial.replace(self._state)

    def read(self) -> StackState | None:
        """The running stack, or None where there is none or it is still starting."""
        if self.owner() is None:
            return None
        try:
            return StackState(**json.loads(self._state.read_text()))
        except (FileNotFoundError, TypeError, ValueError):
            return None


def _try_lock(stream: IO[str]) -> bool:
    """Take the lock unless another process holds it. A lock ends with its process, however that ends."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
