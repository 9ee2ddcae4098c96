"""`ponte router status|studies|queue|retry|...`: what a running router is asked and told by hand.

What only reads works while no router runs, too; what changes anything is the running router's to do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import ExitCode, print_error, print_json, print_line
from cli.router.app import ConfigOption, EnvOption, JsonOption, load, router
from cli.tables import print_table, printable

if TYPE_CHECKING:
    from router.views import QueueView, Search, StudyView

RootOption = Annotated[
    Path | None, typer.Option("--root", help="DICOM_ROOT, in the place of the configuration's.")
]
Study = Annotated[str, typer.Argument(metavar="STUDY", help="Study Instance UID.")]
Destination = Annotated[str, typer.Argument(metavar="DESTINATION", help="Its name.")]
ToOption = Annotated[str | None, typer.Option("--destination", help="This destination alone.")]
StudyOption = Annotated[str | None, typer.Option("--study", help="This study alone, by its UID.")]
NumberOption = Annotated[int | None, typer.Option("--number", help="This instance alone, by its number.")]


def root_of(root: Path | None, config: Path | None, env_file: Path) -> Path:
    """The `DICOM_ROOT` that is meant."""
    return root if root is not None else load(config, env_file).dicom_root


@router.command("status")
def status(
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Say how the running router fares; exit code 3 where none runs."""
    from router.controlclient import NotRunning, call

    where = root_of(root, config, env_file)
    try:
        found = call(where, "status")
    except NotRunning as error:
        if as_json:
            print_json({"running": False, "code": error.code, "detail": error.detail})
        else:
            print_error(error.detail)
        raise typer.Exit(ExitCode.NOTHING) from error
    if as_json:
        print_json({"running": True, **found})
        return
    _say_status(found)


