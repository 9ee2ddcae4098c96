"""The report on an archive: every member, what became of it and why, as JSON and as a page to read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from ponte.errors import PonteError
from ponte.ingesting.entry import Entry, Settled
from ponte.ingesting.page import Language, page

Uids = Literal["hashed", "clear"]
ArchiveVerdict = Literal["done", "partial", "quarantined"]
Row = dict[str, Any]

_STORED = ("stored", "stored_with_warning")
_KNOWN = ("accepted", "duplicate")


def _now() -> datetime:
    return datetime.now(UTC)


class Report:
    """Gathers what `ingest` yields for one archive.

    `path` is what the archive is called where it lies, `sha256` over the archive (None where nobody computed
    it), `arrived_at` when it came; a `rehearsal` sent nothing. Times are in ISO 8601, UTC.
    """

    def __init__(
        self,
        path: str,
        *,
        sha256: str | None = None,
        arrived_at: datetime | None = None,
        rehearsal: bool = False,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._path = path
        self._sha256 = sha256
        self._rehearsal = rehearsal
        self._now = now
        self._arrived_at = arrived_at or now()
        self._last_delivery: datetime | None = None
        self._rows: dict[str, Row] = {}
        self._refusal: tuple[str, str] | None = None
        self._error: tuple[str, str] | None = None
        self._quarantine_id: str | None = None
        self._finished = False

    def take(self, settled: Settled) -> None:
        """Add what was settled; an entry with a place that is there already takes its place."""
        for entry in settled.entries:
            self._rows[entry.place] = _row(entry)
            if entry.delivered:
                self._last_delivery = self._now()

    def add(self, part: Mapping[str, Any]) -> None:
        """Add an earlier part, as `as_json` gave it. What was taken since stays as it is."""
        for row in part["entries"]:
            self._rows.setdefault(row["place"], dict(row))
        self._arrived_at = min(self._arrived_at, datetime.fromisoformat(part["arrived_at"]))
        if part["last_delivery_at"]:
            theirs = datetime.fromisoformat(part["last_delivery_at"])
            self._last_delivery = max(theirs, self._last_delivery or theirs)

    def refuse(self, error: PonteError, quarantine_id: str | None = None) -> None:
        """Nothing of the archive was read (`UnsafeArchive`); it is kept as a whole under that id."""
        self._refusal = (error.code, error.detail)
        self._quarantine_id = quarantine_id
        self._finished = True

    def interrupt(self, error: PonteError) -> None:
        """It was not gone through to its end. A later `finish`, of the run that goes on, undoes that."""
        self._error = (error.code, error.detail)
        self._finished = False

    def finish(self) -> None:
        """It was gone through to its end. Until then a report is `partial`."""
        self._error = None
        self._finished = True

    def kept_as(self, quarantine_id: str) -> None:
        """The whole archive is in quarantine under that id."""
        self._quarantine_id = quarantine_id

    @property
    def finished(self) -> bool:
        """True when nothing of the archive is left to do."""
        return self._finished

    @property
    def verdict(self) -> ArchiveVerdict:
        """`done`: all accepted, known or passed over; never where nothing was accepted or known."""
        if not self._finished:
            return "partial"
        verdicts = Counter(row["verdict"] for row in self._rows.values())
        if not any(verdicts[word] for word in _KNOWN):
            return "quarantined"
        return "partial" if verdicts["quarantined"] else "done"

    @property
    def reason(self) -> str | None:
        """Why the whole archive is quarantined, where one reason says it: an archive's own, or ZIP_EMPTY."""
        if self._refusal:
            return self._refusal[0]
        nothing = all(row["verdict"] == "skipped" for row in self._rows.values())
        return "ZIP_EMPTY" if self._finished and nothing else None

    @property
    def detail(self) -> str:
        """A sentence to the reason, or to the error that interrupted it."""
        if self._refusal or self._error:
            return (self._refusal or self._error or ("", ""))[1]
        return "Nothing in it is an instance" if self.reason else ""

    @property
    def totals(self) -> dict[str, Any]:
        """`entries accepted duplicate skipped quarantined other_content delivered not_delivered bytes
        delivered_bytes` (`other_content`: duplicates by UID whose bytes are not those that are known), `kept`
        where a queue has some that it is to send on,
        `reasons` and `notes` by code, `latency_s` from arrival to the last confirmation (None where there is
        none)."""
        rows = self._rows.values()
        verdicts = Counter(row["verdict"] for row in rows)
        delivered = [row for row in rows if row["destination"]["status"] in _STORED]
        kept = sum(row["destination"]["status"] == "kept" for row in rows)
        last = self._last_delivery
        return {
            "entries": len(rows),
            **{word: verdicts[word] for word in ("accepted", "duplicate", "skipped", "quarantined")},
            "other_content": sum(row.get("other_content", False) for row in rows),
            "delivered": len(delivered),
            "not_delivered": len(rows) - len(delivered),
            **({"kept": kept} if kept else {}),
            "bytes": sum(row["size_bytes"] for row in rows),
            "delivered_bytes": sum(row["size_bytes"] for row in delivered),
            "reasons": dict(Counter(row["reason"] for row in rows if row["reason"])),
            "notes": dict(Counter(note for row in rows for note in row["notes"])),
            "latency_s": None if last is None else round((last - self._arrived_at).total_seconds(), 3),
        }

    def as_json(self, uids: Uids = "hashed") -> dict[str, Any]:
        """The report. The kept one has `sop_instance_uid_sha256` in the place of `sop_instance_uid`."""
        shown = _hashed if uids == "hashed" else _clear
        return {
            "path": self._path,
            "sha256": self._sha256,
            "dry_run": self._rehearsal,
            "verdict": self.verdict,
            "reason": self.reason,
            "detail": self.detail,
            "error": {"code": self._error[0], "detail": self._error[1]} if self._error else None,
            "quarantine_id": self._quarantine_id,
            "arrived_at": self._arrived_at.isoformat(),
            "last_delivery_at": self._last_delivery and self._last_delivery.isoformat(),
            "entries": [shown(row) for row in self._ordered()],
            "totals": self.totals,
        }

    def as_page(self, language: Language = "pt-BR") -> str:
        """One HTML file that needs nothing else."""
        return page(self.as_json("hashed"), language)

    def _ordered(self) -> list[Row]:
        """In the order of the archive, and numbered so."""
        rows = sorted(self._rows.values(), key=lambda row: _order(row["place"]))
        return [{**row, "ordinal": ordinal} for ordinal, row in enumerate(rows, 1)]


