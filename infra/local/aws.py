"""boto3 clients for an emulator; never for a real account, whatever the user's settings say."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config

from infra.local.errors import LocalStackError

if TYPE_CHECKING:
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

REGION = "us-east-1"
INVOKE_READ_S = 310  # the function waits up to 280 s for a study on this machine
_NO_FILE = (None, None, os.devnull, None)
_IGNORED = {"profile": (None, None, None, None), "config_file": _NO_FILE, "credentials_file": _NO_FILE}


class Aws:
    """Clients of one endpoint, made when first used.

    The credentials are `test`/`test`, and an address of Amazon's own is refused, so that no mistake in the
    environment can make a local command act on an account.
    """

    def __init__(self, endpoint_url: str) -> None:
        host = urlsplit(endpoint_url).hostname or ""
        if not host or host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
            raise LocalStackError(f"AWS_ENDPOINT_URL is {endpoint_url!r}; expected an emulator's address")
        self.endpoint_url = endpoint_url.rstrip("/")
        self._session = boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106  # opens nothing, and is meant to
            region_name=REGION,
            botocore_session=botocore.session.Session(session_vars=_IGNORED),
        )

    @cached_property
    def cloudformation(self) -> CloudFormationClient:
        return self._session.client("cloudformation", endpoint_url=self.endpoint_url, config=_config())

    @cached_property
    def s3(self) -> S3Client:
        return self._session.client("s3", endpoint_url=self.endpoint_url, config=_config())

    @cached_property
    def secrets(self) -> SecretsManagerClient:
        return self._session.client("secretsmanager", endpoint_url=self.endpoint_url, config=_config())

    @cached_property
    def sqs(self) -> SQSClient:
        return self._session.client("sqs", endpoint_url=self.endpoint_url, config=_config())

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        return self._session.client("dynamodb", endpoint_url=self.endpoint_url, config=_config())

    @cached_property
    def logs(self) -> CloudWatchLogsClient:
        return self._session.client("logs", endpoint_url=self.endpoint_url, config=_config())

    @cached_property
    def functions(self) -> LambdaClient:
        """For invocations: never repeated by itself, since a POST done twice is two jobs."""
        config = _config(read_s=INVOKE_READ_S, attempts=1)
        return self._session.client("lambda", endpoint_url=self.endpoint_url, config=config)

    def put_parameter(self, name: str, value: str) -> None:
        """Write an SSM parameter."""
        client = self._session.client("ssm", endpoint_url=self.endpoint_url, config=_config())
        client.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)

    def account_id(self) -> str:
        client = self._session.client("sts", endpoint_url=self.endpoint_url, config=_config())
        answer: str = client.get_caller_identity()["Account"]
        return answer


def _config(*, read_s: int = 60, attempts: int = 3) -> Config:
    return Config(
        connect_timeout=5,
        read_timeout=read_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=64,
        proxies={},
        s3={"addressing_style": "path"},
    )
