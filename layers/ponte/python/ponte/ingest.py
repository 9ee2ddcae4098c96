"""An archive to a destination: each member looked at, sent once, and accounted for.

The same code for Lambda, the command line, the folder watcher and the router.
"""

from __future__ import annotations

from collections.abc import Iterator

from ponte.archive import Archive
from ponte.ingesting.entry import DestinationAnswer, Entry, Settled
from ponte.ingesting.route import BatchLimits, Route, Transform

__all__ = ["BatchLimits", "DestinationAnswer", "Entry", "Route", "Settled", "Transform", "ingest"]


def ingest(archive: Archive, *, identity: str, route: Route, first: int = 0) -> Iterator[Settled]:
    """Bring every member where it belongs; yield what became of them, a batch at a time, in their order.

    `identity` names the archive, the same after an interruption: what this archive claimed or confirmed
    before is known by it. `first` is the `position` to go on behind.

    What is yielded is durable: confirmed by the destination and in the ledger, or kept in quarantine. Raises
    `TransientError` where the destination, or whoever else has the same instance in hand, does not come to
    an end in the time of `Route.limits`, `AccessRefused` and `DestinationRefused` where the destination
    refuses as a whole; what was in flight is released, what was yielded stays true. It may be closed between
    two of them.
    """
    raise NotImplementedError
