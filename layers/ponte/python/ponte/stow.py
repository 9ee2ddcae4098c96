"""Instances to a DICOMweb server: batch by batch, each in one streamed request (STOW-RS, PS3.18 10.5).

Nothing counts as stored that the server's answer does not name.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from ponte.destination import Outcome, Outgoing
from ponte.dicomweb import BUSY, REDIRECTS, Credentials, Retry, checked_address, origin_of, retry_after_s
from ponte.errors import (
    AccessRefused,
    BadAnswer,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    InvalidRequest,
    LimitExceeded,
    PonteError,
)
from ponte.storeanswer import Said, describe_failure, describe_warning, is_temporary, read_answer

_CHUNK = 256 << 10
_STALL_S = 60.0
_SLOWEST = 1 << 20  # bytes a second at which a server is given time to store
_SAME_METHOD = frozenset({307, 308})
_CONTENT = frozenset({400, 413, 415, 422})  # statuses that are about what was sent, not about the address
_PART_HEAD = "--{}\r\nContent-Type: application/dicom\r\n\r\n"
_PART_END = b"\r\n"


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What a request may hold, and what a server may cost.

    `answer_s` is beyond one second for each MiB sent: a PACS answers when it has stored everything. `retries`
    are beyond the first try, `backoff_s` doubles each time.
    """

    batch_bytes: int = 64 << 20
    batch_instances: int = 200
    connect_s: float = 5.0
    answer_s: float = 60.0
    answer_bytes: int = 8 << 20
    retries: int = 3
    backoff_s: float = 0.5


class _NotTaken(DestinationRefused):  # a message to the caller above
    """The server does not take this request; it may take a smaller one, or one with other instances."""


