"""Who did what, and what came of it: a JSON object a line in `.spool/log/audit.log`, for the owner alone.

No patient data: a study is named by a digest of its UID, which says whether two lines are about the same one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from router.spool import FOLDER_NAME

log = logging.getLogger(__name__)

MOST_BYTES: Final = 20 << 20
_KEPT_FILES: Final = 5


def study_key(study_instance_uid: str) -> str:
    """What stands for a study."""
    return hashlib.sha256(study_instance_uid.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Line:
    """One action. `outcome` is `done` or the code of what went wrong."""

    role: str
    address: str
    action: str
    target: str
    outcome: str


class AuditLog:
    """The file of one `DICOM_ROOT`. May be used by any thread, and beside another process."""

    def __init__(self, root: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._path = root / FOLDER_NAME / "log" / "audit.log"
        self._most_bytes = most_bytes
        self._lock = Lock()

    def write(self, line: Line) -> None:
        """One more. A disk that does not take it stops nobody, and is in the log."""
        text = json.dumps(
            {
                "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "role": line.role,
                "address": line.address,
                "action": line.action,
                "target": line.target,
                "outcome": line.outcome,
            }
        )
        try:
            with self._lock:
                self._append(text.encode() + b"\n")
        except OSError as error:
            log.error("audit line not written", extra={"errno": error.errno, "how": line.action})

    def _append(self, text: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, text)
            is_full = os.fstat(handle).st_size >= self._most_bytes
        finally:
            os.close(handle)
        if is_full:
            self._turn_over()

    def _turn_over(self) -> None:
        """`audit.log` becomes `audit.log.1`, and so on; the oldest goes."""
        for number in range(_KEPT_FILES - 1, 0, -1):
            older = self._path.with_name(f"audit.log.{number}")
            if older.exists():
                older.replace(self._path.with_name(f"audit.log.{number + 1}"))
        self._path.replace(self._path.with_name("audit.log.1"))
