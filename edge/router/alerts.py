"""Tells somebody what must be seen to: rules over what the router says and what the rows say, a memory of
what was told, and channels that tell it.

Nothing here is in the way of an image: it reads beside those who receive, in threads of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from ponte.errors import PonteError
from router.alert_book import Book
from router.alert_certificates import Certificates
from router.alert_channels import Teller, open_channels
from router.alert_memory import FILE_NAME, Memory
from router.alert_notice import CANNOT_COMMIT, Notice
from router.alert_rules import Limits, Observed, findings
from router.config import RouterConfig
from router.deliveries import waits_for_study
from router.destinations import Target
from router.housekeeping import SteadyClock
from router.spool import FOLDER_NAME
from router.views import QueueView, Views
from router.worker import Worker

log = logging.getLogger(__name__)

_CERTIFICATES_EVERY_S: Final = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it is looked at. `failures` counts commits that failed, and `probe` tries one."""

    status: Callable[[], Mapping[str, Any]]
    rows: Callable[[], AbstractContextManager[Views]]
    targets: Callable[[], Sequence[Target]]
    folders: Callable[[], Mapping[str, bool]]
    failures: Callable[[], int]
    probe: Callable[[], None]


class Alerts:
    """The part of the service that is called `alerts`."""

    def __init__(
        self, config: RouterConfig, sources: Sources, *, now: Callable[[], float] | None = None
    ) -> None:
        self._config = config.alerts
        self._disk = config.disk
        self._study_s = config.studies.limit_s
        self._sources = sources
        self._now = now or SteadyClock()
        self._failures = sources.failures()
        self._certificates = Certificates(config.listeners, sources.targets)
        channels = open_channels(config.alerts)
        self.memory = Memory(
            config.dicom_root / FOLDER_NAME / FILE_NAME,
            {channel.name: channel.addressees for channel in channels},
            remind_s=self._config.remind_s,
        )
        zone = ZoneInfo(config.timezone)
        self._tellers = [Teller(one, self.memory, self._config, zone).worker for one in channels]
        self._workers = (
            Worker("certificates", self._certificates.look, idle_s=_CERTIFICATES_EVERY_S),
            Worker("alerts", self.step, idle_s=self._config.every_s),
            *self._tellers,
        )

    def start(self) -> None:
        """Begin."""
        for one in self._workers:
            one.start()

    def stop(self, grace_s: float) -> bool:
        """End; False where somebody is being told still. What was not sent is sent after the next start."""
        until = time.monotonic() + grace_s
        ended = [one.stop(max(0.0, until - time.monotonic())) for one in self._workers]
        return all(ended)

    @property
    def is_alive(self) -> bool:
        return all(one.is_alive for one in self._workers)

    def step(self) -> bool:
        """Look once. Always False: the next look is after a while."""
        observed = self._observe()
        found = findings(observed, self._limits())
        is_all = observed.status is not None

        def update(book: Book) -> list[Notice]:
            return book.update(found, observed.now, is_all=is_all)

        for notice in self.memory.learn(update):
            _log(notice)
            for teller in self._tellers:
                teller.wake()
        return False

    def _observe(self) -> Observed:
        book = self.memory.book
        commits = self._commits(CANNOT_COMMIT in {kind for kind, _ in book.alerts})
        return Observed(
            now=self._now(),
            status=self._status(),
            queues=self._queues(),
            certificates=self._certificates.found,
            folders=self._sources.folders(),
            commits=commits,
            alerts=book.alerts,
            raised=frozenset((one.kind, one.subject) for one in book.raised),
        )

    def _commits(self, is_doubted: bool) -> bool | None:
        """Whether rows can be written: asked where a commit failed since the last look, and until one does
        not."""
        failures = self._sources.failures()
        has_failed, self._failures = failures != self._failures, failures
        if not has_failed and not is_doubted:
            return None
        try:
            self._sources.probe()
        except PonteError:
            return False
        return not has_failed

    def _status(self) -> Mapping[str, Any] | None:
        try:
            return self._sources.status()
        except (PonteError, OSError) as error:
            log.warning("alerts look without the status", extra={"code": _code(error)})
            return None

    def _queues(self) -> dict[str, QueueView] | None:
        try:
            with self._sources.rows() as rows:
                return {one.destination: one for one in rows.queues() if one.active}
        except PonteError as error:
            log.warning("alerts look without the rows", extra={"code": error.code})
            return None

    def _limits(self) -> Limits:
        """Where whole studies go, images may wait for the end of theirs besides."""
        config, targets = self._config, self._sources.targets()
        return Limits(
            unforwarded_s={
                one.name: config.unforwarded_s + (self._study_s if waits_for_study(one) else 0.0)
                for one in targets
            },
            disk_bytes=self._disk.warning_bytes,
            disk_days=config.disk_days,
            certificate_days=config.certificate_days,
            look_s=config.every_s,
            alert_after_s={one.name: one.retry.alert_after_s for one in targets},
        )


def _log(notice: Notice) -> None:
    extra = {"how": notice.state, "subject": notice.subject}
    if notice.state == "over":
        log.warning("alert over", extra={**extra, "code": notice.kind})
    else:
        log.error("alert raised", extra={**extra, "alarm": notice.kind})


def _code(error: Exception) -> str:
    return error.code if isinstance(error, PonteError) else type(error).__name__
