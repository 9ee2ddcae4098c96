"""Which deliveries the workers of a destination have in hand, whatever the rows say.

A commit that fails may have been made all the same. Then rows say `sending` of what nobody sends, and would
say so until the next start: what nobody has in hand waits again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from router import delivery_rows
from router.committer import Committer
from router.database import Database
from router.delivery_rows import Delivery
from router.savepoint import run_apart


class InHand:
    """All workers of one destination share it."""

    def __init__(self, committer: Committer, destination: str) -> None:
        self._committer = committer
        self._destination = destination
        self._numbers: set[int] = set()
        self._in_doubt = False
        self._lock = Lock()

    def claim[T](self, apply: Callable[[Database], T], deliveries: Callable[[T], Iterable[Delivery]]) -> T:
        """What `apply` takes into hand, durably. Raises `TransientError`: then nothing is in hand of it."""
        numbers: list[int] = []

        def claimed(database: Database) -> T:
            self._put_back_strays(database)
            found = apply(database)
            numbers[:] = [one.number for one in deliveries(found)]
            with self._lock:
                self._numbers.update(numbers)
            return found

        try:
            return run_apart(self._committer, claimed)
        except BaseException:
            self.release(numbers, in_doubt=True)
            raise

    def release(self, numbers: Iterable[int], *, in_doubt: bool = False) -> None:
        """They were settled; or nobody knows whether that was noted."""
        with self._lock:
            self._numbers.difference_update(numbers)
            self._in_doubt |= in_doubt

    def _put_back_strays(self, database: Database) -> None:
        with self._lock:
            held, in_doubt = list(self._numbers), self._in_doubt
            self._in_doubt = False
        if in_doubt:
            delivery_rows.put_back_all_but(database, self._destination, held)
