"""Which studies a message is about: the message names rows, and the rows hold the UIDs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ponte.errors import PermanentError
from ponte.uid import is_valid_uid
from ponte_aws.queues import BadMessage, Message

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

FROM_ARCHIVE: Final = "chest#"
"""How the reference begins that ingest gives: its rows are in the archives table."""
MOST_ROWS: Final = 1000


class RowMissing(PermanentError):
    """A row that a message names is not there: it never was, or its time is over."""

    default_code = "JOB_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Asked:
    """A study, and the instances of it that are meant; all of them where none is named."""

    study_instance_uid: str
    sop_instance_uids: frozenset[str]

    def means(self, sop_instance_uid: str) -> bool:
        return not self.sop_instance_uids or sop_instance_uid in self.sop_instance_uids


@dataclass(frozen=True, slots=True)
class Request:
    """`reference` is that of the message, with so many `rows` behind it."""

    reference: str
    rows: int

    @classmethod
    def of(cls, message: Message) -> Request:
        """Raises `BadMessage`."""
        reference = message.reference("reference")
        rows = message.number("rows", 1)
        if not 0 < rows <= MOST_ROWS:
            raise BadMessage("the message names no rows")
        return cls(reference, rows)

    @property
    def is_from_archive(self) -> bool:
        return self.reference.startswith(FROM_ARCHIVE)

    def studies(self, table: Table, key: str) -> Iterator[Asked]:
        """Row by row. Raises `RowMissing`."""
        for number in range(self.rows):
            answer = table.get_item(Key={key: f"{self.reference}#{number}"}, ConsistentRead=True)
            row: Mapping[str, Any] | None = answer.get("Item")
            if row is None or not isinstance(row.get("studies"), Mapping):
                raise RowMissing("A row of the request is not there")
            for study, uids in row["studies"].items():
                if is_valid_uid(study):
                    yield Asked(study, frozenset(map(str, uids)))
