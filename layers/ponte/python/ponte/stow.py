"""Instances to a DICOMweb server: batch by batch, each in one streamed request (STOW-RS, PS3.18 10.5).

Nothing counts as stored that the server's answer does not name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import urllib3

from ponte.destination import Outcome, Outgoing
from ponte.dicomweb import Credentials
from ponte.errors import DestinationRefused, InvalidRequest, PonteError
from ponte.storeanswer import Said, describe_failure, describe_warning, is_temporary, read_answer
from ponte.storeclient import CONTENT, StoreClient, StoreLimits, raise_for_status

__all__ = ["StoreLimits", "StowDestination"]

_PART_HEAD = "--{}\r\nContent-Type: application/dicom\r\n\r\n"
_PART_END = b"\r\n"
_DOES_NOT_SEARCH = frozenset({400, 405, 406, 501})


class _NotTaken(DestinationRefused):  # a message to the caller above
    """The server does not take this request; it may take a smaller one, or one with other instances."""


class StowDestination:
    """A DICOMweb server that takes instances at `url`/studies; see `StoreClient` on how it is asked."""

    def __init__(
        self, url: str, *, credentials: Credentials | None = None, limits: StoreLimits | None = None
    ) -> None:
        if "{study}" in url:
            raise InvalidRequest("An address with {study} takes no instances")
        self._client = StoreClient(url, credentials=credentials, limits=limits)

    def check(self) -> None:
        """Search for one study (QIDO-RS): the least that DICOMweb can be asked, and nothing is stored by it.

        It tells whether the server is there, whether the address is that of DICOMweb, and whether it knows
        our credentials. It cannot tell whether they suffice to store, or whether it takes instances at all;
        one that does not search passes. Raises what `store` does.
        """
        self._client.persist(self._search)

    def _search(self) -> None:
        headers = {"Accept": "application/dicom+json"}
        with self._client.ask("GET", "/studies?limit=1", headers) as answer:
            if not 200 <= answer.status < 300 and answer.status not in _DOES_NOT_SEARCH:
                raise_for_status(answer, "200")

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        """Send the instances, and yield what became of each, in their order.

        They are taken as they are needed, no more than a batch at a time. Raises where a request failed as a
        whole: `AccessRefused` (401, 403), `DestinationRefused`, `DestinationUnavailable`,
        `DestinationTimeout`, `SourceUnavailable`. Then no instance counts as stored that was not yielded
        before; to send one again does no harm.
        """
        for batch in _batches(instances, self._client.limits):
            yield from self._store(batch)

    def _store(self, batch: Sequence[Outgoing]) -> Iterator[Outcome]:
        """As `store`, of one batch: halved where it is refused without a word on which instance is meant."""
        try:
            outcomes = self._client.persist(partial(self._post, batch))
        except _NotTaken as error:
            if len(batch) > 1:
                yield from self._store(batch[: len(batch) // 2])
                yield from self._store(batch[len(batch) // 2 :])
                return
            outcomes = [Outcome(batch[0].sop_instance_uid, "refused", error.detail)]
        yield from outcomes

    def _post(self, batch: Sequence[Outgoing]) -> list[Outcome]:
        body = _Body(batch)
        headers = {
            "Accept": "application/dicom+json",
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={body.boundary}',
        }
        with self._client.ask("POST", "/studies", headers, body) as answer:
            _check_status(answer)
            said = self._said(answer) if body.sent else Said(problem="The server answers before it has all")
            return [_outcome(instance.sop_instance_uid, answer.status, said) for instance in batch]

    def _said(self, answer: urllib3.BaseHTTPResponse) -> Said:
        """What the answer says; where it cannot be read, that it says nothing, and why."""
        try:
            return read_answer(self._client.whole(answer))
        except PonteError as error:
            return Said(problem=error.detail)


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


def _check_status(answer: urllib3.BaseHTTPResponse) -> None:
    """Raise unless the answer may say what became of each instance (PS3.18 10.5.3).

    A batch with one instance that it cannot read is answered with 400 as a whole by some, Orthanc among them.
    """
    status = answer.status
    if 200 <= status < 300 or status == 409:
        return
    if status in CONTENT:
        raise _NotTaken(f"The server answers {status}")
    raise_for_status(answer, "200, 202 or 409")


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
