"""Finished studies to a bucket: each part of a study one ZIP, uploaded in parts whose checksums S3 verifies.

The object's key is made of its content, so that the same study has the same key however often it is sent.
What was uploaded is known by rows: after a kill the archive is made again, byte for byte the same, and only
the parts that are missing go over the line.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ponte.errors import (
    AccessRefused,
    DestinationRefused,
    DestinationUnavailable,
    InvalidRequest,
    PermanentError,
    PonteError,
    SourceUnavailable,
    TransientError,
)
from ponte.ingest import Transform
from router import delivery_rows, upload_rows
from router.committer import Committer
from router.database import Database
from router.deliveries import Judge
from router.delivery_rows import Delivery, Result
from router.destinations import Inbox
from router.failpoint import failpoint
from router.inhand import InHand
from router.lanes import NAP_S, Lane
from router.loads import Load, load
from router.savepoint import run_apart
from router.spool import Spool
from router.upload_rows import StudyPart, Upload
from router.zipstream import DamagedMember, Member, zip_stream

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_UNCOMPRESSED: Final = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
_MOST_PARTS: Final = 9_000  # of 10,000 that S3 allows
_PER_ENTRY = 256
_BUSY: Final = frozenset({408, 429})
_AGAIN_S = 1.0


class _Stopped(TransientError):  # a message to the worker
    """Asked to end between two parts."""


class _UploadGone(TransientError):  # likewise
    """The bucket does not know the upload: it was completed, aborted or has expired."""


class InboxWorkers:
    """The workers of a bucket."""

    def __init__(
        self,
        lane: Lane,
        committer: Committer,
        spool: Spool,
        *,
        transform: Transform | None = None,
        confirmed: Callable[[int], None] = lambda _: None,
        client: Callable[[Inbox], S3Client] | None = None,
    ) -> None:
        if not isinstance(lane.target, Inbox):
            raise InvalidRequest(f"{lane.target.name} is no inbox")
        self.lane = lane
        self.target: Inbox = lane.target
        self.committer = committer
        self.spool = spool
        self.transform = transform
        self.confirmed = confirmed
        self.judge = Judge(lane.target.retry)
        self.in_hand = InHand(committer, lane.target.name)
        self.stopping = False
        self.client = client or open_client
        self._threads = [
            Thread(target=_Worker(self).work, name=f"{lane.target.name}-{number}", daemon=True)
            for number in range(lane.target.concurrency)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopping = True
        self.lane.wake()

    def join(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in self._threads)


class _Worker:
    """One thread: one archive at a time."""

    def __init__(self, workers: InboxWorkers) -> None:
        self._workers = workers
        self._lane = workers.lane
        self._name = workers.target.name
        self._sleeper = workers.lane.sleeper()

    def work(self) -> None:
        while not self._workers.stopping:
            try:
                wait_s = self._lane.wait_s()
                if wait_s > 0 or not self._turn():
                    self._lane.nap(self._sleeper, wait_s or NAP_S)
            except TransientError as error:
                log.error("deliveries not noted", extra={"destination": self._name, "code": error.code})
                self._lane.nap(self._sleeper, _AGAIN_S)

    def _turn(self) -> bool:
        """Send the next archive; False where there is none. Raises `TransientError` where rows fail."""
        part = self._workers.in_hand.claim(
            lambda database: upload_rows.claim_part(database, self._name),
            lambda claimed: [delivery for delivery, _ in claimed.deliveries] if claimed else [],
        )
        if part is None:
            return False
        results = self._brought(part)
        self._settle(part, results)
        failpoint("confirmed")
        for result in results:
            if result.state == "sent":
                self._workers.confirmed(result.delivery.number)
        for state in {result.state for result in results}:
            count = sum(result.state == state for result in results)
            self._lane.counters.add("ponte_forward_total", count, destination=self._name, result=state)
        return True

    def _settle(self, part: StudyPart, results: Sequence[Result]) -> None:
        """Raises `TransientError`: then the archive is sent again, which makes the same object."""

        def settle(database: Database) -> None:
            delivery_rows.settle(database, self._name, results)
            if any(result.state == "sent" for result in results):
                upload_rows.forget_upload(database, self._name, part)

        numbers = [delivery.number for delivery, _ in part.deliveries]
        try:
            run_apart(self._workers.committer, settle)
        except BaseException:
            self._workers.in_hand.release(numbers, in_doubt=True)
            raise
        self._workers.in_hand.release(numbers)

    def _brought(self, part: StudyPart) -> list[Result]:
        """What becomes of each member: all those that are whole are in the object, or none is sent."""
        judge, lane = self._workers.judge, self._lane
        archive = _Archive(self._workers, part)
        try:
            uploaded = archive.upload()
        except _Stopped:
            return [judge.put_back(delivery, unclear=False) for delivery, _ in part.deliveries]
        except (SourceUnavailable, DestinationRefused) as error:  # it is about this archive
            if isinstance(error, DestinationRefused):
                lane.failed(error)
            return [judge.failed(delivery, error.detail) for delivery, _ in part.deliveries]
        except PonteError as error:
            lane.failed(error)
            return [judge.put_back(delivery, unclear=True) for delivery, _ in part.deliveries]
        except Exception as error:  # noqa: BLE001  a mistake of ours must not stop the destination for good
            extra = {"destination": self._name, "code": type(error).__name__}
            log.error("forwarding failed", extra={"alarm": "FORWARDER", **extra})
            lane.failed(TransientError("An error of ours"))
            return [judge.failed(delivery, "An error of ours") for delivery, _ in part.deliveries]
        lane.succeeded()
        refused = archive.refused
        now = time.time()
        for detail in refused.values():
            extra = {"alarm": "DELIVERY_REFUSED", "destination": self._name, "code": detail[:40]}
            log.error("instance left out of the archive", extra=extra)
        return [
            judge.refused(delivery, refused[delivery.number])
            if delivery.number in refused
            else Result(delivery, "sent", uploaded, 200, delivery.attempts + 1, sent_at=now)
            for delivery, _ in part.deliveries
        ]


class _Archive:
    """One archive on its way. `refused` are the members that are left out, and why."""

    def __init__(self, workers: InboxWorkers, part: StudyPart) -> None:
        self._workers = workers
        self._target = workers.target
        self._part = part
        self._client = workers.client(workers.target)
        self.refused: dict[int, str] = {}

    def upload(self) -> str:
        """The object's key, once the bucket has it as a whole; "" where nothing is left to send.

        Raises `PonteError`.
        """
        loads = self._loads()
        try:
            while True:
                members = [self._member(one, digest) for one, digest in loads]
                members = [member for member in members if member.number not in self.refused]
                if not members:
                    return ""
                try:
                    return self._send(members)
                except DamagedMember as error:
                    self.refused[error.member.number] = f"{error.code}: {error.detail}"
                    log.error("kept instance is damaged", extra={"alarm": "DIGEST_MISMATCH"})
        finally:
            for one, _ in loads:
                one.close()

    def _loads(self) -> list[tuple[Load, bytes | None]]:
        found: list[tuple[Load, bytes | None]] = []
        for delivery, sha256 in self._part.deliveries:
            try:
                one, digest = self._load(delivery, sha256)
            except PermanentError as error:
                self.refused[delivery.number] = f"{error.code}: {error.detail}"
            else:
                found.append((one, digest))
        return found

    def _load(self, delivery: Delivery, sha256: bytes) -> tuple[Load, bytes | None]:
        path = self._workers.spool.path_of(delivery.place)
        if delivery.instance_state != "kept" or not path.exists():
            raise InvalidRequest("The instance is not here any more", code="INSTANCE_MISSING")
        one = load(delivery, path)
        if self._workers.transform is None:
            return one, sha256
        one.outgoing = self._workers.transform(one.outgoing)
        return one, None

    def _member(self, one: Load, sha256: bytes | None) -> Member:
        deflate = self._target.deflate and one.outgoing.transfer_syntax_uid in _UNCOMPRESSED
        return Member(one.delivery.number, one.outgoing, deflate, sha256)

    def _send(self, members: Sequence[Member]) -> str:
        key = self._key(members)
        begun = self._begin(key, members)
        try:
            return self._finish(begun, self._upload_parts(begun, members))
        except _UploadGone:
            if self._is_there(key):
                return key
            self._forget()
            raise

    def _key(self, members: Sequence[Member]) -> str:
        """Of the study's UID and of what is sent of it: no word of it comes from the images."""
        study = hashlib.sha256(self._part.study_instance_uid.encode()).hexdigest()[:32]
        content = hashlib.sha256()
        for member in members:
            digest = member.sha256 or b"changed on the way"
            content.update(
                b"%s %d %s\n" % (member.instance.sop_instance_uid.encode(), member.deflate, digest)
            )
        return f"{self._target.prefix}{study}-{self._part.part:03d}-{content.hexdigest()[:16]}.zip"

    def _begin(self, key: str, members: Sequence[Member]) -> Upload:
        """The upload of this very object that is under way, or a new one."""
        name, part, run = self._target.name, self._part, self._workers.committer
        there = run_apart(run, lambda database: upload_rows.upload(database, name, part))
        if there is not None and there.object_key == key:
            return there
        if there is not None:
            self._abort(there.object_key, there.upload_id)
        self._abort_unknown(key)
        size = sum(member.instance.size_bytes + _PER_ENTRY for member in members)
        part_bytes = max(self._target.part_bytes, -(-size // _MOST_PARTS))
        with _translated():
            answer = self._client.create_multipart_upload(
                Bucket=self._target.bucket, Key=key, ContentType="application/zip", ChecksumAlgorithm="SHA256"
            )
        begun = Upload(key, part_bytes, answer["UploadId"], {})
        run_apart(run, lambda database: upload_rows.keep_upload(database, name, part, begun))
        failpoint("upload-begun")
        return begun

    def _upload_parts(self, begun: Upload, members: Sequence[Member]) -> list[dict[str, Any]]:
        """Those that the bucket has are not sent again."""
        parts: list[dict[str, Any]] = []
        stream = zip_stream(members, self._workers.spool.folder)
        for number, data in enumerate(_pieces(stream, begun.part_bytes), 1):
            if self._workers.stopping:
                raise _Stopped("Asked to end")
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
            self._workers.committer,
            lambda database: upload_rows.keep_uploaded(database, begun.upload_id, number, etag, digest),
        )
        failpoint("part-uploaded")
        self._workers.lane.counters.add(
            "ponte_forwarded_bytes_total", len(data), destination=self._target.name
        )
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

    def _is_there(self, key: str) -> bool:
        """The key is that of the content, and S3 makes an object at once or not at all."""
        with suppress(PonteError), _translated():
            self._client.head_object(Bucket=self._target.bucket, Key=key)
            return True
        return False

    def _forget(self) -> None:
        name, part = self._target.name, self._part
        run_apart(self._workers.committer, lambda database: upload_rows.forget_upload(database, name, part))

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
