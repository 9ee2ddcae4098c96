"""`ponte ingest`: the instances of ZIPs to a destination, with a word on each."""

from __future__ import annotations

import fcntl
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from cli.output import ExitCode, print_json, print_line, whole_file
from ponte.dedup import LedgerBusy, Policy, Store
from ponte.errors import InvalidRequest, PonteError, SourceUnavailable, StorageFull, UnsafeArchive

if TYPE_CHECKING:
    from ponte.archive import Archive
    from ponte.ingest import Route, Settled
    from ponte.ingesting.report import Report

_HEAD = 132


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for all archives of a command."""

    route: Route
    store: Store
    scope: str
    reports: Path | None
    language: Literal["pt-BR", "en"]


def ingest(
    archives: Annotated[list[Path], typer.Argument(help="ZIPs of instances.", metavar="ZIP...")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", help="dicom://AET@host:port, https://host/dicom-web or orthanc+http://host:8042."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; send, claim and keep nothing.")
    ] = False,
    policy: Annotated[Policy, typer.Option(help="By what an instance is known.")] = Policy.UID_THEN_SHA256,
    state_db: Annotated[
        Path | None, typer.Option("--state-db", help="File that remembers what was delivered.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for a report on each ZIP, as JSON and as a page.")
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option("--quarantine", help="Folder that keeps what is not sent on.")
    ] = None,
    auth_file: Annotated[
        Path | None, typer.Option("--auth-file", help="Credentials, as those of `ponte render`.")
    ] = None,
    lang: Annotated[Literal["pt-BR", "en"], typer.Option("--lang", help="Language of the page.")] = "pt-BR",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send the instances of ZIPs to a DICOM destination, and say of each what became of it."""
    for path in archives:
        _check_file(path)
    if to is None and not dry_run:
        raise InvalidRequest("--to names the destination; --dry-run does without")
    for folder in (report, quarantine):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise InvalidRequest(f"{folder} is not a folder")
    with _opened_store(None if dry_run else state_db) as store:
        route = _route(None if dry_run else to, auth_file, store, policy, quarantine)
        reports = []
        for each in _ingest_all(archives, _Job(route, store, scope_of(to), report, lang)):
            reports.append(each)
            if not as_json:
                _print_report(each)
    if as_json:
        print_json({"archives": [each.as_json("clear") for each in reports]})
    raise typer.Exit(_exit_code(reports))


def _exit_code(reports: list[Report]) -> ExitCode:
    totals = [report.totals for report in reports]
    if all(report.verdict == "done" for report in reports):
        return ExitCode.ALL
    something = any(total["accepted"] or total["duplicate"] or total["quarantined"] for total in totals)
    return ExitCode.PARTIAL if something or any(report.reason for report in reports) else ExitCode.NOTHING


def _check_file(path: Path) -> None:
    """Raises `InvalidRequest` for what nobody would call a ZIP."""
    if not path.exists():
        raise InvalidRequest(f"{path} does not exist")
    if path.is_dir():
        raise InvalidRequest(f"{path} is a folder; expected ZIPs (a folder is for `ponte check`)")
    if not path.is_file():
        raise InvalidRequest(f"{path} is not a regular file; expected ZIPs")
    from ponte.structure import has_preamble

    with path.open("rb") as stream:
        if has_preamble(stream.read(_HEAD)):
            raise InvalidRequest(f"{path} is an instance; expected ZIPs (a file is for `ponte check`)")


@contextmanager
def _opened_store(path: Path | None) -> Iterator[Store]:
    """The ledger's rows: in the file, or for this command alone."""
    if path is None:
        from ponte.memorystore import MemoryStore

        yield MemoryStore()
        return
    from ponte.sqlitestore import SqliteStore

    with closing(SqliteStore(path)) as store:
        yield store


def _route(
    to: str | None, auth_file: Path | None, store: Store, policy: Policy, quarantine: Path | None
) -> Route:
    from cli.destinations import open_destination
    from ponte.dedup import Ledger
    from ponte.ingest import Route
    from ponte.quarantine import FolderQuarantine

    return Route(
        destination=open_destination(to, auth_file=auth_file) if to is not None else None,
        ledger=Ledger(store, policy, scope=scope_of(to)),
        quarantine=FolderQuarantine(quarantine) if quarantine is not None and to is not None else None,
    )


def scope_of(to: str | None) -> str:
    """What tells the rows of this destination from those of others in the same file."""
    from cli.destinations import shown
    from ponte import dedup

    return dedup.scope_of(shown(to) if to else "")


def _ingest_all(paths: list[Path], job: _Job) -> Iterator[Report]:
    """A report on each. Where the destination is not there, none is begun."""
    missing = _missing(job.route)
    for path in paths:
        arrived = datetime.now(UTC)
        with path.open("rb") as stream:
            yield _report_on(path, stream, arrived, job, missing)


def _missing(route: Route) -> PonteError | None:
    """Why nothing can be sent, if so."""
    try:
        if route.destination is not None:
            route.destination.check()
    except PonteError as error:
        return error
    return None


