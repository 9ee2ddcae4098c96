"""A router that runs says to CloudWatch, the emulator's, how it is; and runs as well without."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.local.emulator import REGION, Emulator, safe_environment
from infra.local.process import wait_for
from tests.hazards.test_router_service import outgoing, running, send

SETTINGS = "cloudwatch: {site: sol, region: us-east-1}\n"


def use(monkeypatch: pytest.MonkeyPatch, endpoint_url: str) -> None:
    for name, value in safe_environment({}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint_url)


def test_the_heartbeat_and_what_was_stored_arrive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "emulator"
    folder.mkdir()
    with Emulator(folder) as emulator:
        use(monkeypatch, emulator.endpoint_url)
        client = boto3.client("cloudwatch", region_name=REGION)
        with running(tmp_path / "root", settings=SETTINGS):
            wait_for(lambda: sums(client, "Heartbeat") >= 1, timeout_s=30, msg="no heartbeat")
            assert sums(client, "InstancesStored") == 0
            assert sums(client, "DestinationUp", Destination="target") == 1


def sums(client: Any, name: str, **dimensions: str) -> float:
    now = dt.datetime.now(dt.UTC)
    found = client.get_metric_statistics(
        Namespace="Ponte/Edge", MetricName=name, Period=60, Statistics=["Sum"],
        StartTime=now - dt.timedelta(minutes=30), EndTime=now + dt.timedelta(minutes=2),
        Dimensions=[{"Name": key, "Value": value} for key, value in {"Site": "sol", **dimensions}.items()],
    )  # fmt: skip
    return float(sum(one["Sum"] for one in found["Datapoints"]))


def test_without_aws_the_router_receives_and_ends_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, "http://127.0.0.1:1")
    stored: set[str] = set()
    with running(tmp_path / "root", settings=SETTINGS) as router:
        wait_for(
            lambda: any(line.get("alarm") == "METRICS_NOT_SENT" for line in list(router.log)),
            timeout_s=30, msg="it is not said",
        )  # fmt: skip
        send(router.port, [outgoing(1)], stored)
        router.end()
        assert router.wait() == 0
    assert len(stored) == 1
