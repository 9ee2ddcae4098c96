"""A peer that speaks HTTP: DICOMweb or Orthanc's own interface."""

from __future__ import annotations

import email.utils
import json
import ssl
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from doctor.certificates import look_at_tls
from doctor.dicom import read_back
from doctor.marked import STUDY_UID, marked_object
from doctor.reach import Reach
from doctor.steps import Check, Found
from doctor.words import Phrase
from ponte.dicomweb import Retry
from ponte.errors import (
    AccessRefused,
    BadAnswer,
    DestinationTimeout,
    DestinationUnavailable,
    LimitExceeded,
    PonteError,
)
from ponte.orthanc import OrthancDestination
from ponte.storeclient import StoreClient, StoreLimits
from ponte.stow import StowDestination
from router.catalogue import open_catalogue
from router.destinations import WebServer
from router.links import credentials_of

_LIMITS: Final = StoreLimits(connect_s=5, answer_s=10, retries=0, answer_bytes=1 << 20)
_LIMIT_S: Final = 30.0
_PORTS: Final = {"http": 80, "https": 443}
_APART_S: Final = 5.0
_GONE: Final = frozenset({200, 202, 204})


class WebPeer:
    """What its checks find out of one another."""

    def __init__(self, server: WebServer, *, stores: bool) -> None:
        self._server = server
        self._stores = stores
        parts = urlsplit(server.url)
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._reach = Reach(self._host, self._port)
        self._date: float | None = None
        self._apart_s = 0.0
        self._sent = ""

    def checks(self) -> tuple[Check, ...]:
        """In their order."""
        tls = (Check("tls", self.tls, ("tcp",)),) if self._is_tls else ()
        return (
            *self._reach.checks(),
            *tls,
            Check("web", self.web, ("tls",) if self._is_tls else ("tcp",)),
            Check("clock", self.clock, ("web",)),
            Check("store", self.store, ("web",), 2 * _LIMIT_S),
            Check("query", self.query, ("web",)),
            Check("delete", self.delete, ("store",)),
        )

    def tls(self) -> Found:
        """The handshake, against the certificates of this machine."""
        return look_at_tls(self._host, self._reach.address, self._port, ssl.create_default_context())

    def web(self) -> Found:
        """The least that it can be asked: a search for one study, or Orthanc's description of itself."""
        is_orthanc = self._server.kind == "orthanc"
        path = "/system" if is_orthanc else "/studies?limit=1"
        accept = {"Accept": "application/json" if is_orthanc else "application/dicom+json"}
        try:
            with self._client.ask("GET", path, accept) as answer:
                self._note_date(answer.headers.get("Date"))
                return _judged(answer.status, is_orthanc=is_orthanc)
        except Retry as retry:
            return _failed(retry.error)
        except PonteError as error:
            return _failed(error)

    def clock(self) -> Found:
        """Our clock beside that of the server (the Date of its answer, which is in whole seconds)."""
        return compared(self._date, self._apart_s)

    def store(self) -> Found:
        """STOW-RS, or Orthanc's own way, of the marked object."""
        if not self._stores:
            return Found("skipped", (Phrase("store.not_asked"),))
        kind = OrthancDestination if self._server.kind == "orthanc" else StowDestination
        instance = marked_object()
        try:
            destination = kind(self._server.url, credentials=credentials_of(self._server), limits=_LIMITS)
            (outcome,) = destination.store([instance])
        except PonteError as error:
            return _failed(error)
        if not outcome.stored:
            status = f"{outcome.reason:04X}H" if outcome.reason is not None else ""
            return Found(
                "failed", (Phrase("store.refused", {"status": status}),), (Phrase("store.other_advice"),)
            )
        self._sent = instance.sop_instance_uid
        return Found("ok", (Phrase("store.taken", {"uid": self._sent}),))

    def query(self) -> Found:
        """QIDO-RS, or Orthanc's look-up, for the marked object."""
        if self._server.kind == "orthanc" and not self._sent:
            return Found("skipped", (Phrase("query.nothing"),))
        try:
            return read_back(self._sent, self._instances())
        except PonteError as error:
            return Found(
                "warning", (Phrase("query.failed", {"detail": error.code}),), (Phrase("query.advice"),)
            )

    def delete(self) -> Found:
        """Where the server takes DELETE of a study by DICOMweb, and the study is the marked one alone.

        The standard has no such request, and several servers have it. Of Orthanc's own interface nothing is
        deleted.
        """
        stays = Found("skipped", (Phrase("delete.stays", {"uid": self._sent, "study": STUDY_UID}),))
        if self._server.kind == "orthanc":
            return stays
        try:
            with self._client.ask("DELETE", f"/studies/{STUDY_UID}", {}) as answer:
                if answer.status not in _GONE:
                    return stays
            is_there = self._sent in self._instances()
        except (PonteError, Retry):
            return stays
        return stays if is_there else Found("ok", (Phrase("delete.done"),))

    def _instances(self) -> set[str]:
        if self._server.kind == "dicomweb":
            return open_catalogue(self._server.model_copy(update={"timeout_s": 10.0})).instances(STUDY_UID)
        return {self._sent} if self._looked_up() else set()

    def _looked_up(self) -> bool:
        """Whether Orthanc knows the instance. Raises `PonteError`."""
        body = _Text(self._sent.encode())
        try:
            with self._client.ask("POST", "/tools/lookup", {"Content-Type": "text/plain"}, body) as answer:
                found = json.loads(self._client.whole(answer)) if answer.status == 200 else []
        except Retry as retry:
            raise retry.error from retry
        except ValueError as error:
            raise BadAnswer("The answer is not JSON") from error
        return bool(found)

    @property
    def _client(self) -> StoreClient:
        return StoreClient(self._server.url, credentials=credentials_of(self._server), limits=_LIMITS)

    def _note_date(self, value: str | None) -> None:
        self._date = read_date(value)
        self._apart_s = time.time() - self._date if self._date is not None else 0.0


