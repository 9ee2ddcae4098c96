"""Real destinations take what the router forwards: DCMTK's servers, Orthanc, and a bucket of the emulator."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset

from infra.local.emulator import REGION, Emulator, safe_environment
from infra.local.orthanc import Orthanc
from ponte.scan import scan
from router.catalogue import Catalogue, open_catalogue
from router.committing import Reports
from router.counters import Counters
from router.destinations import DicomNode, WebServer, read_destinations
from router.listener import Endpoint
from router.reconciliation import Reconciliation, reconcile, resend
from router.savepoint import run_apart
from router.scp import Scp
from router.views import Views
from tests.corpus import ROOT
from tests.dcmtk import dcmqrscp, storescp
from tests.factories import STUDY_UID, make_colour, make_ct, make_report
from tests.failing_proxy import Fault, failing_proxy
from tests.memory_intake import LOOPBACK, quick
from tests.unit.router.forwarding import (
    QUICK,
    all_in,
    dicom,
    forwarding,
    outstanding,
    receive,
    rows,
    states,
    wait_for,
)
from tests.unit.router.organised import House
from tests.unit.router.store import Store, dataset_of
from tests.unit.router.test_transcoding import take

MIXED = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "rtplan.dcm", "SC_rgb_jpeg_dcmtk.dcm")


def bundled(name: str) -> bytes:
    path = get_testdata_file(name)
    assert path is not None
    return Path(path).read_bytes()


def digests(files: list[bytes]) -> set[str]:
    return {hashlib.sha256(data[scan([data]).dataset_start :]).hexdigest() for data in files}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "root")
    yield store
    store.close()


def kept(store: Store) -> list[bytes]:
    return [store.spool.path_of(place).read_bytes() for place in store.spool.places()]


def target_of(**values: Any) -> DicomNode | WebServer:
    (found,) = read_destinations([values])
    assert isinstance(found, DicomNode | WebServer)
    return found


@pytest.mark.dcmtk
def test_an_archive_gets_everything_byte_for_byte_and_says_that_it_has_it(
    store: Store, tmp_path: Path
) -> None:
    sent = [*(make_ct(number) for number in range(20)), make_colour(1), make_report(1)]
    receive(store, sent)
    with dcmqrscp(tmp_path) as server:
        values = dicom("pacs", server.port, batch_instances=4)
        with forwarding(store, values):
            wait_for(all_in(store, "pacs", "sent", 22), "sent")
        assert digests(server.stored) == digests(kept(store))
        catalogue = open_catalogue(target_of(**values))
        found = compared(store, catalogue, "pacs", STUDY_UID)
        assert (found.words, found.is_complete) == ("22 of 22 arrived", True)


def compared(store: Store, catalogue: Catalogue, destination: str, study: str) -> Reconciliation:
    with Views(store.spool.folder.parent) as views:
        return reconcile(views, catalogue, destination, study)


@pytest.mark.dcmtk
def test_what_an_archive_lost_is_found_out_and_sent_again(store: Store, tmp_path: Path) -> None:
    receive(store, [make_ct(number) for number in range(5)])
    with dcmqrscp(tmp_path) as server:
        values = dicom("pacs", server.port)
        with forwarding(store, values):
            wait_for(all_in(store, "pacs", "sent", 5), "sent")
        receive(store, [make_ct(number, series=3) for number in range(3)])
        with forwarding(store, dicom("pacs", 1)):  # away: they are only planned
            wait_for(lambda: len(states(store, "pacs")) == 8, "planned")
        store.committer.run(lambda database: database.run("UPDATE deliveries SET state = 'sent'"))
        catalogue = open_catalogue(target_of(**values))
        found = compared(store, catalogue, "pacs", STUDY_UID)
        assert (found.words, len(found.missing)) == ("5 of 8 arrived", 3)
        again = run_apart(store.committer, lambda database: resend(database, "pacs", found.missing))
        assert again == 3
        with forwarding(store, values):
            wait_for(all_in(store, "pacs", "sent", 8), "sent")
        assert compared(store, catalogue, "pacs", STUDY_UID).words == "8 of 8 arrived"


@pytest.mark.dcmtk
def test_what_is_there_already_is_not_sent_again(store: Store, tmp_path: Path) -> None:
    receive(store, [make_ct(number) for number in range(6)])
    with dcmqrscp(tmp_path) as server:
        first = {"include": {"description": ["CANARY*"]}}
        with forwarding(store, dicom("first", server.port, rules=[first])):
            wait_for(all_in(store, "first", "sent", 6), "sent")
        receive(store, [make_ct(number) for number in range(6, 8)])
        expected = [*["skipped"] * 6, "sent", "sent"]
        with forwarding(store, dicom("second", server.port, skip_existing=True)):
            wait_for(lambda: states(store, "second") == expected, "the states")


@pytest.mark.dcmtk
def test_a_storescp_without_compressed_syntaxes_gets_all_that_may_be_decoded(
    store: Store, tmp_path: Path
) -> None:
    """FI-14."""
    for name in MIXED:
        take(store, bundled(name))
    with storescp(tmp_path) as server, forwarding(store, dicom("pacs", server.port)):
        wait_for(
            lambda: states(store, "pacs") == ["sent", "sent", "refused", "sent", "refused"], "the states"
        )
        assert len(server.stored) == 3
        assert all(scan([data]).accepted for data in server.stored)
        noted = [digest.hex() for (digest,) in rows(store, "pacs", "sent_sha256") if digest]
        assert noted, "some were sent in another syntax"
        assert set(noted) == digests(server.stored) - digests(kept(store))


@pytest.mark.dcmtk
@pytest.mark.parametrize("option", ["--abort-after", "--abort-during", "--refuse", "--sleep-during 30"])
def test_a_storescp_in_trouble_is_tried_until_it_is_well(option: str, store: Store, tmp_path: Path) -> None:
    """FI-13, NET-15."""
    receive(store, [make_ct(number, size=256) for number in range(3)])
    (tmp_path / "ill").mkdir()
    (tmp_path / "well").mkdir()
    with (
        storescp(tmp_path / "ill", *option.split()) as server,
        forwarding(store, dicom("pacs", server.port, timeout_s=1)) as forwarder,
    ):
        wait_for(lambda: forwarder.lanes["pacs"].health.failures >= 2, "failures")
        assert "sent" not in states(store, "pacs")
    with storescp(tmp_path / "well") as server, forwarding(store, dicom("pacs", server.port)):
        wait_for(all_in(store, "pacs", "sent", 3), "sent")
        assert digests(server.stored) == digests(kept(store))


@pytest.mark.orthanc
@pytest.mark.parametrize("kind", ["dicomweb", "orthanc"])
def test_an_orthanc_gets_everything_over_http(kind: str, store: Store, tmp_path: Path) -> None:
    receive(store, [make_ct(number) for number in range(10)])
    with Orthanc(tmp_path / "orthanc") as orthanc:
        values = {
            "kind": kind, "name": "web", "username": orthanc.username, "password": orthanc.password,
            "url": orthanc.dicomweb_url if kind == "dicomweb" else orthanc.url, "batch_instances": 4,
        }  # fmt: skip
        with forwarding(store, values):
            wait_for(all_in(store, "web", "sent", 10), "sent")
        assert outstanding(store) == [False] * 10
        catalogue = open_catalogue(target_of(**{**values, "kind": "dicomweb", "url": orthanc.dicomweb_url}))
        found = compared(store, catalogue, "web", STUDY_UID)
        assert found.words == "10 of 10 arrived"
        assert compared(store, catalogue, "web", "1.2.3").words == "0 of 0 arrived"


@pytest.mark.orthanc
def test_an_orthanc_commits_by_an_association_to_our_own_listener(store: Store, tmp_path: Path) -> None:
    receive(store, [make_ct(number) for number in range(4)])
    scp = Scp([Endpoint(0, LOOPBACK)], store.intake, counters=Counters(), **quick())
    scp.start()
    peers = {"router": ("ROUTER", LOOPBACK, scp.ports[0])}
    try:
        with Orthanc(tmp_path / "orthanc", dimse=True, modalities=peers) as orthanc:
            values = dicom(
                "pacs", orthanc.dicom_port, ae_title="ORTHANC", calling_ae_title="ROUTER", commitment=True
            )
            node = target_of(**values)
            assert isinstance(node, DicomNode)
            store.intake.reports = Reports(store.committer, [node])
            with forwarding(store, values):
                wait_for(all_in(store, "pacs", "committed", 4), "committed", timeout_s=60)
    finally:
        assert scp.stop(5)
    assert outstanding(store) == [False] * 4
    assert all(at for (at,) in rows(store, "pacs", "committed_at"))


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    folder = tmp_path / "emulator"
    folder.mkdir()
    for name, value in safe_environment({}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with Emulator(folder) as emulator:
        client = boto3.client("s3", endpoint_url=emulator.endpoint_url, region_name=REGION)
        client.create_bucket(Bucket="inbox-of-test")
        yield emulator.endpoint_url, client


@pytest.mark.parametrize(
    "failpoint", ["upload-begun", "part-uploaded", "part-uploaded:2", "answered", "confirmed"]
)
def test_killed_during_an_upload_it_goes_on_and_there_is_one_object(
    failpoint: str, bucket: tuple[str, Any], tmp_path: Path
) -> None:
    """FI-06, FI-26, FI-27: wherever it is killed, the study is in the bucket once, whole, and known to be."""
    endpoint, s3 = bucket
    house = House(tmp_path / "root")
    instances = [make_ct(number, size=1024) for number in range(6)]
    receive(house.store, instances)
    house.complete()
    house.close()
    child = [sys.executable, "-m", "tests.unit.router.inbox_child", str(tmp_path / "root"), endpoint]
    environment = {**os.environ, "FAILPOINT": failpoint, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(child, env=environment, cwd=ROOT, timeout=120, check=False).returncode == 137
    environment["FAILPOINT"] = ""
    assert subprocess.run(child, env=environment, cwd=ROOT, timeout=120, check=False).returncode == 0
    store = Store(tmp_path / "root")
    assert states(store, "cloud") == ["sent"] * 6
    assert digests(members_of_the_one_object(s3)) == {sha256_of(one) for one in instances}
    assert not s3.list_multipart_uploads(Bucket="inbox-of-test").get("Uploads")
    store.close()


@pytest.mark.parametrize(
    "fault", ["503", "cut", "answer lost", pytest.param("slow", marks=pytest.mark.exhaustive)]
)
def test_over_a_line_that_fails_the_study_is_in_the_bucket_once_and_known_to_be(
    fault: Fault, bucket: tuple[str, Any], tmp_path: Path
) -> None:
    """FI-13, FI-26, uploads: each request that matters fails as often as boto3 tries it."""
    endpoint, s3 = bucket
    house = House(tmp_path / "root")
    instances = [make_ct(number, size=1024) for number in range(6)]
    receive(house.store, instances)
    house.complete()
    left = {"uploads": 2, "partNumber=1": 2, "partNumber=2": 2, "complete": 2}

    def fail(method: str, path: str) -> Fault | None:
        for kind in left:
            named = kind in path if kind != "complete" else method == "POST" and "uploadId" in path
            if named and method in ("POST", "PUT") and left[kind]:
                left[kind] -= 1
                return fault
        return None

    with failing_proxy(endpoint, fail) as proxy:
        inbox = {
            "kind": "s3", "name": "cloud", "bucket": "inbox-of-test", "region": REGION, "retry": QUICK,
            "endpoint_url": proxy.url, "part_bytes": 5 << 20, "deflate": False, "timeout_s": 1.5,
        }  # fmt: skip
        with forwarding(house.store, inbox) as forwarder:
            wait_for(lambda: not left["uploads"] and forwarder.lanes["cloud"].health.failures, "a failure")
            assert "sent" not in states(house.store, "cloud")
            wait_for(all_in(house.store, "cloud", "sent", 6), "sent", timeout_s=90)
    assert not any(left.values())
    assert digests(members_of_the_one_object(s3)) == {sha256_of(one) for one in instances}
    assert not s3.list_multipart_uploads(Bucket="inbox-of-test").get("Uploads")
    if fault in ("503", "cut"):
        assert len([path for _, path in proxy.passed if "partNumber=1" in path]) == 1
    house.close()


def members_of_the_one_object(s3: Any) -> list[bytes]:
    (one,) = s3.list_objects_v2(Bucket="inbox-of-test")["Contents"]
    data = s3.get_object(Bucket="inbox-of-test", Key=one["Key"])["Body"].read()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [archive.read(name) for name in archive.namelist()]


def sha256_of(instance: FileDataset) -> str:
    return hashlib.sha256(dataset_of(instance)).hexdigest()
