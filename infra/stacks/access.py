"""What a function may do, in as few words as IAM allows: no managed policies, no `*` in an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from infra.constructs.function import PythonFunction

# What DynamoDB and S3 do with our key in the name of the one who reads or writes.
READ_ACTIONS: Final = ("kms:Decrypt", "kms:DescribeKey")
WRITE_ACTIONS: Final = (
    *READ_ACTIONS,
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
)


def allow(
    function: PythonFunction,
    actions: tuple[str, ...],
    *resources: str,
    conditions: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Let a function do these on those, and on nothing else."""
    function.role.add_to_policy(
        iam.PolicyStatement(actions=list(actions), resources=list(resources), conditions=conditions)
    )


def allow_key(function: PythonFunction, key_arn: str, service: str, actions: tuple[str, ...]) -> None:
    """A key, through the service that keeps the data and in no other way."""
    via = {"StringEquals": {"kms:ViaService": f"{service}.{Stack.of(function).region}.amazonaws.com"}}
    allow(function, actions, key_arn, conditions=via)


def allow_secret(function: PythonFunction, secret_arn: str, key_arn: str) -> None:
    """A secret that the operator keeps, and its key where that is one of his own."""
    if secret_arn:
        allow(function, ("secretsmanager:GetSecretValue",), secret_arn)
    if key_arn:
        allow_key(function, key_arn, "secretsmanager", ("kms:Decrypt",))
