"""The service: all parts put together, until it is asked to end; then those who are served may finish."""

from __future__ import annotations

import errno
import logging
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from ponte.errors import InvalidRequest, TransientError
from ponte.quarantine import FolderQuarantine
from router.commitment import Commitments, NetworkSender
from router.committer import Committer
from router.committing import Reports
from router.config import RouterConfig
from router.counters import Counters
from router.delivery_rows import outstanding
from router.destinations import DicomNode
from router.forwarder import build
from router.housekeeping import Housekeeping
from router.intake import DiskLimits, SpoolIntake
from router.spool import Spool
from router.startup import SpoolLock, open_store

log = logging.getLogger(__name__)

_EVERY_S: Final = 5.0
_PATIENCE_S: Final = 5.0
_HINTS: Final = {
    errno.EACCES: ": set SCP_PORT to 1024 or above (11112 is usual), or give it CAP_NET_BIND_SERVICE",
    errno.EADDRINUSE: ": another program listens there",
    errno.EADDRNOTAVAIL: ": HTR_IP is no address of this machine",
}
"""What to do about a port that cannot be had."""


class Listening(Protocol):
    """The associations' side."""

    def start(self) -> None:
        """Listen. Raises `InvalidRequest`."""
        ...

    def stop(self, grace_s: float) -> bool:
        """Let nobody in any more, wait for the associations that are there, and abort those that are left.
        False where one did not end."""
        ...


Listen = Callable[[RouterConfig, SpoolIntake[Committer], Counters], Listening]


class Service:
    """One router. `run` returns when it was asked to end and has."""

    def __init__(self, config: RouterConfig, listen: Listen) -> None:
        self._config = config
        self._listen = listen
        self._asked_to_end: SimpleQueue[None] = SimpleQueue()  # of all there is, safe in a signal handler
        self._ending = self._at_once = False
        self._was_refusing: str | None = None
        self.counters = Counters()

    def end(self, *_: int | FrameType | None) -> None:
        """Ask it to end; asked again, it does not wait for associations."""
        self._at_once, self._ending = self._ending, True
        self._asked_to_end.put(None)

    def run(self) -> None:
        """Raises `InvalidRequest` for what the operator has to change, `OSError` for a disk that does not
        serve."""
        spool = Spool(self._config.dicom_root)
        spool.make()
        lock = SpoolLock(spool)
        try:
            self._run(spool)
        finally:
            lock.release()

    def _run(self, spool: Spool) -> None:
        config = self._config
        began = time.monotonic()
        quarantine = FolderQuarantine(config.dicom_root, budget_bytes=config.disk.quarantine_bytes)
        committer, findings = open_store(spool, quarantine)
        peers = {title: (peer.host, peer.port) for title, peer in config.commitment.peers.items()}
        sender = NetworkSender(peers, config.commitment.port, config.limits.max_pdu_bytes)
        commitments = Commitments(spool, committer, sender, self.counters)
        disk = config.disk
        limits = DiskLimits(disk.associations_bytes, disk.instances_bytes, disk.warning_bytes)
        intake = SpoolIntake(spool, committer, quarantine, commitments, self.counters, limits=limits)
        housekeeping = Housekeeping(
            spool, committer, quarantine, self.counters, outstanding,
            zone=ZoneInfo(config.timezone), config=config.studies,
        )  # fmt: skip
        forwarder = build(
            config.destinations, committer, spool, self.counters,
            matching=config.matching, confirmed=housekeeping.remover.hint,
        )  # fmt: skip
        nodes = [target for target in config.destinations if isinstance(target, DicomNode)]
        intake.reports = Reports(committer, nodes, confirmed=housekeeping.remover.hint)
        listening = self._listen(config, intake, self.counters)
        try:
            housekeeping.prepare()
            _start(listening)
            commitments.start()
            housekeeping.start()
            forwarder.start()
            seconds = round(time.monotonic() - began, 3)
            log.info("router started", extra={"seconds": seconds, **asdict(findings)})
            self._wait(intake)
            log.info("router ending", extra={"reason": "asked to end"})
            intake.stop()
        finally:
            ended = listening.stop(0.0 if self._at_once else config.grace_s)
            forwarder.stop(_PATIENCE_S)
            commitments.stop(_PATIENCE_S)
            housekeeping.stop(_PATIENCE_S)
            committer.close()
        log.info("router ended", extra={"code": "ALL_ENDED" if ended else "CUT_OFF"})

    def _wait(self, intake: SpoolIntake[Committer]) -> None:
        while not self._ending:
            with suppress(Empty):
                self._asked_to_end.get(timeout=_EVERY_S)
                return
            self._watch(intake)
            try:
                intake.committer.checkpoint()
            except TransientError as error:
                log.warning("checkpoint failed", extra={"code": error.code})

    def _watch(self, intake: SpoolIntake[Committer]) -> None:
        """Say when the disk is low, when associations begin to be refused, and when that is over."""
        intake.watermarks.watch()
        refusing = intake.refuses_associations()
        if refusing == self._was_refusing:
            return
        self._was_refusing = refusing
        if refusing:
            extra = {"alarm": "REFUSING", "reason": refusing, "free_bytes": intake.free_bytes()}
            log.error("associations refused", extra=extra)
        else:
            log.info("associations accepted again")


def end_on_signals(service: Service) -> None:
    """SIGTERM and SIGINT ask it to end."""
    signal.signal(signal.SIGTERM, service.end)
    signal.signal(signal.SIGINT, service.end)


def _start(listening: Listening) -> None:
    try:
        listening.start()
    except InvalidRequest as error:
        cause = error.__cause__
        hint = _HINTS.get(cause.errno or 0, "") if isinstance(cause, OSError) else ""
        raise InvalidRequest(error.detail + hint) from error
