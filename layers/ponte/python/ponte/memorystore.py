"""The ledger's rows in memory: for one run, and for a rehearsal that must leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import RLock
from typing import TypeVar

from ponte.dedup import Row

T = TypeVar("T")


class MemoryStore:
    """A store that ends with its process."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._lock = RLock()

    def get(self, key: str) -> Row | None:
        """The row, or None."""
        return self._rows.get(key)

    def swap(self, key: str, before: Row | None, after: Row | None) -> bool:
        """Put `after` in the place of `before`; False where it is not there."""
        with self._lock:
            if self._rows.get(key) != before or before is after:
                return False
            if after is None:
                del self._rows[key]
            else:
                self._rows[key] = after
            return True

    def together(self, steps: Sequence[Callable[[], T]]) -> list[T]:
        """One after the other."""
        return [step() for step in steps]
