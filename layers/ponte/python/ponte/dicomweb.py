"""Studies from a DICOMweb server: one streamed request a study (WADO-RS, PS3.18 10.4; QIDO-RS, 10.6)."""

from __future__ import annotations

import base64
import json
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from io import BytesIO
from itertools import count, islice
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from ponte.errors import (
    AccessRefused,
    BadAnswer,
    InvalidRequest,
    LimitExceeded,
    PonteError,
    SourceRefused,
    SourceTimeout,
    SourceUnavailable,
    StudyNotFound,
    TransientError,
)
from ponte.multipart import Part, PartLimits, boundary_of, iterate_parts
from ponte.source import Fetched
from ponte.uid import is_valid_uid

ACCEPT_INSTANCES: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_ACCEPT_EITHER: Final = f"{ACCEPT_INSTANCES}, application/dicom; transfer-syntax=*"
_ACCEPT_JSON: Final = "application/dicom+json"
_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_INSTANCE: Final = "00080018"
_HASTY_S: Final = 3.0
_COUNT: Final = "00201208"  # Number of Study Related Instances

_CHUNK = 1 << 18
_JSON_LIMIT = 64 << 20
_PAGE = 1000
REDIRECTS = 3
_LONGEST_WAIT_S = 30.0
_NOT_SERVED = frozenset({400, 405, 406, 415, 501})
BUSY = frozenset({408, 429})
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Credentials:
    """Headers that say who asks. Their values are never shown."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> Credentials:
        """From `{"type": "bearer", "token"}`, `{"type": "basic", "username", "password"}` or
        `{"type": "header", "name", "value"}`. Raises `InvalidRequest`, without quoting what it was given.
        """
        try:
            name, value = _CREDENTIALS[obj["type"]](obj)
        except (KeyError, TypeError) as error:
            raise InvalidRequest("Credentials are not of type bearer, basic or header") from error
        if not name or any(c in name + value for c in "\r\n\0"):
            raise InvalidRequest("Credentials cannot be sent in a header")
        return cls({name: value})


def _basic(obj: Mapping[str, Any]) -> tuple[str, str]:
    pair = f"{obj['username']}:{obj['password']}".encode()
    return "Authorization", "Basic " + base64.b64encode(pair).decode()


_CREDENTIALS: Final[dict[str, Callable[[Mapping[str, Any]], tuple[str, str]]]] = {
    "bearer": lambda obj: ("Authorization", f"Bearer {obj['token']}"),
    "basic": _basic,
    "header": lambda obj: (str(obj["name"]), str(obj["value"])),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server may cost. `retries` are beyond the first try, `backoff_s` doubles each time."""

    connect_s: float = 5.0
    read_s: float = 60.0
    instance_bytes: int = 4 << 30
    study_bytes: int = 100 << 30
    instances: int = 20_000
    retries: int = 3
    workers: int = 4
    backoff_s: float = 0.5


class _NotServed(PonteError):  # a message to the caller above
    """The server does not do this kind of request; another kind may work."""


