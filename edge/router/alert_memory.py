"""What must outlive the process: which alerts there are, and what each channel has yet to send.

One small file, written whole. Where it cannot be written, on a full disk, everything goes on from memory, and
what a restart would then repeat is repeated.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from router.alert_book import Alert, Book
from router.alert_notice import Notice
from router.spool import FOLDER_NAME

log = logging.getLogger(__name__)

FILE_NAME: Final = "alerts.json"
MOST_WAITING: Final = 200
_MOST_BYTES: Final = 16 << 20


@dataclass(slots=True)
class Waiting:
    """A notice and those who have not got it."""

    notice: Notice
    to: tuple[str, ...]
    tries: int = 0
    next_at: float = 0.0


class Memory:
    """`book` is one thread's, and changed within `learn` alone; the rest is anybody's."""

    def __init__(self, path: Path, addressees: dict[str, tuple[str, ...]], *, remind_s: float) -> None:
        """`addressees` by channel. What waits for a channel that is no more is let go."""
        self.path = path
        self._addressees = addressees
        self._lock = Lock()
        self._is_failing = False
        self._waiting: dict[str, list[Waiting]] = {channel: [] for channel in addressees}
        self.book = Book(remind_s=remind_s)
        self._read(remind_s)

    def learn(self, update: Callable[[Book], Sequence[Notice]]) -> Sequence[Notice]:
        """Change the book, put what is to be told into each channel's box, and keep both."""
        with self._lock:
            before = self.book.signature
            notices = update(self.book)
            for notice in notices:
                for channel, to in self._addressees.items():
                    self._waiting[channel].append(Waiting(notice, to))
                    self._bound(channel)
            if notices or self.book.signature != before:
                self._write()
        return notices

    def first(self, channel: str) -> Waiting | None:
        """What is to be sent next; None where there is nothing."""
        with self._lock:
            return next(iter(self._waiting[channel]), None)

    def settle(self, channel: str, waiting: Waiting) -> None:
        """Its first was sent to all, or given up."""
        with self._lock:
            if waiting in self._waiting[channel]:
                self._waiting[channel].remove(waiting)
            self._write()

    def put_off(self, waiting: Waiting, left: tuple[str, ...], next_at: float) -> None:
        """It is to be tried again, for those who are left."""
        with self._lock:
            waiting.to, waiting.next_at = left, next_at
            waiting.tries += 1
            self._write()

    def _bound(self, channel: str) -> None:
        """A channel that was dead for long does not fill the memory: the oldest goes, and the log says so."""
        if len(self._waiting[channel]) > MOST_WAITING:
            dropped = self._waiting[channel].pop(0).notice
            extra = {
                "alarm": "ALERT_NOT_SENT",
                "code": "TOO_MANY",
                "channel": channel,
                "reason": dropped.kind,
            }
            log.error("alert dropped", extra=extra)

    def _read(self, remind_s: float) -> None:
        try:
            plain = read(self.path)
            self.book = Book.read(plain["book"], remind_s=remind_s)
            for channel in self._waiting:
                self._waiting[channel] = [_waiting(one) for one in plain["waiting"].get(channel, [])]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.error("alerts forgotten", extra={"alarm": "ALERTS_FORGOTTEN", "error": type(error).__name__})
            with suppress(OSError):
                self.path.rename(self.path.with_name(f"{FILE_NAME}.damaged-{time.time_ns():016x}"))

    def _write(self) -> None:
        waiting = {channel: [asdict(one) for one in ones] for channel, ones in self._waiting.items()}
        data = json.dumps({"book": self.book.plain(), "waiting": waiting}).encode("ascii")
        try:
            _write_whole(self.path, data)
        except OSError as error:
            if not self._is_failing:
                log.error("alerts not noted", extra={"alarm": "ALERTS_NOT_NOTED", "errno": error.errno})
            self._is_failing = True
        else:
            self._is_failing = False


def raised(root: Path) -> list[Alert]:
    """The alerts of a DICOM_ROOT that were told and are not over, for whoever shows them; none where nothing
    can be read."""
    try:
        return Book.read(read(root / FOLDER_NAME / FILE_NAME)["book"], remind_s=1).raised
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def read(path: Path) -> dict[str, Any]:
    """The file as plain values. Raises `OSError`, `ValueError`."""
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("too large")
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004  the file is wrong, not our program
    return found


def _waiting(plain: dict[str, Any]) -> Waiting:
    return Waiting(
        Notice.read(plain["notice"]), tuple(plain["to"]), int(plain["tries"]), float(plain["next_at"])
    )


def _write_whole(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(partial, flags, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
