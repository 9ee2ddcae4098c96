"""A message for later: SQS holds it back for up to 15 minutes, EventBridge Scheduler for longer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from ponte_aws.queues import LONGEST_DELAY_S, send

if TYPE_CHECKING:
    from types_boto3_scheduler import EventBridgeSchedulerClient
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Later:
    """Sends to one queue. What the scheduler cannot hand over ends in the queue's dead letters."""

    sqs: SQSClient
    scheduler: EventBridgeSchedulerClient
    queue_url: str
    queue_arn: str
    dead_letter_arn: str
    group: str
    role_arn: str

    def send(self, name: str, body: Mapping[str, str], delay_s: float) -> None:
        """Send in `delay_s` seconds. When this returns, SQS or the scheduler has it.

        A name is used once: what is scheduled under it already stays as it is.
        """
        if delay_s <= LONGEST_DELAY_S:
            send(self.sqs, self.queue_url, body, delay_s=round(delay_s))
            return
        try:
            self._schedule(name, json.dumps(body), datetime.now(UTC) + timedelta(seconds=delay_s))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConflictException":
                raise

    def _schedule(self, name: str, body: str, at: datetime) -> None:
        self.scheduler.create_schedule(
            Name=name,
            GroupName=self.group,
            ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": self.queue_arn,
                "RoleArn": self.role_arn,
                "Input": body,
                "DeadLetterConfig": {"Arn": self.dead_letter_arn},
            },
        )
