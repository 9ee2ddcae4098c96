"""Instances on their way: made ready, sent, sent again where that may help."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ponte.destination import Destination, Outcome, Outgoing
from ponte.errors import DestinationUnavailable
from ponte.ingesting.head import outgoing
from ponte.ingesting.reading import Item
from ponte.ingesting.route import Route, Transform
from ponte.ingesting.spool import whole_sha256

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sending:
    """A member and the instance that is sent of it; the digests of both where they differ."""

    item: Item
    instance: Outgoing
    received_sha256: str | None = None
    sent_sha256: str | None = None


def prepare(item: Item, transform: Transform | None) -> Sending:
    """An accepted member as it is to be sent. Raises what the transformation raises."""
    content = item.content
    if content is None:
        raise ValueError("an accepted instance has bytes")
    received = instance = outgoing(item.verdict, content)
    if transform is not None:
        instance = transform(received)
    if instance is received and instance.head is None:
        return Sending(item, instance)
    return Sending(item, instance, whole_sha256(content), _sha256(instance))


def deliver(
    sendings: Iterable[Sending], destination: Destination, route: Route, arrived: Callable[[Item], None]
) -> dict[str, Outcome]:
    """Send all, and say by place what became of each: stored, or refused for good.

    `arrived` is told of each at once, so that it counts whatever comes after. Raises `TransientError` where
    some stay open, and whatever the destination raises as a whole.
    """
    answers: dict[str, Outcome] = {}
    for batch in _apart(sendings):
        answers.update(_insist(batch, destination, route, arrived))
    return answers


def _apart(sendings: Iterable[Sending]) -> list[dict[str, Sending]]:
    """By UID. None comes twice in a batch: an answer could not say which of the two it means."""
    batches: list[dict[str, Sending]] = []
    for sending in sendings:
        uid = sending.instance.sop_instance_uid
        free = next((batch for batch in batches if uid not in batch), None)
        if free is None:
            batches.append({uid: sending})
        else:
            free[uid] = sending
    return batches


def _insist(
    waiting: dict[str, Sending], destination: Destination, route: Route, arrived: Callable[[Item], None]
) -> dict[str, Outcome]:
    answers: dict[str, Outcome] = {}
    limits, pause = route.limits, route.limits.backoff_s
    for attempt in range(limits.attempts):
        if attempt:
            route.sleep(pause)
            pause *= 2
        said = _ask(waiting, destination, arrived)
        answers.update((sending.item.place, said[uid]) for uid, sending in waiting.items())
        waiting = {uid: sending for uid, sending in waiting.items() if _is_open(said[uid])}
        if not waiting:
            return answers
    last = next(answers[sending.item.place].detail for sending in waiting.values())
    raise DestinationUnavailable(f"{len(waiting)} instances were not taken, however often asked: {last}")


def _ask(
    waiting: dict[str, Sending], destination: Destination, arrived: Callable[[Item], None]
) -> dict[str, Outcome]:
    """One attempt, by UID. What no answer names is unknown; of two answers the worse counts."""
    said: dict[str, Outcome] = {}
    for outcome in destination.store([sending.instance for sending in waiting.values()]):
        uid = outcome.sop_instance_uid
        if uid in waiting and (uid not in said or said[uid].stored):
            said[uid] = outcome
            if outcome.stored:
                arrived(waiting[uid].item)
    return {uid: said.get(uid) or _unnamed(uid) for uid in waiting}


def _is_open(outcome: Outcome) -> bool:
    return not outcome.stored and (outcome.retryable or outcome.status == "unknown")


def _unnamed(uid: str) -> Outcome:
    return Outcome(uid, "unknown", "The answer does not name the instance", retryable=True)


def _sha256(instance: Outgoing) -> str:
    digest = hashlib.sha256()
    for chunk in instance.chunks(instance.size_bytes):
        digest.update(chunk)
    return digest.hexdigest()
