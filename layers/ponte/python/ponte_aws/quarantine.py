"""What was not sent on, kept in S3: `quarantine/<id>.json`, and beside it its bytes.

The same protocol as that of a folder (`ponte.quarantine`). Ids are digests; a member's name stands in the
record alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from tempfile import SpooledTemporaryFile, TemporaryFile
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, cast

from botocore.exceptions import ClientError

from ponte.errors import InvalidRequest
from ponte.quarantine import Kept, QuarantineRecord, Release
from ponte_aws.jobs import now
from ponte_aws.s3range import ObjectName, translated

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX: Final = "quarantine/"
_IN_MEMORY = 8 << 20
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


class S3Quarantine:
    """The quarantine of a bucket. Implements `ponte.quarantine.Quarantine`."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def keep(self, record: QuarantineRecord, content: Iterable[bytes] | None) -> str:
        """Keep it, durably when this returns, and give its id. Without `content` the record alone is kept.

        The same bytes for the same reason are kept once; without bytes, the same place of an archive.
        """
        if content is None:
            return self._put_record(_id(record, record.origin, record.place), record, 0, None)
        with SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="ponte-") as spool:
            digest = _spool(content, spool)
            size, quarantine_id = spool.tell(), _id(record, digest)
            spool.seek(0)
            self._s3.upload_fileobj(spool, self._bucket, _content_key(quarantine_id))
        return self._put_record(quarantine_id, record, size, digest)

    def keep_object(self, record: QuarantineRecord, name: ObjectName, size_bytes: int) -> str:
        """Keep a copy of an object, which S3 makes by itself: of that version, or while it has that ETag.

        Raises `ObjectGone`, `ObjectReplaced`, `SourceUnavailable`.
        """
        quarantine_id = _id(record, name.etag or "", name.version_id or "")
        source: Any = {"Bucket": name.bucket, "Key": name.key}
        if name.version_id:
            source["VersionId"] = name.version_id
        # As it was, without what its owner tagged it with: to copy that would take another permission.
        extra = {"TaggingDirective": "REPLACE"}
        if "IfMatch" in (pinned := name.parameters()):
            extra["CopySourceIfMatch"] = pinned["IfMatch"]
        try:
            self._s3.copy(source, self._bucket, _content_key(quarantine_id), ExtraArgs=extra)
        except ClientError as error:
            raise translated(error) from error
        return self._put_record(quarantine_id, record, size_bytes, None)

    def list(self) -> Iterator[Kept]:
        """All of it, the oldest first."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=PREFIX)
        found = (entry["Key"] for page in pages for entry in page.get("Contents", ()))
        ids = [key[len(PREFIX) :].removesuffix(".json") for key in found if key.endswith(".json")]
        yield from sorted(map(self.show, ids), key=lambda kept: (kept.kept_at, kept.id))

    def show(self, quarantine_id: str) -> Kept:
        """Raises `InvalidRequest` for an id that is not there."""
        body = self._get(_record_key(quarantine_id))["Body"]
        with body:
            return Kept.from_json(json.loads(body.read()))

    def open(self, quarantine_id: str) -> BinaryIO:
        """Its bytes, in a stream that can seek. Raises `InvalidRequest` where there are none."""
        self.show(quarantine_id)
        spool = TemporaryFile(prefix="ponte-")  # noqa: SIM115  the caller's to close
        try:
            body = self._get(_content_key(quarantine_id))["Body"]
            with body:
                for piece in body.iter_chunks(1 << 20):
                    spool.write(piece)
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return cast("BinaryIO", spool)

    def purge(self, quarantine_id: str) -> None:
        """Remove it for good. Raises `InvalidRequest` for an id that is not there."""
        self.show(quarantine_id)
        self._s3.delete_object(Bucket=self._bucket, Key=_content_key(quarantine_id))
        self._s3.delete_object(Bucket=self._bucket, Key=_record_key(quarantine_id))

    def mark_released(self, quarantine_id: str, release: Release) -> None:
        """Note what came of it; it stays until it is purged. Raises `InvalidRequest`."""
        self._put(replace(self.show(quarantine_id), released=release))

    def _put_record(
        self, quarantine_id: str, record: QuarantineRecord, size_bytes: int, content_sha256: str | None
    ) -> str:
        try:
            self.show(quarantine_id)
        except InvalidRequest:
            self._put(Kept(quarantine_id, record, size_bytes, content_sha256, now()))
        return quarantine_id

    def _put(self, kept: Kept) -> None:
        self._s3.put_object(
            Bucket=self._bucket,
            Key=_record_key(kept.id),
            Body=json.dumps(kept.as_json(), ensure_ascii=False, indent=1).encode(),
            ContentType="application/json",
        )

    def _get(self, key: str) -> Any:
        try:
            return self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _MISSING:
                raise
            raise InvalidRequest("The quarantine has no such entry, or no bytes of it") from None


def _id(record: QuarantineRecord, *parts: str) -> str:
    return hashlib.sha256("\0".join((record.reason, record.kind, *parts)).encode()).hexdigest()[:32]


def _record_key(quarantine_id: str) -> str:
    return f"{PREFIX}{_checked(quarantine_id)}.json"


def _content_key(quarantine_id: str) -> str:
    return f"{PREFIX}{_checked(quarantine_id)}.bin"


def _checked(quarantine_id: str) -> str:
    if not _ID.fullmatch(quarantine_id):
        raise InvalidRequest("An id of the quarantine is 32 characters, 0 to 9 and a to f")
    return quarantine_id


def _spool(content: Iterable[bytes], spool: IO[bytes]) -> str:
    """Write the bytes, and give their digest."""
    digest = hashlib.sha256()
    for piece in content:
        digest.update(piece)
        spool.write(piece)
    return digest.hexdigest()
