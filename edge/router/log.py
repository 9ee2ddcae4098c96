"""The router's log: a JSON object a line, with keys that are all known.

A key that is not in the list is left out, so that nothing of a patient can get into a line by mistake. The
message is a constant past-tense event. The same lines are on standard error and in a file, which the
dashboard reads.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 10 << 20
BACKUPS: Final = 5

KEYS: Final = (
    "alarm", "association", "calling_ae_title", "called_ae_title", "address", "listener", "port", "status",
    "code", "error", "instances", "quarantine", "committed", "failed", "seconds", "reason", "how",
    "adopted", "doubled", "missing", "partial", "quarantined", "rebuilt", "removed", "free_bytes",
    "instance", "worker", "errno", "studies", "duplicate", "later", "passed_over",
    "bytes", "limit_bytes", "contexts", "destination", "number", "failures", "verb", "user", "part",
    "study", "unsent", "problems", "added", "changed", "needs_restart",
    "channel", "subject",
)  # fmt: skip


class JsonFormatter(logging.Formatter):
    """Times in UTC, in ISO 8601. Of an exception its type alone: its text may say anything."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "message": record.getMessage(),
        }
        line.update((key, record.__dict__[key]) for key in KEYS if key in record.__dict__)
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str, file: Path | None = None) -> None:
    """All of ours to standard error and to the file; what other packages say from warnings on. A file that
    cannot be written is said, and keeps nobody from receiving."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    failure: OSError | None = None
    if file is not None:
        try:
            handlers.append(PrivateFile(file))
        except OSError as error:
            failure = error
    for handler in handlers:
        handler.setFormatter(JsonFormatter())
    send_to(handlers, level)
    if failure is not None:
        extra = {"alarm": "NO_LOG_FILE", "errno": failure.errno}
        logging.getLogger(__name__).error("log file cannot be written", extra=extra)


def send_to(handlers: Sequence[logging.Handler], level: str) -> None:
    """The same records to these handlers alone."""
    logging.basicConfig(handlers=handlers, level=logging.WARNING, force=True)
    for name in ("router", "ponte", "ponte_net"):
        logging.getLogger(name).setLevel(level)


class PrivateFile(RotatingFileHandler):
    """A log file of at most 10 MB, for its owner alone, and the five before it: `FILE.1` is the latest."""

    def __init__(self, file: Path) -> None:
        """Raises `OSError`."""
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(file, maxBytes=MOST_BYTES, backupCount=BACKUPS, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding="utf-8", opener=_open_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (the name is logging's)
        """A full disk: the line is on standard error in any case."""


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CLOEXEC, 0o600)
