"""A running router: what its parts share, and the parts that are made of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from threading import Lock
from typing import Any, Final
from zoneinfo import ZoneInfo

from ponte.errors import InvalidRequest
from ponte.quarantine import FolderQuarantine
from router import delivery_rows
from router.alerts import Alerts, Sources
from router.bringing import Bringing
from router.cloudwatch import CloudWatch
from router.commitment import Commitments, NetworkSender
from router.committing import Reports
from router.config import RouterConfig, WatchConfig
from router.control import Control
from router.control_status import status
from router.control_verbs import verbs
from router.counters import Counters
from router.delivery_rows import outstanding
from router.destinations import DicomNode, Inbox
from router.forwarder import Forwarder, Supplies
from router.housekeeping import Housekeeping
from router.intake import DiskLimits, SpoolIntake
from router.live import Live
from router.parts import Part, Parts, Renewed, Runs
from router.savepoint import run_apart
from router.spool import Spool
from router.startup import open_store
from router.trends import DiskTrend, Since
from router.uploads import Uploader, open_client
from router.views import Views
from router.zipwatch import ZipInbox, ZipQueue, ZipWatch
from watcher.service import Target as WatchTarget

Listen = Callable[[RouterConfig, SpoolIntake, Counters], Runs]
"""Makes the associations' side: it listens from its `start` on; its `stop` lets nobody in any more, waits for
the associations that are there, and aborts those that are left."""

ReadConfig = Callable[[], RouterConfig]

LISTENERS: Final = "listeners"
CONTROL: Final = "control"
ROUTER: Final = "router"
_GRACE_S: Final = 30.0
_RELOADED: Final = frozenset({"destinations", "matching", "target"})


class Box:
    """One run of a router. Who makes it holds the spool's lock, and closes `committer` after the parts.

    `housekeeping` and `forwarder` are others after their part was made anew.
    """

    def __init__(
        self,
        config: RouterConfig,
        spool: Spool,
        listen: Listen,
        counters: Counters,
        *,
        read_config: ReadConfig | None = None,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        """`read_config` is asked on a reload, `end` ends the whole router so that it is started anew. Raises
        as `open_store` does."""
        self.started_at = time.time()
        self.config = config
        self._read_config = read_config or (lambda: config)
        self._end = end
        self._changing = Lock()
        self.spool = spool
        self.counters = counters
        self.live = Live()
        self.since = Since()
        self.disk = DiskTrend()
        self.quarantine = FolderQuarantine(config.dicom_root, budget_bytes=config.disk.quarantine_bytes)
        self.committer, self.findings = open_store(spool, self.quarantine)
        self.commitments = self._make_commitments()
        self.intake = self._make_intake()
        self.housekeeping: Housekeeping
        self.forwarder: Forwarder
        self.watcher: ZipWatch | None = None
        self._supplies = Supplies(self.committer, spool, counters, {}, self.confirmed)
        self._is_first = True
        cloudwatch = [Renewed("cloudwatch", self._renew_cloudwatch)] if config.cloudwatch else []
        self.parts = Parts(
            [
                Renewed("organiser", self._renew_housekeeping),
                Renewed("commitments", lambda: self.commitments),
                Renewed("forwarder", self._renew_forwarder),
                *self._watchers(),
                Renewed(CONTROL, lambda: Control(spool.folder, verbs(self))),
                Renewed("alerts", self._renew_alerts),
                *cloudwatch,
                Renewed(LISTENERS, lambda: listen(config, self.intake, counters)),
            ]
        )

    def confirmed(self, number: int) -> None:
        """A destination has this instance."""
        self.housekeeping.remover.hint(number)

    def reload(self) -> dict[str, Any]:
        """Take the destinations from the configuration as it is written now; what changed, by name. What else
        differs from what the router began with takes a restart, and is named.

        Raises `InvalidRequest` with all that is wrong, `TransientError`: then nothing has changed.
        """
        with self._changing:
            found = self._read_config()
            there = self.forwarder
            workers = [
                there.workers_of(target) or self._supplies.workers(target) for target in found.destinations
            ]
            planner = self._supplies.planner(found.destinations, found.matching)
            changed = there.exchange(planner, workers, _GRACE_S)
            self.config = replace(self.config, destinations=found.destinations, matching=found.matching)
            self._take_reports()
        queues = {one.destination: one for one in run_apart(self.committer, delivery_rows.queues)}
        left = {name: queues[name].waiting + queues[name].sending for name in changed.removed}
        return {
            **asdict(changed),
            "left_waiting": left,
            "needs_restart": self._differing(found),
            "warnings": found.warnings(),
        }

    def restart(self, part: str) -> None:
        """Make a part anew, or end the whole router so that it is started again. Raises as
        `Parts.restart`."""
        if part == ROUTER:
            self._end()
            return
        if part == CONTROL:
            raise InvalidRequest(f"{CONTROL} is what is asked just now; {ROUTER} makes all of it anew")
        with self._changing:
            self.parts.restart(part, self.config.grace_s if part == LISTENERS else _GRACE_S)

    def _differing(self, found: RouterConfig) -> list[str]:
        names = [one.name for one in fields(found) if one.name not in _RELOADED]
        return [name for name in names if getattr(found, name) != getattr(self.config, name)]

    def _make_commitments(self) -> Commitments:
        config = self.config
        peers = {title: (peer.host, peer.port) for title, peer in config.commitment.peers.items()}
        sender = NetworkSender(peers, config.commitment.port, config.limits.max_pdu_bytes)
        return Commitments(self.spool, self.committer, sender, self.counters)

    def _make_intake(self) -> SpoolIntake:
        disk = self.config.disk
        limits = DiskLimits(disk.associations_bytes, disk.instances_bytes, disk.warning_bytes)
        return SpoolIntake(
            self.spool, self.committer, self.quarantine, self.commitments, self.counters,
            limits=limits, live=self.live,
        )  # fmt: skip

    def _renew_housekeeping(self) -> Housekeeping:
        is_first, self._is_first = self._is_first, False
        config = self.config
        self.housekeeping = Housekeeping(
            self.spool, self.committer, self.quarantine, self.counters, outstanding,
            zone=ZoneInfo(config.timezone), config=config.studies,
        )  # fmt: skip
        self.housekeeping.prepare(is_first=is_first)
        return self.housekeeping

    def _renew_forwarder(self) -> Forwarder:
        targets, matching = self.config.destinations, self.config.matching
        workers = [self._supplies.workers(target) for target in targets]
        self.forwarder = Forwarder(self._supplies.planner(targets, matching), self.committer, workers)
        self._take_reports()
        return self.forwarder

    def _take_reports(self) -> None:
        """Of commitment, from the destinations that there are."""
        nodes = [target for target in self.config.destinations if isinstance(target, DicomNode)]
        self.intake.reports = Reports(self.committer, nodes, confirmed=self.confirmed)

    def _watchers(self) -> list[Part]:
        watch = self.config.watch
        return [] if watch is None else [Renewed("watcher", partial(self._renew_watcher, watch))]

    def _renew_watcher(self, watch: WatchConfig) -> ZipWatch:
        self.watcher = ZipWatch(watch, partial(self._watch_target, watch))
        return self.watcher

    def _watch_target(self, watch: WatchConfig) -> WatchTarget:
        """Raises `InvalidRequest` where the inbox was taken out of the configuration."""
        if watch.to_inbox is None:
            bring = partial(Bringing, self.intake)
            return ZipQueue(bring, self.config.ae_title).target(self.quarantine)
        name = watch.to_inbox
        lane = self.forwarder.lanes.get(name)
        if lane is None or not isinstance(lane.target, Inbox):
            raise InvalidRequest(f"watch.to_inbox: {name} is no destination of kind s3")
        inbox, watcher = lane.target, self.watcher
        uploader = Uploader(
            inbox, open_client(inbox), self.committer, self.counters,
            lambda: watcher is not None and watcher.is_stopping,
        )  # fmt: skip
        archives = ZipInbox(uploader, inbox.prefix, partial(self._is_sending, name))
        return WatchTarget(archives, name, f"inbox:{name}", "Check", "Upload")

    def _is_sending(self, destination: str) -> bool:
        """False while it is paused, outside its hours, in a pause after a failure, or not configured."""
        lane = self.forwarder.lanes.get(destination)
        return lane is not None and lane.wait_s() == 0

    def _renew_alerts(self) -> Alerts:
        sources = Sources(
            status=lambda: status(self),
            rows=self._views,
            targets=lambda: [lane.target for lane in self.forwarder.lanes.values()],
            folders=lambda: self.watcher.folders if self.watcher else {},
            failures=lambda: self.committer.failures,
            probe=self.committer.probe,
        )
        return Alerts(self.config, sources)

    def _renew_cloudwatch(self) -> CloudWatch:
        config = self.config.cloudwatch
        assert config is not None  # noqa: S101  else there is no such part
        return CloudWatch(
            config, self.config.dicom_root, status=lambda: status(self), rows=self._views,
            counters=self.counters,
        )  # fmt: skip

    def _views(self) -> Views:
        return Views(self.config.dicom_root)
