"""One archive from the queue to its end: ingested, reported, put away."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ponte.archive import Archive
from ponte.destination import Destination, Outgoing
from ponte.errors import StorageFull, TransientError, UnsafeArchive
from ponte.ingest import Entry, Route, Settled, Transform, ingest
from ponte.ingesting.page import Language
from ponte.ingesting.report import Report
from ponte.quarantine import Quarantine, QuarantineRecord
from watcher.files import chunks, write_whole
from watcher.filing import PAGE, REPORT, name_in, put_away
from watcher.item import Item
from watcher.logfile import LOGGER, tell

_log = logging.getLogger(LOGGER)


class Stopped(Exception):
    """The work was asked to end, and ended between two batches."""


class Changed(TransientError):
    """The archive changed while it was read: it is read anew."""

    default_code = "SOURCE_CHANGED"


Way = Callable[[str], AbstractContextManager[Destination]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with each archive.

    `verb` is what its log lines call the sending, `tell` is given each report by the id of its item. `way`,
    where there is one, opens a destination for one archive, by the id of its item.
    """

    route: Route
    quarantine: Quarantine
    archive_dir: Path
    keep_archive: bool
    keep_members: Path | None = None
    language: Language = "pt-BR"
    verb: str = "C-STORE"
    tell: Callable[[str, Mapping[str, Any]], None] | None = None
    way: Way | None = None


class Work:
    """Does it. `stop` ends it after the batch that is in flight."""

    def __init__(self, plan: Plan, stop: threading.Event) -> None:
        self._plan = plan
        self._stop = stop

    def do(self, item: Item) -> None:
        """Bring the item to its end; it is gone then.

        Raises `Stopped`, `TransientError`, `AccessRefused`, `DestinationRefused`, `OSError`: the item is as
        it was, less what was settled, and may be given again.
        """
        if not item.journal.settled:
            self._file(item, self._ingest(item))
        put_away(item, self._plan.archive_dir)

    def _ingest(self, item: Item) -> Report:
        """The report on the whole archive, parts from before an interruption included."""
        if not item.is_as_noted():
            item.forget_parts()
            note_digest(item)
        report = _report(item)
        first = 0
        for position, part in item.parts():
            report.add(part)
            first = position
        try:
            self._bring(item, report, first)
        except UnsafeArchive as error:
            report.refuse(error)
        if not item.is_as_noted():
            raise Changed("The archive changed while it was read")
        report.finish()
        if report.reason:
            self._quarantine(item, report, report.reason)
        return report

    def _bring(self, item: Item, report: Report, first: int) -> None:
        """Raises `UnsafeArchive` where nothing of the archive may be read."""
        route = replace(self._plan.route, transform=self._keeping(item) or self._plan.route.transform)
        with item.archive.open("rb") as stream, ExitStack() as stack:
            archive = Archive(stream)
            if self._plan.way is not None:
                route = replace(route, destination=stack.enter_context(self._plan.way(item.id)))
            with closing(ingest(archive, identity=item.id, route=route, first=first)) as parts:
                for settled in parts:
                    self._note(item, report, settled)
                    if self._stop.is_set():
                        raise Stopped

    def _note(self, item: Item, report: Report, settled: Settled) -> None:
        part = _report(item)
        part.take(settled)
        item.add_part(settled.position, part.as_json())
        report.take(settled)
        for entry in settled.entries:
            self._say(entry)

    def _say(self, entry: Entry) -> None:
        """A line for each member, as the old system had it."""
        uid, verb = entry.sop_instance_uid or "none", self._plan.verb
        if entry.verdict == "accepted":
            status = entry.destination.status if entry.destination else ""
            warned = f": {entry.destination.detail}" if entry.destination and "warning" in status else ""
            level = logging.WARNING if warned else logging.INFO
            _log.log(level, "%s OK: %s (UID=%s)%s", verb, entry.name, uid, warned)
        elif entry.verdict == "duplicate":
            _log.info("Duplicate, not sent: %s (UID=%s)", entry.name, uid)
        elif entry.verdict == "skipped":
            _log.info("Skipped: %s (%s)", entry.name, entry.reason)
        else:
            _log.error("Quarantined: %s (UID=%s) %s: %s", entry.name, uid, entry.reason, entry.detail)

    def _keeping(self, item: Item) -> Transform | None:
        """Writes each instance that is sent to the work folder, under a name of ours; sends what it got."""
        if self._plan.keep_members is None:
            return None
        folder = self._plan.keep_members / item.id
        inner = self._plan.route.transform

        def keep(instance: Outgoing) -> Outgoing:
            name = hashlib.sha256(instance.sop_instance_uid.encode()).hexdigest()[:32]
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                with (folder / f"{name}.dcm").open("wb") as stream:
                    stream.writelines(instance.chunks(instance.size_bytes))
            except OSError as error:
                raise StorageFull(f"A member cannot be kept: {error.strerror}") from error
            return inner(instance) if inner else instance

        return keep

    def _quarantine(self, item: Item, report: Report, reason: str) -> None:
        """Keep the archive as a whole, with why nothing of it was ingested."""
        record = QuarantineRecord(
            reason, report.detail, kind="archive", name=item.journal.name, origin=item.id
        )
        report.kept_as(self._plan.quarantine.keep(record, chunks(item.archive)))
        line = "Archive quarantined: %s (%s: %s)"
        tell(
            logging.ERROR,
            line,
            item.journal.name,
            item.id,
            reason,
            report.detail,
            alarm="ARCHIVE_QUARANTINED",
        )

    def _file(self, item: Item, report: Report) -> None:
        """Write the report beside where the archive goes; then, in the journal, that all is settled."""
        folder = self._plan.archive_dir
        name = name_in(folder, item)
        said = report.as_json()
        write_whole(folder / f"{name}{PAGE}", report.as_page(self._plan.language).encode(errors="replace"))
        write_whole(folder / f"{name}{REPORT}", json.dumps(said, indent=1).encode())
        if self._plan.tell is not None:
            self._plan.tell(item.id, said)
        item.note(settled=True, delete=not self._is_kept(said))
        self._say_all(item, said)

    def _say_all(self, item: Item, said: Mapping[str, Any]) -> None:
        """A line for the archive; on the console without its name."""
        level = logging.INFO if said["verdict"] == "done" else logging.WARNING
        line = "%s: %s, %d accepted, %d duplicate, %d skipped, %d quarantined"
        counts = [said["totals"][word] for word in ("accepted", "duplicate", "skipped", "quarantined")]
        tell(level, line, item.journal.name, item.id, said["verdict"], *counts)

    def _is_kept(self, said: Mapping[str, Any]) -> bool:
        """Whether the archive stays: not where quarantine has it as a whole; always where the destination
        keeps something else than it was sent, or a member may be had from nowhere else."""
        if said["quarantine_id"] is not None:
            return False
        warned = any(entry["destination"]["status"] == "stored_with_warning" for entry in said["entries"])
        return self._plan.keep_archive or warned or said["verdict"] != "done"


def note_digest(item: Item) -> None:
    """Note what the archive is now. Raises `Changed`."""
    status = item.archive.stat()
    with item.archive.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    item.note(sha256=sha256, size=status.st_size, modified_ns=status.st_mtime_ns)
    if not item.is_as_noted():
        raise Changed("The archive changed while it was read")


def _report(item: Item) -> Report:
    return Report(item.journal.name, sha256=item.journal.sha256, arrived_at=item.arrived_at)