class DicomWebSource:
    """A DICOMweb server. `url` is its root, or a whole address with `{study}` in it.

    Proxies and netrc of the environment are not used; certificates are checked against the system's store.
    """

    def __init__(
        self, url: str, *, credentials: Credentials | None = None, limits: Limits | None = None
    ) -> None:
        self._url = checked_address(url)
        self._credentials = credentials or Credentials()
        self._limits = limits or Limits()

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        """Yield every instance, as it streams in; falls back to series, then to instances.

        Raises what `Source.instances` says: `StudyNotFound` (404, 204), `AccessRefused` (401, 403),
        `SourceRefused`, `LimitExceeded`, `SourceUnavailable`, `SourceTimeout`, `BadAnswer`.
        """
        if not is_valid_uid(study_instance_uid):
            raise InvalidRequest("Study Instance UID (0020,000D) is not a UID")
        uid = quote(study_instance_uid, safe="")
        found = self._from_template(uid) if "{study}" in self._url else self._from_root(uid)
        yield from self._within_budget(found)

    def studies(self, limit: int = 100) -> dict[str, int]:
        """Study Instance UIDs and how many instances each has, 0 where the server does not say."""
        if "{study}" in self._url:
            raise InvalidRequest("An address with {study} cannot be searched")
        rows = self._json(f"{self._url}/studies?includefield={_COUNT}&limit={limit}")
        return {uid: _number(row, _COUNT) for row in rows[:limit] if (uid := _uid(row, _STUDY))}

    def studies_with(self, modality: str) -> list[str]:
        """All studies that hold this modality, however many pages the list has; none where there is none.

        A server that cannot search by it lists its other studies too.
        """
        if "{study}" in self._url:
            raise InvalidRequest("An address with {study} cannot be searched")
        try:
            return list(self._listing(f"{self._url}/studies?ModalitiesInStudy={modality}", _STUDY))
        except StudyNotFound:
            return []

    def count(self, study_instance_uid: str) -> int | None:
        """How many instances the server says the study has; None where it does not say.

        Asked once, and not waited for: nobody needs the number, it is only good to know.
        """
        if "{study}" in self._url or not is_valid_uid(study_instance_uid):
            return None
        asked = f"StudyInstanceUID={quote(study_instance_uid, safe='')}&includefield={_COUNT}"
        hasty = replace(self._limits, connect_s=_HASTY_S, read_s=_HASTY_S)
        source = DicomWebSource(self._url, credentials=self._credentials, limits=hasty)
        try:
            rows = list(source._search(f"{self._url}/studies?{asked}"))
        except (PonteError, Retry):
            return None
        return _number(rows[0], _COUNT) or None if len(rows) == 1 else None

    def _from_root(self, uid: str) -> Iterator[Fetched]:
        study = f"{self._url}/studies/{uid}"
        try:
            yield from self._retrieve(study, ACCEPT_INSTANCES)
        except _NotServed:
            yield from self._by_series(study)

    def _from_template(self, uid: str) -> Iterator[Fetched]:
        try:
            yield from self._retrieve(self._url.replace("{study}", uid), _ACCEPT_EITHER)
        except _NotServed as error:
            raise SourceRefused(error.detail) from error

    def _by_series(self, study: str) -> Iterator[Fetched]:
        series_served = True
        for series in self._listing(f"{study}/series", _SERIES):
            address = f"{study}/series/{series}"
            if series_served:
                try:
                    yield from self._listed(address, ACCEPT_INSTANCES)
                    continue
                except _NotServed:
                    series_served = False
            yield from self._by_instances(address)

    def _by_instances(self, series: str) -> Iterator[Fetched]:
        """Several at a time, in the server's order; no more of them in memory than there are workers."""
        pending: deque[Future[list[Fetched]]] = deque()
        with ThreadPoolExecutor(self._limits.workers, thread_name_prefix="wado") as pool:
            try:
                for uid in self._listing(f"{series}/instances", _INSTANCE):
                    pending.append(pool.submit(self._instance, f"{series}/instances/{uid}"))
                    if len(pending) >= self._limits.workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _instance(self, address: str) -> list[Fetched]:
        try:
            return list(self._listed(address, _ACCEPT_EITHER))
        except _NotServed as error:
            raise SourceRefused(error.detail) from error

    def _listed(self, address: str, accept: str) -> Iterator[Fetched]:
        """As `_retrieve`, of something that the server itself named."""
        try:
            yield from self._retrieve(address, accept)
        except StudyNotFound as error:
            raise BadAnswer("The server lists what it does not have") from error

    def _retrieve(self, address: str, accept: str) -> Iterator[Fetched]:
        """The instances of one answer."""
        yield from self._persist(partial(self._fetch, address, accept))

    def _fetch(self, address: str, accept: str) -> Iterator[Fetched]:
        with self._get(address, accept) as answer:
            yield from self._read(answer)

    def _persist[T](self, request: Callable[[], Iterator[T]]) -> Iterator[T]:
        """Ask again while the server is busy; never once something of its answer was handed on."""
        handed_on = False
        for attempt in range(self._limits.retries + 1):
            try:
                for one in request():
                    handed_on = True
                    yield one
                    del one
            except Retry as retry:
                if handed_on or attempt == self._limits.retries:
                    raise retry.error from retry.__cause__
                time.sleep(retry.wait_s or self._backoff_s(attempt))
            else:
                return

    def _read(self, answer: urllib3.BaseHTTPResponse) -> Iterator[Fetched]:
        content_type = answer.headers.get("Content-Type", "")
        kind = content_type.partition(";")[0].strip().lower()
        chunks = answer.stream(_CHUNK, decode_content=False)
        if kind == "application/dicom":
            yield Fetched(_whole(chunks, self._limits.instance_bytes), "part 1")
        elif kind == "multipart/related":
            limits = PartLimits(self._limits.instance_bytes, self._limits.study_bytes, self._limits.instances)
            yield from map(_numbered, iterate_parts(chunks, boundary_of(content_type), limits), count(1))
            _drain(chunks)
        else:
            raise BadAnswer(f"The answer is {_shown(kind)}; expected multipart/related")

    def _listing(self, address: str, tag: str) -> Iterator[str]:
        """UIDs from QIDO-RS, page by page: servers cap a page as they like."""
        seen: dict[str, None] = {}
        while True:
            separator = "&" if "?" in address else "?"
            rows = self._json(f"{address}{separator}limit={_PAGE}&offset={len(seen)}")
            new = [uid for row in rows if (uid := _uid(row, tag)) and uid not in seen]
            if not new:
                break
            seen.update(dict.fromkeys(new))
            if len(seen) > self._limits.instances:
                raise LimitExceeded(f"The server lists more than {self._limits.instances} entries")
        if not seen:
            raise StudyNotFound("The server lists nothing for this study")
        yield from seen

    def _json(self, address: str) -> list[dict[str, Any]]:
        try:
            return list(self._persist(partial(self._search, address)))
        except _NotServed as error:
            raise SourceRefused(error.detail) from error

    def _search(self, address: str) -> Iterator[dict[str, Any]]:
        with self._get(address, _ACCEPT_JSON, empty=True) as answer:
            yield from _rows(_whole(answer.stream(_CHUNK, decode_content=False), _JSON_LIMIT))

    @contextmanager
    def _get(self, address: str, accept: str, *, empty: bool = False) -> Iterator[urllib3.BaseHTTPResponse]:
        """An answer with status 200 whose body is still to be read, redirects followed within the origin."""
        with _translated(), self._final(address, accept) as answer:
            _check_status(answer, empty=empty)
            yield answer

    @contextmanager
    def _final(self, address: str, accept: str) -> Iterator[urllib3.BaseHTTPResponse]:
        for _ in range(REDIRECTS + 1):
            answer = self._request(address, accept)
            try:
                target = answer.get_redirect_location()
                if not target:
                    yield answer
                    return
            finally:
                answer.close()
            address = urljoin(address, str(target))
            if origin_of(address) != origin_of(self._url):
                raise SourceRefused("The server sends us to another origin; it is not followed")
        raise SourceRefused(f"The server redirects more than {REDIRECTS} times")

    def _request(self, address: str, accept: str) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": "ponte"}
        return self._pool.request(
            "GET",
            address,
            headers={**headers, **self._credentials.headers},
            preload_content=False,
            redirect=False,
            retries=False,
        )

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        timeout = urllib3.Timeout(connect=self._limits.connect_s, read=self._limits.read_s)
        return urllib3.PoolManager(maxsize=self._limits.workers, timeout=timeout)

    def _within_budget(self, found: Iterator[Fetched]) -> Iterator[Fetched]:
        """As found; like the other generators here it lets go of an instance before it asks for the next."""
        instances = total = 0
        for fetched in found:
            instances, total = instances + 1, total + len(fetched.data)
            if instances > self._limits.instances:
                raise LimitExceeded(f"The study has more than {self._limits.instances} instances")
            if total > self._limits.study_bytes:
                raise LimitExceeded(f"The study is larger than {self._limits.study_bytes} bytes")
            yield fetched
            del fetched

    def _backoff_s(self, attempt: int) -> float:
        longest = self._limits.backoff_s * 2**attempt
        return random.uniform(longest / 2, longest)  # noqa: S311  (spreads retries, keeps no secret)


