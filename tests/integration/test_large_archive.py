"""The ingest function over an archive that nobody could hold: generated as it is read, run after run.

S3 is a stub, since the emulator's is in memory; tables and queues are the emulator's; each run is a process.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.local.aws import REGION
from infra.local.emulator import Emulator
from infra.local.process import wait_for
from tests.corpus import ROOT
from tests.factories import encode, make_ct
from tests.stub_orthanc import StubOrthanc, stub_orthanc
from tests.stub_s3 import StubS3, serving
from tests.unit.zip_ingest.conftest import INBOX, event, record

MOST_BYTES = 512 << 20
KEY = "exames.zip"
CHILD = """
import json, sys, time
from types import SimpleNamespace
from zip_ingest.handler import handler
limit_s, began = float(sys.argv[1]), time.monotonic()
left = lambda: int(1000 * (limit_s - (time.monotonic() - began)))
answer = handler(json.load(sys.stdin), SimpleNamespace(get_remaining_time_in_millis=left))
peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(json.dumps({"answer": answer, "peak_bytes": 1024 * int(peak.split()[1])}))
"""


class GeneratedArchive:
    """A ZIP of `count` stored instances that differ in their UID alone; its bytes are made when asked for."""

    def __init__(self, count: int, *, size: int = 512) -> None:
        template = encode(make_ct(1, size=size))
        name = str(make_ct(1).SOPInstanceUID).encode()
        parts = template.split(name)
        self._between = [parts[0], parts[1], b"".join([parts[2], *parts[3:]])]
        assert len(parts) == 3  # in the file meta, and in the dataset
        self._width = len(name)
        self._count = count
        self._size = len(template)
        self._checksums = [zlib.crc32(self._instance(number)) for number in range(count)]
        self._starts = [0]
        for number in range(count):
            self._starts.append(self._starts[-1] + len(self._local(number)) + self._size)
        self._tail = self._directory()
        self._last: tuple[int, bytes] = (-1, b"")
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._starts[-1] + len(self._tail)

    def __getitem__(self, wanted: slice) -> bytes:
        start, stop, _ = wanted.indices(len(self))
        pieces = []
        while start < stop:
            place, data = self._piece(start)
            piece = data[start - place : stop - place]
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def digests(self) -> Iterator[str]:
        """SHA-256 of each instance."""
        for number in range(self._count):
            yield hashlib.sha256(self._instance(number)).hexdigest()

    def _piece(self, position: int) -> tuple[int, bytes]:
        if position >= self._starts[-1]:
            return self._starts[-1], self._tail
        number = bisect_right(self._starts, position) - 1
        start, header = self._starts[number], self._local(number)
        if position < start + len(header):
            return start, header
        with self._lock:
            if self._last[0] != number:
                self._last = (number, self._instance(number))
            return start + len(header), self._last[1]

    def _instance(self, number: int) -> bytes:
        prefix = b"1.2.826.0.1.3680043.8.498."
        name = prefix + b"1" + str(number).encode().rjust(self._width - len(prefix) - 1, b"0")
        return name.join(self._between)

    def _local(self, number: int) -> bytes:
        name, sizes = self._name(number), (self._checksums[number], self._size, self._size)
        return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, *sizes, len(name), 0) + name

    def _name(self, number: int) -> bytes:
        return f"IM{number:06}".encode()

    def _directory(self) -> bytes:
        """With a 64-bit end record, and 64-bit offsets in every entry."""
        entries = []
        for number in range(self._count):
            name, sizes = self._name(number), (self._checksums[number], self._size, self._size)
            extra = struct.pack("<HHQ", 1, 8, self._starts[number])
            fixed = struct.pack(
                "<4s6H3L5H2L",
                b"PK\1\2",
                45,
                45,
                0,
                0,
                0,
                33,
                *sizes,
                len(name),
                len(extra),
                0,
                0,
                0,
                0,
                2**32 - 1,
            )
            entries.append(fixed + name + extra)
        directory, start, count = b"".join(entries), self._starts[-1], self._count
        end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), start)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + len(directory), 1)
        short = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *[2**16 - 1] * 2, *[2**32 - 1] * 2, 0)
        return directory + end + locator + short


@dataclass(frozen=True)
class Cloud:
    """What the function finds around it."""

    environment: dict[str, str]
    sqs: Any
    queue_url: str
    s3: StubS3
    pacs: StubOrthanc

    def run(self, body: Any, *, limit_s: float, kill_at: int = 0) -> int:
        """One run in a process of its own; its peak of memory in bytes, 0 where it is killed at so many."""
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        if kill_at:
            self.pacs.before = lambda count: process.send_signal(signal.SIGKILL) if count >= kill_at else None
        said, _ = process.communicate(json.dumps({"Records": [record(body)]}))
        self.pacs.before = lambda _: None
        if kill_at:
            assert process.returncode == -signal.SIGKILL
            return 0
        assert process.returncode == 0
        answer = json.loads(said.splitlines()[-1])
        assert answer["answer"] == {"batchItemFailures": []}
        return int(answer["peak_bytes"])

    def next_message(self) -> dict[str, str] | None:
        found = self.sqs.receive_message(QueueUrl=self.queue_url).get("Messages", [])
        for message in found:
            self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return json.loads(found[0]["Body"]) if found else None


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    folder = tmp_path / "aws"
    folder.mkdir()
    given: dict[str, Any] = {
        "region_name": REGION,
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    with Emulator(folder) as emulator, serving(StubS3()) as s3, stub_orthanc() as pacs:
        sqs = boto3.client("sqs", endpoint_url=emulator.endpoint_url, **given)
        dynamodb = boto3.client("dynamodb", endpoint_url=emulator.endpoint_url, **given)
        for name, key in (("archives", "archive_id"), ("ledger", "key")):
            dynamodb.create_table(
                TableName=name,
                KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("ingest", "dead")}
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("functions", "layers/ponte/python")),
            "TMPDIR": str(tmp_path),
            "AWS_ENDPOINT_URL": emulator.endpoint_url,
            "AWS_ENDPOINT_URL_S3": s3.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "STAGE": "local",
            "ARCHIVES_TABLE": "archives",
            "LEDGER_TABLE": "ledger",
            "INBOX_BUCKET": INBOX,
            "INGEST_QUEUE_URL": urls["ingest"],
            "INGEST_DEAD_LETTER_URL": urls["dead"],
            "INGEST_DESTINATION": pacs.destination,
            "LEASE_SECONDS": "2",
            "RETRY_BASE_SECONDS": "0",
        }
        yield Cloud(environment, sqs, urls["ingest"], s3, pacs)


@pytest.mark.parametrize(
    ("count", "limit_s", "margin_s"),
    [
        pytest.param(600, 4, 3.5, id="300 MB"),
        pytest.param(20_000, 180, 60, id="10 GB", marks=pytest.mark.exhaustive),
    ],
)
def test_fi_18_an_archive_of_any_size_comes_in_over_many_runs_within_its_memory(
    cloud: Cloud, count: int, limit_s: float, margin_s: float, record_property: Any
) -> None:
    """One of the runs is killed in its middle: what was in flight then is the only thing sent again."""
    content = GeneratedArchive(count)
    cloud.s3.put(f"{INBOX}/{KEY}", content, etag="e" * 32)
    cloud.environment["MARGIN_SECONDS"] = str(margin_s)
    arrived = event(KEY, etag="e" * 32, version_id=None, size=len(content))
    cloud.run(arrived, limit_s=10_000, kill_at=count // 3)
    # The lease of the killed run ends, and its message comes again.
    peaks = []
    message: Any = arrived
    wait_for(lambda: _is_free(cloud), timeout_s=30, msg="the lease of the killed run does not end")
    while message is not None:
        peaks.append(cloud.run(message, limit_s=limit_s))
        message = cloud.next_message()
    received = cloud.pacs.received
    assert len(received) == count
    assert set(received) == set(content.digests())
    again = [name for name, times in received.items() if times > 1]
    assert len(again) <= 128  # a batch
    assert max(peaks) <= MOST_BYTES
    (report,) = [
        json.loads(bytes(one.content[0 : len(one.content)]))
        for name, one in cloud.s3.objects.items()
        if name.startswith(f"{INBOX}/reports/") and name.endswith(".json")
    ]
    assert (report["verdict"], report["totals"]["delivered"]) == ("done", count)
    fetched = sum(min(got.end, len(content)) - got.start for got in cloud.s3.ranges() if got.key == KEY)
    record_property("runs", len(peaks) + 1)
    record_property("peak_mib", max(peaks) >> 20)
    record_property("fetched", fetched / len(content))
    print(
        f"{len(content)} bytes, {len(peaks) + 1} runs, {max(peaks) >> 20} MiB, {len(again)} again, "
        f"{fetched / len(content):.3f} fetched"
    )


def _is_free(cloud: Cloud) -> bool:
    import time

    table = boto3.resource(
        "dynamodb",
        endpoint_url=cloud.environment["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ).Table("archives")
    (row,) = table.scan(ConsistentRead=True)["Items"]
    return float(str(row["lease_until"])) < time.time() - 1
