"""The inbox in process: bucket, tables, queues, and a destination that a test rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest

from ponte.destination import Outcome, Outgoing
from ponte.ingest import BatchLimits, Route
from ponte_aws import clients
from ponte_aws.archives import Archive, Archives
from ponte_aws.queues import Message
from tests.unit.conftest import Aws
from zip_ingest import handler, place, run
from zip_ingest.settings import ingest_settings

INBOX = "inbox"
Answer = Callable[[Outgoing], Outcome]


def stored(instance: Outgoing) -> Outcome:
    return Outcome(instance.sop_instance_uid, "stored")


@dataclass
class Pacs:
    """A destination: what it was given, and what it says."""

    answer: Answer = stored
    received: list[tuple[str, bytes]] = field(default_factory=list)

    def check(self) -> None:
        """It is there."""

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        for instance in instances:
            outcome = self.answer(instance)
            if outcome.stored:
                content = b"".join(instance.chunks(instance.size_bytes))
                self.received.append((instance.sop_instance_uid, content))
            yield outcome


@dataclass
class Inbox:
    """Short ways to put an archive in, to run the function, and to see what came of it."""

    aws: Aws
    pacs: Pacs
    urls: dict[str, str]
    remaining_ms: Callable[[], int] = lambda: 900_000

    @property
    def archives(self) -> Archives:
        return Archives(clients.table("archives"))

    def put(self, data: bytes, key: str = "exame.zip") -> dict[str, Any]:
        """The event that S3 sends for this object."""
        answer = clients.s3().put_object(Bucket=INBOX, Key=key, Body=data)
        return event(key, etag=answer["ETag"].strip('"'), version_id=answer.get("VersionId"), size=len(data))

    def handle(self, body: Any, *, message_id: str = "m-1") -> dict[str, Any]:
        """One invocation with one message."""
        return self.invoke(record(body, message_id=message_id))

    def invoke(self, *records: dict[str, Any]) -> dict[str, Any]:
        context: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: self.remaining_ms())
        return handler.handler({"Records": list(records)}, context)

    def messages(self, queue: str = "ingest") -> list[dict[str, Any]]:
        """What waits there; read once."""
        return [json.loads(body) for body in self.aws.messages(self.urls[queue])]

    def row(self, archive_event: dict[str, Any]) -> Archive:
        return self.archives.get(archive_id_of(archive_event))

    def report(self, archive_event: dict[str, Any]) -> dict[str, Any]:
        key = f"reports/{archive_id_of(archive_event)}.json"
        content: dict[str, Any] = json.loads(clients.s3().get_object(Bucket=INBOX, Key=key)["Body"].read())
        return content

    def keys(self, prefix: str) -> list[str]:
        found = clients.s3().list_objects_v2(Bucket=INBOX, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in found]


def archive_id_of(archive_event: dict[str, Any]) -> str:
    from zip_ingest.events import arrivals

    (archived,) = arrivals(Message("m", "h", 1, json.dumps(archive_event)), bucket=INBOX) or []
    return archived.archive_id


def event(key: str, *, etag: str, version_id: str | None, size: int, name: str = "Put") -> dict[str, Any]:
    """As S3 sends it: the key URL-encoded."""
    stored_object = {"key": quote_plus(key), "size": size, "eTag": etag, "sequencer": "0055AED6DCD90281E5"}
    if version_id:
        stored_object["versionId"] = version_id
    one = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": "2026-01-22T14:15:30.000Z",
        "eventName": f"ObjectCreated:{name}",
        "s3": {"bucket": {"name": INBOX}, "object": stored_object},
    }
    return {"Records": [one]}


def record(body: Any, *, message_id: str = "m-1") -> dict[str, Any]:
    """An SQS record of Lambda's event."""
    text = body if isinstance(body, str) else json.dumps(body)
    return {
        "messageId": message_id,
        "receiptHandle": "handle",
        "body": text,
        "attributes": {"ApproximateReceiveCount": "1"},
    }


@pytest.fixture
def inbox(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """The inbox; the destination takes everything, a batch is one instance, nobody sleeps."""
    for name, key in (("archives", "archive_id"), ("ledger", "key")):
        boto3.resource("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    clients.s3().create_bucket(Bucket=INBOX)
    clients.s3().put_bucket_versioning(Bucket=INBOX, VersioningConfiguration={"Status": "Enabled"})
    names = ("ingest", "ingest-dead", "webhook", "classify")
    urls = {name: clients.sqs().create_queue(QueueName=name)["QueueUrl"] for name in names}
    environment = {
        "ARCHIVES_TABLE": "archives",
        "LEDGER_TABLE": "ledger",
        "INBOX_BUCKET": INBOX,
        "INGEST_QUEUE_URL": urls["ingest"],
        "INGEST_DEAD_LETTER_URL": urls["ingest-dead"],
        "WEBHOOK_QUEUE_URL": urls["webhook"],
        "INGEST_WEBHOOK_URL": "http://127.0.0.1:9/",
        "INGEST_DESTINATION": "http://pacs.invalid/dicom-web",
        "BATCH_INSTANCES": "1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    pacs = Pacs()

    def route(settings: Any) -> Route:
        limits = BatchLimits(batch_instances=settings.batch_instances, attempts=1, pending_s=0)
        return replace(place.open_route(settings), destination=pacs, limits=limits, sleep=lambda _: None)

    monkeypatch.setattr(run, "open_route", route)
    ingest_settings.cache_clear()
    return Inbox(aws, pacs, urls | {"render": aws.render_queue_url})
