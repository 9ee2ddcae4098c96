"""AWS clients, made once in a process and passed on as arguments. `AWS_ENDPOINT_URL` chooses whose AWS."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_scheduler import EventBridgeSchedulerClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

_CONFIG = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4})
RANGES = _CONFIG.merge(
    Config(max_pool_connections=40, retries={"total_max_attempts": 1}, signature_version="s3v4")
)
"""For `ponte_aws.s3range`, which tries again by itself, and reads several ranges at once."""


@cache
def jobs_table(name: str) -> Table:
    """The jobs table."""
    return boto3.resource("dynamodb", config=_CONFIG).Table(name)


@cache
def table(name: str) -> Table:
    """Any other table."""
    return boto3.resource("dynamodb", config=_CONFIG).Table(name)


@cache
def sqs() -> SQSClient:
    """The SQS client of this process."""
    return boto3.client("sqs", config=_CONFIG)


@cache
def s3() -> S3Client:
    """The S3 client of this process. Presigned links are signature version 4, so that KMS objects open."""
    return boto3.client("s3", config=_CONFIG.merge(Config(signature_version="s3v4")))


@cache
def s3_ranges() -> S3Client:
    """The S3 client that reads ranges."""
    return boto3.client("s3", config=RANGES)


@cache
def kms() -> KMSClient:
    """The KMS client of this process."""
    return boto3.client("kms", config=_CONFIG)


@cache
def secrets_manager() -> SecretsManagerClient:
    """The Secrets Manager client of this process."""
    return boto3.client("secretsmanager", config=_CONFIG)


@cache
def scheduler() -> EventBridgeSchedulerClient:
    """The EventBridge Scheduler client of this process."""
    return boto3.client("scheduler", config=_CONFIG)
