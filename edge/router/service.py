"""The service: all parts put together, until it is asked to end; then those who are served may finish."""

from __future__ import annotations

import errno
import logging
import signal
import time
from dataclasses import asdict
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final, Literal

from ponte.errors import InvalidRequest, PonteError, TransientError
from router.box import LISTENERS, Box, Listen, ReadConfig
from router.config import RouterConfig
from router.counters import Counters
from router.spool import Spool
from router.startup import SpoolLock

log = logging.getLogger(__name__)

AGAIN: Final = 75
"""The exit code that asks whoever started the router to start it anew (EX_TEMPFAIL of sysexits.h)."""
Event = Literal["end", "again", "reload"]
_EVERY_S: Final = 5.0
_PATIENCE_S: Final = 5.0
_HINTS: Final = {
    errno.EACCES: ": set SCP_PORT to 1024 or above (11112 is usual), or give it CAP_NET_BIND_SERVICE",
    errno.EADDRINUSE: ": another program listens there",
    errno.EADDRNOTAVAIL: ": HTR_IP is no address of this machine",
}
"""What to do about a port that cannot be had."""


class Service:
    """One router. `run` returns when it was asked to end and has."""

    def __init__(self, config: RouterConfig, listen: Listen, read_config: ReadConfig | None = None) -> None:
        """`read_config` reads the configuration anew for a reload."""
        self._config = config
        self._listen = listen
        self._read_config = read_config
        self._events: SimpleQueue[Event] = SimpleQueue()  # of all there is, safe in a signal handler
        self._ending = self._at_once = False
        self._was_refusing: str | None = None
        self._failed: set[str] = set()
        self.counters = Counters()

    def end(self, *_: int | FrameType | None) -> None:
        """Ask it to end; asked again, it does not wait for associations."""
        self._at_once, self._ending = self._ending, True
        self._events.put("end")

    def reload(self, *_: int | FrameType | None) -> None:
        """Ask it to take the destinations from the configuration as it is now."""
        self._events.put("reload")

    def run(self) -> int:
        """The exit code: 0, or `AGAIN` where it is to be started anew. Raises `InvalidRequest` for what the
        operator has to change, `OSError` for a disk that does not serve."""
        spool = Spool(self._config.dicom_root)
        spool.make()
        lock = SpoolLock(spool)
        try:
            return self._run(spool)
        finally:
            lock.release()

    def _run(self, spool: Spool) -> int:
        began = time.monotonic()
        box = Box(
            self._config, spool, self._listen, self.counters,
            read_config=self._read_config, end=lambda: self._events.put("again"),
        )  # fmt: skip
        ended = False
        try:
            _start(box)
            seconds = round(time.monotonic() - began, 3)
            log.info("router started", extra={"seconds": seconds, **asdict(box.findings)})
            last = self._serve(box)
            log.info(
                "router ending", extra={"reason": "asked to end" if last == "end" else "asked to restart"}
            )
            box.intake.stop()
        finally:
            ended = box.parts.stop(self._grace_s)
            box.committer.close()
        log.info("router ended", extra={"code": "ALL_ENDED" if ended else "CUT_OFF"})
        return AGAIN if last == "again" else 0

    def _grace_s(self, part: str) -> float:
        if part != LISTENERS:
            return _PATIENCE_S
        return 0.0 if self._at_once else self._config.grace_s

    def _serve(self, box: Box) -> Event:
        """Do what it is asked until that is to end, or to begin anew."""
        while True:
            try:
                event = self._events.get(timeout=_EVERY_S)
            except Empty:
                self._look_after(box)
                continue
            if event != "reload":
                return event
            _reload(box)

    def _look_after(self, box: Box) -> None:
        """What is done every few seconds."""
        self._watch_intake(box)
        box.disk.seen(box.intake.free_bytes())
        self._watch_parts(box)
        try:
            box.committer.checkpoint()
        except TransientError as error:
            log.warning("checkpoint failed", extra={"code": error.code})

    def _watch_intake(self, box: Box) -> None:
        """Say when the disk is low, when associations begin to be refused, and when that is over."""
        box.intake.watermarks.watch()
        refusing = box.intake.refuses_associations()
        if refusing == self._was_refusing:
            return
        self._was_refusing = refusing
        if refusing == "draining":
            log.warning("associations refused", extra={"reason": refusing})
        elif refusing:
            extra = {"alarm": "REFUSING", "reason": refusing, "free_bytes": box.intake.free_bytes()}
            log.error("associations refused", extra=extra)
        else:
            log.info("associations accepted again")

    def _watch_parts(self, box: Box) -> None:
        """Say once when a part has ended by itself."""
        failed = {name for name, state in box.parts.states().items() if state == "failed"}
        for name in sorted(failed - self._failed):
            log.error("part of the router failed", extra={"alarm": "PART_FAILED", "part": name})
        self._failed = failed


def end_on_signals(service: Service) -> None:
    """SIGTERM and SIGINT ask it to end, SIGHUP to read its destinations anew."""
    signal.signal(signal.SIGHUP, service.reload)
    signal.signal(signal.SIGTERM, service.end)
    signal.signal(signal.SIGINT, service.end)


def _reload(box: Box) -> None:
    """By a signal: nobody waits for an answer but the log."""
    try:
        found = box.reload()
    except PonteError as error:
        extra = {"alarm": "NOT_RELOADED", "code": error.code, "problems": error.detail}
        log.error("configuration not reloaded", extra=extra)
    else:
        names = {name: found[name] for name in ("added", "removed", "changed", "needs_restart")}
        log.warning("configuration reloaded", extra=names)


def _start(box: Box) -> None:
    try:
        box.parts.start()
    except InvalidRequest as error:
        cause = error.__cause__
        hint = _HINTS.get(cause.errno or 0, "") if isinstance(cause, OSError) else ""
        raise InvalidRequest(error.detail + hint) from error
