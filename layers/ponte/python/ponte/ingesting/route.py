"""Where the members of an archive go, and what that may cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ponte.dedup import Ledger
from ponte.destination import Destination, Outgoing
from ponte.quarantine import Quarantine


class Transform(Protocol):
    """Makes of an instance the one that is sent: the seam where a de-identification profile acts."""

    def __call__(self, instance: Outgoing) -> Outgoing:
        """Raises `PermanentError`: the member is quarantined with its code."""
        ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What is held at a time, twice over: one batch is read while the one before is sent.

    An instance beyond `memory_bytes` waits in a file without a name. `attempts` are at what a destination
    may take later, `backoff_s` doubles after each; `pending_s` is how long to wait for somebody else who is
    sending the same instance.
    """

    batch_instances: int = 128
    batch_bytes: int = 64 << 20
    memory_bytes: int = 16 << 20
    attempts: int = 4
    backoff_s: float = 1.0
    pending_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where members go.

    Without a destination it is a dry run: nothing is sent or kept, and `ledger` should be one in memory
    (`ponte.memorystore`), so that nothing is claimed either. `keep` names tags of the dataset whose values
    each entry is to have.
    """

    destination: Destination | None = None
    ledger: Ledger | None = None
    quarantine: Quarantine | None = None
    transform: Transform | None = None
    limits: BatchLimits = BatchLimits()
    keep: frozenset[int] = frozenset()
    sleep: Callable[[float], None] = time.sleep

    @property
    def is_rehearsal(self) -> bool:
        """True for a dry run."""
        return self.destination is None
