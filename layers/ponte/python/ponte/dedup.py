"""Was this instance here before? The three policies, over any store that can compare and swap.

An instance is claimed before it is sent, and known for good when a destination has it: a process that dies in
between leaves a claim that ends by itself, so that nothing is taken for sent that was not. Of two that claim
the same at once, one gets it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from ponte.errors import NotDicom, TransientError

T = TypeVar("T")

_ATTEMPTS = 8
_DEFAULT_LEASE_S = 900.0


class Policy(StrEnum):
    """By what an instance is known."""

    UID_THEN_SHA256 = "uid_then_sha256"
    SHA256_ONLY = "sha256_only"
    UID_ONLY = "uid_only"


class Finding(StrEnum):
    """What a claim came to."""

    NEW = "new"
    DUPLICATE = "duplicate"
    DONE = "done"
    CONFLICT = "UID_CONFLICT"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of an instance. `other_digest` marks the duplicate by UID whose content is another.

    NEW is the claimant's to send, and to confirm or release. DONE is what the claimant itself has confirmed,
    before an interruption. PENDING is in somebody else's hands: ask later.
    """

    finding: Finding
    other_digest: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the ledger: a claim of `owner`, or, where that never expires, what it has confirmed."""

    digest: str
    owner: str = ""
    expires_at: float = 0.0

    @property
    def is_known(self) -> bool:
        """True for an instance that has arrived."""
        return not self.expires_at


class LedgerBusy(TransientError):
    """Others changed the same row again and again."""

    default_code = "LEDGER_BUSY"


class ClaimLost(TransientError):
    """The claim ended, and somebody else has the instance now."""

    default_code = "CLAIM_LOST"


def scope_of(destination: str) -> str:
    """What tells the rows of this destination from those of others in the same store; "" for none."""
    return f"{hashlib.sha256(destination.encode()).hexdigest()[:16]}#" if destination else ""


class Store(Protocol):
    """Where the rows are."""

    def get(self, key: str) -> Row | None:
        """The row as it is now, what was written before included."""
        ...

    def swap(self, key: str, before: Row | None, after: Row | None) -> bool:
        """Put `after` in the place of `before` (None is no row), durably; False where it is not there."""
        ...

    def together(self, steps: Sequence[Callable[[], T]]) -> list[T]:
        """Do several steps, each of them gets and swaps, at less than the cost of one after the other.

        What they changed is durable when this returns. Steps must not depend on each other's order.
        """
        ...


class Ledger:
    """The ledger of one destination. Where a store has those of several, `scope` tells them apart: what one
    has is no duplicate for another."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        *,
        scope: str = "",
        lease_s: float = _DEFAULT_LEASE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._policy = policy
        self._scope = scope
        self._lease_s = lease_s
        self._now = now

    def claim(self, sop_instance_uid: str | None, sha256: str, owner: str) -> Claim:
        """Ask for an instance; `owner` names who asks, the same again after an interruption.

        `sha256` is over the dataset, so that another preamble makes no other instance. Raises `NotDicom`
        (MISSING_UID), `LedgerBusy`.
        """
        key, _ = self._keys(sop_instance_uid, sha256)
        mine = Row(sha256, owner, self._now() + self._lease_s)
        for _ in range(_ATTEMPTS):
            row = self._store.get(key)
            found = self._decide(row, mine)
            if found.finding is not Finding.NEW or self._store.swap(key, row, mine):
                return found
        raise LedgerBusy("The ledger's row keeps changing")

    def confirm(self, sop_instance_uid: str | None, sha256: str, owner: str) -> None:
        """The instance has arrived: it is known from now on, by UID and by digest. Raises `ClaimLost`."""
        key, other = self._keys(sop_instance_uid, sha256)
        row = self._store.get(key)
        known = Row(sha256, owner)
        if row != known and (row is None or row.owner != owner or not self._store.swap(key, row, known)):
            raise ClaimLost("The claim on the instance is over")
        self._store.swap(other, None, known)  # for the day when the policy is another

    def release(self, sop_instance_uid: str | None, sha256: str, owner: str) -> None:
        """Give a claim back: the instance did not arrive."""
        key, _ = self._keys(sop_instance_uid, sha256)
        row = self._store.get(key)
        if row is not None and row.owner == owner and not row.is_known:
            self._store.swap(key, row, None)

    def record(self, sop_instance_uid: str | None, sha256: str, owner: str) -> None:
        """The instance has arrived by an operator's decision: what was known of its UID gives way.

        Raises `NotDicom` (MISSING_UID), `LedgerBusy`.
        """
        for key in self._keys(sop_instance_uid, sha256):
            known = Row(sha256, owner)
            for _ in range(_ATTEMPTS):
                row = self._store.get(key)
                if row == known or self._store.swap(key, row, known):
                    break
            else:
                raise LedgerBusy("The ledger's row keeps changing")

    def together(self, steps: Sequence[Callable[[], T]]) -> list[T]:
        """Several claims, confirmations or releases at once: see `Store.together`."""
        return self._store.together(steps)

    def _is_over(self, claim: Row) -> bool:
        """True also of one from a time that has not been yet, where the clock was set back."""
        now = self._now()
        return not now < claim.expires_at <= now + 2 * self._lease_s

    def _keys(self, sop_instance_uid: str | None, sha256: str) -> tuple[str, str]:
        """The key that the policy goes by, and the other. UIDs stand there hashed: they name a patient."""
        if not sop_instance_uid:
            raise NotDicom("SOP Instance UID (0008,0018) is absent", code="MISSING_UID")
        by_uid = f"{self._scope}uid#{hashlib.sha256(sop_instance_uid.encode()).hexdigest()}"
        by_digest = f"{self._scope}sha256#{sha256}"
        return (by_digest, by_uid) if self._policy is Policy.SHA256_ONLY else (by_uid, by_digest)

    def _decide(self, row: Row | None, mine: Row) -> Claim:
        if row is None:
            return Claim(Finding.NEW)
        other_digest = row.digest != mine.digest
        if not row.is_known and (row.owner == mine.owner or self._is_over(row)):
            return Claim(Finding.NEW)
        if other_digest and self._policy is Policy.UID_THEN_SHA256:
            return Claim(Finding.CONFLICT, other_digest)
        if row.is_known:
            mine_already = row.owner == mine.owner and bool(mine.owner) and not other_digest
            return Claim(Finding.DONE if mine_already else Finding.DUPLICATE, other_digest)
        return Claim(Finding.PENDING, other_digest)
