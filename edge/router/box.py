"""A running router: what its parts share, and the parts that are made of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final
from zoneinfo import ZoneInfo

from ponte.quarantine import FolderQuarantine
from router.commitment import Commitments, NetworkSender
from router.committer import Committer
from router.committing import Reports
from router.config import RouterConfig
from router.control import Control, Verb
from router.control_status import status
from router.counters import Counters
from router.delivery_rows import outstanding
from router.destinations import DicomNode
from router.forwarder import Forwarder, build
from router.housekeeping import Housekeeping
from router.intake import DiskLimits, SpoolIntake
from router.live import Live
from router.parts import Parts, Renewed, Runs
from router.spool import Spool
from router.startup import open_store

Listen = Callable[[RouterConfig, SpoolIntake[Committer], Counters], Runs]
"""Makes the associations' side: it listens from its `start` on; its `stop` lets nobody in any more, waits for
the associations that are there, and aborts those that are left."""

LISTENERS: Final = "listeners"


class Box:
    """One run of a router. Who makes it holds the spool's lock, and closes `committer` after the parts.

    `housekeeping` and `forwarder` are others after their part was made anew.
    """

    def __init__(self, config: RouterConfig, spool: Spool, listen: Listen, counters: Counters) -> None:
        """Raises as `open_store` does."""
        self.started_at = time.time()
        self.config = config
        self.spool = spool
        self.counters = counters
        self.live = Live()
        self.quarantine = FolderQuarantine(config.dicom_root, budget_bytes=config.disk.quarantine_bytes)
        self.committer, self.findings = open_store(spool, self.quarantine)
        self.commitments = self._make_commitments()
        self.intake = self._make_intake()
        self.housekeeping: Housekeeping
        self.forwarder: Forwarder
        self._is_first = True
        self.parts = Parts(
            [
                Renewed("organiser", self._renew_housekeeping),
                Renewed("commitments", lambda: self.commitments),
                Renewed("forwarder", self._renew_forwarder),
                Renewed("control", lambda: Control(spool.folder, self._verbs())),
                Renewed(LISTENERS, lambda: listen(config, self.intake, counters)),
            ]
        )

    def confirmed(self, number: int) -> None:
        """A destination has this instance."""
        self.housekeeping.remover.hint(number)

    def _verbs(self) -> dict[str, Verb]:
        return {"status": Verb(lambda: status(self), changes=False)}

    def _make_commitments(self) -> Commitments:
        config = self.config
        peers = {title: (peer.host, peer.port) for title, peer in config.commitment.peers.items()}
        sender = NetworkSender(peers, config.commitment.port, config.limits.max_pdu_bytes)
        return Commitments(self.spool, self.committer, sender, self.counters)

    def _make_intake(self) -> SpoolIntake[Committer]:
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
        config = self.config
        self.forwarder = build(
            config.destinations, self.committer, self.spool, self.counters,
            matching=config.matching, confirmed=self.confirmed,
        )  # fmt: skip
        nodes = [target for target in config.destinations if isinstance(target, DicomNode)]
        self.intake.reports = Reports(self.committer, nodes, confirmed=self.confirmed)
        return self.forwarder