class StowDestination:
    """A DICOMweb server that takes instances at `url`/studies.

    Proxies and netrc of the environment are not used; certificates are checked against the system's store.
    """

    def __init__(
        self, url: str, *, credentials: Credentials | None = None, limits: StoreLimits | None = None
    ) -> None:
        if "{study}" in url:
            raise InvalidRequest("An address with {study} takes no instances")
        self._url = checked_address(url)
        self._credentials = credentials or Credentials()
        self._limits = limits or StoreLimits()

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        """Send the instances, and yield what became of each, in their order.

        They are taken as they are needed, no more than a batch at a time. Raises where a request failed as a
        whole: `AccessRefused` (401, 403), `DestinationRefused`, `DestinationUnavailable`,
        `DestinationTimeout`, `SourceUnavailable`. Then no instance counts as stored that was not yielded
        before; to send one again does no harm.
        """
        for batch in _batches(instances, self._limits):
            yield from self._store(batch)

    def _store(self, batch: Sequence[Outgoing]) -> Iterator[Outcome]:
        """As `store`, of one batch: halved where it is refused without a word on which instance is meant."""
        try:
            outcomes = self._persist(batch)
        except _NotTaken as error:
            if len(batch) > 1:
                yield from self._store(batch[: len(batch) // 2])
                yield from self._store(batch[len(batch) // 2 :])
                return
            outcomes = [Outcome(batch[0].sop_instance_uid, "refused", error.detail)]
        yield from outcomes

    def _persist(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        attempt = 0
        while True:
            try:
                return self._post(batch)
            except Retry as retry:
                if attempt == self._limits.retries:
                    raise retry.error from retry.__cause__
                longest = self._limits.backoff_s * 2**attempt
                spread = random.uniform(longest / 2, longest)  # noqa: S311  (keeps no secret)
                time.sleep(retry.wait_s or spread)
                attempt += 1

    def _post(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        body = _Body(batch)
        with _translated(), self._final(body) as answer:
            _check_status(answer)
            said = self._said(answer) if body.sent else Said(problem="The server answers before it has all")
            return [_outcome(instance.sop_instance_uid, answer.status, said) for instance in batch]

    @contextmanager
    def _final(self, body: _Body) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to the request, redirects followed within the origin where they keep the method."""
        address = f"{self._url}/studies"
        for _ in range(REDIRECTS + 1):
            answer = self._request(address, body)
            try:
                target = answer.get_redirect_location()
                if not target:
                    yield answer
                    return
            finally:
                answer.close()
            address = urljoin(address, str(target))
            if answer.status not in _SAME_METHOD or origin_of(address) != origin_of(self._url):
                raise DestinationRefused("The server sends us elsewhere; it is not followed")
        raise DestinationRefused(f"The server redirects more than {REDIRECTS} times")

    def _request(self, address: str, body: _Body) -> urllib3.BaseHTTPResponse:
        headers = {
            "Accept": "application/dicom+json",
            "Accept-Encoding": "identity",
            "Content-Length": str(body.size_bytes),
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={body.boundary}',
            "User-Agent": "ponte",
        }
        return self._pool.request(
            "POST",
            address,
            headers={**headers, **self._credentials.headers},
            body=body.chunks(),
            timeout=urllib3.Timeout(
                connect=self._limits.connect_s, read=self._limits.answer_s + body.size_bytes / _SLOWEST
            ),
            preload_content=False,
            redirect=False,
            retries=False,
        )

    def _said(self, answer: urllib3.BaseHTTPResponse) -> Said:
        """What the answer says; where it cannot be read, that it says nothing, and why."""
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            return Said(problem="The answer is compressed, which was not asked for")
        try:
            return read_answer(self._whole(answer))
        except PonteError as error:
            return Said(problem=error.detail)
        except HTTPError:
            return Said(problem="The server broke the answer off")

    def _whole(self, answer: urllib3.BaseHTTPResponse) -> bytes:
        """The answer's bytes, within the limits on its size and on the time from its first one on."""
        gathered, began = BytesIO(), time.monotonic()
        while chunk := answer.read1(_CHUNK, decode_content=False):
            gathered.write(chunk)
            if gathered.tell() > self._limits.answer_bytes:
                raise LimitExceeded(f"The answer is larger than {self._limits.answer_bytes} bytes")
            if time.monotonic() - began > self._limits.answer_s:
                raise BadAnswer("The answer does not end in time")
        return gathered.getvalue()

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        pool = urllib3.PoolManager(maxsize=1)
        pool.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return pool


class _Body:
    """multipart/related of the instances (PS3.18 8.6.1.2), made anew each time that it is sent."""

    def __init__(self, batch: Sequence[Outgoing]) -> None:
        self.boundary = secrets.token_hex(16)
        self.sent = False
        self._head = _PART_HEAD.format(self.boundary).encode()
        self._end = f"--{self.boundary}--\r\n".encode()
        self._parts = [(instance, instance.size_bytes) for instance in batch]

    @property
    def size_bytes(self) -> int:
        parts = sum(len(self._head) + size + len(_PART_END) for _, size in self._parts)
        return parts + len(self._end)

    def chunks(self) -> Iterator[bytes]:
        self.sent = False
        for instance, size in self._parts:
            yield self._head
            yield from instance.chunks(size)
            yield _PART_END
        yield self._end
        self.sent = True


class _Sending(HTTPConnection):
    """Connects within the time for that; then the server may stop for longer, to write what it was sent."""

    def send(self, data: Any) -> None:
        super().send(data)
        if self.sock is not None:
            self.sock.settimeout(_STALL_S)


class _SendingTls(_Sending, HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Sending


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SendingTls


def _batches(instances: Iterable[Outgoing], limits: StoreLimits) -> Iterator[list[Outgoing]]:
    """By bytes and number; an instance larger than a batch goes alone.

    Nor does a UID come twice in one: the answer could not say which of the two it means.
    """
    batch: dict[str, Outgoing] = {}
    total = 0
    for instance in instances:
        size = instance.size_bytes
        full = total + size > limits.batch_bytes or len(batch) >= limits.batch_instances
        if batch and (full or instance.sop_instance_uid in batch):
            yield list(batch.values())
            batch, total = {}, 0
        batch[instance.sop_instance_uid] = instance
        total += size
    if batch:
        yield list(batch.values())


@contextmanager
def _translated() -> Iterator[None]:
    """urllib3's errors as ours. To store once more what may be stored already does no harm."""
    try:
        yield
    except NewConnectionError as error:
        raise Retry(DestinationUnavailable("The server cannot be reached")) from error
    except ConnectTimeoutError as error:
        raise Retry(DestinationTimeout("The server did not answer in time")) from error
    except ReadTimeoutError as error:
        raise DestinationTimeout("The server did not answer in time") from error
    except SSLError as error:
        raise DestinationRefused("The server's certificate cannot be verified") from error
    except HTTPError as error:
        raise Retry(DestinationUnavailable("The server broke the connection off")) from error


def _check_status(answer: urllib3.BaseHTTPResponse) -> None:
    """Raise unless the answer may say what became of each instance (PS3.18 10.5.3).

    A batch with one instance that it cannot read is answered with 400 as a whole by some, Orthanc among them.
    """
    status = answer.status
    if 200 <= status < 300 or status == 409:
        return
    if status in (401, 403):
        raise AccessRefused(f"The server answers {status}: our credentials are refused")
    if status >= 500 or status in BUSY:
        raise Retry(DestinationUnavailable(f"The server answers {status}"), retry_after_s(answer))
    if status in _CONTENT:
        raise _NotTaken(f"The server answers {status}")
    raise DestinationRefused(f"The server answers {status}; expected 200, 202 or 409")


def _outcome(sop_instance_uid: str, status: int, said: Said) -> Outcome:
    """A failure that is named counts more than a success, and 409 says that nothing was stored."""
    if sop_instance_uid in said.failed:
        reason = said.failed[sop_instance_uid]
        return Outcome(
            sop_instance_uid, "refused", describe_failure(reason), reason, retryable=is_temporary(reason)
        )
    if status == 409:
        if said.says_nothing:
            return Outcome(
                sop_instance_uid, "refused", "The server answers 409, and no reason that can be read"
            )
        return _unknown(sop_instance_uid, "The server answers 409, which does not fit what else it says")
    if sop_instance_uid not in said.stored:
        return _unknown(sop_instance_uid, said.problem or f"The server answers {status}" + said.unnamed)
    warning = said.stored[sop_instance_uid]
    if warning is None:
        return Outcome(sop_instance_uid, "stored")
    return Outcome(sop_instance_uid, "stored_with_warning", describe_warning(warning), warning)


def _unknown(sop_instance_uid: str, detail: str) -> Outcome:
    return Outcome(sop_instance_uid, "unknown", detail, retryable=True)