class Retry(Exception):  # a message to the loop above
    """The same request may work a moment later."""

    def __init__(self, error: TransientError, wait_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


@contextmanager
def _translated() -> Iterator[None]:
    """urllib3's errors as ours. A connection that cannot be made may be tried again; one cut may not."""
    try:
        yield
    except NewConnectionError as error:
        raise Retry(SourceUnavailable("The server cannot be reached")) from error
    except ConnectTimeoutError as error:
        raise Retry(SourceTimeout("The server did not answer in time")) from error
    except ReadTimeoutError as error:
        raise SourceTimeout("The server did not answer in time") from error
    except SSLError as error:
        raise SourceRefused("The server's certificate cannot be verified") from error
    except HTTPError as error:
        raise Retry(BadAnswer("The server broke the answer off")) from error


def _check_status(answer: urllib3.BaseHTTPResponse, *, empty: bool) -> None:
    status = answer.status
    if status == 404 or (status == 204 and not empty):
        raise StudyNotFound("The server has no such study")
    if status in (401, 403):
        raise AccessRefused(f"The server answers {status}: our credentials are refused")
    if status in _NOT_SERVED:
        raise _NotServed(f"The server answers {status}: it does not do such requests")
    if status >= 500 or status in BUSY:
        error = SourceUnavailable(f"The server answers {status}")
        raise Retry(error, retry_after_s(answer))
    if status != 200 and not (status == 204 and empty):
        raise SourceRefused(f"The server answers {status}; expected 200")
    if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise BadAnswer("The answer is compressed, which was not asked for; it is not inflated")


def retry_after_s(answer: urllib3.BaseHTTPResponse) -> float:
    """Seconds the server asks for, within reason; dates are ignored."""
    value = answer.headers.get("Retry-After", "").strip()
    return min(float(value), _LONGEST_WAIT_S) if value.isdecimal() else 0.0


def _numbered(part: Part, number: int) -> Fetched:
    return Fetched(part.data, f"part {number}")


def _drain(chunks: Iterator[bytes]) -> None:
    """Read what little follows the closing boundary, so that the connection can be used again."""
    with suppress(HTTPError):
        for _ in islice(chunks, 2):
            pass


def _whole(chunks: Iterator[bytes], limit: int) -> bytes:
    gathered = BytesIO()  # hands out its own bytes: to join a list of chunks takes as much memory again
    for chunk in chunks:
        if gathered.tell() + len(chunk) > limit:
            raise LimitExceeded(f"The answer is larger than {limit} bytes")
        gathered.write(chunk)
    return gathered.getvalue()


def _rows(body: bytes) -> list[dict[str, Any]]:
    """DICOM JSON (PS3.18 F.2): an array of objects."""
    try:
        rows = json.loads(body or b"[]")
    except (ValueError, RecursionError) as error:
        raise BadAnswer("The answer to a search is not JSON") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadAnswer("The answer to a search is not a list of objects")
    return rows


def _value(row: dict[str, Any], tag: str) -> Any:
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _uid(row: dict[str, Any], tag: str) -> str:
    """The UID of a row; one that is not a UID makes the answer bad: it would go into an address."""
    value = _value(row, tag)
    if not isinstance(value, str) or not is_valid_uid(value.strip(" \0")):
        raise BadAnswer(f"The answer to a search has no valid UID at ({tag[:4]},{tag[4:]})")
    return value.strip(" \0")


def _number(row: dict[str, Any], tag: str) -> int:
    """A count; 0 where there is none, or what is there is no number."""
    try:
        return max(0, int(_value(row, tag)))
    except (TypeError, ValueError, OverflowError):
        return 0


def checked_address(url: str) -> str:
    """The address without its last slash. Raises `InvalidRequest`, without quoting it."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in _PORTS and bool(parts.hostname) and parts.username is None
    except ValueError:
        right = False
    if not right:
        raise InvalidRequest("The DICOMweb address is not http(s)://host[:port]/path without a user")
    return url if "{study}" in url else url.rstrip("/")


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _shown(kind: str) -> str:
    """A media type as it may be shown: what a server writes there is not trusted."""
    return kind if kind.isascii() and kind.replace("/", "").replace("+", "").isalnum() else "of no known type"
