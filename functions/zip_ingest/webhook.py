"""SQS: tell the operator's system (`INGEST_WEBHOOK_URL`) that an archive is settled, signed as callbacks are.

Its queue is its own: however slow or dead the receiver is, no archive notices. Totals and reasons, no names.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import urllib3
from aws_lambda_powertools.utilities.typing import LambdaContext

from ponte.errors import TransientError
from ponte.signature import sign
from ponte_aws import clients
from ponte_aws.archives import Archive, ArchiveNotFound, Archives
from ponte_aws.log import make_logger
from ponte_aws.queues import Message, RetryLater, handle_batch
from ponte_aws.rotating import read_secrets
from zip_ingest.settings import WebhookSettings, webhook_settings

logger = make_logger("webhook")


class WebhookFailed(TransientError):
    """The receiver did not take the notice."""

    default_code = "WEBHOOK_FAILED"


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Entry point: a batch of `{"archive_id"}` messages."""
    settings = webhook_settings()
    return cast(
        "dict[str, Any]",
        handle_batch(
            event,
            lambda message: handle(message, settings),
            sqs=clients.sqs(),
            queue_url=settings.webhook_queue_url,
            retry_base_s=settings.retry_base_seconds,
        ),
    )


def handle(message: Message, settings: WebhookSettings) -> None:
    """POST what became of an archive. Raises `WebhookFailed`, so that the message comes again."""
    archive_id = message.reference("archive_id")
    try:
        archive = Archives(clients.table(settings.archives_table)).get(archive_id)
    except ArchiveNotFound:
        logger.info("notice dropped: the archive's time is over", extra={"archive_id": archive_id})
        return
    if not archive.summary:
        raise RetryLater("the archive's row is not written yet")
    _post(settings, archive_id, json.dumps(notice(archive), default=_number).encode())
    logger.info("notice delivered", extra={"archive_id": archive_id})


def notice(archive: Archive) -> dict[str, Any]:
    """What is said: no object's key, no member's name, no UID."""
    summary: Mapping[str, Any] = archive.summary
    return {
        "archive_id": archive.archive_id,
        "state": archive.state.value,
        "verdict": summary["verdict"],
        "reason": summary["reason"] or archive.error,
        "arrived_at": archive.arrived_at,
        "archive_bytes": archive.size_bytes,
        "totals": summary["totals"],
        "report": summary["report"],
    }


def _number(value: object) -> int | float:
    """DynamoDB's numbers as JSON has them."""
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is no number")
    return int(value) if value == value.to_integral_value() else float(value)


def _post(settings: WebhookSettings, archive_id: str, body: bytes) -> None:
    """Raises `WebhookFailed` for any answer but 2xx, and for none."""
    secrets = (
        read_secrets(clients.secrets_manager(), settings.webhook_secret_arn).values()
        if settings.webhook_secret_arn
        else ()
    )
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Ponte",
        **sign(archive_id, int(time.time()), [body], secrets),
    }
    try:
        with urllib3.PoolManager(retries=False, timeout=settings.timeout_seconds) as pool:
            answer = pool.request(
                "POST",
                settings.ingest_webhook_url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        raise WebhookFailed(f"no answer from the receiver ({type(error).__name__})") from error
    if not 200 <= answer.status < 300:
        raise WebhookFailed(f"the receiver answered {answer.status}")
