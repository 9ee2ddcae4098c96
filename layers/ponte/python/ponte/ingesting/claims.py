"""The claims of one run in the ledger: what it has in hand, and what has arrived of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from ponte.dedup import Claim, ClaimLost, Finding, Ledger, LedgerBusy
from ponte.ingesting.reading import Item

T = TypeVar("T")


class Claims:
    """Claims on members of the archive `identity`. Without a ledger everything is new."""

    def __init__(self, ledger: Ledger | None, identity: str) -> None:
        self._ledger = ledger
        self._identity = identity
        self._held: dict[str, Item] = {}
        self._arrived: dict[str, Item] = {}

    def ask(self, items: Sequence[Item]) -> Sequence[Claim]:
        """What each comes to. What is NEW is held until it has arrived, or until `settle`."""

        def step(ledger: Ledger, item: Item) -> Claim:
            try:
                return ledger.claim(item.uid, item.digest, self._owner(item))
            except LedgerBusy:
                return Claim(Finding.PENDING)

        claims = self._each(items, step) if self._ledger else [Claim(Finding.NEW)] * len(items)
        self._held.update(
            (item.place, item)
            for item, claim in zip(items, claims, strict=True)
            if claim.finding is Finding.NEW
        )
        return claims

    def arrived(self, item: Item) -> None:
        """The destination has it: it is the next `confirm`'s to say so."""
        self._arrived[item.place] = item

    def confirm(self) -> None:
        """What arrived is known from now on. A claim that was lost meanwhile is somebody else's."""

        def step(ledger: Ledger, item: Item) -> None:
            with suppress(ClaimLost):
                ledger.confirm(item.uid, item.digest, self._owner(item))

        arrived = list(self._arrived.values())
        self._each(arrived, step)
        self._arrived = {}
        for item in arrived:
            self._held.pop(item.place, None)

    def settle(self) -> None:
        """Confirm what arrived, and give everything else back."""
        self.confirm()
        held, self._held = list(self._held.values()), {}
        self._each(held, lambda ledger, item: ledger.release(item.uid, item.digest, self._owner(item)))

    def _each(self, items: Iterable[Item], step: Callable[[Ledger, Item], T]) -> list[T]:
        """One step for each, together. A step must not raise: it would undo what the others did."""
        ledger = self._ledger
        steps = [_bound(step, ledger, item) for item in items] if ledger else []
        return ledger.together(steps) if ledger and steps else []

    def _owner(self, item: Item) -> str:
        """The same after an interruption."""
        return f"{self._identity}#{item.place}"


def _bound[T](step: Callable[[Ledger, Item], T], ledger: Ledger, item: Item) -> Callable[[], T]:
    return lambda: step(ledger, item)
