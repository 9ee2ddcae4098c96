from __future__ import annotations

import json

import pytest

from ponte.errors import SourceUnavailable
from ponte_aws import clients
from ponte_aws.queues import BadMessage, Message, RetryLater, backoff_s, handle_batch, send
from tests.unit.conftest import Aws


def message(body: str) -> Message:
    return Message(message_id="m", receipt_handle="r", receive_count=1, body=body)


@pytest.mark.parametrize(
    "body", ["", "x", "[]", "null", "{}", '{"job_id":1}', '{"job_id":""}', "[" * 100_000]
)
def test_a_message_without_its_reference_is_bad(body: str) -> None:
    with pytest.raises(BadMessage):
        message(body).reference("job_id")


def test_a_reference_is_bounded() -> None:
    with pytest.raises(BadMessage):
        message(json.dumps({"job_id": "x" * 129})).reference("job_id")
    assert message('{"job_id": "abc"}').reference("job_id") == "abc"


@pytest.mark.parametrize("count", [1, 2, 5, 50])
def test_the_backoff_doubles_and_never_passes_what_sqs_allows(count: int) -> None:
    ceiling = min(30 * 2 ** (count - 1), 900)
    assert ceiling / 2 <= backoff_s(count, 30) <= ceiling


def test_a_failed_message_is_visible_again_after_its_backoff_and_a_done_one_is_not_reported(aws: Aws) -> None:
    sqs, url = clients.sqs(), aws.render_queue_url
    for name in ("good", "later", "broken"):
        send(sqs, url, {"job_id": name})
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    event = {
        "Records": [
            {"messageId": m["MessageId"], "receiptHandle": m["ReceiptHandle"], "attributes": m["Attributes"],
             "body": m["Body"]}
            for m in received
        ]
    }  # fmt: skip

    def handle(one: Message) -> None:
        match one.reference("job_id"):
            case "later":
                raise RetryLater("not yet", delay_s=0)
            case "broken":
                raise SourceUnavailable("down")

    answer = handle_batch(event, handle, sqs=sqs, queue_url=url, retry_base_s=0)
    assert len(answer["batchItemFailures"]) == 2
    again = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert {json.loads(m["Body"])["job_id"] for m in again} == {"later", "broken"}
