"""The quarantine in S3 keeps what a folder's keeps, by the same protocol."""

from __future__ import annotations

import pytest

from ponte.errors import InvalidRequest
from ponte.quarantine import Quarantine, QuarantineRecord, Release
from ponte_aws import clients
from ponte_aws.quarantine import PREFIX, S3Quarantine
from ponte_aws.s3range import ObjectGone, ObjectName, ObjectReplaced
from tests.unit.conftest import Aws

RECORD = QuarantineRecord(
    "TRUNCATED", "Cut", name="Conceição.dcm", origin="0123", place="7", notes=("CHARSET",)
)


@pytest.fixture
def quarantine(aws: Aws) -> Quarantine:
    clients.s3().create_bucket(Bucket="inbox")
    return S3Quarantine(clients.s3(), "inbox")


def test_bytes_and_record_come_back_as_they_went(quarantine: Quarantine) -> None:
    quarantine_id = quarantine.keep(RECORD, [b"one ", b"two"])
    with quarantine.open(quarantine_id) as stream:
        assert stream.read() == b"one two"
        assert stream.seek(4) == 4
    kept = quarantine.show(quarantine_id)
    assert (kept.record, kept.size_bytes, kept.released) == (RECORD, 7, None)


def test_the_same_bytes_for_the_same_reason_are_kept_once_and_as_they_were(quarantine: Quarantine) -> None:
    first = quarantine.keep(RECORD, [b"one two"])
    release = Release("2026-01-22T10:00:00Z", "dicom://PACS@host", "stored")
    quarantine.mark_released(first, release)
    assert quarantine.keep(RECORD, [b"one", b" two"]) == first
    assert quarantine.show(first).released == release
    other = quarantine.keep(QuarantineRecord("NO_PIXEL_DATA", "None"), [b"one two"])
    assert other != first
    assert {kept.id for kept in quarantine.list()} == {first, other}


def test_a_record_without_bytes_is_kept_for_its_place(quarantine: Quarantine) -> None:
    quarantine_id = quarantine.keep(RECORD, None)
    assert quarantine.show(quarantine_id).content_sha256 is None
    with pytest.raises(InvalidRequest):
        quarantine.open(quarantine_id)


def test_an_object_is_copied_as_it_was_at_that_version(quarantine: Quarantine) -> None:
    s3 = clients.s3()
    s3.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="inbox", Key="a.zip", Body=b"first")["VersionId"]
    s3.put_object(Bucket="inbox", Key="a.zip", Body=b"second")
    assert isinstance(quarantine, S3Quarantine)
    record = QuarantineRecord("NOT_A_ZIP", "No end record", kind="archive")
    kept = quarantine.keep_object(record, ObjectName("inbox", "a.zip", version), 5)
    with quarantine.open(kept) as stream:
        assert stream.read() == b"first"


def test_fi_20_an_object_without_versions_is_copied_while_it_is_the_one_that_was_meant(
    quarantine: Quarantine,
) -> None:
    s3 = clients.s3()
    etag = s3.put_object(Bucket="inbox", Key="a.zip", Body=b"first")["ETag"].strip('"')
    assert isinstance(quarantine, S3Quarantine)
    record = QuarantineRecord("NOT_A_ZIP", "No end record", kind="archive")
    kept = quarantine.keep_object(record, ObjectName("inbox", "a.zip", etag=etag), 5)
    with quarantine.open(kept) as stream:
        assert stream.read() == b"first"
    s3.put_object(Bucket="inbox", Key="a.zip", Body=b"second")
    with pytest.raises(ObjectReplaced):
        quarantine.keep_object(record, ObjectName("inbox", "a.zip", etag=etag), 5)
    s3.delete_object(Bucket="inbox", Key="a.zip")
    with pytest.raises(ObjectGone):
        quarantine.keep_object(record, ObjectName("inbox", "a.zip", etag=etag), 5)


def test_what_is_purged_is_gone_and_an_id_that_is_none_is_refused(quarantine: Quarantine) -> None:
    quarantine_id = quarantine.keep(RECORD, [b"one two"])
    quarantine.purge(quarantine_id)
    assert list(quarantine.list()) == []
    for wrong in (quarantine_id, "../reports/x", ""):
        with pytest.raises(InvalidRequest):
            quarantine.show(wrong)


def test_no_name_is_in_a_key(quarantine: Quarantine) -> None:
    quarantine.keep(RECORD, [b"one two"])
    keys = [entry["Key"] for entry in clients.s3().list_objects_v2(Bucket="inbox")["Contents"]]
    assert all(key.startswith(PREFIX) and "Concei" not in key for key in keys)
