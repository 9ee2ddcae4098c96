"""Counts for metrics and logs: numbers and codes alone, nothing that names anybody."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ponte.ingesting.entry import Settled


@dataclass(slots=True)
class Counts:
    """Sums over what was settled. `reasons` and `notes` count by code; `other_content` counts the duplicates
    by UID whose bytes are not those that are known."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    delivered: int = 0
    delivered_bytes: int = 0
    warnings: int = 0
    other_content: int = 0

    def add(self, settled: Settled) -> None:
        """Count these too."""
        for entry in settled.entries:
            self.verdicts[entry.verdict] += 1
            if entry.reason:
                self.reasons[entry.reason] += 1
            self.notes.update(entry.notes)
            self.other_content += entry.other_content
            self.size_bytes += entry.size_bytes
            if entry.delivered:
                self.delivered += 1
                self.delivered_bytes += entry.size_bytes
                self.warnings += entry.destination.status == "stored_with_warning"
