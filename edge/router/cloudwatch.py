"""Says to CloudWatch each minute how the box is, for the dashboard and the alarms of the stack.

Only outwards, by HTTPS, with `cloudwatch:PutMetricData` alone. Where that fails the log says so and nothing
else suffers: that nothing comes is an alarm there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any, Final

from ponte.errors import PonteError
from router.alert_memory import raised
from router.config import CloudWatchConfig
from router.counters import Counters
from router.views import Views
from router.worker import Worker

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
MOST_AT_ONCE: Final = 500
"""PutMetricData takes 1000, and 1 MB."""
_SUCCESS: Final = "0000"

Said = tuple[str, float, str]
"""Name, value, unit."""


class CloudWatch:
    """The part of the service that is called `cloudwatch`, where it is configured."""

    def __init__(
        self,
        config: CloudWatchConfig,
        root: Path,
        *,
        status: Callable[[], Mapping[str, Any]],
        rows: Callable[[], AbstractContextManager[Views]],
        counters: Counters,
    ) -> None:
        self._config = config
        self._root = root
        self._status = status
        self._rows = rows
        self._counters = counters
        self._client: Any = None
        self._before = _Counted()
        self._is_failing = False
        self._worker = Worker("cloudwatch", self.step, idle_s=EVERY_S)
        self.start, self.stop = self._worker.start, self._worker.stop

    @property
    def is_alive(self) -> bool:
        return self._worker.is_alive

    def step(self) -> bool:
        """Say it once. Always False: the next time is in a minute."""
        counted = _Counted.of(self._counters)
        try:
            self._put(list(self._data(counted)))
        except (PonteError, OSError) as error:
            self._failed(error.code if isinstance(error, PonteError) else type(error).__name__)
        except Exception as error:  # noqa: BLE001  boto3 is imported where it is used, and its errors with it
            self._failed(_code(error))
        else:
            self._before = counted
            if self._is_failing:
                log.info("metrics sent again", extra={"channel": "cloudwatch"})
            self._is_failing = False
        return False

    def _data(self, counted: _Counted) -> Iterator[dict[str, Any]]:
        """All of it. Without the status there is no heartbeat: then nobody knows whether it is well."""
        now, status = datetime.now(UTC), self._status()
        site = {"Name": "Site", "Value": self._config.site}
        said = [
            *_of_status(status, now.timestamp()),
            *counted.since(self._before),
            ("AlertsRaised", len(raised(self._root)), "Count"),
        ]
        with self._rows() as rows:
            queues = {one.destination: one for one in rows.queues() if one.active}
        said.append(("Undelivered", sum(one.refused + one.given_up for one in queues.values()), "Count"))
        for one in said:
            yield _datum(one, now, [site])
        for one in status["destinations"]:
            of = [site, {"Name": "Destination", "Value": one["name"]}]
            yield _datum(("DestinationUp", float(one["state"] != "down"), "Count"), now, of)
            queue = queues.get(one["name"])
            depth = queue.waiting + queue.sending if queue else 0
            yield _datum(("QueueDepth", depth, "Count"), now, of)

    def _put(self, data: Sequence[dict[str, Any]]) -> None:
        if self._client is None:
            self._client = _open(self._config.region)
        for some in batched(data, MOST_AT_ONCE, strict=False):
            self._client.put_metric_data(Namespace=self._config.namespace, MetricData=list(some))

    def _failed(self, code: str) -> None:
        """An alarm once; then it is known."""
        if not self._is_failing:
            log.error(
                "metrics not sent", extra={"alarm": "METRICS_NOT_SENT", "channel": "cloudwatch", "code": code}
            )
        self._is_failing = True


@dataclass(frozen=True, slots=True)
class _Counted:
    """How many C-STOREs were answered so far: with success, and otherwise."""

    stored: float = 0
    refused: float = 0

    @classmethod
    def of(cls, counters: Counters) -> _Counted:
        stored = counters.value("ponte_cstore_total", status=_SUCCESS)
        return cls(stored, counters.value("ponte_cstore_total") - stored)

    def since(self, before: _Counted) -> Iterator[Said]:
        yield "InstancesStored", self.stored - before.stored, "Count"
        yield "InstancesRefused", self.refused - before.refused, "Count"


def _of_status(status: Mapping[str, Any], now: float) -> Iterator[Said]:
    yield "Heartbeat", 1, "Count"
    yield "NotReceiving", float(status["refusing"] in ("disk", "queue")), "Count"
    yield "AssociationsActive", len(status["associations"]), "Count"
    yield "DestinationsDown", sum(one["state"] == "down" for one in status["destinations"]), "Count"
    yield "QuarantineEntries", sum(status["quarantine"].values()), "Count"
    since, disk = status["oldest_unforwarded_at"], status["disk"]
    yield "OldestUnforwardedSeconds", max(0.0, now - since) if since is not None else 0.0, "Seconds"
    yield "DiskFreeBytes", disk["free_bytes"], "Bytes"
    yield "DiskFreePercent", 100 * disk["free_bytes"] / max(disk["total_bytes"], 1), "Percent"
    if disk["days_left"] is not None:
        yield "DiskDaysLeft", disk["days_left"], "None"


def _datum(said: Said, at: datetime, dimensions: list[dict[str, str]]) -> dict[str, Any]:
    name, value, unit = said
    return {
        "MetricName": name,
        "Value": float(value),
        "Unit": unit,
        "Timestamp": at,
        "Dimensions": dimensions,
    }


def _open(region: str) -> Any:
    """A client that gives up soon. Who we are comes from where AWS's programs look for it."""
    import boto3
    from botocore.config import Config

    patience = Config(
        connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"}
    )
    return boto3.client("cloudwatch", region_name=region or None, config=patience)


def _code(error: Exception) -> str:
    """AWS's own code where it gave one; never its text."""
    response = getattr(error, "response", None)
    found = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return str(found or type(error).__name__)[:60]
