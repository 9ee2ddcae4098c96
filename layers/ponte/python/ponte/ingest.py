"""An archive to a destination: each member looked at, sent once, and accounted for.

The same code for Lambda, the command line, the folder watcher and the router.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing

from ponte.archive import Archive
from ponte.ingesting.ahead import one_ahead
from ponte.ingesting.entry import DestinationAnswer, Entry, Settled
from ponte.ingesting.reading import Item, Reader
from ponte.ingesting.route import BatchLimits, Route, Transform
from ponte.ingesting.settle import Settler

__all__ = ["BatchLimits", "DestinationAnswer", "Entry", "Route", "Settled", "Transform", "ingest"]


def ingest(archive: Archive, *, identity: str, route: Route, first: int = 0) -> Generator[Settled]:
    """Bring every member where it belongs; yield what became of them, a batch at a time, in their order.

    `identity` names the archive, the same after an interruption: what this archive claimed or confirmed
    before is known by it. `first` is the `position` to go on behind.

    What is yielded is durable: confirmed by the destination and in the ledger, or kept in quarantine. Raises
    `TransientError` where the destination, or whoever else has the same instance in hand, does not come to
    an end in the time of `Route.limits`, `AccessRefused` and `DestinationRefused` where the destination
    refuses as a whole; what was in flight is released, what was yielded stays true. It may be closed between
    two of them.
    """
    reader, settler = Reader(archive, route, first), Settler(route, identity)
    position = first
    with closing(reader.batches()) as read, closing(one_ahead(read, stop=reader.stop, drop=_drop)) as batches:
        for batch in batches:
            try:
                entries = settler.settle(batch)
            finally:
                _drop(batch)
            position = max(position, *(item.position for item in batch))
            yield Settled(entries, position)


def _drop(batch: Iterable[Item]) -> None:
    for item in batch:
        item.spool.close()
