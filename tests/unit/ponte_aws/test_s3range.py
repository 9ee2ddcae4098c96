"""Ranges of one version of an object: each byte about once, whatever S3 does meanwhile."""

from __future__ import annotations

import io
import os
import random
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from ponte.archive import Archive, Member
from ponte.errors import SourceUnavailable, UnsafeArchive
from ponte_aws import clients
from ponte_aws.s3range import ObjectGone, ObjectName, ObjectReplaced, RangeLimits, S3Range
from tests.hazards.archives import GOOD, Builder, archive
from tests.stub_s3 import Fault, Got, StubS3, serving

BLOCK = 64 << 10
SMALL = RangeLimits(block_bytes=BLOCK, near_bytes=2 << 10, span_bytes=16 << 10, retries=3, backoff_s=0)
NAME = ObjectName("inbox", "exame de Conceição + 100%.zip")


@pytest.fixture
def stub() -> Iterator[StubS3]:
    with serving(StubS3()) as running:
        yield running


@pytest.fixture
def s3(stub: StubS3) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=stub.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=clients.RANGES.merge(Config(read_timeout=5)),
    )


def put(stub: StubS3, data: bytes, **given: Any) -> str:
    return stub.put(f"{NAME.bucket}/{NAME.key}", data, **given).etag


def big_archive(members: int = 40, size: int = 20_000) -> bytes:
    stream = io.BytesIO()
    noise = random.Random(7)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as out:
        for number in range(members):
            out.writestr(f"IM{number:05d}", noise.randbytes(size))
    return stream.getvalue()


def content_of(stream: S3Range) -> list[bytes]:
    return [b"".join(member.pieces()) for member in Archive(stream).members()]


def exhaust(members: Iterator[Member]) -> None:
    for member in members:
        b"".join(member.pieces())


def expected(data: bytes) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as one:
        return [one.read(info) for info in one.infolist()]


def test_seeking_and_reading_are_those_of_a_file(stub: StubS3, s3: Any) -> None:
    data = random.Random(1).randbytes(5 * BLOCK + 17)
    put(stub, data)
    whole = io.BytesIO(data)
    choice = random.Random(2)
    with S3Range(s3, NAME, limits=SMALL) as stream:
        assert stream.seek(0, os.SEEK_END) == len(data)
        assert stream.read(10) == b""
        for _ in range(60):
            place, size = choice.randrange(len(data)), choice.randrange(1, 3 * BLOCK)
            assert stream.seek(place) == whole.seek(place)
            for _ in range(choice.randrange(1, 4)):  # goes on a while, or jumps
                piece, rest = stream.read(size), whole.read(size)
                assert rest.startswith(piece)
                assert bool(piece) == bool(rest)
                whole.seek(len(piece) - len(rest), os.SEEK_CUR)


def test_one_pass_fetches_each_byte_about_once_and_in_large_blocks(stub: StubS3, s3: Any) -> None:
    data = big_archive()
    put(stub, data)
    with S3Range(s3, NAME, limits=SMALL) as stream:
        assert content_of(stream) == expected(data)
    ranges = stub.ranges()
    fetched = sum(min(got.end, len(data)) - got.start for got in ranges)
    blocks = [got for got in ranges if got.end - got.start == BLOCK]
    assert len(blocks) == len(data) // BLOCK
    assert fetched < 1.1 * len(data)
    assert len(ranges) <= len(blocks) + 40 + 5  # the headers of the members, and what stands at the end


def test_a_small_object_is_one_range(stub: StubS3, s3: Any) -> None:
    put(stub, archive())
    with S3Range(s3, NAME) as stream:
        assert content_of(stream) == list(GOOD.values())
    assert len(stub.ranges()) == 1


def test_headers_that_lie_together_are_one_range(stub: StubS3, s3: Any) -> None:
    data = big_archive(members=400, size=500)
    put(stub, data)
    with S3Range(s3, NAME, limits=SMALL) as stream:
        Archive(stream)
    assert len(stub.ranges()) < 400 / 10


