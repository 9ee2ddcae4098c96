"""Links to stored documents, for those who have no AWS credentials."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Link:
    """A link that lives until `expires_at`, or as long as the credentials that signed it, if that is less."""

    url: str
    expires_at: str


def link_to(s3: S3Client, bucket: str, key: str, *, seconds: int) -> Link:
    """A presigned link to an object. Nothing is asked of S3: whether it is there shows when it is used."""
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
    return Link(url, ends.isoformat(timespec="seconds").replace("+00:00", "Z"))
