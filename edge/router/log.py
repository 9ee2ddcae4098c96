"""The router's log: a JSON object a line, with keys that are all known.

A key that is not in the list is left out, so that nothing of a patient can get into a line by mistake. The
message is a constant past-tense event.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

KEYS: Final = (
    "alarm", "association", "calling_ae_title", "called_ae_title", "address", "listener", "port", "status",
    "code", "error", "instances", "quarantine", "committed", "failed", "seconds", "reason", "how",
    "adopted", "doubled", "missing", "partial", "quarantined", "rebuilt", "removed", "free_bytes",
    "instance", "worker", "errno", "studies", "duplicate", "later", "passed_over",
    "bytes", "limit_bytes", "contexts", "destination", "number", "failures", "verb", "user", "part",
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


def set_up(level: str) -> None:
    """All of ours to standard error; what other packages say from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    send_to(handler, level)


def send_to(handler: logging.Handler, level: str) -> None:
    """The same records to any handler, and to it alone."""
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("router", "ponte", "ponte_net"):
        logging.getLogger(name).setLevel(level)
