"""What Prometheus reads, read by its own parser; with the router and without it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.counters import MOST_FROM_OUTSIDE, Counters
from router.intake import STORE_SECONDS
from router.metrics import exposition, not_ready

NAME = re.compile(r"^ponte_[a-z]+(_[a-z]+)*$")


@dataclass
class Queue:
    destination: str
    waiting: int = 0
    sending: int = 0
    refused: int = 0
    given_up: int = 0


@dataclass
class Totals:
    instances_kept: int = 7
    bytes_kept: int = 7000


@dataclass
class Said:
    """Stands for the rows."""

    oldest: float | None = None
    found: list[Queue] = field(default_factory=list)

    def queues(self) -> list[Queue]:
        return self.found

    def oldest_unforwarded_at(self) -> float | None:
        return self.oldest

    def quarantine_counts(self) -> dict[str, int]:
        return {"NO_PIXEL_DATA": 3}

    def totals(self) -> Totals:
        return Totals()


def status(counters: Counters | None = None, **changed: Any) -> dict[str, Any]:
    return {
        "version": "9.9.9", "pid": 1, "started_at": 1_700_000_000.0, "draining": False, "refusing": None,
        "associations": [{"id": "one"}, {"id": "two"}],
        "destinations": [{"name": "pacs", "state": "down"}, {"name": "cloud", "state": "slow"}],
        "parts": [{"name": "listeners", "state": "running"}, {"name": "watcher", "state": "failed"}],
        "counters": (counters or Counters()).snapshot(), **changed,
    }  # fmt: skip


Found = dict[str, dict[tuple[tuple[str, str], ...], float]]


def read(said: Mapping[str, Any] | None, rows: Any, root: Path) -> Found:
    """Samples by name and labels; what promtool's `check metrics` would say is said here."""
    text = exposition(said, rows, root).decode()
    found: Found = {}
    for family in text_string_to_metric_families(text):
        assert NAME.match(family.name), family.name
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert f"# TYPE {family.name}" in text
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), sample
            found[sample.name][labels] = sample.value
    return found


def test_a_running_router_says_what_it_counted_and_how_its_destinations_fare(tmp_path: Path) -> None:
    counters = Counters()
    counters.add("ponte_cstore_total", 5, status="0000", calling_ae="CT1")
    counters.add("ponte_received_bytes_total", 1 << 40)
    counters.add("ponte_quarantine_total", reason="NO_PIXEL_DATA")
    counters.add("ponte_forward_total", 4, destination="pacs", result="sent")
    found = read(status(counters), Said(), tmp_path)
    assert found["ponte_router_up"] == {(): 1}
    assert found["ponte_router_ready"] == {(): 1}
    assert found["ponte_build_info"] == {(("version", "9.9.9"),): 1}
    assert found["ponte_associations_active"] == {(): 2}
    assert found["ponte_cstore_total"] == {(("calling_ae", "CT1"), ("status", "0000")): 5}
    assert found["ponte_received_bytes_total"] == {(): float(1 << 40)}
    assert found["ponte_quarantine_total"] == {(("reason", "NO_PIXEL_DATA"),): 1}
    assert found["ponte_forward_total"] == {(("destination", "pacs"), ("result", "sent")): 4}
    assert found["ponte_destination_up"] == {(("destination", "pacs"),): 0, (("destination", "cloud"),): 1}
    assert found["ponte_part_up"][(("part", "watcher"),)] == 0
    states = {labels: value for labels, value in found["ponte_destination_state"].items() if value}
    assert states == {
        (("destination", "pacs"), ("state", "down")): 1,
        (("destination", "cloud"), ("state", "slow")): 1,
    }