def test_zb_19_a_header_with_another_name_is_seen_before_any_member_is_read(stub: StubS3, s3: Any) -> None:
    built = Builder()
    for number in range(30):
        lie = b"other" if number == 29 else None
        built.add(f"IM{number:03}".encode(), bytes(9000 + number), method=0, local_name=lie)
    put(stub, built.bytes())
    with S3Range(s3, NAME, limits=SMALL) as stream, pytest.raises(UnsafeArchive) as caught:
        Archive(stream)
    assert caught.value.code == "ZIP_HEADER_MISMATCH"


def test_every_range_names_the_version_and_the_etag(stub: StubS3, s3: Any) -> None:
    etag = put(stub, big_archive(), version_id="v1")
    with S3Range(s3, ObjectName(NAME.bucket, NAME.key, "v1"), limits=SMALL) as stream:
        content_of(stream)
    assert {got.if_match for got in stub.ranges()} == {f'"{etag}"'}
    with pytest.raises(ObjectGone):
        S3Range(s3, ObjectName(NAME.bucket, NAME.key, "v2"))


def test_fi_20_slow_down_is_asked_again_after_a_while(stub: StubS3, s3: Any) -> None:
    data, waited = big_archive(), list[float]()
    put(stub, data)
    refused: set[tuple[str, int, int]] = set()

    def first_time(got: Got) -> Fault | None:
        with stub.lock:
            place = (got.method, got.start, got.end)
            if place in refused:
                return None
            refused.add(place)
        return Fault()

    stub.fail = first_time
    with S3Range(s3, NAME, limits=SMALL, sleep=waited.append) as stream:
        assert content_of(stream) == expected(data)
    assert len(waited) == len(refused)


def test_fi_20_a_range_that_is_cut_goes_on_where_it_stopped(stub: StubS3, s3: Any) -> None:
    data = big_archive()
    put(stub, data)
    stub.fail = lambda got: Fault(cut_after=20_000) if got.end - got.start > 20_000 else None
    with S3Range(s3, NAME, limits=SMALL, sleep=lambda _: None) as stream:
        assert content_of(stream) == expected(data)
    fetched = sum(min(got.end, len(data), got.start + 20_000) - got.start for got in stub.ranges())
    assert fetched < 1.1 * len(data)


def test_fi_20_an_object_that_is_replaced_between_two_ranges_is_not_read_on(stub: StubS3, s3: Any) -> None:
    put(stub, big_archive())
    with S3Range(s3, NAME, limits=SMALL) as stream:
        members = Archive(stream).members()
        b"".join(next(members).pieces())
        put(stub, big_archive(members=41))
        with pytest.raises(ObjectReplaced):
            exhaust(members)


def test_fi_20_an_object_that_is_deleted_meanwhile_is_said_to_be_gone(stub: StubS3, s3: Any) -> None:
    put(stub, big_archive())
    with S3Range(s3, NAME, limits=SMALL) as stream:
        members = Archive(stream).members()
        stub.objects.clear()
        with pytest.raises(ObjectGone):
            exhaust(members)
    with pytest.raises(ObjectGone):
        S3Range(s3, NAME)


@pytest.mark.parametrize("fault", [Fault(), Fault(500, "InternalError"), Fault(403, "AccessDenied")])
def test_an_s3_that_never_answers_ends_in_an_error_that_a_retry_may_mend(
    stub: StubS3, s3: Any, fault: Fault
) -> None:
    put(stub, big_archive())
    with S3Range(s3, NAME, limits=SMALL) as stream:
        stub.fail = lambda _: fault
        with pytest.raises(SourceUnavailable):
            stream.read(100)
    assert len(stub.ranges()) == SMALL.retries + 1


def test_a_connection_that_breaks_before_the_first_byte_each_time_ends_too(stub: StubS3, s3: Any) -> None:
    put(stub, big_archive())
    with S3Range(s3, NAME, limits=SMALL) as stream:
        stub.fail = lambda _: Fault(cut_after=0)
        with pytest.raises(SourceUnavailable):
            stream.read(100)


def test_a_name_does_not_show_its_key() -> None:
    assert "Conceição" not in repr(NAME)
