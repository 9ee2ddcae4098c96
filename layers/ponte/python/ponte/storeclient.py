"""Instances over HTTP, whatever the interface: one origin, no proxies, limits on answers and on time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import Any, Final, Protocol
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from ponte.dicomweb import BUSY, REDIRECTS, Credentials, Retry, checked_address, origin_of, retry_after_s
from ponte.errors import (
    AccessRefused,
    BadAnswer,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    LimitExceeded,
)

CONTENT: Final = frozenset({400, 413, 415, 422})
"""Statuses that are about what was sent, not about the address."""

_CHUNK = 256 << 10
_STALL_S = 60.0
_SLOWEST = 1 << 20  # bytes a second at which a server is given time to store
_SAME_METHOD = frozenset({307, 308})


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


class Body(Protocol):
    """What a request carries, made anew each time that it is sent."""

    @property
    def size_bytes(self) -> int: ...
    def chunks(self) -> Iterator[bytes]: ...


class StoreClient:
    """Requests below one address.

    Proxies and netrc of the environment are not used; certificates are checked against the system's store.
    """

    def __init__(
        self, url: str, *, credentials: Credentials | None = None, limits: StoreLimits | None = None
    ) -> None:
        self.url = checked_address(url)
        self.limits = limits or StoreLimits()
        self._credentials = credentials or Credentials()

    def persist[T](self, attempt: Callable[[], T]) -> T:
        """What comes of it, tried again where it raises `Retry`; the error in that when it was the last."""
        for number in range(self.limits.retries):
            try:
                return attempt()
            except Retry as retry:
                longest = self.limits.backoff_s * 2**number
                spread = random.uniform(longest / 2, longest)  # noqa: S311  (keeps no secret)
                time.sleep(retry.wait_s or spread)
        try:
            return attempt()
        except Retry as retry:
            raise retry.error from retry.__cause__

    @contextmanager
    def ask(
        self, method: str, path: str, headers: Mapping[str, str], body: Body | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer to a request, redirects followed within the origin where they keep the method.

        Raises `Retry`, `DestinationRefused`, `DestinationTimeout`.
        """
        with _translated(), self._final(method, self.url + path, headers, body) as answer:
            yield answer

    def whole(self, answer: urllib3.BaseHTTPResponse, most_bytes: int | None = None) -> bytes:
        """The answer's bytes, within the limits on its size and on the time from its first one on.

        Without `most_bytes` it is to be short.

        Raises `BadAnswer`, `LimitExceeded`.
        """
        if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise BadAnswer("The answer is compressed, which was not asked for")
        most = most_bytes or self.limits.answer_bytes
        gathered, end = BytesIO(), time.monotonic() + self.limits.answer_s + (most_bytes or 0) / _SLOWEST
        try:
            while chunk := answer.read1(_CHUNK, decode_content=False):
                gathered.write(chunk)
                if gathered.tell() > most:
                    raise LimitExceeded(f"The answer is larger than {most} bytes")
                if time.monotonic() > end:
                    raise BadAnswer("The answer does not end in time")
        except HTTPError as error:
            raise BadAnswer("The server broke the answer off") from error
        return gathered.getvalue()

    @contextmanager
    def _final(
        self, method: str, address: str, headers: Mapping[str, str], body: Body | None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        for _ in range(REDIRECTS + 1):
            answer = self._request(method, address, headers, body)
            try:
                target = answer.get_redirect_location()
                if not target:
                    yield answer
                    return
            finally:
                answer.close()
            address = urljoin(address, str(target))
            if answer.status not in _SAME_METHOD or origin_of(address) != origin_of(self.url):
                raise DestinationRefused("The server sends us elsewhere; it is not followed")
        raise DestinationRefused(f"The server redirects more than {REDIRECTS} times")

    def _request(
        self, method: str, address: str, headers: Mapping[str, str], body: Body | None
    ) -> urllib3.BaseHTTPResponse:
        size = body.size_bytes if body else 0
        length = {"Content-Length": str(size)} if body else {}
        return self._pool.request(
            method,
            address,
            headers={
                "Accept-Encoding": "identity",
                "User-Agent": "ponte",
                **length,
                **headers,
                **self._credentials.headers,
            },
            body=body.chunks() if body else None,
            timeout=urllib3.Timeout(
                connect=self.limits.connect_s, read=self.limits.answer_s + size / _SLOWEST
            ),
            preload_content=False,
            redirect=False,
            retries=False,
        )

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        pool = urllib3.PoolManager(maxsize=1)
        pool.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return pool


def raise_for_status(answer: urllib3.BaseHTTPResponse, expected: str) -> None:
    """Raise what the status of an answer means that is neither a success nor about the content.

    `Retry` (5xx, 408, 429), `AccessRefused` (401, 403), `DestinationRefused`; `expected` ends its sentence.
    """
    status = answer.status
    if status in (401, 403):
        raise AccessRefused(f"The server answers {status}: our credentials are refused")
    if status >= 500 or status in BUSY:
        raise Retry(DestinationUnavailable(f"The server answers {status}"), retry_after_s(answer))
    raise DestinationRefused(f"The server answers {status}; expected {expected}")


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
