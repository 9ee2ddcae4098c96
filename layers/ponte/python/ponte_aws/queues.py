"""SQS: messages that carry references alone, and batches that say which of their items failed."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ponte.errors import PermanentError

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

LONGEST_DELAY_S = 900


class BadMessage(PermanentError):
    """A message that is not one of ours: it goes to the dead-letter queue, as it is."""

    default_code = "BAD_MESSAGE"


class RetryLater(Exception):
    """The handler wants this message again, after `delay_s` seconds or the usual backoff."""

    def __init__(self, reason: str, delay_s: float | None = None) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


@dataclass(frozen=True, slots=True)
class Message:
    """One record of an SQS event."""

    message_id: str
    receipt_handle: str
    receive_count: int
    body: str

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Message:
        return cls(
            message_id=record["messageId"],
            receipt_handle=record.get("receiptHandle", ""),
            receive_count=int(record.get("attributes", {}).get("ApproximateReceiveCount", 1)),
            body=record["body"],
        )

    def reference(self, name: str) -> str:
        """The string that the message carries under `name`. Raises `BadMessage`."""
        try:
            value = json.loads(self.body)[name]
        except (ValueError, KeyError, TypeError, RecursionError):
            value = None
        if not isinstance(value, str) or not 0 < len(value) <= 128:
            raise BadMessage(f"the message has no {name}")
        return value

    def number(self, name: str, default: int) -> int:
        """The number that the message carries under `name` as text. Raises `BadMessage`."""
        if name not in json.loads(self.body):
            return default
        value = self.reference(name)
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise BadMessage(f"the {name} of the message is no number")
        return int(value)


def send(sqs: SQSClient, queue_url: str, body: Mapping[str, str], *, delay_s: int = 0) -> None:
    """Send a message. When this returns, SQS has it."""
    sqs.send_message(
        QueueUrl=queue_url, MessageBody=json.dumps(body), DelaySeconds=min(delay_s, LONGEST_DELAY_S)
    )


def backoff_s(receive_count: int, base_s: float) -> float:
    """Seconds until the next try: doubling from `base_s`, with jitter, at most 15 minutes."""
    ceiling: float = min(base_s * 2.0 ** min(receive_count - 1, 20), LONGEST_DELAY_S)
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311  not for secrets


def handle_batch(
    event: Mapping[str, Any],
    handle: Callable[[Message], None],
    *,
    sqs: SQSClient,
    queue_url: str,
    retry_base_s: float,
) -> dict[str, list[dict[str, str]]]:
    """Handle each record by itself and report those that failed, so that only they come again.

    A failed message becomes visible again after a backoff, not after the queue's whole visibility timeout.
    """
    failed = []
    for record in event["Records"]:
        message = Message.from_record(record)
        delay_s: float | None
        try:
            handle(message)
        except BadMessage:
            logger.error("message is not ours", extra={"message_id": message.message_id})
            delay_s = 0.0  # to the dead letters, as soon as may be
        except RetryLater as error:
            logger.warning("message wanted again", extra={"reason": str(error)})
            delay_s = error.delay_s
        except Exception as error:  # noqa: BLE001  the boundary: one bad message must not fail the others
            logger.error(
                "message failed",
                extra={"error_type": type(error).__name__, "code": getattr(error, "code", None)},
            )
            delay_s = None
        else:
            continue
        failed.append({"itemIdentifier": message.message_id})
        _show_again(
            sqs, queue_url, message, retry_base_s if delay_s is None else delay_s, exact=delay_s is not None
        )
    return {"batchItemFailures": failed}


def _show_again(sqs: SQSClient, queue_url: str, message: Message, seconds: float, *, exact: bool) -> None:
    delay_s = seconds if exact else backoff_s(message.receive_count, seconds)
    hide(sqs, queue_url, message, min(delay_s, LONGEST_DELAY_S))


def hide(sqs: SQSClient, queue_url: str, message: Message, seconds: float) -> None:
    """Hide the message for so long from now on: after a killed worker it comes again then, and no later.

    Best effort: when it fails, the queue's own visibility timeout counts.
    """
    try:
        sqs.change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=message.receipt_handle, VisibilityTimeout=round(seconds)
        )
    except Exception as error:  # noqa: BLE001  best effort, and said
        logger.warning("visibility not changed", extra={"error_type": type(error).__name__})
