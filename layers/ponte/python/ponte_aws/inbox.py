"""Archives to the S3 inbox, as they are: ZIP ingest in the cloud does the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from ponte.errors import AccessRefused, DestinationRefused, DestinationUnavailable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_PART_BYTES = 16 << 20
_TRANSFER = TransferConfig(multipart_threshold=4 * _PART_BYTES, multipart_chunksize=_PART_BYTES)
_REFUSED = frozenset({401, 403})


class S3Inbox:
    """A bucket that takes archives below `prefix`, under names made of their digest.

    The same archive is the same object: one that is there, whole, is not sent again.
    """

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def check(self) -> None:
        """Ask for the bucket. It cannot tell whether an object may be put there. Raises as `put`."""
        with _translated():
            self._client.head_bucket(Bucket=self._bucket)

    def put(self, path: Path, sha256: str) -> str:
        """Upload the archive, in parts with a checksum each where it is large; returns its key.

        S3 checks each part, and the size of what it has is compared at the end. Raises `AccessRefused`,
        `DestinationRefused`, `DestinationUnavailable`.
        """
        key = f"{self._prefix}{sha256}.zip"
        size = path.stat().st_size
        with _translated():
            if self._size(key) == size:
                return key
            self._client.upload_file(
                str(path),
                self._bucket,
                key,
                ExtraArgs={"ChecksumAlgorithm": "SHA256", "ContentType": "application/zip"},
                Config=_TRANSFER,
            )
            if self._size(key) != size:
                raise DestinationUnavailable("S3 does not have the archive as it is")
        return key

    def _size(self, key: str) -> int | None:
        """Of the object, None where there is none."""
        try:
            return self._client.head_object(Bucket=self._bucket, Key=key)["ContentLength"]
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise


@contextmanager
def _translated() -> Iterator[None]:
    """boto3's errors as ours; their texts, which hold names, are not taken over."""
    try:
        yield
    except ClientError as error:
        status = _status(error)
        if status in _REFUSED:
            raise AccessRefused(f"S3 answers {status}: our credentials do not suffice") from error
        if 400 <= status < 500 and status not in (408, 429):
            raise DestinationRefused(f"S3 answers {status}") from error
        raise DestinationUnavailable(f"S3 answers {status}") from error
    except S3UploadFailedError as error:
        cause = error.__context__
        if isinstance(cause, ClientError) and _status(cause) in _REFUSED:
            raise AccessRefused("S3 does not let us upload") from error
        raise DestinationUnavailable("The upload to S3 failed") from error
    except (BotoCoreError, OSError) as error:
        raise DestinationUnavailable(f"S3 cannot be reached: {type(error).__name__}") from error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
