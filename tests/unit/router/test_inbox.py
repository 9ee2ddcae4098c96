"""A finished study arrives in the bucket once, whole and named by nothing of the patient's."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from ponte.ingest import Transform
from router.destinations import Inbox
from router.uploads import open_client
from tests.factories import STUDY_UID, make_colour, make_ct, uid
from tests.hazards.test_router_forward import failing_commits
from tests.unit.router.forwarding import QUICK, all_in, forwarding, outstanding, rows, states, wait_for
from tests.unit.router.organised import House

BUCKET = "ponte-inbox"
INBOX = {
    "kind": "s3", "name": "cloud", "bucket": BUCKET, "region": "us-east-1", "retry": QUICK,
    "part_bytes": 5 << 20,
}  # fmt: skip


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def keys(s3: Any) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def archive(s3: Any, key: str) -> list[bytes]:
    data = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        return [opened.read(name) for name in opened.namelist()]


def files(house: House) -> list[bytes]:
    """As they are in the spool, in the order in which they came."""
    places = house.store.committer.run(lambda database: [one.place for one in database.after(0, 1000)])
    assert isinstance(places, list)
    return [house.store.spool.path_of(place).read_bytes() for place in places]


def test_a_complete_study_becomes_one_object_and_an_open_one_none(s3: Any, house: House) -> None:
    for number in range(4):
        house.store.send(make_ct(number))
    with forwarding(house.store, INBOX):
        wait_for(all_in(house.store, "cloud", "waiting", 4), "planned")
        assert keys(s3) == []
        house.complete()
        wait_for(all_in(house.store, "cloud", "sent", 4), "sent")
    (key,) = keys(s3)
    assert archive(s3, key) == files(house)
    assert outstanding(house.store) == [False] * 4
    assert key.startswith("inbox/")
    assert STUDY_UID not in key
    assert s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []


def test_late_images_are_sent_as_a_supplement(s3: Any, house: House) -> None:
    house.store.send(make_ct(1))
    house.complete()
    with forwarding(house.store, INBOX):
        wait_for(all_in(house.store, "cloud", "sent", 1), "sent")
        house.store.send(make_ct(2))
        house.complete()
        wait_for(all_in(house.store, "cloud", "sent", 2), "sent")
    assert sorted(len(archive(s3, key)) for key in keys(s3)) == [1, 1]
    assert len({key.split("-")[0] for key in keys(s3)}) == 1


def test_studies_do_not_mix(s3: Any, house: House) -> None:
    for number in range(3):
        house.store.send(make_ct(number))
        house.store.send(make_ct(number, series=7, StudyInstanceUID=uid("other study")))
    house.complete()
    with forwarding(house.store, INBOX):
        wait_for(all_in(house.store, "cloud", "sent", 6), "sent")
    assert sorted(len(archive(s3, key)) for key in keys(s3)) == [3, 3]


def test_a_large_study_goes_in_parts_and_begins_where_it_was_broken_off(
    s3: Any, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-26: what was uploaded is used again."""
    for number in range(5):
        house.store.send(make_ct(number, size=1024))
    house.complete()
    sent: list[int] = []
    broken = [True]

    def client(target: Inbox) -> Any:
        real = open_client(target)
        upload_part = real.upload_part

        def counted(**values: Any) -> Any:
            if broken[0] and values["PartNumber"] == 2:
                raise ConnectionResetError
            sent.append(values["PartNumber"])
            return upload_part(**values)

        real.upload_part = counted  # type: ignore[method-assign]
        return real

    monkeypatch.setattr("router.inbox.open_client", client)
    target = {**INBOX, "deflate": False}
    with forwarding(house.store, target) as forwarder:
        wait_for(lambda: forwarder.lanes["cloud"].health.failures >= 2, "failures")
        assert "sent" not in states(house.store, "cloud")
    assert sent == [1]
    broken[0] = False
    with forwarding(house.store, target):
        wait_for(all_in(house.store, "cloud", "sent", 5), "sent")
    assert sent == [1, 2, 3]
    (key,) = keys(s3)
    assert archive(s3, key) == files(house)


