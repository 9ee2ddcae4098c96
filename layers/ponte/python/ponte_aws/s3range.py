"""An object of S3 that can seek: read by ranges of one and the same version, each byte about once.

Small reads here and there are ranges of just that size; as soon as one read follows another, blocks of 8 MiB
are fetched ahead of the reader. What breaks off goes on where it stopped. A read never mixes two versions:
every range names the version, or the ETag that the object must still have.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import urllib3
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.httpsession import get_cert_path
from urllib3.exceptions import HTTPError

from ponte.archiving.directory import Span
from ponte.errors import PermanentError, SourceUnavailable

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound", "405", "MethodNotAllowed"})
_REPLACED = frozenset({"412", "PreconditionFailed"})
_LINK_S = 3600
_CUT = (HTTPClientError, IncompleteReadError, HTTPError, OSError)


Get = Callable[[str], tuple[str, Any]]
"""Asks for a range, and gives what the answer says it is, and its body."""


class ObjectGone(PermanentError):
    """The object, or the version that was meant, is not there any more."""

    default_code = "OBJECT_GONE"


class ObjectReplaced(PermanentError):
    """Under the object's key there is another one now, for which an event of its own comes."""

    default_code = "OBJECT_REPLACED"


@dataclass(frozen=True, slots=True)
class ObjectName:
    """Which object is meant: a version, or where none are kept, the ETag. A key may name a patient."""

    bucket: str
    key: str = field(repr=False)
    version_id: str | None = None
    etag: str | None = None

    def parameters(self) -> dict[str, Any]:
        """What S3 is asked with."""
        given = {
            "Bucket": self.bucket,
            "Key": self.key,
            "VersionId": self.version_id,
            "IfMatch": f'"{self.etag.strip(chr(34))}"' if self.etag else None,
        }
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class RangeLimits:
    """`ahead` blocks are fetched before they are asked for; spans nearer than `near_bytes` become one range.

    `retries` are those in a row that brought no byte; `backoff_s` doubles each time.
    """

    block_bytes: int = 8 << 20
    ahead: int = 2
    at_once: int = 32
    near_bytes: int = 64 << 10
    span_bytes: int = 1 << 20
    retries: int = 6
    backoff_s: float = 0.2
    most_backoff_s: float = 10.0


