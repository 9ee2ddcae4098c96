"""A ZIP put into the inbox of the deployed stack: instances in a real Orthanc, a report, a quarantine."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import uuid
import zipfile
from collections.abc import Mapping
from typing import Any

import pytest

from infra.local.faults import kill, processes_of
from infra.local.orthanc import Orthanc
from infra.local.process import wait_for
from infra.local.stack import LocalStack
from ponte_aws.quarantine import S3Quarantine
from tests.factories import encode, make_ct, uid
from tests.hazards.archives import archive
from tests.integration.test_orthanc_store import held
from tests.integration.test_render_flow import function_with
from tests.stub_orthanc import StubOrthanc, stub_orthanc

pytestmark = pytest.mark.stack


def instances(count: int, name: str, *, size: int = 64) -> dict[str, bytes]:
    """So many instances of a study of its own."""
    study = uid("ingested", name)
    made = (
        make_ct(number, series=hash_of(name), size=size, StudyInstanceUID=study)
        for number in range(1, count + 1)
    )
    return {f"IM{number:04}": encode(dataset) for number, dataset in enumerate(made, 1)}


def hash_of(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest()[:6], 16)


def put(stack: LocalStack, data: bytes, *, key: str = "") -> str:
    """Put an archive into the inbox; its key."""
    key = key or f"exames/Conceição {uuid.uuid4().hex} + 100%.zip"
    stack.aws.s3.put_object(Bucket=stack.outputs["InboxBucket"], Key=key, Body=data)
    return key


def rows(stack: LocalStack, key: str) -> list[Mapping[str, Any]]:
    answer = stack.aws.dynamodb.scan(TableName=stack.outputs["ArchivesTable"], ConsistentRead=True)
    return [item for item in answer["Items"] if item.get("object_key", {}).get("S") == key]


def settled(stack: LocalStack, key: str, *, count: int = 1, timeout_s: float = 90) -> list[dict[str, Any]]:
    """The reports on all that was put under the key, once there are so many, the oldest first."""

    def done() -> bool:
        found = [row for row in rows(stack, key) if row["state"]["S"] not in ("waiting", "working")]
        return len(found) == count

    wait_for(done, timeout_s=timeout_s, msg="the archive is not settled")
    found = sorted(rows(stack, key), key=lambda row: row["created_at"]["S"])
    return [report(stack, row["archive_id"]["S"]) for row in found]


def report(stack: LocalStack, archive_id: str) -> dict[str, Any]:
    bucket = stack.outputs["InboxBucket"]
    body = stack.aws.s3.get_object(Bucket=bucket, Key=f"reports/{archive_id}.json")["Body"].read()
    page = stack.aws.s3.get_object(Bucket=bucket, Key=f"reports/{archive_id}.html")["Body"].read()
    assert page.lower().startswith(b"<!doctype html>")
    said: dict[str, Any] = json.loads(body)
    return said


def big(count: int, name: str) -> tuple[bytes, dict[str, bytes]]:
    """An archive of half a mebibyte an instance, not compressed."""
    members = instances(count, name, size=512)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as out:
        for member, data in members.items():
            out.writestr(member, data)
    return stream.getvalue(), members


def digests(members: Mapping[str, bytes]) -> set[str]:
    return {hashlib.sha256(data).hexdigest() for data in members.values()}


@pytest.mark.orthanc
def test_what_is_put_arrives_byte_for_byte_and_a_second_time_it_is_all_duplicates(
    local_stack: LocalStack, stack_orthanc: Orthanc
) -> None:
    members = instances(5, "arrives")
    data = archive(members)
    key = put(local_stack, data)
    (first,) = settled(local_stack, key)
    assert first["error"] is None
    assert (first["verdict"], first["totals"]["delivered"]) == ("done", 5)
    there = held(stack_orthanc, uid("ingested", "arrives"))
    assert {hashlib.sha256(one).hexdigest() for one in there.values()} == digests(members)
    put(local_stack, data, key=key)
    _, second = settled(local_stack, key, count=2)
    assert (second["verdict"], second["totals"]["duplicate"], second["totals"]["delivered"]) == ("done", 5, 0)


@pytest.mark.orthanc
def test_what_is_broken_is_in_quarantine_and_the_rest_arrives(
    local_stack: LocalStack, stack_orthanc: Orthanc
) -> None:
    members = instances(3, "broken")
    cut = encode(make_ct(99, series=99, StudyInstanceUID=uid("ingested", "broken")))[:-500]
    key = put(local_stack, archive({**members, "cut.dcm": cut}))
    (said,) = settled(local_stack, key)
    assert (said["verdict"], said["totals"]["delivered"], said["totals"]["quarantined"]) == ("partial", 3, 1)
    (entry,) = [entry for entry in said["entries"] if entry["verdict"] == "quarantined"]
    quarantine = S3Quarantine(local_stack.aws.s3, local_stack.outputs["InboxBucket"])
    assert quarantine.show(entry["quarantine_id"]).record.reason == "TRUNCATED"
    with quarantine.open(entry["quarantine_id"]) as stream:
        assert stream.read() == cut
    assert len(held(stack_orthanc, uid("ingested", "broken"))) == 3


def test_fi_19_what_is_no_archive_and_no_event_does_not_hold_up_the_others(local_stack: LocalStack) -> None:
    """FI-20, FI-21: a poisoned message, a test event, an object that is gone, and our own prefix."""
    sqs, queue = local_stack.aws.sqs, local_stack.outputs["IngestQueueUrl"]
    bucket = local_stack.outputs["InboxBucket"]
    for body in ("no JSON", json.dumps({"Event": "s3:TestEvent", "Bucket": bucket})):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    gone = {
        "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-22T14:15:30.000Z",
        "s3": {"bucket": {"name": bucket}, "object": {"key": "gone.zip", "size": 1, "eTag": "0" * 32}},
    }
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"Records": [gone]}))
    put(local_stack, archive(), key=f"reports/{uuid.uuid4().hex}.zip")
    key = put(local_stack, b"<html>no archive</html>")
    (said,) = settled(local_stack, key)
    assert (said["verdict"], said["reason"]) == ("quarantined", "NOT_A_ZIP")
    wait_for(
        lambda: [row["state"]["S"] for row in rows(local_stack, "gone.zip")] == ["gone"],
        timeout_s=30,
        msg="the object that is gone is not said to be so",
    )
    key = put(local_stack, archive(instances(1, "after")))
    assert settled(local_stack, key)[0]["totals"]["accepted"] == 1


def slow_ingest(stack: LocalStack, pacs: StubOrthanc, **variables: str) -> Any:
    return function_with(stack, "IngestFunction", INGEST_DESTINATION=pacs.destination, **variables)


def test_two_hundred_megabytes_come_in_over_many_runs_each_instance_once(local_stack: LocalStack) -> None:
    """Every run stops at its first checkpoint, as if its time were short."""
    data, members = big(400, "two hundred megabytes")
    assert len(data) > 200e6
    without_credentials = {"INGEST_AUTH_SECRET_ARN": "", "MARGIN_SECONDS": "100000"}
    with (
        stub_orthanc() as pacs,
        slow_ingest(local_stack, pacs, BATCH_INSTANCES="100", **without_credentials),
    ):
        key = put(local_stack, data)
        (said,) = settled(local_stack, key, timeout_s=240)
        assert set(pacs.received) == digests(members)
        assert set(pacs.received.values()) == {1}
    assert (said["verdict"], said["totals"]["delivered"]) == ("done", 400)
    (row,) = rows(local_stack, key)
    assert int(row["parts"]["N"]) >= 4


def test_fi_18_a_run_that_is_killed_is_gone_on_with_behind_its_last_checkpoint(
    local_stack: LocalStack,
) -> None:
    members = instances(12, "killed")
    reached, go_on = threading.Event(), threading.Event()

    def stop_at_seven(count: int) -> None:
        if count == 7 and not go_on.is_set():
            reached.set()
            go_on.wait(60)

    given = {"INGEST_AUTH_SECRET_ARN": "", "BATCH_INSTANCES": "2", "LEASE_SECONDS": "2"}
    with stub_orthanc() as pacs, slow_ingest(local_stack, pacs, **given):
        pacs.before = stop_at_seven
        key = put(local_stack, archive(members))
        assert reached.wait(60)
        killed = [kill(one) for one in processes_of(local_stack, local_stack.outputs["IngestFunction"])]
        go_on.set()
        assert any(killed)
        (said,) = settled(local_stack, key, timeout_s=120)
        assert set(pacs.received) == digests(members)
        again = [name for name, count in pacs.received.items() if count > 1]
        assert len(again) <= 2  # the batch that was in flight, which had no answer
    assert (said["verdict"], said["totals"]["delivered"], said["totals"]["entries"]) == ("done", 12, 12)


def test_fi_17_an_event_that_comes_twice_at_once_is_one_archive(local_stack: LocalStack) -> None:
    members = instances(6, "twice")
    with (
        stub_orthanc() as pacs,
        slow_ingest(local_stack, pacs, INGEST_AUTH_SECRET_ARN="", BATCH_INSTANCES="1"),
    ):
        first = threading.Event()
        pacs.before = lambda _: first.set()
        key = put(local_stack, archive(members))
        assert first.wait(60)
        (row,) = rows(local_stack, key)
        again = json.dumps({"archive_id": row["archive_id"]["S"]})
        for _ in range(3):
            local_stack.aws.sqs.send_message(
                QueueUrl=local_stack.outputs["IngestQueueUrl"], MessageBody=again
            )
        (said,) = settled(local_stack, key)
        assert set(pacs.received.values()) == {1}
        assert len(pacs.received) == 6
    assert said["totals"]["delivered"] == 6


def test_a_destination_that_is_down_for_good_ends_in_a_report_and_a_dead_letter(
    local_stack: LocalStack,
) -> None:
    with (
        stub_orthanc() as pacs,
        slow_ingest(local_stack, pacs, INGEST_AUTH_SECRET_ARN="", MAX_ATTEMPTS="1"),
    ):
        pacs.status = 403
        key = put(local_stack, archive(instances(2, "down")))
        (said,) = settled(local_stack, key)
    assert said["verdict"] == "partial"
    assert said["error"]["code"] == "PACS_ERROR"
    assert said["totals"]["delivered"] == 0
    (row,) = rows(local_stack, key)
    assert row["state"]["S"] == "failed"
    dead = local_stack.outputs["IngestDeadLetterUrl"]
    found: list[str] = []

    def died() -> bool:
        answer = local_stack.aws.sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10)
        found.extend(message["Body"] for message in answer.get("Messages", []))
        return any(row["archive_id"]["S"] in body for body in found)

    wait_for(died, timeout_s=30, msg="nothing is among the dead letters")


def test_no_key_name_or_uid_is_in_the_logs_of_the_deployed_function(local_stack: LocalStack) -> None:
    canary = f"CANARY{uuid.uuid4().hex}"
    members = {f"{canary}.dcm": next(iter(instances(1, canary).values()))}
    key = put(local_stack, archive(members), key=f"{canary}.zip")
    settled(local_stack, key)
    said: list[str] = []
    for log in local_stack.aws.logs.describe_log_groups()["logGroups"]:
        events = local_stack.aws.logs.filter_log_events(logGroupName=log["logGroupName"])["events"]
        said.extend(event["message"] for event in events)
    assert any("archive settled" in line for line in said)
    assert not [line for line in said if canary in line or uid("ingested", canary) in line]
