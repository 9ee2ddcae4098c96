"""Pages of jobs, by exam or by state, newest first."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ponte_aws.jobs import Job, JobBusy, State

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

BY_EXAM = "by_exam"
BY_STATE = "by_state"
# What a list shows: never the caller's secrets.
_SHOWN = ("job_id", "request", "created_at", "updated_at", "expires_at", "progress", "pdf", "not_shown")
_READS = 5


class Listing:
    """Reads the indexes `by_exam` and `by_state` (both by `created_at`), then the rows themselves."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def page(
        self, *, exam_id: int | None, state: State | None, limit: int, cursor: str | None = None
    ) -> tuple[list[Job], str | None]:
        """At most `limit` jobs, and where the next page begins. Raises ValueError for a cursor of others.

        An index lags behind its table for a moment; a job is only listed with the state that its row has now.
        """
        index, key, value = (
            (BY_EXAM, "exam_id", exam_id) if exam_id is not None else (BY_STATE, "state", state)
        )
        start = {} if cursor is None else {"ExclusiveStartKey": {key: value, **_read_cursor(cursor)}}
        found = self._table.query(
            IndexName=index,
            KeyConditionExpression="#key = :value",
            ExpressionAttributeNames={"#key": key},
            ExpressionAttributeValues={":value": value},
            ScanIndexForward=False,
            Limit=limit,
            **start,  # type: ignore[arg-type]
        )
        jobs = self._rows([str(item["job_id"]) for item in found["Items"]])
        wanted = [job for job in jobs if state in {None, job.state}]
        last = found.get("LastEvaluatedKey")
        return wanted, None if last is None else _write_cursor(last)

    def _rows(self, job_ids: list[str]) -> list[Job]:
        """The rows as they are now, in the order asked for; those that are gone by now are left out."""
        found: dict[str, Mapping[str, Any]] = {}
        left: list[Any] = [{"job_id": job_id} for job_id in job_ids]
        names = {"#state": "state", "#error": "error"} | {f"#{i}": name for i, name in enumerate(_SHOWN)}
        for _ in range(_READS):
            if not left:
                return [Job.from_item(found[job_id]) for job_id in job_ids if job_id in found]
            wanted: Any = {
                "Keys": left,
                "ConsistentRead": True,
                "ProjectionExpression": ", ".join(names),
                "ExpressionAttributeNames": names,
            }
            answer = self._table.meta.client.batch_get_item(RequestItems={self._table.name: wanted})
            found |= _by_id(answer["Responses"].get(self._table.name, ()))
            unread: Mapping[str, Any] = answer["UnprocessedKeys"]
            left = unread.get(self._table.name, {}).get("Keys", [])
        raise JobBusy("the table has too much to do")


def _by_id(items: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(item["job_id"]): item for item in items}


def _write_cursor(last: Mapping[str, Any]) -> str:
    place = {"job_id": last["job_id"], "created_at": last["created_at"]}
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> dict[str, str]:
    """Where to go on, within what is asked for now. Raises ValueError."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise ValueError("the cursor cannot be read") from None
    if not isinstance(place, dict) or set(place) != {"job_id", "created_at"}:
        raise ValueError("the cursor is not one of ours")
    if not all(isinstance(text, str) and 0 < len(text) <= 64 for text in place.values()):
        raise ValueError("the cursor is not one of ours")
    return place
