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
from ponte.errors import BadAnswer, DestinationRefused, PonteError
from ponte.storeclient import CONTENT, StoreClient, StoreLimits, raise_for_status

_JSON = {"Accept": "application/json"}
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}", re.ASCII)
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

        An instance that Orthanc had already is `stored` when its file is the very one sent; when not, it is
        `stored_with_warning`, because what Orthanc keeps is what it had. Raises `AccessRefused` (401, 403),
        `DestinationRefused`, `DestinationUnavailable` (5xx, 408, 429), `DestinationTimeout`,
        `SourceUnavailable`: then no instance counts as stored that was not yielded before.
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
        """What Orthanc had before may be something else under the same UIDs."""
        if self._client.persist(partial(self._kept_md5, identifier)) == _md5(instance):
            return Outcome(instance.sop_instance_uid, "stored", "It had the instance already")
        detail = "0111H: it keeps the instance of this UID that it had, whose bytes are not those sent"
        return Outcome(instance.sop_instance_uid, "stored_with_warning", detail, _DUPLICATE)

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
