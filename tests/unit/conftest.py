"""AWS in process, with the resources that the functions are given."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto import mock_aws

from callback.settings import callback_settings, report_settings
from ponte_aws import clients, rotating
from ponte_aws.jobs import Jobs
from ponte_aws.log import PACKAGES
from render.settings import api_settings, worker_settings
from zip_ingest.settings import ingest_settings, webhook_settings

CACHED = (
    clients.jobs_table, clients.sqs, clients.s3, clients.kms, clients.secrets_manager,
    clients.scheduler, clients.table, clients.s3_ranges,
    api_settings, worker_settings, callback_settings, report_settings, ingest_settings, webhook_settings,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Aws:
    """Names of what is there, and short ways to look into it."""

    table: Any
    render_queue_url: str
    callback_queue_url: str
    report_queue_url: str
    bucket: str

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.table)

    def messages(self, queue_url: str) -> list[str]:
        answer = clients.sqs().receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]


@pytest.fixture(autouse=True)
def _logs_reach_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that was imported keeps its packages' log lines to itself: not here."""
    for name in PACKAGES:
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        _forget()
        made = _make(monkeypatch)
        yield made
    _forget()


def _forget() -> None:
    for cached in CACHED:
        cached.cache_clear()
    rotating.forget()


def _make(monkeypatch: pytest.MonkeyPatch) -> Aws:
    table = boto3.resource("dynamodb").create_table(
        TableName="jobs",
        KeySchema=[{"AttributeName": "job_id", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "N" if name == "exam_id" else "S"}
            for name in ("job_id", "exam_id", "state", "created_at")
        ],
        GlobalSecondaryIndexes=[_index("by_exam", "exam_id"), _index("by_state", "state")],
        BillingMode="PAY_PER_REQUEST",
    )
    sqs = boto3.client("sqs")
    names = ("render", "callback", "report", "callback-dead")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in names}
    boto3.client("scheduler").create_schedule_group(Name="callbacks")
    boto3.client("s3").create_bucket(Bucket="pdfs")
    kms = boto3.client("kms")
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    mac_key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    environment = {
        "STAGE": "local",
        "JOBS_TABLE": "jobs",
        "PDF_BUCKET": "pdfs",
        "RENDER_QUEUE_URL": urls["render"],
        "CALLBACK_QUEUE_URL": urls["callback"],
        "REPORT_QUEUE_URL": urls["report"],
        "CALLBACK_QUEUE_ARN": _arn("callback"),
        "CALLBACK_DEAD_LETTER_ARN": _arn("callback-dead"),
        "SCHEDULE_GROUP": "callbacks",
        "SCHEDULER_ROLE_ARN": "arn:aws:iam::123456789012:role/scheduler",
        "SECRETS_KEY_ID": key_id,
        "BODY_KEY_ID": mac_key,
        "SYNC_WAIT_SECONDS": "0.2",
        "RETRY_BASE_SECONDS": "0",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Aws(table, urls["render"], urls["callback"], urls["report"], "pdfs")


def _index(name: str, key: str) -> Any:
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": key, "KeyType": "HASH"},
            {"AttributeName": "created_at", "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }


def _arn(queue: str) -> str:
    return f"arn:aws:sqs:us-east-1:123456789012:{queue}"