class S3Range:
    """A `ponte.archiving.directory.Seekable` over an object, for one reader. To be closed.

    Raises `ObjectGone`, `ObjectReplaced`, and `SourceUnavailable` where S3 does not answer in the end.
    """

    def __init__(
        self,
        s3: S3Client,
        name: ObjectName,
        *,
        limits: RangeLimits | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._s3 = s3
        self._limits = limits or RangeLimits()
        self._sleep = sleep
        self._name = name
        head = self._ask(lambda: s3.head_object(**name.parameters()))
        self.size_bytes = int(head["ContentLength"])
        self.etag = str(head["ETag"]).strip('"')
        self._name = ObjectName(name.bucket, name.key, name.version_id, self.etag)
        self._link = ("", 0.0)
        self._http = urllib3.PoolManager(
            maxsize=self._limits.at_once, cert_reqs="CERT_REQUIRED", ca_certs=get_cert_path(verify=True)
        )
        self._pool = ThreadPoolExecutor(self._limits.at_once, thread_name_prefix="s3range")
        self._position = 0
        self._last_end = -self._limits.near_bytes - 1  # nothing goes on from there
        self._block = (0, b"")
        self._ahead: deque[tuple[int, Future[bytes]]] = deque()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move; nothing is read."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def read(self, size: int, /) -> bytes:
        """At most so many bytes, and at most a block; none at the end alone."""
        size = min(size, self.size_bytes - self._position, self._limits.block_bytes)
        if size <= 0:
            return b""
        start, data = self._holding(self._position, size)
        piece = data[self._position - start : self._position - start + size]
        self._position += len(piece)
        self._last_end = self._position
        return piece

    def spans(self, wanted: Sequence[Span], /) -> Iterator[bytes]:
        """The bytes of each span in their order, by many small ranges at once."""
        groups = _grouped(wanted, self._limits)
        waiting: deque[tuple[list[Span], Future[bytes]]] = deque()
        for group in groups:
            start, end = group[0][0], max(offset + size for offset, size in group)
            waiting.append((group, self._fetched(start, min(end, self.size_bytes))))
            if len(waiting) > 2 * self._limits.at_once:
                yield from _cut(*waiting.popleft())
        while waiting:
            yield from _cut(*waiting.popleft())

    def close(self) -> None:
        """Ask for nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._http.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _holding(self, position: int, size: int) -> tuple[int, bytes]:
        """A start and bytes from there on that hold at least the first byte at `position`."""
        if not _holds(self._block, position):
            while self._ahead and not self._ahead[0][0] <= position < self._ends(self._ahead[0][0]):
                self._ahead.popleft()[1].cancel()
            if self._ahead:
                start, future = self._ahead.popleft()
                self._block = (start, future.result())
                self._read_ahead(self._ends(start))
            else:
                self._begin(position, size)
        return self._block

    def _begin(self, position: int, size: int) -> None:
        """A new place: just what is asked for, or where it goes on from the last, a block and those after."""
        goes_on = 0 <= position - self._last_end <= self._limits.near_bytes
        if self.size_bytes <= self._limits.block_bytes:
            position, end = 0, self.size_bytes
        else:
            end = self._ends(position) if goes_on else min(position + size, self.size_bytes)
        if goes_on:
            self._read_ahead(end)
        self._block = (position, b"")  # the old one goes before the new one comes
        self._block = (position, self._fetch(position, end))

    def _read_ahead(self, position: int) -> None:
        if self._ahead:
            position = self._ends(self._ahead[-1][0])
        while len(self._ahead) < self._limits.ahead and position < self.size_bytes:
            end = self._ends(position)
            self._ahead.append((position, self._pool.submit(self._fetch, position, end)))
            position = end

    def _ends(self, start: int) -> int:
        """Where the block that starts there ends."""
        return min(start + self._limits.block_bytes, self.size_bytes)

    def _fetched(self, start: int, end: int) -> Future[bytes]:
        """A range, from the block that is held or from S3."""
        held, data = self._block
        if start < end and _holds(self._block, start) and end <= held + len(data):
            done: Future[bytes] = Future()
            done.set_result(data[start - held : end - held])
            return done
        return self._pool.submit(self._fetch, start, end, self._get_small)

    def _fetch(self, start: int, end: int, get: Get | None = None) -> bytes:
        """Exactly this range, in as many answers as it takes."""
        got = bytearray()
        fruitless = 0
        while start + len(got) < end:
            before = len(got)
            self._fetch_some(got, start + before, end, get or self._get)
            fruitless = 0 if len(got) > before else fruitless + 1
            if fruitless > self._limits.retries:
                raise SourceUnavailable("S3 breaks off, each time before the first byte")
            if start + len(got) < end:
                logger.warning("range broken off", extra={"bytes": len(got)})
                self._wait(fruitless)
        return bytes(got)

    def _fetch_some(self, got: bytearray, start: int, end: int, get: Get) -> None:
        """Add what one answer brings, until it ends or breaks off."""
        said, body = self._ask(lambda: get(f"bytes={start}-{end - 1}"))
        left = end - start
        try:
            self._check_range(said, start)
            while left and (piece := body.read(min(left, 1 << 20))):
                got += piece
                left -= len(piece)
        except _CUT:
            return
        finally:
            body.close()

    def _get(self, wanted: str) -> tuple[str, Any]:
        answer = self._s3.get_object(**self._name.parameters(), Range=wanted)
        return answer.get("ContentRange", ""), answer["Body"]

    def _get_small(self, wanted: str) -> tuple[str, Any]:
        """By a link that is signed once: for small ranges botocore costs ten times what they do."""
        headers = {"Range": wanted, "If-Match": f'"{self.etag}"'}
        answer = self._http.request(
            "GET", self._signed(), headers=headers, preload_content=False, redirect=False, retries=False,
            timeout=urllib3.Timeout(connect=3, read=20),
        )  # fmt: skip
        if answer.status != 206:
            answer.close()
            raise _meaning(answer.status)
        return answer.headers.get("Content-Range", ""), answer

    def _signed(self) -> str:
        link, made = self._link
        if time.monotonic() - made > _LINK_S / 2 or not link:
            wanted = {k: v for k, v in self._name.parameters().items() if k != "IfMatch"}
            link = self._s3.generate_presigned_url("get_object", Params=wanted, ExpiresIn=_LINK_S)
            self._link = (link, time.monotonic())
        return link

    def _check_range(self, said: str, start: int) -> None:
        """Another range, or one of an object of another size, is no answer to what was asked."""
        if not said.startswith(f"bytes {start}-") or not said.endswith(f"/{self.size_bytes}"):
            raise SourceUnavailable("S3 answers with another range than that which was asked for")

    def _ask(self, request: Callable[[], Any]) -> Any:
        """One request, and again with growing pauses where that may help; botocore itself tries once."""
        attempt = 0
        while True:
            try:
                return request()
            except ClientError as error:
                failure = translated(error)
                if not isinstance(failure, SourceUnavailable) or attempt == self._limits.retries:
                    raise failure from error
            except SourceUnavailable:
                if attempt == self._limits.retries:
                    raise
            except (BotoCoreError, *_CUT) as error:
                if attempt == self._limits.retries:
                    raise SourceUnavailable(f"S3 does not answer ({type(error).__name__})") from error
            attempt += 1
            self._wait(attempt)

    def _wait(self, attempt: int) -> None:
        longest = min(self._limits.backoff_s * 2 ** max(attempt - 1, 0), self._limits.most_backoff_s)
        self._sleep(random.uniform(longest / 2, longest))  # noqa: S311  (keeps no secret)


def translated(error: ClientError) -> Exception:
    """What an answer about an object means; `SourceUnavailable` where it may be another one later."""
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _GONE:
        return _meaning(404)
    return _meaning(412 if code in _REPLACED else status)


def _meaning(status: int) -> Exception:
    """What a status means for the object that is read."""
    if status in (404, 405):
        return ObjectGone("The object is not there any more")
    if status == 412:
        return ObjectReplaced("The object was replaced by another one")
    return SourceUnavailable(f"S3 answers {status}")


def _holds(block: tuple[int, bytes], position: int) -> bool:
    start, data = block
    return start <= position < start + len(data)


def _grouped(wanted: Sequence[Span], limits: RangeLimits) -> Iterator[list[Span]]:
    """Neighbours that are near enough for one range."""
    group: list[Span] = []
    for span in wanted:
        if group and not _fits(group, span, limits):
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def _fits(group: Sequence[Span], span: Span, limits: RangeLimits) -> bool:
    last_end = sum(group[-1])
    is_near = 0 <= span[0] - last_end <= limits.near_bytes
    return is_near and sum(span) - group[0][0] <= limits.span_bytes


def _cut(group: Sequence[Span], future: Future[bytes]) -> Iterator[bytes]:
    data, start = future.result(), group[0][0]
    yield from (data[offset - start : offset - start + size] for offset, size in group)
