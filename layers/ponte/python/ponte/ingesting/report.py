"""The report on an archive: every member, what became of it and why, as JSON and as a page to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from ponte.errors import PonteError
from ponte.ingesting.entry import Settled

Uids = Literal["hashed", "clear"]
Language = Literal["pt-BR", "en"]
ArchiveVerdict = Literal["done", "partial", "quarantined"]


def _now() -> datetime:
    return datetime.now(UTC)


class Report:
    """Gathers what `ingest` yields for one archive.

    `path` is what the archive is called where it lies, `sha256` over the archive (None where nobody computed
    it), `arrived_at` when it came. Times are in ISO 8601, UTC.
    """

    def __init__(
        self,
        path: str,
        *,
        sha256: str | None = None,
        arrived_at: datetime | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        raise NotImplementedError

    def take(self, settled: Settled) -> None:
        """Add what was settled; an entry with a place that is there already takes its place."""

    def add(self, part: Mapping[str, Any]) -> None:
        """Add an earlier part, as `as_json` gave it."""

    def refuse(self, error: PonteError, quarantine_id: str | None = None) -> None:
        """Nothing of the archive was read (`UnsafeArchive`); it is kept as a whole under that id."""

    def interrupt(self, error: PonteError) -> None:
        """It was not gone through to its end. A later `finish`, of the run that goes on, undoes that."""

    def finish(self) -> None:
        """It was gone through to its end. Until then a report is `partial`."""

    @property
    def verdict(self) -> ArchiveVerdict:
        """`done`: all accepted, known or passed over; never where nothing was accepted or known."""
        raise NotImplementedError

    @property
    def reason(self) -> str | None:
        """Why the whole archive is quarantined, where one reason says it: an archive's own, or ZIP_EMPTY."""
        raise NotImplementedError

    @property
    def totals(self) -> dict[str, Any]:
        """`entries accepted duplicate skipped quarantined delivered not_delivered bytes delivered_bytes`,
        `reasons` and `notes` by code, `latency_s` from arrival to the last confirmation (None where there is
        none)."""
        raise NotImplementedError

    def as_json(self, uids: Uids = "hashed") -> dict[str, Any]:
        """The report. The kept one has `sop_instance_uid_sha256` in the place of `sop_instance_uid`."""
        raise NotImplementedError

    def as_page(self, language: Language = "pt-BR") -> str:
        """One HTML file that needs nothing else."""
        raise NotImplementedError
