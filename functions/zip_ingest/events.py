"""What comes in by the queue: events of S3, and references of our own.

Events come at least once, in any order, and also for what we write ourselves. Their keys are URL-encoded.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from ponte_aws.archives import Archived
from ponte_aws.queues import BadMessage, Message
from ponte_aws.s3range import ObjectName

logger = logging.getLogger(__name__)

OWN_PREFIXES: Final = ("reports/", "quarantine/", "parts/")
"""Where we write: an archive that lies there is ours, and is never ingested."""

_MOST_RECORDS = 100
_MOST_KEY_BYTES = 1024


def arrivals(message: Message, *, bucket: str) -> list[Archived] | None:
    """The archives that an event of S3 speaks of; None where the message is no event of S3.

    Raises `BadMessage` for an event of another bucket, and for one that cannot be read.
    """
    try:
        body = json.loads(message.body)
    except (ValueError, RecursionError):
        raise BadMessage("the message is no JSON") from None
    if not isinstance(body, dict):
        raise BadMessage("the message is no object")
    if body.get("Event") == "s3:TestEvent":
        logger.info("test event ignored")
        return []
    if "Records" not in body:
        return None
    records = body["Records"]
    if not isinstance(records, list) or len(records) > _MOST_RECORDS:
        raise BadMessage("the event has no list of records")
    return [found for record in records if (found := _arrival(record, bucket))]


def _arrival(record: Any, bucket: str) -> Archived | None:
    """The object that a record speaks of; None where it is none of the archives that we wait for."""
    try:
        if not str(record["eventName"]).startswith("ObjectCreated:"):
            logger.info("event ignored", extra={"event": str(record["eventName"])[:64]})
            return None
        archived = _archived(record)
    except (KeyError, TypeError, ValueError):
        raise BadMessage("the record of the event cannot be read") from None
    if archived.name.bucket != bucket or len(archived.name.key.encode()) > _MOST_KEY_BYTES:
        raise BadMessage("the event is of another bucket")
    key = archived.name.key
    if key.startswith(OWN_PREFIXES) or not key.lower().endswith(".zip"):
        logger.info("object ignored", extra={"archive_id": archived.archive_id})
        return None
    return archived


def _archived(record: Mapping[str, Any]) -> Archived:
    stored = record["s3"]["object"]
    name = ObjectName(
        bucket=str(record["s3"]["bucket"]["name"]),
        key=unquote_plus(stored["key"], errors="strict"),
        version_id=stored.get("versionId"),
        etag=stored.get("eTag"),
    )
    return Archived(
        name, int(stored.get("size", 0)), str(record["eventTime"]), str(stored.get("sequencer", ""))
    )
