from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.stub import Stubber

from ponte_aws import clients
from ponte_aws.later import Later
from tests.unit.conftest import Aws

BODY = {"job_id": "a", "turn": "4"}


def later(aws: Aws) -> Later:
    return Later(
        sqs=clients.sqs(),
        scheduler=clients.scheduler(),
        queue_url=aws.callback_queue_url,
        queue_arn="arn:aws:sqs:us-east-1:123456789012:callback",
        dead_letter_arn="arn:aws:sqs:us-east-1:123456789012:callback-dead",
        group="callbacks",
        role_arn="arn:aws:iam::123456789012:role/scheduler",
    )


@pytest.mark.parametrize("delay_s", [0, 4.6, 899.4, 900])
def test_up_to_fifteen_minutes_sqs_holds_the_message_back(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, delay_s: float
) -> None:
    """900 s is what SQS takes; an emulator that takes more would hide a mistake."""
    asked: list[int] = []
    monkeypatch.setattr(clients.sqs(), "send_message", lambda **given: asked.append(given["DelaySeconds"]))
    later(aws).send("a-4", BODY, delay_s)
    assert asked == [round(delay_s)]
    assert 0 <= asked[0] <= 900
    assert clients.scheduler().list_schedules(GroupName="callbacks")["Schedules"] == []


@pytest.mark.parametrize("delay_s", [900.1, 1620, 86_400 * 1.1])
def test_above_fifteen_minutes_the_scheduler_sends_it_once_and_forgets_it(aws: Aws, delay_s: float) -> None:
    before = datetime.now(UTC)
    later(aws).send("a-4", BODY, delay_s)
    made = clients.scheduler().get_schedule(Name="a-4", GroupName="callbacks")
    at = datetime.strptime(made["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    assert timedelta(seconds=-1) <= at - before - timedelta(seconds=delay_s) < timedelta(seconds=30)
    assert made["ActionAfterCompletion"] == "DELETE"
    assert made["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert json.loads(made["Target"]["Input"]) == BODY
    assert made["Target"]["Arn"].endswith(":callback")
    assert made["Target"]["DeadLetterConfig"]["Arn"].endswith(":callback-dead")
    assert aws.messages(aws.callback_queue_url) == []


def test_a_name_is_scheduled_once(aws: Aws) -> None:
    for _ in range(2):
        later(aws).send("a-4", BODY, 3600)
    assert len(clients.scheduler().list_schedules(GroupName="callbacks")["Schedules"]) == 1


def test_a_scheduler_that_refuses_is_an_error(aws: Aws) -> None:
    scheduler = boto3.client("scheduler")
    with Stubber(scheduler) as stubber:
        stubber.add_client_error("create_schedule", "ThrottlingException")
        sending = Later(clients.sqs(), scheduler, aws.callback_queue_url, "q", "d", "g", "r")
        with pytest.raises(scheduler.exceptions.ClientError):
            sending.send("a-4", BODY, 3600)


def test_what_is_asked_of_the_scheduler_fits_its_service_model(aws: Aws) -> None:
    """The Stubber checks each parameter against the model that AWS publishes: names, lengths, patterns."""
    scheduler = boto3.client("scheduler")
    job_id = "b5d4b37e-2f0c-4d0b-9b44-2a1d1f8d3f6e"
    with Stubber(scheduler) as stubber:
        stubber.add_response("create_schedule", {"ScheduleArn": "arn:aws:scheduler:us-east-1:1:schedule/g/n"})
        role, queue = "arn:aws:iam::123456789012:role/r", "arn:aws:sqs:us-east-1:123456789012:q"
        sending = Later(clients.sqs(), scheduler, aws.callback_queue_url, queue, queue, "g", role)
        sending.send(f"{job_id}-999999999", BODY, 3600)
    assert len(f"{job_id}-999999999") <= 64
