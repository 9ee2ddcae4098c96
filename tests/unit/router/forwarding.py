"""A forwarder on a spool, for tests: it sends what was received, and the rows tell what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydicom.dataset import FileDataset

from ponte.errors import TransientError
from ponte.ingest import Transform
from router import delivery_rows
from router.delivery_rows import Queue
from router.destinations import read_destinations
from router.forwarder import Forwarder, build
from router.rules import Matching
from router.savepoint import run_apart
from tests.told_scp import Conversation, Script, Stored
from tests.unit.router.store import Store

QUICK = {"first_s": 0.05, "longest_s": 0.1, "alert_after_s": 0.2, "give_up_after_s": 600}


def wait_for(check: Callable[[], object], what: str, *, timeout_s: float = 30) -> None:
    until = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < until, f"in vain: {what}"
        time.sleep(0.01)


def dicom(name: str, port: int, **options: Any) -> dict[str, Any]:
    """The configuration of a peer on this machine."""
    values = {"kind": "dicom", "name": name, "host": "127.0.0.1", "port": port, "ae_title": "DCMTK"}
    return {**values, "retry": QUICK, "timeout_s": 10, **options}


@contextmanager
def forwarding(
    store: Store,
    *destinations: Mapping[str, Any],
    matching: Matching = "all",
    profiles: Mapping[str, Transform] | None = None,
) -> Iterator[Forwarder]:
    """Forward until the block ends."""
    forwarder = build(
        read_destinations(destinations),
        store.committer,
        store.spool,
        store.counters,
        matching=matching,
        profiles=profiles,
    )
    forwarder.start()
    try:
        yield forwarder
    finally:
        forwarder.stop(5)


def rows(store: Store, destination: str, *columns: str) -> list[tuple[Any, ...]]:
    """Of the deliveries of a destination, in the order in which the instances came."""
    query = f"SELECT {', '.join(columns)} FROM deliveries WHERE destination = ? ORDER BY number"
    return run_apart(store.committer, lambda database: database.run(query, (destination,)).fetchall())


def states(store: Store, destination: str) -> list[str]:
    return [row[0] for row in rows(store, destination, "state")]


def all_in(store: Store, destination: str, state: str, count: int) -> Callable[[], bool]:
    """A check for `wait_for`. Not so while the rows cannot be had."""

    def check() -> bool:
        with suppress(TransientError):
            return states(store, destination) == [state] * count
        return False

    return check


def queue(store: Store, destination: str) -> Queue:
    found = run_apart(store.committer, delivery_rows.queues)
    return next(one for one in found if one.destination == destination)


def outstanding(store: Store) -> list[bool]:
    """Of all instances that are kept, in their order."""
    return run_apart(
        store.committer,
        lambda database: [
            delivery_rows.outstanding(database, one.number) for one in database.after(0, 10_000)
        ],
    )


def receive(store: Store, instances: Sequence[FileDataset]) -> None:
    for instance in instances:
        assert store.send(instance) == 0


def recorder(taken: list[Stored]) -> Script:
    """An SCP that takes everything, and notes it before it answers, whatever becomes of the association."""

    def serve(peer: Conversation) -> None:
        peer.accept()
        while (stored := peer.message()) is not None:
            taken.append(stored)
            peer.answer(stored)

    return serve
