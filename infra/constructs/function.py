"""One Lambda function, and what all of them have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aws_cdk import Duration, IgnoreMode, Size
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.logs import EncryptedLogs

FUNCTIONS: Final = Path(__file__).resolve().parent.parent.parent / "functions"
RUNTIME: Final = lambda_.Runtime.PYTHON_3_13

# What Lambda does in a VPC: it makes network interfaces, and their ARNs are not known before.
_NETWORK_ACTIONS: Final = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network that exists already; nothing is looked up."""

    vpc_id: str
    subnet_ids: tuple[str, ...]
    security_group_ids: tuple[str, ...]


def package(name: str) -> lambda_.Code:
    """The asset of one folder of `functions/`, under its own name: `render/api.py` is `render.api` there too.

    The other folders have no part in its hash, so editing one function never deploys another.
    """
    return lambda_.Code.from_asset(
        str(FUNCTIONS),
        exclude=["/*", f"!/{name}", "__pycache__", "*.pyc"],
        ignore_mode=IgnoreMode.GIT,
    )


class PythonFunction(Construct):
    """A function with a role of its own, encrypted logs, tracing, and an alarm on its errors.

    The role may write these logs and traces, and what the stack grants; no managed policy is attached.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: str,
        architecture: str,
        layers: Sequence[lambda_.ILayerVersion],
        logs: EncryptedLogs,
        environment: Mapping[str, str],
        timeout_s: int,
        memory_mb: int,
        ephemeral_storage_mb: int = 512,
        network: Network | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=RUNTIME,
            architecture=lambda_.Architecture.custom(architecture),
            code=package(handler.split(".")[0]),
            handler=handler,
            layers=list(layers),
            role=self.role,
            log_group=logs.group,
            environment=dict(environment),
            timeout=Duration.seconds(timeout_s),
            memory_size=memory_mb,
            ephemeral_storage_size=Size.mebibytes(ephemeral_storage_mb),
            tracing=lambda_.Tracing.ACTIVE,
            **self._join(network) if network else {},
        )
        logs.group.grant_write(self.role)
        self.errors = self.function.metric_errors(period=Duration.minutes(5))
        self.errors_alarm = cloudwatch.Alarm(
            self,
            "Errors",
            metric=self.errors,
            threshold=0,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=f"{handler} ended in an error that it did not handle.",
        )

    def consume(self, queue: sqs.Queue, *, max_concurrency: int) -> None:
        """Be called with each message of the queue, in at most `max_concurrency` (2 to 1000) runs at once."""
        lambda_.EventSourceMapping(
            self,
            "Messages",
            target=self.function,
            event_source_arn=queue.queue_arn,
            batch_size=1,
            max_concurrency=max_concurrency,
            report_batch_item_failures=True,
        )
        queue.grant_consume_messages(self.role)

    def _join(self, network: Network) -> dict[str, Any]:
        """What places the function in the network."""
        self.role.add_to_policy(iam.PolicyStatement(actions=list(_NETWORK_ACTIONS), resources=["*"]))
        subnets = [ec2.Subnet.from_subnet_id(self, f"Subnet{i}", s) for i, s in enumerate(network.subnet_ids)]
        return {
            "vpc": ec2.Vpc.from_vpc_attributes(
                self,
                "Vpc",
                vpc_id=network.vpc_id,
                # Asked for, and used nowhere: a function is placed by its subnets.
                availability_zones=[f"zone-{i}" for i, _ in enumerate(network.subnet_ids)],
                private_subnet_ids=list(network.subnet_ids),
            ),
            "vpc_subnets": ec2.SubnetSelection(subnets=subnets),
            "security_groups": [
                ec2.SecurityGroup.from_security_group_id(self, f"SecurityGroup{i}", s, mutable=False)
                for i, s in enumerate(network.security_group_ids)
            ],
        }
