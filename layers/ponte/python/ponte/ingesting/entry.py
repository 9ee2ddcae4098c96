"""What became of the members of an archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Word = Literal["accepted", "duplicate", "skipped", "quarantined"]
DestinationStatus = Literal["stored", "stored_with_warning", "kept", "refused", "failed", "not_sent"]

SKIPPED: Final = frozenset({"IGNORED_NAME", "SYMLINK", "NOT_REGULAR"})
"""Reasons not to look at a member: it is passed over, and nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class DestinationAnswer:
    """What the destination said. `reason` is the number of its status, where it gave one."""

    status: DestinationStatus
    detail: str = ""
    reason: int | None = None


NOT_SENT: Final = DestinationAnswer("not_sent")


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one member. `name` may hold a patient's name: it is for the report and the terminal.

    `ordinal` counts from 1 within one run; `place` is the same in every run over the archive ("7", or "7.2"
    for the second member of the archives that stand after its seventh). `sha256` is over the dataset;
    `received_sha256` and `sent_sha256` are over the whole instance, where what is sent is not what came.
    `other_content` marks a duplicate by UID whose bytes are not those that are known.
    `values` has what `Route.keep` asked for, as raw bytes: it is never shown.
    """

    ordinal: int
    place: str
    name: str = field(repr=False)
    verdict: Word
    reason: str | None
    detail: str
    notes: tuple[str, ...]
    size_bytes: int
    sha256: str | None
    sop_class_uid: str | None
    sop_instance_uid: str | None
    transfer_syntax_uid: str | None
    values: Mapping[int, bytes | None] = field(default_factory=dict, repr=False)
    destination: DestinationAnswer = NOT_SENT
    quarantine_id: str | None = None
    received_sha256: str | None = None
    sent_sha256: str | None = None
    other_content: bool = False

    @property
    def delivered(self) -> bool:
        """True where the destination has said that it has this instance."""
        return self.destination.status in ("stored", "stored_with_warning")


@dataclass(frozen=True, slots=True)
class Settled:
    """Members of which nothing is open any more.

    `position`, given to `ingest` as `first`, goes on behind them after an interruption. Members of an archive
    within the archive may then come once more, with the `place` that they had.
    """

    entries: tuple[Entry, ...]
    position: int