def test_the_rows_say_what_waits_for_how_long_and_what_lies_in_quarantine(tmp_path: Path) -> None:
    rows = Said(time.time() - 100, [Queue("pacs", 5, 2, 1, 3)])
    found = read(status(), rows, tmp_path)
    assert found["ponte_queue_depth"] == {(("destination", "pacs"),): 7}
    assert found["ponte_undelivered"] == {
        (("destination", "pacs"), ("state", "refused")): 1,
        (("destination", "pacs"), ("state", "given_up")): 3,
    }
    assert 100 <= found["ponte_oldest_unforwarded_seconds"][()] < 160
    assert found["ponte_quarantine_entries"] == {(("reason", "NO_PIXEL_DATA"),): 3}
    assert found["ponte_disk_free_bytes"][()] > 0
    assert found["ponte_instances_kept"][()] == 7


@pytest.mark.parametrize("oldest", [None, time.time() + 3600], ids=["nothing waits", "a clock that jumped"])
def test_an_age_is_never_below_nothing(oldest: float | None, tmp_path: Path) -> None:
    assert read(None, Said(oldest), tmp_path)["ponte_oldest_unforwarded_seconds"] == {(): 0}


def test_without_the_router_it_says_so_and_what_the_rows_know(tmp_path: Path) -> None:
    found = read(None, Said(time.time(), [Queue("pacs", 5)]), tmp_path)
    assert found["ponte_router_up"] == {(): 0}
    assert found["ponte_queue_depth"] == {(("destination", "pacs"),): 5}
    assert "ponte_associations_active" not in found
    assert "ponte_destination_up" not in found
    assert "ponte_cstore_total" not in found


def test_before_the_first_start_there_is_the_disk_alone(tmp_path: Path) -> None:
    assert read(None, None, tmp_path)["ponte_disk_free_bytes"][()] > 0
    assert "ponte_disk_free_bytes" not in read(None, None, tmp_path / "nowhere")


def test_the_histogram_adds_up_and_has_all_buckets_from_the_measurements_on(tmp_path: Path) -> None:
    counters = Counters()
    for seconds in (0.001, 0.02, 0.02, 4.0, 1000.0):
        counters.observe("ponte_store_seconds", seconds, STORE_SECONDS)
    found = read(status(counters), None, tmp_path)
    buckets = {float(dict(labels)["le"]): n for labels, n in found["ponte_store_seconds_bucket"].items()}
    assert [buckets[bound] for bound in sorted(buckets)] == [1, 3, 4, 5]
    assert max(buckets) == float("inf")
    assert found["ponte_store_seconds_count"] == {(): 5}
    assert found["ponte_store_seconds_sum"][()] == pytest.approx(1004.041)


@pytest.mark.parametrize("title", ['A"} 1', "A\\", "A\nB", "ÁÉ", " ", "", "{}", 'x",status="0000'], ids=ascii)
def test_whatever_a_peer_calls_itself_is_one_label(title: str, tmp_path: Path) -> None:
    counters = Counters()
    counters.add("ponte_cstore_total", status="0000", calling_ae=title)
    found = read(status(counters), None, tmp_path)
    assert found["ponte_cstore_total"] == {(("calling_ae", title), ("status", "0000")): 1}


def test_a_thousand_titles_are_few_lines(tmp_path: Path) -> None:
    counters = Counters()
    for number in range(1000):
        counters.add("ponte_cstore_total", status="0000", calling_ae=f"T{number}")
    found = read(status(counters), None, tmp_path)["ponte_cstore_total"]
    assert len(found) == MOST_FROM_OUTSIDE + 1
    assert sum(found.values()) == 1000


@pytest.mark.parametrize(
    ("refusing", "codes"),
    [
        (None, []),
        ("disk", ["REFUSING_DISK"]),
        ("queue", ["REFUSING_QUEUE"]),
        ("draining", ["DRAINING"]),
        ("stopping", ["STOPPING"]),
    ],
)
def test_ready_is_who_takes_associations_and_else_there_is_a_code(
    refusing: str | None, codes: list[str], tmp_path: Path
) -> None:
    assert not_ready(refusing) == codes
    assert read(status(refusing=refusing), None, tmp_path)["ponte_router_ready"] == {(): float(not codes)}
