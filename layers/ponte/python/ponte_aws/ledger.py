"""The ledger's rows in DynamoDB: every change is a conditional write."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from ponte.dedup import Row

if TYPE_CHECKING:
    from types_boto3_dynamodb.service_resource import Table

T = TypeVar("T")

_AT_ONCE = 8
_SAME = "digest = :digest AND #owner = :owner AND expires_at = :expires_at"
_NAMES = {"#owner": "owner"}


class DynamoStore:
    """A store in a table with the string key `key`; the rows of each destination are apart."""

    def __init__(self, table: Table, destination: str = "") -> None:
        self._table = table
        self._prefix = f"{hashlib.sha256(destination.encode()).hexdigest()[:16]}#" if destination else ""

    def get(self, key: str) -> Row | None:
        """The row, read consistently, or None."""
        wanted = {"key": self._prefix + key}
        item: dict[str, Any] | None = self._table.get_item(Key=wanted, ConsistentRead=True).get("Item")
        return Row(item["digest"], item["owner"], float(item["expires_at"])) if item else None

    def swap(self, key: str, before: Row | None, after: Row | None) -> bool:
        """Put `after` in the place of `before`; False where it is not there."""
        key = self._prefix + key
        condition: dict[str, Any] = (
            {"ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": {"#key": "key"}}
            if before is None
            else {
                "ConditionExpression": _SAME,
                "ExpressionAttributeNames": _NAMES,
                "ExpressionAttributeValues": {f":{name}": value for name, value in _values(before).items()},
            }
        )
        try:
            if after is not None:
                self._table.put_item(Item={"key": key, **_values(after)}, **condition)
            elif before is not None:
                self._table.delete_item(Key={"key": key}, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return before is not None or after is not None

    def together(self, steps: Sequence[Callable[[], T]]) -> list[T]:
        """Side by side: each is durable by itself."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda step: step(), steps))


def _values(row: Row) -> dict[str, Any]:
    return {"digest": row.digest, "owner": row.owner, "expires_at": Decimal(str(row.expires_at))}
