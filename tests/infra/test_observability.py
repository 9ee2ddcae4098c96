"""What operators look at, and what wakes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ponte_aws.announce import NAMESPACE
from tests.infra.conftest import FULL
from tests.infra.template import Template


def alarms(template: Template) -> list[Mapping[str, Any]]:
    return [alarm["Properties"] for alarm in template.of_type("AWS::CloudWatch::Alarm").values()]


def test_every_dead_letter_wakes_somebody(full: Template) -> None:
    watched = {
        full.resolve(alarm["Dimensions"][0]["Value"])
        for alarm in alarms(full)
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible" and alarm["Threshold"] == 0
    }
    outputs = ("RenderDeadLetterUrl", "CallbackDeadLetterUrl", "ReportDeadLetterUrl")
    assert watched == {full.target(full.output(name)) for name in outputs}


def test_a_queue_that_does_not_move_wakes_somebody(full: Template) -> None:
    watched = {
        full.resolve(alarm["Dimensions"][0]["Value"])
        for alarm in alarms(full)
        if alarm.get("MetricName") == "ApproximateAgeOfOldestMessage"
    }
    outputs = ("RenderQueueUrl", "CallbackQueueUrl", "ReportQueueUrl")
    assert watched == {full.target(full.output(name)) for name in outputs}


def test_the_share_of_failed_jobs_is_judged_from_what_the_functions_write(full: Template) -> None:
    (alarm,) = [alarm for alarm in alarms(full) if "Metrics" in alarm]
    metrics = [m["MetricStat"]["Metric"] for m in alarm["Metrics"] if "MetricStat" in m]
    assert {(m["Namespace"], m["MetricName"], m["Dimensions"][0]["Value"]) for m in metrics} == {
        (NAMESPACE, "JobState", "failed"),
        (NAMESPACE, "JobState", "delivered"),
    }


def test_the_operators_topic_is_told_of_every_alarm(full: Template) -> None:
    assert len(alarms(full)) == 3 + 3 + 1 + 1 + 1 + 4
    assert all(alarm["AlarmActions"] == [FULL["alarm_topic_arn"]] for alarm in alarms(full))


def test_silence_is_no_alarm(full: Template) -> None:
    assert {alarm["TreatMissingData"] for alarm in alarms(full)} == {"notBreaching"}


def test_the_dashboard_shows_requests_jobs_ages_errors_and_durations(full: Template) -> None:
    (dashboard,) = full.of_type("AWS::CloudWatch::Dashboard").values()
    body = json.dumps(dashboard["Properties"]["DashboardBody"])
    for title in (
        "Requests",
        "Jobs by state",
        "Age of the oldest message",
        "Dead letters",
        "Errors of functions",
    ):
        assert title in body
    for metric in ("JobState", "JobDurationSeconds", "ApproximateAgeOfOldestMessage", "5xx"):
        assert metric in body


def test_the_local_stack_has_nothing_to_watch_with(local: Template) -> None:
    assert not local.of_type("AWS::CloudWatch::Dashboard")