@router.command("queue")
def queue(
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Say what is still to be sent to each destination, and what became of the rest."""
    from router.views import Views

    with Views(root_of(root, config, env_file)) as views, views.moment():
        queues, oldest = views.queues(), views.oldest_unforwarded_at()
    if as_json:
        print_json({"oldest_unforwarded_at": oldest, "queues": [asdict(one) for one in queues]})
        return
    heads = ("destination", "waiting", "sending", "sent", "committed", "skipped", "refused", "given up",
             "dismissed", "oldest")  # fmt: skip
    print_table(heads, [_queue_row(one) for one in queues])


@router.command("studies")
def studies(
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    name: Annotated[str, typer.Option("--name", help="Of the patient, or part of it.")] = "",
    patient_id: Annotated[str, typer.Option("--id", help="Of the patient.")] = "",
    accession: Annotated[str, typer.Option("--accession", help="Accession number.")] = "",
    date_from: Annotated[str, typer.Option("--from", help="Of this date or later, YYYYMMDD.")] = "",
    date_to: Annotated[str, typer.Option("--to", help="Of this date or earlier.")] = "",
    text: Annotated[str, typer.Option("--text", help="In name, ID, accession or description.")] = "",
    state: Annotated[
        str, typer.Option("--state", help="open, complete, waiting, failed or quarantined.")
    ] = "",
    most: Annotated[int, typer.Option("--most", help="How many at a time.")] = 50,
    after: Annotated[str | None, typer.Option("--after", help="Those behind, as `next` said.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List studies, the newest first."""
    from router.views import Search, Views

    search: Search = Search(name, patient_id, accession, date_from, date_to, text, state)
    with Views(root_of(root, config, env_file)) as views:
        page = views.studies(search, most, after)
    if as_json:
        print_json({"studies": [asdict(one) for one in page.studies], "next": page.next})
        return
    heads = ("patient", "ID", "date", "", "images", "here", "waiting", "failed", "state", "study")
    print_table(heads, [_study_row(one) for one in page.studies])
    if page.next is not None:
        print_line(f"There are more: --after {page.next}")


@router.command("pause")
def pause(
    destination: Destination,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Send nothing to a destination until it is resumed, also after a restart."""
    _tell(
        root_of(root, config, env_file), as_json, "pause", "{destination} is paused", destination=destination
    )


@router.command("resume")
def resume(
    destination: Destination,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Send to a destination again, at once."""
    where = root_of(root, config, env_file)
    _tell(where, as_json, "resume", "{destination} is sent to again", destination=destination)


@router.command("drain")
def drain(
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    end: Annotated[bool, typer.Option("--end", help="Let modalities in again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let no modality in any more, and go on sending; until `--end`, or a restart."""
    where = root_of(root, config, env_file)
    if end:
        _tell(where, as_json, "undrain", "Modalities are let in again")
    else:
        _tell(where, as_json, "drain", "No modality is let in; {associations} go on and may finish")


@router.command("retry")
def retry(
    destination: ToOption = None,
    study: StudyOption = None,
    number: NumberOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Try again, at once, what was refused, given up or put off; all of it where nothing is named."""
    _tell(
        root_of(root, config, env_file), as_json, "retry", "{retried} are tried again",
        destination=destination, study=study, number=number,
    )  # fmt: skip


@router.command("dismiss")
def dismiss(
    destination: ToOption = None,
    study: StudyOption = None,
    number: NumberOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Decide that a destination is not to have what it refused, or what was given up. Nothing is deleted."""
    _tell(
        root_of(root, config, env_file), as_json, "dismiss", "{dismissed} are dismissed",
        destination=destination, study=study, number=number,
    )  # fmt: skip


@router.command("resend")
def resend(
    study: StudyOption = None,
    number: NumberOption = None,
    destination: ToOption = None,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Send again what was sent; with a destination also what no rule sends there."""
    _tell(
        root_of(root, config, env_file), as_json, "resend",
        "{resent} are sent again; {gone} are not here any more",
        destination=destination, study=study, number=number,
    )  # fmt: skip


@router.command("complete")
def complete(
    study: Study,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Say that a study is complete: destinations that take whole studies get it now."""
    _tell(root_of(root, config, env_file), as_json, "complete", "The study is complete", study=study)


@router.command("prioritise")
def prioritise(
    study: Study,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Send a study before all others, what comes of it later included."""
    where = root_of(root, config, env_file)
    _tell(where, as_json, "prioritise", "It goes first; {waiting} wait to be sent", study=study)


@router.command("delete")
def delete(
    study: Study,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    force: Annotated[bool, typer.Option("--force", help="Also what was not sent: it is lost.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a study from this machine. What was not sent is not deleted, unless by force."""
    question = "Delete the study, also what was not sent?" if force else "Delete the study from this machine?"
    where = root_of(root, config, env_file)
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(ExitCode.NOTHING)
    said = "{deleted} images are deleted, {unsent} of them were not sent"
    _tell(where, as_json, "delete", said, study=study, force=force)


@router.command("reload")
def reload(
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Take the destinations from the configuration as the running router finds it now."""
    from router.controlclient import call

    found = call(root_of(root, config, env_file), "reload")
    if as_json:
        print_json(found)
        return
    for word in ("added", "changed", "removed", "unchanged", "still_sending", "needs_restart"):
        if found[word]:
            print_line(f"{word.replace('_', ' ')}: {', '.join(found[word])}")
    for name, count in found["left_waiting"].items():
        print_line(f"{name} is sent to no more; {count} wait for it")
    for warning in found["warnings"]:
        print_error(f"warning: {warning}")


@router.command("restart")
def restart(
    part: Annotated[str, typer.Argument(help="listeners, forwarder, organiser, watcher, alerts or router.")],
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Make a part of the running router anew; `router` ends it, to be started again by who started it."""
    _tell(root_of(root, config, env_file), as_json, "restart", "{part} was told to begin anew", part=part)


def _tell(where: Path, as_json: bool, verb: str, said: str, **arguments: Any) -> None:
    """Ask, say what was done in a sentence made of the answer, and exit by it."""
    from router.controlclient import call

    given = {name: value for name, value in arguments.items() if value is not None}
    found = call(where, verb, **given)
    if as_json:
        print_json(found)
    else:
        print_line(printable(said.format(**found)))
        for name, count in found.get("destinations", {}).items():
            print_line(f"  {name}: {count}")
    code = _exit_code(found)
    if code:
        raise typer.Exit(code)


def _exit_code(found: Mapping[str, Any]) -> ExitCode:
    """In part where some could not be, nothing where there was nothing to do."""
    done = next((found[word] for word in ("retried", "dismissed", "resent", "deleted") if word in found), 1)
    if not done:
        return ExitCode.NOTHING
    return ExitCode.PARTIAL if found.get("gone") or found.get("files_left") else ExitCode.ALL


def _say_status(found: Mapping[str, Any]) -> None:
    disk = found["disk"]
    days = f", {disk['days_left']:.0f} days left" if disk["days_left"] is not None else ""
    print_line(f"running for {_span(found['started_at'])} (process {found['pid']}, {found['version']})")
    if found["refusing"]:
        print_line(f"no modality is let in: {found['refusing']}")
    print_line(f"disk: {disk['free_bytes'] / (1 << 30):.1f} GiB free{days}")
    oldest = found["oldest_unforwarded_at"]
    print_line("all is forwarded" if oldest is None else f"the oldest waits for {_span(oldest)}")
    quarantined = sum(found["quarantine"].values())
    if quarantined:
        print_line(f"in quarantine: {quarantined}")
    for part in found["parts"]:
        if part["state"] != "running":
            print_line(f"{part['name']}: {part['state']}")
    rows = [
        (one["name"], one["kind"], one["state"], _span(one["since"]), one["queue"], one["detail"])
        for one in found["destinations"]
    ]
    print_table(("destination", "kind", "state", "for", "queue", "last error"), rows)
    live = [
        (one["calling_ae_title"], one["address"], one["instances"], f"{one['bytes_per_s'] / 1e6:.1f} MB/s")
        for one in found["associations"]
    ]
    if live:
        print_table(("sends now", "from", "images", "speed"), live)


def _queue_row(one: QueueView) -> tuple[object, ...]:
    name = one.destination if one.active else f"{one.destination} (not configured)"
    return (
        name, one.waiting, one.sending, one.sent, one.committed, one.skipped, one.refused, one.given_up,
        one.dismissed, _span(one.oldest_waiting_at),
    )  # fmt: skip


def _study_row(one: StudyView) -> tuple[object, ...]:
    waiting = sum(each.waiting for each in one.destinations)
    failed = sum(each.refused + each.given_up for each in one.destinations)
    return (
        one.patient_name, one.patient_id, one.study_date, "/".join(one.modalities), one.images, one.kept,
        waiting, failed, one.state, one.study_instance_uid,
    )  # fmt: skip


def _span(since: float | None) -> str:
    """How long ago, in words; nothing where there is no time."""
    if since is None:
        return ""
    seconds = max(0.0, time.time() - since)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
