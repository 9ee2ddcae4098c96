"""What a running router says of itself: who sends, how each destination fares, the disk, the parts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ponte.version import VERSION
from router import delivery_rows
from router.delivery_rows import Queue
from router.destinations import Inbox, Target
from router.lanes import Health, Lane
from router.savepoint import run_apart

if TYPE_CHECKING:
    from router.box import Box

_KINDS: Final[Mapping[str, str]] = {"orthanc": "dicomweb", "s3": "inbox"}


def status(box: Box) -> dict[str, Any]:
    """All of `status`, as JSON. Raises `TransientError` where the rows cannot be read."""
    queues = {queue.destination: queue for queue in run_apart(box.committer, delivery_rows.queues)}
    disk = shutil.disk_usage(box.spool.folder)
    oldest = [queue.oldest_at for queue in queues.values() if queue.active and queue.oldest_at is not None]
    return {
        "version": VERSION,
        "pid": os.getpid(),
        "started_at": box.started_at,
        "draining": box.intake.is_draining,
        "refusing": box.intake.refuses_associations(),
        "associations": [asdict(one) for one in box.live.snapshot()],
        "destinations": [
            _destination(lane, queues.get(name, Queue(name, active=True)))
            for name, lane in box.forwarder.lanes.items()
        ],
        "disk": {"free_bytes": disk.free, "total_bytes": disk.total, "days_left": None},
        "oldest_unforwarded_at": min(oldest, default=None),
        "quarantine": {},
        "parts": [{"name": name, "state": state} for name, state in box.parts.states().items()],
        "counters": box.counters.snapshot(),
    }


def _destination(lane: Lane, queue: Queue) -> dict[str, Any]:
    health = lane.health
    return {
        "name": lane.target.name,
        "kind": kind_of(lane.target),
        "state": _state(lane, health),
        "since": health.failing_since,
        "queue": queue.waiting + queue.sending,
        "failures": health.failures,
        "detail": health.detail,
        "code": health.code,
    }


def kind_of(target: Target) -> str:
    """`dicom`, `dicomweb` or `inbox`."""
    return "inbox" if isinstance(target, Inbox) else _KINDS.get(target.kind, target.kind)


def _state(lane: Lane, health: Health) -> str:
    if health.is_held:
        return "paused"
    if not lane.is_open:
        return "closed"
    return "down" if health.failures else "up"
