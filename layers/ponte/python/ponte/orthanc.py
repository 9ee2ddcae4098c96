"""Instances to an Orthanc by its own interface: one request for each, the bytes as they are.

Nothing counts as stored that the server's answer does not name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import urllib3

from ponte.destination import Outcome, Outgoing
from ponte.dicomweb import Credentials
from ponte.errors import BadAnswer, DestinationRefused, LimitExceeded, PonteError
from ponte.sameness import same_dataset
from ponte.storeclient import CONTENT, StoreClient, StoreLimits, raise_for_status

_JSON = {"Accept": "application/json"}
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}", re.ASCII)
_HAD = "It had the instance already"
_MOST_COMPARED = 64 << 20  # bytes of either instance, as both are in memory then
_SLACK = 1 << 20  # for what is written with more words: another VR encoding, a header before the dataset
_DUPLICATE = 0x0111  # SOP instance of this UID is there already (PS3.7 C)


class OrthancDestination:
    """The Orthanc at `url`, which has `/instances` below it; see `StoreClient` on how it is asked."""

    def __init__(
        self, url: str, *, credentials: Credentials | None = None, limits: StoreLimits | None = None
    ) -> None:
        self._client = StoreClient(url, credentials=credentials, limits=limits)

    def check(self) -> None:
        """Ask for the server's description, which only an Orthanc that knows our credentials gives.

        It cannot tell whether the disk has room, nor whether a filter would refuse what is sent. Raises what
        `store` does.
        """
        self._client.persist(self._describe)

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        """Send the instances one by one, and yield what became of each, in their order.

        An instance that Orthanc had already is `stored` when what it keeps says the same, and `refused`
        (0111H) when not, or when it is too large to compare: Orthanc keeps what it had. Raises
        `AccessRefused` (401, 403), `DestinationRefused`, `DestinationUnavailable` (5xx, 408, 429),
        `DestinationTimeout`, `SourceUnavailable`: then no instance counts as stored that was not yielded
        before.
        """
        for instance in instances:
            yield self._client.persist(partial(self._post, instance))

    def _describe(self) -> None:
        with self._client.ask("GET", "/system", _JSON) as answer:
            if answer.status != 200:
                raise_for_status(answer, "200")
            if "Version" not in self._object(answer):
                raise DestinationRefused("The server is no Orthanc: it does not say its version")

    def _post(self, instance: Outgoing) -> Outcome:
        body = _Body(instance)
        headers = {**_JSON, "Content-Type": "application/dicom"}
        with self._client.ask("POST", "/instances", headers, body) as answer:
            if answer.status in CONTENT:
                return Outcome(instance.sop_instance_uid, "refused", f"The server answers {answer.status}")
            if answer.status != 200:
                raise_for_status(answer, "200")
            if not body.sent:
                return _unknown(instance, "The server answers before it has all")
            try:
                said = self._object(answer)
            except PonteError as error:
                return _unknown(instance, error.detail)
        return self._judged(instance, said)

    def _judged(self, instance: Outgoing, said: dict[str, Any]) -> Outcome:
        """By the word of the answer; those that are not known are no success."""
        match said.get("Status"), said.get("ID"):
            case "Success", str(identifier) if _IDENTIFIER.fullmatch(identifier):
                return Outcome(instance.sop_instance_uid, "stored")
            case "AlreadyStored", str(identifier) if _IDENTIFIER.fullmatch(identifier):
                return self._compared(instance, identifier)
            case "FilteredOut", _:
                return Outcome(instance.sop_instance_uid, "refused", "A filter of the server refuses it")
            case _:
                return _unknown(instance, "The server does not say that it has stored the instance")

    def _compared(self, instance: Outgoing, identifier: str) -> Outcome:
        """What Orthanc had before may be something else under the same UIDs; or the same, written by itself:
        it does so with what came by C-STORE."""
        uid = instance.sop_instance_uid
        if self._client.persist(partial(self._kept_md5, identifier)) == _md5(instance):
            return Outcome(uid, "stored", _HAD)
        try:
            if self._client.persist(partial(self._keeps_the_same, identifier, instance)):
                return Outcome(uid, "stored", _HAD)
        except LimitExceeded:
            detail = "0111H: it keeps the instance of this UID that it had, which is too large to compare"
            return Outcome(uid, "refused", detail, _DUPLICATE)
        except BadAnswer as error:
            return _unknown(instance, error.detail)
        detail = "0111H: it keeps the instance of this UID that it had, which says something else"
        return Outcome(uid, "refused", detail, _DUPLICATE)

    def _keeps_the_same(self, identifier: str, instance: Outgoing) -> bool:
        """Raises `LimitExceeded` for what is too large, `BadAnswer` where it gives nothing to compare."""
        size = instance.size_bytes
        if size > _MOST_COMPARED:
            raise LimitExceeded(f"An instance of more than {_MOST_COMPARED} bytes is not compared")
        with self._client.ask("GET", f"/instances/{identifier}/file", {}) as answer:
            if answer.status == 404:
                raise BadAnswer("The server says that it had the instance, and has it no more")
            if answer.status != 200:
                raise_for_status(answer, "200")
            kept = self._client.whole(answer, min(2 * size + _SLACK, _MOST_COMPARED))
        return same_dataset(b"".join(instance.chunks(size)), kept)

    def _kept_md5(self, identifier: str) -> str:
        """Of the file that Orthanc keeps; empty where it does not say."""
        path = f"/instances/{identifier}/attachments/dicom/md5"
        with self._client.ask("GET", path, {}) as answer:
            if answer.status != 200:
                return ""
            try:
                return self._client.whole(answer).decode("ascii", "replace").strip().lower()
            except PonteError:
                return ""

    def _object(self, answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        """The answer as an object. Raises `BadAnswer`, which quotes nothing of it."""
        try:
            said = json.loads(self._client.whole(answer))
        except (ValueError, RecursionError) as error:
            raise BadAnswer("The answer is not JSON") from error
        if not isinstance(said, dict):
            raise BadAnswer("The answer is not an object")
        return said


class _Body:
    """The instance alone; it knows whether all of it was sent."""

    def __init__(self, instance: Outgoing) -> None:
        self.size_bytes = instance.size_bytes
        self.sent = False
        self._instance = instance

    def chunks(self) -> Iterator[bytes]:
        self.sent = False
        yield from self._instance.chunks(self.size_bytes)
        self.sent = True


def _md5(instance: Outgoing) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in instance.chunks(instance.size_bytes):
        digest.update(chunk)
    return digest.hexdigest()


def _unknown(instance: Outgoing, detail: str) -> Outcome:
    return Outcome(instance.sop_instance_uid, "unknown", detail, retryable=True)
