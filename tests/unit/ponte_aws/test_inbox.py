"""Archives to an S3 bucket: the same one is one object, in parts where it is large."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from ponte.errors import AccessRefused, DestinationRefused, DestinationUnavailable, PonteError
from ponte_aws.inbox import S3Inbox

BUCKET = "inbox"


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


def a_file(tmp_path: Path, size: int) -> tuple[Path, str]:
    path = tmp_path / "CANARIO Maria.zip"
    path.write_bytes(bytes(range(256)) * (size // 256))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [1024, 80 << 20])
def test_an_archive_is_an_object_named_by_its_digest(s3: Any, tmp_path: Path, size: int) -> None:
    path, sha256 = a_file(tmp_path, size)
    inbox = S3Inbox(s3, BUCKET, "/clinica/")
    inbox.check()
    assert inbox.put(path, sha256) == f"clinica/{sha256}.zip"
    found = s3.get_object(Bucket=BUCKET, Key=f"clinica/{sha256}.zip")
    assert found["Body"].read() == path.read_bytes()
    assert not any("CANARIO" in str(value) for value in found.values())


def test_what_is_there_whole_is_not_sent_again(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sha256 = a_file(tmp_path, 1024)
    inbox = S3Inbox(s3, BUCKET)
    assert inbox.put(path, sha256) == f"{sha256}.zip"
    monkeypatch.setattr(s3, "upload_file", None)
    assert inbox.put(path, sha256) == f"{sha256}.zip"


def test_an_upload_that_left_nothing_is_not_believed(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sha256 = a_file(tmp_path, 1024)
    monkeypatch.setattr(s3, "upload_file", lambda *_, **__: None)
    with pytest.raises(DestinationUnavailable):
        S3Inbox(s3, BUCKET).put(path, sha256)


def test_a_bucket_that_is_not_there_is_refused(s3: Any, tmp_path: Path) -> None:
    path, sha256 = a_file(tmp_path, 1024)
    with pytest.raises(DestinationRefused):
        S3Inbox(s3, "elsewhere").check()
    with pytest.raises(PonteError):
        S3Inbox(s3, "elsewhere").put(path, sha256)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (403, AccessRefused),
        (400, DestinationRefused),
        (429, DestinationUnavailable),
        (503, DestinationUnavailable),
        (None, DestinationUnavailable),
    ],
)
def test_an_error_of_s3_is_one_of_ours(
    s3: Any, monkeypatch: pytest.MonkeyPatch, raised: int | None, error: type[PonteError]
) -> None:
    def fail(**_: str) -> None:
        if raised is None:
            raise EndpointConnectionError(endpoint_url="https://s3")
        answer: Any = {"Error": {"Code": "x"}, "ResponseMetadata": {"HTTPStatusCode": raised}}
        raise ClientError(answer, "HeadBucket")

    monkeypatch.setattr(s3, "head_bucket", fail)
    with pytest.raises(error):
        S3Inbox(s3, BUCKET).check()
