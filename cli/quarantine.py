"""`ponte quarantine`: what was not sent on, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.cloud import CloudNames
from cli.output import ExitCode, print_json, print_line
from cli.tables import printable
from ponte.dedup import Policy
from ponte.errors import InvalidRequest, PonteError

if TYPE_CHECKING:
    from ponte.dedup import Ledger
    from ponte.ingesting.release import Exit
    from ponte.quarantine import Kept, Quarantine

app = typer.Typer(
    name="quarantine", help="What was not sent on: look, send after all, or remove.", no_args_is_help=True
)

_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(\d{1,5})([hdw])", re.ASCII)

Root = Annotated[Path | None, typer.Option("--root", help="Folder of the quarantine.")]
Bucket = Annotated[str | None, typer.Option("--bucket", help="Inbox bucket, where it is in the cloud.")]
Stack = Annotated[str | None, typer.Option("--stack", help="Or the name of the deployed stack.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def open_quarantine(root: Path | None, bucket: str | None = None, stack: str | None = None) -> Quarantine:
    """The quarantine that one of the options names. Raises `InvalidRequest`."""
    from ponte.quarantine import FolderQuarantine

    if sum(one is not None for one in (root, bucket, stack)) != 1:
        raise InvalidRequest("expected one of --root, --bucket and --stack")
    if bucket is not None:
        return CloudNames(bucket).quarantine()
    if stack is not None:
        return CloudNames.of_stack(stack).quarantine()
    assert root is not None  # noqa: S101  one of the three
    if not root.is_dir():
        raise InvalidRequest(f"{root} is not a folder")
    return FolderQuarantine(root)


@app.command("list")
def list_entries(
    root: Root = None, bucket: Bucket = None, stack: Stack = None, as_json: AsJson = False
) -> None:
    """List all entries, the oldest first."""
    entries = list(open_quarantine(root, bucket, stack).list())
    if as_json:
        print_json({"entries": [kept.as_json() for kept in entries]})
        return
    for kept in entries:
        state = "released" if kept.released else ""
        where = f"{printable(kept.record.name)}: {kept.record.detail}"
        print_line(
            f"{kept.id}  {kept.kept_at:.19}  {kept.size_bytes:>12}  {state:<8}  {kept.record.reason}  {where}"
        )
    print_line(f"{len(entries)} in quarantine")


@app.command("show")
def show(
    quarantine_id: Annotated[str, typer.Argument(metavar="ID")],
    root: Root = None,
    bucket: Bucket = None,
    stack: Stack = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one entry."""
    said = open_quarantine(root, bucket, stack).show(quarantine_id).as_json()
    if as_json:
        print_json(said)
        return
    facts: Mapping[str, Any] = {**said, **said["record"], **(said["released"] or {})}
    for name, value in facts.items():
        if name not in ("record", "released") and value not in (None, "", ()):
            print_line(f"{name:<20}  {printable(str(value))}")


@app.command("release")
def release(
    ids: Annotated[list[str], typer.Argument(metavar="ID...")],
    to: Annotated[str, typer.Option("--to", help="The destination, as of `ponte ingest`.")],
    root: Root = None,
    bucket: Bucket = None,
    stack: Stack = None,
    state_db: Annotated[
        Path | None, typer.Option("--state-db", help="Ledger that is to know what was released.")
    ] = None,
    policy: Annotated[Policy, typer.Option(help="The ledger's.")] = Policy.UID_THEN_SHA256,
    auth_file: Annotated[Path | None, typer.Option("--auth-file", help="Credentials.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send entries after all. What is not whole and sound is refused, with the reason."""
    from cli.destinations import open_destination, shown
    from ponte.ingesting.release import Exit

    quarantine = open_quarantine(root, bucket, stack)
    for quarantine_id in ids:
        quarantine.show(quarantine_id)
    destination = open_destination(to, auth_file=auth_file)
    destination.check()
    with _opened_ledger(state_db, stack, to, policy) as ledger:
        way = Exit(destination, shown(to), ledger)
        said = [_release(quarantine, quarantine_id, way) for quarantine_id in ids]
    if as_json:
        print_json({"released": said})
    else:
        for one in said:
            print_line(f"{one['id']}  {one['status']}" + (f": {one['detail']}" if one["detail"] else ""))
    stored = sum(one["status"] in ("stored", "stored_with_warning") for one in said)
    if stored < len(said):
        some = stored or any(one["status"] == "partial" for one in said)
        raise typer.Exit(ExitCode.PARTIAL if some else ExitCode.NOTHING)


@app.command("purge")
def purge(
    root: Root = None,
    bucket: Bucket = None,
    stack: Stack = None,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID...")] = None,
    older_than: Annotated[str | None, typer.Option("--older-than", help="12h, 30d or 8w.")] = None,
    released: Annotated[bool, typer.Option("--released", help="Only what was released.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove entries for good: by id, by age, or those that were released."""
    if bool(ids) == (older_than is not None or released):
        raise InvalidRequest("expected either ids, or --older-than and --released")
    before = None if older_than is None else datetime.now(UTC) - _age(older_than)
    quarantine = open_quarantine(root, bucket, stack)
    chosen = (
        [quarantine.show(one) for one in dict.fromkeys(ids)]
        if ids
        else [kept for kept in quarantine.list() if _is_due(kept, before, released=released)]
    )
    if chosen and not yes and not typer.confirm(f"Remove {len(chosen)} for good?", err=True):
        raise typer.Exit(ExitCode.NOTHING)
    for kept in chosen:
        quarantine.purge(kept.id)
    if as_json:
        print_json({"purged": [kept.id for kept in chosen]})
    else:
        print_line(f"{len(chosen)} removed")


def _release(quarantine: Quarantine, quarantine_id: str, way: Exit) -> dict[str, Any]:
    from ponte.ingesting.release import release as send

    try:
        done = send(quarantine, quarantine_id, way)
    except PonteError as error:
        return {"id": quarantine_id, "status": "failed", "detail": f"{error.code}: {error.detail}"}
    return {"id": quarantine_id, "status": done.status, "detail": done.detail}


@contextmanager
def _opened_ledger(path: Path | None, stack: str | None, to: str, policy: Policy) -> Iterator[Ledger | None]:
    """That of the file, else that of the stack, else none."""
    from cli.destinations import shown
    from cli.ingest import scope_of
    from ponte.dedup import Ledger
    from ponte.sqlitestore import SqliteStore

    if path is None:
        yield Ledger(CloudNames.of_stack(stack).store(shown(to)), policy) if stack else None
        return

    with closing(SqliteStore(path)) as store:
        yield Ledger(store, policy, scope=scope_of(to))


def _is_due(kept: Kept, before: datetime | None, *, released: bool) -> bool:
    """Age counts from when it was kept; of a damaged record nobody knows that."""
    if released and kept.released is None:
        return False
    return before is None or (bool(kept.kept_at) and datetime.fromisoformat(kept.kept_at) < before)


def _age(text: str) -> timedelta:
    found = _AGE.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"--older-than is {text!r:.40}; expected 12h, 30d or 8w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
