"""One run over an archive: from its checkpoint on, until it is settled or the time is short."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ponte.archive import Archive as Zip
from ponte.errors import PonteError, UnsafeArchive
from ponte.ingest import Settled, ingest
from ponte.ingesting.counts import Counts
from ponte.ingesting.report import Report
from ponte.quarantine import QuarantineRecord
from ponte_aws import clients
from ponte_aws.announce import count_metric
from ponte_aws.archives import Archive, Archives, State
from ponte_aws.quarantine import S3Quarantine
from ponte_aws.s3range import ObjectGone, ObjectReplaced, S3Range
from zip_ingest.follow_ups import follow_up, tell
from zip_ingest.found import Found
from zip_ingest.place import open_route
from zip_ingest.report import ReportStore, new_report
from zip_ingest.settings import IngestSettings

logger = logging.getLogger(__name__)

_STATES: Mapping[str, State] = {
    "done": State.DONE,
    "partial": State.PARTIAL,
    "quarantined": State.QUARANTINED,
}


@dataclass(slots=True)
class Run:
    """A run that holds the archive's lease under the name `name`. `is_late` says that the time is short."""

    archives: Archives
    archive: Archive
    name: str
    settings: IngestSettings
    is_late: Callable[[], bool]

    def go_on(self) -> bool:
        """Bring the archive to its end, report included: True; or stop at a checkpoint, as time is short.

        Raises `ArchiveOver` when the archive is in other hands, and what a later run may find mended:
        `PonteError`, botocore's errors.
        """
        try:
            return self._read()
        except (ObjectGone, ObjectReplaced) as error:
            self._lose(error)
            return True

    def _read(self) -> bool:
        try:
            with S3Range(clients.s3_ranges(), self.archive.name) as stream:
                if not self._ingest(Zip(stream)):
                    return False
        except UnsafeArchive as error:
            self._refuse(error)
        else:
            self.conclude()
        return True

    def conclude(self, error: PonteError | None = None, state: State | None = None) -> None:
        """Write the whole report, tell the others, then the row: in this order, so that none is forgotten."""
        self._conclude(lambda report: report.interrupt(error) if error else report.finish(), error, state)

    def _conclude(
        self, end: Callable[[Report], None], error: PonteError | None, state: State | None = None
    ) -> None:
        report, found = self._whole()
        end(report)
        key = self._reports.put(self.archive.archive_id, report, self.settings.report_language)
        follow_up(self.archives, self.archive, found, self.settings)
        state = state or _STATES[report.verdict]
        summary = _summary(report, key)
        tell(self.archive, self.settings)
        code = error.code if error else None
        self.archives.finish(self.archive.archive_id, state, run=self.name, summary=summary, error=code)
        self._tell_metrics(report, state)

    @property
    def _reports(self) -> ReportStore:
        return ReportStore(clients.s3(), self.settings.inbox_bucket)

    def _ingest(self, archive: Zip) -> bool:
        """Whether it came to the end."""
        steps = ingest(
            archive,
            identity=self.archive.archive_id,
            route=open_route(self.settings),
            first=self.archive.position,
        )
        with closing(steps):
            waiting: list[Settled] = []
            for settled in steps:
                waiting.append(settled)
                if settled.position <= self.archive.position:
                    continue  # within an archive in this one, into which nobody can go back
                self._checkpoint(waiting)
                waiting = []
                if self.archive.position < archive.entries and self.is_late():
                    return False
            if waiting:
                self._checkpoint(waiting)
        return True

    def _checkpoint(self, waiting: list[Settled]) -> None:
        """Store a part of the report, then count it in the row."""
        part, found, counts = new_report(self.archive), Found(), Counts()
        for settled in waiting:
            part.take(settled)
            found.take(settled)
            counts.add(settled)
        archive_id, number, position = self.archive.archive_id, self.archive.parts, waiting[-1].position
        self._reports.put_part(archive_id, number, part, found)
        self.archives.checkpoint(archive_id, run=self.name, position=position, parts=number + 1)
        self.archive = replace(self.archive, position=position, parts=number + 1, silent=0, setbacks=0)
        _count(counts)

    def _refuse(self, error: UnsafeArchive) -> None:
        """Nothing of the archive was read: it is kept as it is."""
        record = QuarantineRecord(
            reason=error.code,
            detail=error.detail,
            kind="archive",
            name=self.archive.name.key,
            origin=self.archive.archive_id,
        )
        quarantine = S3Quarantine(clients.s3(), self.settings.inbox_bucket)
        kept = quarantine.keep_object(record, self.archive.name, self.archive.size_bytes)
        count_metric("IngestReasons", 1, Reason=error.code)
        self._conclude(lambda report: report.refuse(error, kept), error)

    def _lose(self, error: ObjectGone | ObjectReplaced) -> None:
        """The object is not there any more: what was settled before stays true, and is reported."""
        state = State.GONE if isinstance(error, ObjectGone) else State.REPLACED
        logger.warning("object lost", extra={"archive_id": self.archive.archive_id, "code": error.code})
        if self.archive.parts:
            self.conclude(error, state)
            return
        self.archives.finish(self.archive.archive_id, state, run=self.name, summary={}, error=error.code)
        count_metric("ArchivesSettled", 1, Verdict=state.value)

    def _whole(self) -> tuple[Report, Found]:
        report, found = new_report(self.archive), Found()
        for part, others in self._reports.parts(self.archive):
            report.add(part)
            found.add(others)
        return report, found

    def _tell_metrics(self, report: Report, state: State) -> None:
        totals = report.totals
        count_metric("ArchivesSettled", 1, Verdict=state.value)
        if totals["latency_s"] is not None:
            count_metric("IngestLatencySeconds", totals["latency_s"], unit="Seconds", Step="ingest")
        logger.info(
            "archive settled",
            extra={
                "archive_id": self.archive.archive_id,
                "state": state.value,
                "reason": report.reason,
                **{name: totals[name] for name in ("accepted", "duplicate", "skipped", "quarantined")},
                "size_bytes": totals["bytes"],
                "total_s": round((datetime.now(UTC) - self.archive.arrived).total_seconds(), 3),
            },
        )


def _summary(report: Report, key: str) -> dict[str, Any]:
    """What the row keeps of it: numbers and codes alone."""
    return {"verdict": report.verdict, "reason": report.reason, "totals": report.totals, "report": key}


def _count(counts: Counts) -> None:
    """What a batch came to, for CloudWatch: by verdict and by reason, by nothing that names anybody."""
    for verdict, number in counts.verdicts.items():
        count_metric("IngestEntries", number, Verdict=verdict)
    for reason, number in counts.reasons.items():
        count_metric("IngestReasons", number, Reason=reason)
    if counts.delivered:
        count_metric("IngestDelivered", counts.delivered)
        count_metric("IngestBytes", counts.delivered_bytes, unit="Bytes")
