"""The row of an archive: the one truth on how far its ingestion is.

As with a job's row, every change is a conditional write: a message delivered twice, or a function that
outlived its lease, can neither take an archive back nor settle a batch of it twice.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ponte.errors import PermanentError, TransientError
from ponte_aws.jobs import now
from ponte_aws.s3range import ObjectName

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

_FREE = "(attribute_not_exists(lease_until) OR lease_until < :now)"
_ID_BYTES = 16


class State(StrEnum):
    """Where an archive is. `gone` and `replaced`: there was nothing to read, or not to the end."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    PARTIAL = "partial"
    QUARANTINED = "quarantined"
    GONE = "gone"
    REPLACED = "replaced"
    FAILED = "failed"


OPEN = (State.WAITING, State.WORKING)


class ArchiveNotFound(PermanentError):
    """No row has this id: it never existed, or its time is over."""

    default_code = "ARCHIVE_NOT_FOUND"


class ArchiveOver(PermanentError):
    """The archive is settled, or in other hands: this run has nothing more to say."""

    default_code = "ARCHIVE_OVER"


class ArchiveBusy(TransientError):
    """Another run has the archive, for `wait_s` at most; `message_id` is of the message that brought it."""

    default_code = "ARCHIVE_BUSY"

    def __init__(self, detail: str, *, wait_s: float, message_id: str) -> None:
        super().__init__(detail)
        self.wait_s = wait_s
        self.message_id = message_id


