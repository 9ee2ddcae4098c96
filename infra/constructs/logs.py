"""Log groups that are encrypted with our key and forget after a while."""

from __future__ import annotations

from typing import cast

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct


class EncryptedLogs(Construct):
    """A log group, as `group`. `retention_days` is one of the numbers that CloudWatch takes."""

    def __init__(
        self, scope: Construct, construct_id: str, *, key: kms.IKey, retention_days: int, keep: bool
    ) -> None:
        super().__init__(scope, construct_id)
        self.group = logs.LogGroup(
            self,
            "Group",
            encryption_key=key,
            removal_policy=RemovalPolicy.RETAIN if keep else RemovalPolicy.DESTROY,
        )
        cast("logs.CfnLogGroup", self.group.node.default_child).retention_in_days = retention_days