def _report_on(
    path: Path, stream: BinaryIO, arrived: datetime, job: _Job, missing: PonteError | None
) -> Report:
    from ponte.ingesting import runs
    from ponte.ingesting.report import Report
    from ponte.ingesting.spool import whole_sha256

    sha256 = whole_sha256(stream)
    report = Report(
        _printable(str(path)), sha256=sha256, arrived_at=arrived, rehearsal=job.route.is_rehearsal
    )
    try:
        if missing is not None:
            raise missing
        _ingest_one(path, stream, sha256, report, job)
    except PonteError as error:
        report.interrupt(error)
    except sqlite3.Error as error:
        report.interrupt(LedgerBusy(f"The ledger cannot be used: {error}"))
    except OSError as error:
        report.interrupt(SourceUnavailable(f"The archive cannot be read: {error.strerror}"))
    if job.reports is not None:
        try:
            _write_report(job.reports, arrived, report, sha256, job.language)
        except OSError as error:
            report.interrupt(StorageFull(f"The report cannot be written: {error.strerror}"))
        except InvalidRequest as error:
            report.interrupt(StorageFull(f"The report cannot be written: {error.detail}"))
    if report.finished:
        runs.end(job.store, sha256, job.scope)
    return report


def _ingest_one(path: Path, stream: BinaryIO, sha256: str, report: Report, job: _Job) -> None:
    from ponte.archive import Archive
    from ponte.ingest import ingest as settle_all
    from ponte.ingesting import runs

    rehearsal = job.route.is_rehearsal
    if not rehearsal:
        _lock(stream)
    try:
        archive = Archive(stream)
    except UnsafeArchive as error:
        report.refuse(error, _keep_archive(stream, path.name, sha256, error, job))
        return
    identity = sha256 if rehearsal else runs.begin(job.store, sha256, job.scope)
    with (
        closing(settle_all(archive, identity=identity, route=job.route)) as parts,
        _progress(archive) as advance,
    ):
        for settled in parts:
            report.take(settled)
            advance(settled)
    report.finish()
    if report.reason is not None:
        empty = UnsafeArchive(report.detail, code=report.reason)
        kept = _keep_archive(stream, path.name, sha256, empty, job)
        if kept is not None:
            report.kept_as(kept)


def _lock(stream: BinaryIO) -> None:
    """One process at a time: both would take the claims on its instances for their own."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LedgerBusy("Another process ingests this archive") from error
    except OSError:
        return  # a file system without locks; the destination takes the same instance twice without harm


def _keep_archive(stream: BinaryIO, name: str, sha256: str, error: PonteError, job: _Job) -> str | None:
    from ponte.ingesting.spool import chunks
    from ponte.quarantine import QuarantineRecord

    if job.route.quarantine is None:
        return None
    record = QuarantineRecord(error.code, error.detail, kind="archive", name=_printable(name), origin=sha256)
    return job.route.quarantine.keep(record, chunks(stream))


@contextmanager
def _progress(archive: Archive) -> Iterator[Callable[[Settled], None]]:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=archive.entries)
        yield lambda settled: bar.update(task, completed=settled.position)


def _write_report(
    folder: Path, arrived: datetime, report: Report, sha256: str, language: Literal["pt-BR", "en"]
) -> None:
    """Under a name of ours: that of the archive may be a patient's."""
    import json

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{arrived:%Y%m%dT%H%M%S}-{sha256[:16]}"
    texts = {
        "json": json.dumps(report.as_json("hashed"), ensure_ascii=False, indent=1),
        "html": report.as_page(language),
    }
    for suffix, text in texts.items():
        with whole_file(folder / f"{name}.{suffix}") as out:
            out.write(text.encode(errors="replace"))


def _print_report(report: Report) -> None:
    """What did not go on, a line each, then the sums."""
    said = report.as_json("clear")
    for row in said["entries"]:
        if row["verdict"] != "accepted":
            because = ": ".join(part for part in (row["reason"], row["detail"]) if part)
            print_line(
                f"{row['verdict']:<11}  {said['path']}/{row['name']}" + (f": {because}" if because else "")
            )
    verdict = "interrupted" if said["error"] else said["verdict"]
    if said["error"] or said["reason"]:
        code = said["error"]["code"] if said["error"] else said["reason"]
        print_line(f"{verdict:<11}  {said['path']}: {code}: {said['detail']}")
    how = "dry run: " if said["dry_run"] else ""
    print_line(f"{said['path']}: {how}{verdict}: {_sums(said['totals'])}")


def _sums(totals: dict[str, Any]) -> str:
    names = ("accepted", "duplicate", "skipped", "quarantined", "delivered")
    return ", ".join(f"{totals[name]} {name}" for name in names)


def _printable(text: str) -> str:
    """Fit for a terminal and for JSON, whatever bytes the file's name is made of."""
    whole = text.encode(errors="surrogateescape").decode(errors="replace")
    return "".join(character if character.isprintable() else "_" for character in whole)
