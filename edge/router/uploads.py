"""One object to a bucket, in parts whose checksums S3 verifies, and from where it was after a kill.

What was uploaded is known by rows: of the same bytes, made again, only the parts that are missing go over the
line.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from ponte.errors import (
    AccessRefused,
    DestinationRefused,
    DestinationUnavailable,
    PonteError,
    TransientError,
)
from router import upload_rows
from router.committer import Committer
from router.counters import Counters
from router.destinations import Inbox
from router.failpoint import failpoint
from router.savepoint import run_apart
from router.upload_rows import StudyPart, Upload

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_MOST_PARTS: Final = 9_000  # of 10,000 that S3 allows
_BUSY: Final = frozenset({408, 429})


class Stopped(TransientError):
    """Asked to end between two parts."""


class _UploadGone(TransientError):  # a message to the uploader
    """The bucket does not know the upload: it was completed, aborted or has expired."""


class Uploader:
    """Uploads to one bucket. `is_stopping` is asked between two parts."""

    def __init__(
        self,
        target: Inbox,
        client: S3Client,
        committer: Committer,
        counters: Counters,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._target = target
        self._client = client
        self._committer = committer
        self._counters = counters
        self._is_stopping = is_stopping

    def size_of(self, key: str) -> int | None:
        """Of the object, None where there is none, or that cannot be told."""
        with suppress(PonteError), _translated():
            return self._client.head_object(Bucket=self._target.bucket, Key=key)["ContentLength"]
        return None

    def send(self, what: StudyPart, key: str, size: int, stream: Callable[[], Iterable[bytes]]) -> str:
        """The key, once the bucket has the object as a whole. `what` is whose upload it is in the rows,
        `size` about how large, `stream` its bytes from the start, the same each time.

        The key is that of the content. Raises `PonteError`, and `Stopped` where it is to go on later.
        """
        begun = self._begin(what, key, size)
        try:
            return self._finish(begun, self._upload_parts(begun, stream()))
        except _UploadGone:
            if self.size_of(key) is not None:  # S3 makes an object at once or not at all
                return key
            self.forget(what)
            raise

    def forget(self, what: StudyPart) -> None:
        """Its rows are of no use any more. Raises `TransientError`."""
        name = self._target.name
        run_apart(self._committer, lambda database: upload_rows.forget_upload(database, name, what))

    def _begin(self, what: StudyPart, key: str, size: int) -> Upload:
        """The upload of this very object that is under way, or a new one."""
        name, run = self._target.name, self._committer
        there = run_apart(run, lambda database: upload_rows.upload(database, name, what))
        if there is not None and there.object_key == key:
            return there
        if there is not None:
            self._abort(there.object_key, there.upload_id)
        self._abort_unknown(key)
        part_bytes = max(self._target.part_bytes, -(-size // _MOST_PARTS))
        with _translated():
            answer = self._client.create_multipart_upload(
                Bucket=self._target.bucket, Key=key, ContentType="application/zip", ChecksumAlgorithm="SHA256"
            )
        begun = Upload(key, part_bytes, answer["UploadId"], {})
        run_apart(run, lambda database: upload_rows.keep_upload(database, name, what, begun))
        failpoint("upload-begun")
        return begun

    def _upload_parts(self, begun: Upload, stream: Iterable[bytes]) -> list[dict[str, Any]]:
        """Those that the bucket has are not sent again."""
        parts: list[dict[str, Any]] = []
        for number, data in enumerate(_pieces(stream, begun.part_bytes), 1):
            if self._is_stopping():
                raise Stopped("Asked to end")
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            etag, known = begun.parts.get(number, ("", ""))
            if known != digest:
                etag = self._upload_part(begun, number, data, digest)
            parts.append({"PartNumber": number, "ETag": etag, "ChecksumSHA256": digest})
        return parts

    def _upload_part(self, begun: Upload, number: int, data: bytes, digest: str) -> str:
        with _translated():
            answer = self._client.upload_part(
                Bucket=self._target.bucket,
                Key=begun.object_key,
                UploadId=begun.upload_id,
                PartNumber=number,
                Body=data,
                ChecksumSHA256=digest,
            )
        etag = answer["ETag"]
        run_apart(
            self._committer,
            lambda database: upload_rows.keep_uploaded(database, begun.upload_id, number, etag, digest),
        )
        failpoint("part-uploaded")
        self._counters.add("ponte_forwarded_bytes_total", len(data), destination=self._target.name)
        return etag

    def _finish(self, begun: Upload, parts: list[dict[str, Any]]) -> str:
        with _translated():
            self._client.complete_multipart_upload(
                Bucket=self._target.bucket,
                Key=begun.object_key,
                UploadId=begun.upload_id,
                MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
            )
        failpoint("answered")
        return begun.object_key

    def _abort(self, key: str, upload_id: str) -> None:
        with suppress(PonteError), _translated():
            self._client.abort_multipart_upload(Bucket=self._target.bucket, Key=key, UploadId=upload_id)

    def _abort_unknown(self, key: str) -> None:
        """Uploads of this object that were begun and, killed right then, are in no row."""
        with suppress(PonteError), _translated():
            answer = self._client.list_multipart_uploads(Bucket=self._target.bucket, Prefix=key)
            for one in answer.get("Uploads", []):
                self._abort(one["Key"], one["UploadId"])


def open_client(target: Inbox) -> S3Client:
    """With the credentials that boto3 finds: environment, profile, role of the machine."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        region_name=target.region,
        endpoint_url=target.endpoint_url,
        config=Config(
            connect_timeout=min(10.0, target.timeout_s),
            read_timeout=target.timeout_s,
            retries={"total_max_attempts": 2, "mode": "standard"},
        ),
    )


def _pieces(stream: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The stream in pieces of exactly this size, but for the last."""
    gathered = bytearray()
    for chunk in stream:
        gathered += chunk
        while len(gathered) >= size:
            yield bytes(gathered[:size])
            del gathered[:size]
    if gathered:
        yield bytes(gathered)


@contextmanager
def _translated() -> Iterator[None]:
    """botocore's errors as ours; none of its texts, which quote what was sent."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        raise _client_error(error.response) from error
    except NoCredentialsError as error:
        raise AccessRefused("There are no credentials for the bucket") from error
    except BotoCoreError as error:
        raise DestinationUnavailable(f"The bucket cannot be reached: {type(error).__name__}") from error


def _client_error(response: Any) -> PonteError:
    code = str(response.get("Error", {}).get("Code", ""))[:60]
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    text = f"The bucket answers {status} {code}"
    if code == "NoSuchUpload":
        return _UploadGone(text)
    if status in (401, 403):
        return AccessRefused(text)
    if status >= 500 or status in _BUSY or code in ("BadDigest", "RequestTimeout", "InvalidPart"):
        return DestinationUnavailable(text)
    return DestinationRefused(text)
