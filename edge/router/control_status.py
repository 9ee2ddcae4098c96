"""What a running router says of itself: who sends, how each destination fares, the disk, the parts."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ponte.version import VERSION
from router.deliveries import waits_for_study
from router.destinations import Inbox, Target
from router.lanes import Health, Lane
from router.views import QueueView, Views

if TYPE_CHECKING:
    from router.box import Box

_KINDS: Final[Mapping[str, str]] = {"orthanc": "dicomweb", "s3": "inbox"}
_IDLE_S: Final = 300.0
_NOTHING: Final = QueueView("", 0, 0, 0, 0, 0, 0, 0, None, None)


def status(box: Box) -> dict[str, Any]:
    """All of it, as JSON. It reads the rows beside those who receive. Raises `TransientError`,
    `InvalidRequest` where they cannot be read."""
    with Views(box.config.dicom_root) as views, views.moment():
        queues = {queue.destination: queue for queue in views.queues()}
        oldest = views.oldest_unforwarded_at()
        quarantine = views.quarantine_counts()
    disk = shutil.disk_usage(box.spool.folder)
    lanes = box.forwarder.lanes
    return {
        "version": VERSION,
        "pid": os.getpid(),
        "started_at": box.started_at,
        "draining": box.intake.is_draining,
        "refusing": box.intake.refuses_associations(),
        "associations": [asdict(one) for one in box.live.snapshot()],
        "destinations": [_destination(box, lane, queues.get(name, _NOTHING)) for name, lane in lanes.items()],
        "disk": {
            "free_bytes": disk.free, "total_bytes": disk.total, "days_left": box.disk.days_left(disk.free),
        },
        "oldest_unforwarded_at": oldest,
        "quarantine": quarantine,
        "parts": [{"name": name, "state": state} for name, state in box.parts.states().items()],
        "counters": box.counters.snapshot(),
    }  # fmt: skip


def kind_of(target: Target) -> str:
    """`dicom`, `dicomweb` or `inbox`."""
    return "inbox" if isinstance(target, Inbox) else _KINDS.get(target.kind, target.kind)


def _destination(box: Box, lane: Lane, queue: QueueView) -> dict[str, Any]:
    health, name = lane.health, lane.target.name
    state = _state(lane, health, queue, box.config.studies.limit_s)
    since = box.since.seen(name, state)
    return {
        "name": name,
        "kind": kind_of(lane.target),
        "state": state,
        "since": health.failing_since if state == "down" else since,
        "queue": queue.waiting + queue.sending,
        "failures": health.failures,
        "detail": health.detail,
        "code": health.code,
    }


def _state(lane: Lane, health: Health, queue: QueueView, study_limit_s: float) -> str:
    """`idle` has nothing to send and had nothing for a while; `slow` takes, and is behind for longer than
    what is an alarm of it, the time that a study may take to become complete not counted."""
    if health.is_held:
        return "paused"
    if not lane.is_open:
        return "closed"
    if health.failures:
        return "down"
    now, patience_s = time.time(), lane.target.retry.alert_after_s
    if waits_for_study(lane.target):
        patience_s += study_limit_s
    if queue.oldest_waiting_at is not None:
        return "slow" if now - queue.oldest_waiting_at > patience_s else "up"
    return "up" if now - (queue.last_sent_at or 0.0) < _IDLE_S else "idle"