def _order(place: str) -> tuple[int, ...]:
    return tuple(int(part) for part in place.split("."))


def _row(entry: Entry) -> Row:
    return {
        "ordinal": entry.ordinal,
        "place": entry.place,
        "name": entry.name,
        "verdict": entry.verdict,
        "reason": entry.reason,
        "detail": entry.detail,
        "notes": list(entry.notes),
        "size_bytes": entry.size_bytes,
        "sop_class_uid": entry.sop_class_uid,
        "sop_instance_uid": entry.sop_instance_uid,
        "transfer_syntax_uid": entry.transfer_syntax_uid,
        "sha256": entry.sha256,
        "received_sha256": entry.received_sha256,
        "sent_sha256": entry.sent_sha256,
        "destination": {
            "status": entry.destination.status,
            "detail": entry.destination.detail,
            "reason": entry.destination.reason,
        },
        "quarantine_id": entry.quarantine_id,
        "other_content": entry.other_content,
    }


def _hashed(row: Row) -> Row:
    """Without the UID, which names a patient to whoever has the PACS."""
    if "sop_instance_uid" not in row:
        return row
    uid = row["sop_instance_uid"]
    shown = {name: value for name, value in row.items() if name != "sop_instance_uid"}
    return {**shown, "sop_instance_uid_sha256": uid and hashlib.sha256(uid.encode()).hexdigest()}


def _clear(row: Row) -> Row:
    """With the UID, where it is known: not in a part that came hashed."""
    return {"sop_instance_uid": None, **row}