def test_told_to_stop_it_ends_with_the_part_in_hand_and_goes_on_behind_it(
    s3: Any, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-27, of an upload."""
    for number in range(5):
        house.store.send(make_ct(number, size=1024))
    house.complete()
    sent: list[int] = []
    begun, told = Event(), Event()

    def client(target: Inbox) -> Any:
        real = open_client(target)
        upload_part = real.upload_part

        def slow(**values: Any) -> Any:
            begun.set()
            assert told.wait(20)
            sent.append(values["PartNumber"])
            return upload_part(**values)

        real.upload_part = slow  # type: ignore[method-assign]
        return real

    monkeypatch.setattr("router.inbox.open_client", client)
    target = {**INBOX, "deflate": False}
    with forwarding(house.store, target) as forwarder:
        assert begun.wait(20)
        forwarder.stop(0)
        told.set()
        assert forwarder.stop(20)
    assert sent == [1]
    assert states(house.store, "cloud") == ["waiting"] * 5
    with forwarding(house.store, target):
        wait_for(all_in(house.store, "cloud", "sent", 5), "sent")
    assert sent == [1, 2, 3]


def test_sent_again_it_is_the_same_object(s3: Any, house: House) -> None:
    """FI-06: killed after the bucket had it and before the rows knew."""
    house.store.send(make_ct(1))
    house.complete()
    for _ in range(2):
        with forwarding(house.store, INBOX):
            wait_for(all_in(house.store, "cloud", "sent", 1), "sent")
        house.store.committer.run(lambda database: database.run("UPDATE deliveries SET state = 'sending'"))
    assert len(keys(s3)) == 1


@pytest.mark.parametrize("is_there", [False, True])
def test_an_upload_that_the_bucket_does_not_know_was_completed_or_is_begun_anew(
    is_there: bool, s3: Any, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-06: killed after it was completed. Or a lifecycle rule aborted what was left lying."""
    house.store.send(make_ct(1))
    house.complete()
    with forwarding(house.store, INBOX):
        wait_for(all_in(house.store, "cloud", "sent", 1), "sent")
    (key,) = keys(s3)
    run = house.store.committer.run
    run(lambda database: database.run("UPDATE deliveries SET state = 'sending'"))
    row = ("cloud", STUDY_UID, 1, key, 5 << 20, "gone")
    run(lambda database: database.run("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?)", row))
    if not is_there:
        s3.delete_object(Bucket=BUCKET, Key=key)
    completed: list[str] = []

    def client(target: Inbox) -> Any:
        """moto has no NoSuchUpload for a part."""
        real = open_client(target)
        upload_part, complete = real.upload_part, real.complete_multipart_upload

        def upload(**values: Any) -> Any:
            if values["UploadId"] == "gone":
                answer: Any = {"Error": {"Code": "NoSuchUpload"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
                raise ClientError(answer, "UploadPart")
            return upload_part(**values)

        def finish(**values: Any) -> Any:
            completed.append(values["UploadId"])
            return complete(**values)

        real.upload_part, real.complete_multipart_upload = upload, finish  # type: ignore[method-assign]
        return real

    monkeypatch.setattr("router.inbox.open_client", client)
    with forwarding(house.store, INBOX):
        wait_for(all_in(house.store, "cloud", "sent", 1), "sent")
    assert len(completed) == (0 if is_there else 1)
    assert keys(s3) == [key]


@pytest.mark.parametrize("is_made", [True, False])
def test_a_commit_of_which_nobody_knows_leaves_no_study_in_hand_for_good(
    is_made: bool, s3: Any, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-10, of an upload: all is noted as sent without a new start, and there is one object."""
    house.store.send(make_ct(1))
    house.complete()
    faults = failing_commits(monkeypatch, is_made=is_made)
    with forwarding(house.store, INBOX):
        wait_for(all_in(house.store, "cloud", "sent", 1), "sent")
    assert faults == ["sending", "sent"]
    assert len(keys(s3)) == 1


def test_a_damaged_file_is_left_out_and_said_to_be(
    s3: Any, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        house.store.send(make_ct(number))
    house.complete()
    damaged = house.store.kept(make_ct(1).SOPInstanceUID)
    assert damaged is not None
    path = house.store.spool.path_of(damaged.place)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with forwarding(house.store, INBOX):
        wait_for(lambda: states(house.store, "cloud") == ["sent", "refused", "sent"], "the states")
    assert len(archive(s3, keys(s3)[0])) == 2
    assert "DIGEST_MISMATCH" in rows(house.store, "cloud", "detail")[1][0]
    assert outstanding(house.store) == [False, True, False]


def test_without_a_bucket_nothing_is_lost_and_somebody_is_told(
    s3: Any, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.store.send(make_colour(1))
    house.complete()
    with forwarding(house.store, {**INBOX, "bucket": "no-such-bucket"}):
        wait_for(lambda: "DESTINATION_DOWN" in {getattr(one, "alarm", "") for one in caplog.records}, "alarm")
    assert states(house.store, "cloud") == ["waiting"]
    with forwarding(house.store, INBOX):
        wait_for(all_in(house.store, "cloud", "sent", 1), "sent")


def test_a_profile_changes_what_is_sent(s3: Any, house: House) -> None:
    from dataclasses import replace

    from ponte.destination import Outgoing

    def shortened(instance: Outgoing) -> Outgoing:
        return replace(instance, content=b"changed", dataset_start=0)

    profiles: dict[str, Transform] = {"research": shortened}
    house.store.send(make_ct(1))
    house.complete()
    with forwarding(house.store, {**INBOX, "profile": "research"}, profiles=profiles):
        wait_for(all_in(house.store, "cloud", "sent", 1), "sent")
    assert archive(s3, keys(s3)[0]) == [b"changed"]
