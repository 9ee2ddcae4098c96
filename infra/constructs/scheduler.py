"""EventBridge Scheduler for messages that SQS cannot hold back for so long."""

from __future__ import annotations

from aws_cdk import Names, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from infra.constructs.queue import WorkQueue


class DelayedMessages(Construct):
    """A group of one-time schedules, and the role by which they send to one queue and to its dead letters."""

    def __init__(self, scope: Construct, construct_id: str, *, queue: WorkQueue) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        self.group_name = Names.unique_resource_name(self, max_length=64)
        group = scheduler.CfnScheduleGroup(self, "Group", name=self.group_name)
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnEquals": {"aws:SourceArn": group.attr_arn},
                },
            ),
        )
        queue.queue.grant_send_messages(self.role)
        queue.dead_letters.grant_send_messages(self.role)
        self._schedules = stack.format_arn(
            service="scheduler", resource="schedule", resource_name=f"{self.group_name}/*"
        )

    def grant_schedule(self, role: iam.Role) -> None:
        """Let a role make schedules of this group, and hand our role to the scheduler and to nobody else."""
        role.add_to_policy(
            iam.PolicyStatement(actions=["scheduler:CreateSchedule"], resources=[self._schedules])
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
            )
        )
