"""What Prometheus reads: the running router's counters and state, and what the rows and the disk say
without it.

The names are those that the monitoring of other systems for images uses. A counter begins anew with each
start of the router. AE titles are the one label from outside: their number is bounded where they are counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from ponte.version import VERSION
from router.alert_memory import raised
from router.views import Views
from router.watermarks import free_on

Status = Mapping[str, Any]
"""What the router answers to `status`."""
STATES: Final = ("up", "slow", "down", "paused", "closed", "idle")
STORE_SECONDS: Final = "ponte_store_seconds"

_COUNTED: Final[Mapping[str, str]] = {
    "ponte_adopted_total": "Files of an old DICOM_ROOT, by what became of them.",
    "ponte_associations_ended_total": "Associations by how they ended.",
    "ponte_associations_refused_total": "Associations rejected, by reason.",
    "ponte_associations_total": "Associations accepted.",
    "ponte_commitment_reports_total": "Storage Commitment reports to modalities.",
    "ponte_commitment_requests_total": "Storage Commitment asked of destinations.",
    "ponte_commitments_asked_total": "Storage Commitment asked by modalities.",
    "ponte_carriers_lost_total": "Processes that carried associations and ended by themselves.",
    "ponte_connections_refused_total": "Connections closed before an association, by reason.",
    "ponte_cstore_total": "C-STORE answers, by status (hexadecimal) and calling AE title.",
    "ponte_destination_failures_total": "Failures of a destination as a whole, by code.",
    "ponte_forward_total": "Instances that a destination answered, by what became of them.",
    "ponte_forwarded_bytes_total": "Bytes that a destination took.",
    "ponte_instances_total": "Instances answered, by what became of them.",
    "ponte_organised_total": "Instances that have their name in a study's folder.",
    "ponte_patrolled_total": "Files whose digest was compared, by outcome.",
    "ponte_quarantine_total": "Instances put into quarantine, by reason.",
    "ponte_received_bytes_total": "Bytes of instances that were received whole.",
    "ponte_removed_total": "Instances removed after all destinations had confirmed them.",
    "ponte_studies_completed_total": "Parts of studies that became complete, by what completed them.",
    "ponte_unrouted_total": "Instances that no destination wants.",
}


def exposition(status: Status | None, rows: Views | None, root: Path) -> bytes:
    """All of it in Prometheus' text format, version 0.0.4. `status` is None while the router does not answer,
    `rows` where there are none yet."""
    registry = CollectorRegistry(auto_describe=False)
    found = [*_of_router(status), *_of_disk(root), *_of_rows(rows), *_of_alerts(root)]
    registry.register(_Once(found))
    return generate_latest(registry)


def not_ready(refusing: str | None) -> list[str]:
    """Why a router that answers takes no associations now, as codes; nothing where it does."""
    if refusing in ("stopping", "draining"):
        return [refusing.upper()]
    return [f"REFUSING_{refusing.upper()}"] if refusing else []


class _Once(Collector):
    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _of_router(status: Status | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("ponte_router_up", "1 while the router answers.", float(status is not None))
    build = GaugeMetricFamily("ponte_build_info", "The version that runs.", labels=["version"])
    build.add_metric([str((status or {}).get("version", VERSION))], 1)
    yield build
    if status is None:
        return
    ready = float(not status["refusing"])
    yield GaugeMetricFamily("ponte_router_ready", "1 while associations are accepted.", ready)
    yield GaugeMetricFamily("ponte_associations_active", "Associations now.", len(status["associations"]))
    started = "ponte_router_start_time_seconds", "When the router was started, since the epoch."
    yield GaugeMetricFamily(*started, status["started_at"])
    yield from _of_destinations(status["destinations"])
    part = GaugeMetricFamily("ponte_part_up", "1 while a part of the router runs.", labels=["part"])
    for one in status["parts"]:
        part.add_metric([one["name"]], float(one["state"] == "running"))
    yield part
    yield from _of_counters(status["counters"])


def _of_destinations(destinations: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "ponte_destination_up", "0 while a destination takes nothing.", labels=["destination"]
    )
    state = GaugeMetricFamily(
        "ponte_destination_state", "1 for the state it is in.", labels=["destination", "state"]
    )
    for one in destinations:
        up.add_metric([one["name"]], float(one["state"] != "down"))
        for name in STATES:
            state.add_metric([one["name"], name], float(one["state"] == name))
    yield from (up, state)


def _of_counters(counters: Mapping[str, float]) -> Iterator[Metric]:
    """They are named as Prometheus writes them, so its own parser reads them."""
    found: dict[str, list[Sample]] = {}
    for shown, value in counters.items():
        for family in text_string_to_metric_families(f"{shown} {value!r}\n"):
            for sample in family.samples:
                found.setdefault(sample.name, []).append(sample)
    for name, samples in sorted(found.items()):
        if name.endswith("_total"):
            text = _COUNTED.get(name, "How often it happened since the router was started.")
            metric = CounterMetricFamily(name.removesuffix("_total"), text)
            metric.samples = samples
            yield metric
    yield _histogram(found)


def _histogram(found: Mapping[str, Sequence[Sample]]) -> Metric:
    """Each measurement was counted in one bucket; here a bucket has all that are below its bound."""
    counted = {float(one.labels["le"]): one.value for one in found.get(f"{STORE_SECONDS}_bucket", ())}
    bounds = sorted({*counted, float("inf")})
    below = accumulate(counted.get(bound, 0) for bound in bounds)
    buckets = [
        ("+Inf" if bound == float("inf") else f"{bound:g}", count)
        for bound, count in zip(bounds, below, strict=True)
    ]
    total = sum(one.value for one in found.get(f"{STORE_SECONDS}_sum", ()))
    text = "From a C-STORE command to its durable answer."
    return HistogramMetricFamily(STORE_SECONDS, text, buckets=buckets, sum_value=total)


def _of_disk(root: Path) -> Iterator[Metric]:
    free = free_on(root).size_bytes
    if free >= 0:
        yield GaugeMetricFamily("ponte_disk_free_bytes", "Free where images are kept.", free)


def _of_rows(rows: Views | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("ponte_rows_up", "1 while the rows can be read.", float(rows is not None))
    if rows is None:
        return
    depth = GaugeMetricFamily(
        "ponte_queue_depth", "Instances that wait for a destination.", labels=["destination"]
    )
    stuck = GaugeMetricFamily(
        "ponte_undelivered", "Instances that somebody must see to.", labels=["destination", "state"]
    )
    for queue in rows.queues():
        depth.add_metric([queue.destination], queue.waiting + queue.sending)
        stuck.add_metric([queue.destination, "refused"], queue.refused)
        stuck.add_metric([queue.destination, "given_up"], queue.given_up)
    yield from (depth, stuck)
    yield from _of_all(rows)


def _of_all(rows: Views) -> Iterator[Metric]:
    since = rows.oldest_unforwarded_at()
    age = max(0.0, time.time() - since) if since is not None else 0.0
    text = "Age of the oldest instance that a destination has not confirmed; 0 where there is none."
    yield GaugeMetricFamily("ponte_oldest_unforwarded_seconds", text, age)
    entries = GaugeMetricFamily("ponte_quarantine_entries", "What is in quarantine.", labels=["reason"])
    for reason, count in rows.quarantine_counts().items():
        entries.add_metric([reason], count)
    yield entries
    totals = rows.totals()
    yield GaugeMetricFamily("ponte_instances_kept", "Instances on the disk.", totals.instances_kept)
    yield GaugeMetricFamily("ponte_kept_bytes", "Their size.", totals.bytes_kept)


def _of_alerts(root: Path) -> Iterator[Metric]:
    metric = GaugeMetricFamily(
        "ponte_alert_raised", "1 for what somebody was told of and is not over.", labels=["kind", "subject"]
    )
    for alert in raised(root):
        metric.add_metric([alert.kind, alert.subject], 1)
    yield metric
