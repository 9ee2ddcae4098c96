"""What CloudWatch is told each minute; and that nothing else notices when it cannot be."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from ponte.errors import TransientError
from router.cloudwatch import MOST_AT_ONCE, CloudWatch
from router.config import CloudWatchConfig
from router.counters import Counters
from tests.unit.router.test_metrics import Queue, Said


class Aws:
    """Notes what is put, and fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[dict[str, Any]]]] = []
        self.error: Exception | None = None

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        if self.error is not None:
            raise self.error
        self.calls.append((Namespace, MetricData))

    def last(self) -> dict[tuple[str, ...], tuple[float, str]]:
        """The last minute, by name and dimensions."""
        return {
            (one["MetricName"], *(f"{d['Name']}={d['Value']}" for d in one["Dimensions"])): (
                one["Value"], one["Unit"],
            )
            for one in self.calls[-1][1]
        }  # fmt: skip


class Rows(Said):
    def queues(self) -> list[Any]:
        for queue in self.found:
            queue.active = True  # type: ignore[attr-defined]
        return self.found


class Box:
    """A router of which CloudWatch is told."""

    def __init__(self, root: Path) -> None:
        self.aws = Aws()
        self.counters = Counters()
        self.rows = Rows(time.time() - 100, [Queue("pacs", 5, 2, 1, 3), Queue("cloud", 1)])
        self.can_say = True
        self.names = ["pacs", "cloud"]
        self.told = CloudWatch(
            CloudWatchConfig("sol"), root, status=self.status, rows=self._rows, counters=self.counters
        )
        self.told._client = self.aws

    def status(self) -> dict[str, Any]:
        if not self.can_say:
            raise TransientError("The rows cannot be read", code="STORAGE")
        return {
            "refusing": "disk", "associations": [{}, {}],
            "destinations": [
                {"name": name, "state": "down" if name == "pacs" else "up"} for name in self.names
            ],
            "quarantine": {"NO_PIXEL_DATA": 3}, "oldest_unforwarded_at": self.rows.oldest,
            "disk": {"free_bytes": 25, "total_bytes": 100, "days_left": 2.5},
        }  # fmt: skip

    @contextmanager
    def _rows(self) -> Iterator[Any]:
        yield self.rows


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_each_minute_says_how_the_box_is(box: Box) -> None:
    box.counters.add("ponte_cstore_total", 7, status="0000", calling_ae="CT1")
    box.counters.add("ponte_cstore_total", 2, status="A700", calling_ae="CT1")
    box.told.step()
    assert box.aws.calls[0][0] == "Ponte/Edge"
    found = box.aws.last()
    age, unit = found.pop(("OldestUnforwardedSeconds", "Site=sol"))
    assert 100 <= age < 160
    assert unit == "Seconds"
    assert found == {
        ("Heartbeat", "Site=sol"): (1, "Count"),
        ("NotReceiving", "Site=sol"): (1, "Count"),
        ("AssociationsActive", "Site=sol"): (2, "Count"),
        ("DestinationsDown", "Site=sol"): (1, "Count"),
        ("DiskFreeBytes", "Site=sol"): (25, "Bytes"),
        ("DiskFreePercent", "Site=sol"): (25, "Percent"),
        ("DiskDaysLeft", "Site=sol"): (2.5, "None"),
        ("InstancesStored", "Site=sol"): (7, "Count"),
        ("InstancesRefused", "Site=sol"): (2, "Count"),
        ("AlertsRaised", "Site=sol"): (0, "Count"),
        ("QuarantineEntries", "Site=sol"): (3, "Count"),
        ("Undelivered", "Site=sol"): (4, "Count"),
        ("DestinationUp", "Site=sol", "Destination=pacs"): (0, "Count"),
        ("QueueDepth", "Site=sol", "Destination=pacs"): (7, "Count"),
        ("DestinationUp", "Site=sol", "Destination=cloud"): (1, "Count"),
        ("QueueDepth", "Site=sol", "Destination=cloud"): (1, "Count"),
    }


def test_what_was_counted_while_it_could_not_be_said_is_said_later(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    box.counters.add("ponte_cstore_total", 7, status="0000")
    box.aws.error = EndpointConnectionError(endpoint_url="https://canary/")
    box.told.step()
    box.counters.add("ponte_cstore_total", 3, status="0000")
    box.aws.error = ClientError({"Error": {"Code": "AccessDenied", "Message": "canary"}}, "PutMetricData")
    box.told.step()
    box.aws.error = None
    box.told.step()
    assert box.aws.last()["InstancesStored", "Site=sol"][0] == 10
    box.told.step()
    assert box.aws.last()["InstancesStored", "Site=sol"][0] == 0
    assert [one.message for one in caplog.records] == ["metrics not sent", "metrics sent again"]
    assert caplog.records[0].__dict__["code"] == "EndpointConnectionError"
    assert "canary" not in caplog.text


def test_the_code_of_aws_is_said(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    box.aws.error = ClientError({"Error": {"Code": "AccessDenied"}}, "PutMetricData")
    box.told.step()
    assert caplog.records[0].__dict__["code"] == "AccessDenied"


def test_a_router_that_cannot_say_how_it_is_has_no_heartbeat(box: Box) -> None:
    box.can_say = False
    box.told.step()
    assert box.aws.calls == []


def test_many_destinations_go_in_several_calls(box: Box) -> None:
    box.names = [f"d{number}" for number in range(MOST_AT_ONCE)]
    box.told.step()
    assert [len(data) for _, data in box.aws.calls] == [MOST_AT_ONCE, MOST_AT_ONCE, 13]


def test_without_credentials_or_region_it_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    box = Box(tmp_path)
    box.told._client = None
    box.told.step()
    box.told.step()
    assert [one.__dict__["code"] for one in caplog.records] == ["NoRegionError"]


def test_a_router_without_it_imports_neither_boto3_nor_what_writes_metrics() -> None:
    code = "import sys, router.service, router.listen; print({'boto3', 'prometheus_client'} & {*sys.modules})"
    environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"
