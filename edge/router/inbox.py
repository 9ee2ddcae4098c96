"""Finished studies to a bucket: each part of a study one ZIP, uploaded in parts whose checksums S3 verifies.

The object's key is made of its content, so that the same study has the same key however often it is sent, and
after a kill the upload goes on where it was (`router.uploads`).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from threading import Thread
from typing import TYPE_CHECKING, Final

from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ponte.errors import (
    DestinationRefused,
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
from router.upload_rows import StudyPart
from router.uploads import Stopped, Uploader, open_client
from router.zipstream import DamagedMember, Member, zip_stream

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

log = logging.getLogger(__name__)

_UNCOMPRESSED: Final = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
_PER_ENTRY = 256
_AGAIN_S = 1.0


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
        except Stopped:
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
        self._uploader = Uploader(
            workers.target, workers.client(workers.target), workers.committer, workers.lane.counters,
            lambda: workers.stopping,
        )  # fmt: skip
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
        size = sum(member.instance.size_bytes + _PER_ENTRY for member in members)
        folder = self._workers.spool.folder
        return self._uploader.send(self._part, self._key(members), size, lambda: zip_stream(members, folder))

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