class _Text:
    """A body of a few bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes = len(data)

    def chunks(self) -> Iterator[bytes]:
        yield self._data


def read_date(value: str | None) -> float | None:
    """The Date of an answer (RFC 9110 6.6.1) in seconds since the epoch."""
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, OverflowError):
        return None


def compared(date: float | None, apart_s: float) -> Found:
    """Two clocks, some seconds apart."""
    if date is None:
        return Found("skipped", (Phrase("clock.no_date"),))
    values = {"seconds": f"{abs(apart_s):.0f}"}
    if abs(apart_s) <= _APART_S:
        return Found("ok", (Phrase("clock.together", values),))
    key = "clock.ahead" if apart_s > 0 else "clock.behind"
    return Found("warning", (Phrase(key, values),), (Phrase("clock.advice"),))


def _judged(status: int, *, is_orthanc: bool) -> Found:
    values = {"status": str(status)}
    if 200 <= status < 300:
        return Found("ok", (Phrase("web.answers", values),))
    if status in (401, 403):
        return Found("failed", (Phrase("web.denied", values),), (Phrase("web.denied_advice"),))
    if status == 404:
        advice = "web.not_orthanc_advice" if is_orthanc else "web.not_found_advice"
        return Found("failed", (Phrase("web.not_found", values),), (Phrase(advice),))
    if status >= 500:
        return Found("failed", (Phrase("web.ill", values),), (Phrase("web.ill_advice"),))
    return Found("warning", (Phrase("web.odd", values),), (Phrase("web.odd_advice"),))


def _failed(error: PonteError) -> Found:
    match error:
        case AccessRefused():
            why = "denied"
        case DestinationTimeout():
            why = "silent"
        case LimitExceeded() | BadAnswer():
            why = "odd"
        case DestinationUnavailable():
            why = "broken"
        case _:
            why = "refused"
    values = {"status": error.code}
    return Found("failed", (Phrase(f"web.{why}", values),), (Phrase(f"web.{why}_advice"),))