@dataclass(frozen=True, slots=True)
class Archived:
    """An object that came into the inbox. `arrived_at` is S3's time, in ISO 8601."""

    name: ObjectName
    size_bytes: int
    arrived_at: str
    sequencer: str = ""

    @property
    def archive_id(self) -> str:
        """The same for every event of this version of this object; says nothing of its key."""
        name = self.name
        parts = (name.bucket, name.key, name.version_id or "", name.etag or "", self.sequencer)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[: 2 * _ID_BYTES]


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive as its row has it.

    `position` is that of `ponte.ingest`; `parts` is how many parts of its report are stored. Since it was
    last a batch further, `silent` runs in a row ended without a word, and `setbacks` with one.
    """

    archive_id: str
    state: State
    name: ObjectName
    size_bytes: int
    arrived_at: str
    position: int = 0
    parts: int = 0
    silent: int = 0
    setbacks: int = 0
    error: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> Archive:
        """Read a row."""
        return cls(
            archive_id=item["archive_id"],
            state=State(item["state"]),
            name=ObjectName(item["bucket"], item["object_key"], item.get("version_id"), item.get("etag")),
            size_bytes=int(item["size_bytes"]),
            arrived_at=item["arrived_at"],
            position=int(item.get("position", 0)),
            parts=int(item.get("parts", 0)),
            silent=int(item.get("silent", 0)),
            setbacks=int(item.get("setbacks", 0)),
            error=item.get("error"),
            summary=item.get("summary", {}),
        )

    @property
    def arrived(self) -> datetime:
        return datetime.fromisoformat(self.arrived_at).astimezone(UTC)


class Archives:
    """The archives table; its key is `archive_id`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, archived: Archived, *, retention_days: int) -> Archive:
        """The row of this object; where there is one already, that one as it is."""
        name = archived.name
        item: dict[str, Any] = {
            "archive_id": archived.archive_id,
            "state": State.WAITING.value,
            "bucket": name.bucket,
            "object_key": name.key,
            "size_bytes": archived.size_bytes,
            "arrived_at": archived.arrived_at,
            "created_at": now(),
            "expires_at": int(time.time()) + retention_days * 86_400,
        }
        item |= {k: v for k, v in (("version_id", name.version_id), ("etag", name.etag)) if v}
        try:
            self._table.put_item(Item=item, ConditionExpression="attribute_not_exists(archive_id)")
        except ClientError as error:
            if not _is_refused(error):
                raise
            return self.get(archived.archive_id)
        return Archive.from_item(item)

    def get(self, archive_id: str) -> Archive:
        """Read the row as it is now. Raises `ArchiveNotFound`."""
        item = self._table.get_item(Key={"archive_id": archive_id}, ConsistentRead=True).get("Item")
        if item is None or "state" not in item:
            raise ArchiveNotFound("There is no such archive")
        return Archive.from_item(item)

    def begin(
        self, archive_id: str, *, run: str, message_id: str, lease_seconds: int, again: bool = False
    ) -> Archive:
        """Take the archive for one run, for as long as the lease; `again` takes one that failed, too.

        Raises `ArchiveBusy` while another run has it, `ArchiveOver` when it is settled, `ArchiveNotFound`.
        """
        moment = time.time()
        states = [*OPEN, *([State.FAILED] if again else [])]
        places = {f":s{number}": state.value for number, state in enumerate(states)}
        try:
            answer = self._table.update_item(
                Key={"archive_id": archive_id},
                UpdateExpression=(
                    "SET #state = :working, lease_run = :run, lease_until = :until, lease_message = :message,"
                    " silent = if_not_exists(silent, :zero) + :one REMOVE #error, summary"
                ),
                ConditionExpression=f"#state IN ({', '.join(places)}) AND {_FREE}",
                ExpressionAttributeNames={"#state": "state", "#error": "error"},
                ExpressionAttributeValues={
                    ":working": State.WORKING.value,
                    ":run": run,
                    ":until": int(moment) + lease_seconds,
                    ":message": message_id,
                    ":now": int(moment),
                    ":zero": 0,
                    ":one": 1,
                    **places,
                },
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if not _is_refused(error):
                raise
            raise self._why_not(archive_id, moment) from None
        return Archive.from_item(answer["Attributes"])

    def _why_not(self, archive_id: str, moment: float) -> PermanentError | ArchiveBusy:
        answer = self._table.get_item(Key={"archive_id": archive_id}, ConsistentRead=True)
        row: Mapping[str, Any] | None = answer.get("Item")
        if row is None or "state" not in row:
            return ArchiveNotFound("There is no such archive")
        if State(row["state"]) not in OPEN:
            return ArchiveOver(f"The archive is {row['state']}")
        left = max(float(row.get("lease_until", 0)) - moment, 0.0) + 1
        message_id = str(row.get("lease_message", ""))
        return ArchiveBusy("Another run has the archive", wait_s=left, message_id=message_id)

    def renew(self, archive_id: str, *, run: str, lease_seconds: int) -> None:
        """Prolong our lease from now on. Raises `ArchiveOver` when the archive is no longer ours."""
        self._update(
            archive_id, run, "SET lease_until = :until", {":until": int(time.time()) + lease_seconds}
        )

    def checkpoint(self, archive_id: str, *, run: str, position: int, parts: int) -> None:
        """Everything up to `position` is settled, and so many parts of the report are stored."""
        self._update(
            archive_id,
            run,
            "SET #position = :position, parts = :parts, silent = :zero, setbacks = :zero",
            {":position": position, ":parts": parts, ":zero": 0},
            {"#position": "position"},
        )

    def release(self, archive_id: str, *, run: str, setback: bool) -> None:
        """Give the archive back for another run, with a word: the time was short, or there was a setback."""
        self._update(
            archive_id,
            run,
            "SET silent = :zero, setbacks = if_not_exists(setbacks, :zero) + :one"
            " REMOVE lease_until, lease_run, lease_message",
            {":zero": 0, ":one": int(setback)},
        )

    def finish(
        self, archive_id: str, state: State, *, run: str, summary: Mapping[str, Any], error: str | None = None
    ) -> None:
        """Write what became of it, and its totals. Raises `ArchiveOver` when it is no longer ours."""
        values = {":state": state.value, ":summary": _stored(summary), ":at": now(), ":zero": 0}
        names = {"#state": "state"}
        sets = "SET #state = :state, summary = :summary, finished_at = :at, silent = :zero, setbacks = :zero"
        if error is not None:
            sets, names["#error"], values[":error"] = f"{sets}, #error = :error", "error", error
        self._update(archive_id, run, f"{sets} REMOVE lease_until, lease_run, lease_message", values, names)

    def put_beside(self, key: str, values: Mapping[str, Any], *, retention_days: int) -> None:
        """A row that belongs to an archive's, under a key of its own; a repeat writes the same."""
        expires_at = int(time.time()) + retention_days * 86_400
        self._table.put_item(Item={"archive_id": key, **values, "expires_at": expires_at})

    def _update(
        self,
        archive_id: str,
        run: str,
        expression: str,
        values: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> None:
        given: dict[str, Any] = {"ExpressionAttributeNames": dict(names)} if names else {}
        try:
            self._table.update_item(
                Key={"archive_id": archive_id},
                UpdateExpression=expression,
                ConditionExpression="lease_run = :run",
                ExpressionAttributeValues={":run": run, **values},
                **given,
            )
        except ClientError as error:
            if not _is_refused(error):
                raise
            raise ArchiveOver("The archive was taken over") from None


def _is_refused(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") == "ConditionalCheckFailedException"


def _stored(value: Any) -> Any:
    """A value as DynamoDB takes it: it knows no float."""
    if isinstance(value, Mapping):
        return {name: _stored(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_stored(entry) for entry in value]
    return Decimal(str(value)) if isinstance(value, float) else value
