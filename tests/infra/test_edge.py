"""The boxes at the clinics: alarms and a dashboard for each site, and what a box may do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.constructs import edge
from router.config import CloudWatchConfig
from tests.infra.conftest import FULL, INGESTING, Synthesise
from tests.infra.template import Template
from tests.unit.router.test_cloudwatch import Box

SITES = ("sol", "lua-2")


@pytest.fixture(scope="module")
def template(synth: Synthesise) -> Template:
    return synth(**INGESTING, edge_sites=",".join(SITES))


def alarms(template: Template, site: str) -> dict[str, Mapping[str, Any]]:
    """Those of a site, by their metric."""
    return {
        alarm["Properties"]["MetricName"]: alarm["Properties"]
        for alarm in template.of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("Dimensions") == [{"Name": "Site", "Value": site}]
    }


@pytest.mark.parametrize("site", SITES)
def test_each_site_has_its_alarms_and_the_topic_is_told(site: str, template: Template) -> None:
    found = alarms(template, site)
    assert {name: (one["ComparisonOperator"], one["Threshold"]) for name, one in found.items()} == {
        "Heartbeat": ("LessThanThreshold", 1),
        "OldestUnforwardedSeconds": ("GreaterThanThreshold", 3600),
        "DestinationsDown": ("GreaterThanThreshold", 0),
        "DiskFreePercent": ("LessThanThreshold", 10),
        "NotReceiving": ("GreaterThanThreshold", 0),
    }
    for one in found.values():
        assert one["Namespace"] == "Ponte/Edge"
        assert one["AlarmActions"] == one["OKActions"] == [FULL["alarm_topic_arn"]]
        assert one["AlarmDescription"].startswith(f"{site}: ")


@pytest.mark.parametrize("site", SITES)
def test_silence_of_a_box_is_an_alarm_and_of_its_other_metrics_none_besides(
    site: str, template: Template
) -> None:
    found = alarms(template, site)
    assert found.pop("Heartbeat")["TreatMissingData"] == "breaching"
    assert {one["TreatMissingData"] for one in found.values()} == {"notBreaching"}


def test_what_is_watched_and_drawn_is_what_a_router_says(template: Template, tmp_path: Path) -> None:
    """Names, units and dimensions of both sides are the same, or nobody is ever told."""
    box = Box(tmp_path)
    box.told.step()
    said = {one["MetricName"] for one in box.aws.calls[0][1]}
    watched = {name for site in SITES for name in alarms(template, site)}
    assert watched <= said
    body = dashboard(template)
    drawn = {name for name in said if f'"{name}"' in body}
    assert {"OldestUnforwardedSeconds", "QueueDepth", "InstancesStored", "Undelivered"} <= drawn
    assert CloudWatchConfig("sol").namespace == edge.NAMESPACE


def dashboard(template: Template) -> str:
    """The body of the boxes' dashboard."""
    (found,) = [
        one["Properties"]["DashboardBody"]
        for one in template.of_type("AWS::CloudWatch::Dashboard").values()
        if one["Properties"]["DashboardName"] == "ponte-prod-edge"
    ]
    return json.dumps(found).replace('\\\\\\"', '"').replace('\\"', '"')


def test_the_dashboard_shows_each_site(template: Template) -> None:
    body = dashboard(template)
    for site in SITES:
        assert f'"Site","{site}"' in body
        assert f'Site="{site}"' in body.replace("\\", "")


def policy(template: Template) -> list[Mapping[str, Any]]:
    name = template.target(template.output("EdgePolicyArn"))
    found: list[Mapping[str, Any]] = template.properties(name)["PolicyDocument"]["Statement"]
    return found


def test_a_box_may_say_how_it_is_in_its_namespace_alone(template: Template) -> None:
    (said,) = [one for one in policy(template) if one["Action"] == "cloudwatch:PutMetricData"]
    assert said["Condition"] == {"StringEquals": {"cloudwatch:namespace": "Ponte/Edge"}}
    assert said["Effect"] == "Allow"


def test_a_box_may_put_archives_below_its_prefix_and_remove_nothing(template: Template) -> None:
    actions = {
        action: one["Resource"]
        for one in policy(template)
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    bucket = template.target(template.output("InboxBucket"))
    assert set(actions) == {
        "cloudwatch:PutMetricData", "s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject",
        "s3:ListBucketMultipartUploads", "kms:Decrypt", "kms:GenerateDataKey",
    }  # fmt: skip
    assert template.resolve(actions["s3:PutObject"]) == f"{bucket}/inbox/*"
    assert template.resolve(actions["s3:ListBucketMultipartUploads"]) == bucket


def test_without_an_inbox_a_box_may_only_speak(synth: Synthesise) -> None:
    (only,) = policy(synth(**FULL, edge_sites="sol"))
    assert only["Action"] == "cloudwatch:PutMetricData"


def test_without_sites_there_is_none_of_it(full: Template) -> None:
    assert "EdgePolicyArn" not in full.content["Outputs"]
    assert len(full.of_type("AWS::CloudWatch::Dashboard")) == 1
