"""What is in quarantine goes on after all, because somebody decided so; never what cannot be sent."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Final

from ponte.archive import Archive
from ponte.dedup import Ledger
from ponte.destination import Destination, Outcome
from ponte.errors import InvalidRequest, PermanentError
from ponte.ingest import Route, ingest
from ponte.ingesting.counts import Counts
from ponte.ingesting.reading import Item
from ponte.ingesting.sending import deliver, prepare
from ponte.ingesting.spool import Spool, chunks
from ponte.quarantine import Kept, Quarantine, Release
from ponte.scan import Scanner

NOT_SENT: Final = "not_sent"
PARTIAL: Final = "partial"


@dataclass(frozen=True, slots=True)
class Exit:
    """Where things go from here. `name` is what the destination is called in the record."""

    destination: Destination
    name: str
    ledger: Ledger | None = None


def release(quarantine: Quarantine, quarantine_id: str, way: Exit) -> Release:
    """Send it, and say what became of it; it is marked as released where the destination has it.

    An instance must be whole and sound: the scanner's word counts, not an operator's. An archive is ingested
    anew. Raises `InvalidRequest` for an id that is not there, and what a destination raises as a whole.
    """
    kept = quarantine.show(quarantine_id)
    try:
        with quarantine.open(quarantine_id) as stream:
            status, detail = (_archive if kept.record.kind == "archive" else _instance)(
                kept, stream, quarantine, way
            )
    except InvalidRequest as error:
        status, detail = NOT_SENT, error.detail
    done = Release(datetime.now(UTC).isoformat(timespec="milliseconds"), way.name, status, detail)
    if status in ("stored", "stored_with_warning", "kept"):
        quarantine.mark_released(quarantine_id, done)
    return done


def _instance(kept: Kept, stream: BinaryIO, _: Quarantine, way: Exit) -> tuple[str, str]:
    route = Route(way.destination)
    with closing(Spool(route.limits.memory_bytes)) as spool:
        scanner = Scanner()
        for piece in chunks(stream):
            scanner.feed(piece)
            spool.write(piece)
        verdict = scanner.finish()
        if not verdict.accepted:
            return NOT_SENT, f"{verdict.reason}: {verdict.detail}"
        item = Item(1, kept.id, 1, kept.record.name, verdict, spool)
        outcome = deliver([prepare(item, None)], way.destination, route, lambda _: None)[kept.id]
        if outcome.stored and way.ledger is not None:
            way.ledger.record(item.uid, item.digest, f"release#{kept.id}")
    return outcome.status, outcome.detail or _caution(kept, outcome)


def _caution(kept: Kept, outcome: Outcome) -> str:
    """Success over STOW-RS or C-STORE does not say which of two instances with one UID a PACS keeps."""
    conflict = kept.record.reason == "UID_CONFLICT" and outcome.stored and outcome.status != "kept"
    return "Whether it took the place of the one before, only the destination can show" if conflict else ""


def _archive(kept: Kept, stream: BinaryIO, quarantine: Quarantine, way: Exit) -> tuple[str, str]:
    """Stored where every member was delivered, or is known there; partial where some were."""
    try:
        archive = Archive(stream)
    except PermanentError as error:
        return NOT_SENT, f"{error.code}: {error.detail}"
    counts = Counts()
    route = Route(way.destination, way.ledger, quarantine)
    for settled in ingest(archive, identity=f"release#{kept.id}", route=route):
        counts.add(settled)
    known = counts.delivered + counts.verdicts["duplicate"]
    said = f"{counts.delivered} delivered, {counts.verdicts['duplicate']} known, "
    said += f"{counts.verdicts['quarantined']} quarantined"
    if not known:
        return NOT_SENT, said
    return (PARTIAL if counts.verdicts["quarantined"] else "stored"), said
