"""`ponte router receipt|verify|reconcile`: what became of a study, to show and to prove."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from cli.output import ExitCode, print_error, print_json, print_line, whole_file
from cli.router.app import ConfigOption, EnvOption, JsonOption, load, router
from cli.router.control import RootOption, root_of
from ponte.errors import InvalidRequest, PermanentError, StudyNotFound, TransientError

if TYPE_CHECKING:
    from router.config import RouterConfig
    from router.destinations import DicomNode, WebServer
    from router.receipt import Receipt
    from router.receipt_keys import PublicKey, SigningKey
    from router.reconciliation import Reconciliation
    from router.views import Views

Language = Literal["pt-BR", "en"]
_STUDY = typer.Argument(help="Study Instance UID, accession number or patient ID.", metavar="STUDY")
_SUFFIXES = (".json", ".pdf")
_MOST_NAMED = 5


@router.command("receipt")
def receipt(
    study: Annotated[str, _STUDY],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="F.json or F.pdf.")] = None,
    with_patient: Annotated[
        bool, typer.Option("--with-patient", help="Name the patient, and quote what destinations said.")
    ] = False,
    language: Annotated[Language, typer.Option("--language", help="Of the PDF and the summary.")] = "pt-BR",
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Say what became of each instance of a study, signed; whether the router runs or not."""
    from render.version import PRODUCT
    from router.receipt import Maker, signed
    from router.receipt import receipt as make
    from router.receipt_keys import ensure_key
    from router.views import Views

    if output is not None and output.suffix.lower() not in _SUFFIXES:
        raise InvalidRequest("expected a name that ends in .json or .pdf")
    found = _configuration(root, config, env_file)
    with Views(found.dicom_root) as views:
        uid = _one_study(views, study)
        key = ensure_key(found.dicom_root)
        maker = Maker(PRODUCT, found.ae_title, key.public.id)
        made = make(views, uid, maker, at=time.time(), with_patient=with_patient)
    if output is not None:
        _write(output, made, key, found, language)
    if as_json:
        sys.stdout.write(signed(made, key).decode("ascii") + "\n")
        return
    print_line(made["verdict"][language])
    for name, counts in made["totals"]["destinations"].items():
        print_line(f"{name}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    if output is not None:
        print_line(f"{output}, key {key.public.id}")


def _write(output: Path, made: Receipt, key: SigningKey, config: RouterConfig, language: Language) -> None:
    from custody.paper import receipt_pdf
    from router.receipt import signed

    if output.suffix.lower() == ".pdf":
        content = receipt_pdf(made, key, language=language, zone=ZoneInfo(config.timezone))
    else:
        content = signed(made, key)
    with whole_file(output) as stream:
        stream.write(content)


@router.command("verify")
def verify(
    file: Annotated[Path, typer.Argument(dir_okay=False, exists=True, metavar="F", help="JSON or PDF.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", exists=True, dir_okay=False, help="receipt.pub; else that of DICOM_ROOT."),
    ] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Say whether a receipt is the one that was signed; exit code 1 where it is not."""
    from router.receipt_check import MOST_BYTES, NotGenuine
    from router.receipt_check import verify as check

    public = _public_key(key, root, config, env_file)
    try:
        with file.open("rb") as stream:
            found = check(stream.read(MOST_BYTES + 1), public)
    except NotGenuine as error:
        if as_json:
            print_json({"file": str(file), "genuine": False, "code": error.code, "detail": error.detail})
        else:
            print_error(f"NOT GENUINE: {error.detail}")
        raise typer.Exit(ExitCode.PARTIAL) from error
    study = found["study"]["study_instance_uid"]
    if as_json:
        told = {name: found[name] for name in ("made_at", "made_by", "totals", "verdict")}
        print_json({"file": str(file), "genuine": True, "study_instance_uid": study, **told})
        return
    print_line(f"Genuine: study {study}, made {found['made_at']}, key {public.id}")
    print_line(found["verdict"]["en"])


def _configuration(root: Path | None, config: Path | None, env_file: Path) -> RouterConfig:
    found = load(config, env_file)
    return found if root is None else replace(found, dicom_root=root)


def _public_key(path: Path | None, root: Path | None, config: Path | None, env_file: Path) -> PublicKey:
    from router.receipt_keys import PUBLIC_NAME, read_public_key
    from router.spool import FOLDER_NAME

    if path is not None:
        return read_public_key(path)
    own = root_of(root, config, env_file) / FOLDER_NAME / PUBLIC_NAME
    if not own.is_file():
        raise InvalidRequest(f"There is no {FOLDER_NAME}/{PUBLIC_NAME} in DICOM_ROOT; expected --key FILE")
    return read_public_key(own)


@router.command("reconcile")
def reconcile(
    studies: Annotated[list[str] | None, _STUDY] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="YYYY-MM-DD", help="All that came since that day.")
    ] = None,
    destination: Annotated[str | None, typer.Option("--destination", help="Only there.")] = None,
    resend: Annotated[bool, typer.Option("--resend", help="Send again what is missing there.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
    env_file: EnvOption = Path(".env"),
    as_json: JsonOption = False,
) -> None:
    """Ask destinations what they have of a study, by C-FIND or QIDO-RS; exit code 1 where any is missing."""
    from router.views import Views

    found = _configuration(root, config, env_file)
    targets, not_asked = _targets(found, destination)
    with Views(found.dicom_root) as views:
        uids = _chosen(views, studies or [], since, ZoneInfo(found.timezone))
        results = [
            one for uid in uids for target in targets for one in _compare(views, target, uid, resend=resend)
        ]
    if as_json:
        print_json({"results": results, "not_asked": not_asked})
    else:
        _say(results, not_asked)
    if results and all(one["error"] for one in results):
        raise typer.Exit(ExitCode.NOTHING)
    if any(not one["complete"] for one in results):
        raise typer.Exit(ExitCode.PARTIAL)


def _targets(
    config: RouterConfig, name: str | None
) -> tuple[list[DicomNode | WebServer], list[dict[str, str]]]:
    """Those that can be asked, and the others. Raises `InvalidRequest`."""
    from router.catalogue import open_catalogue
    from router.destinations import Inbox

    chosen = [one for one in config.destinations if name in (None, one.name)]
    if not chosen:
        known = ", ".join(one.name for one in config.destinations)
        raise InvalidRequest(
            f"There is no such destination; expected one of: {known or 'none is configured'}"
        )
    targets: list[DicomNode | WebServer] = []
    not_asked = []
    for one in chosen:
        try:
            if isinstance(one, Inbox):
                raise InvalidRequest(f"{one.name} is a bucket, which cannot be asked")  # noqa: TRY301
            open_catalogue(one)
        except InvalidRequest as error:
            if name is not None:
                raise
            not_asked.append({"destination": one.name, "detail": error.detail})
        else:
            targets.append(one)
    return targets, not_asked


def _compare(
    views: Views, target: DicomNode | WebServer, uid: str, *, resend: bool
) -> Iterator[dict[str, Any]]:
    """Nothing where nothing of the study goes there."""
    from router.catalogue import open_catalogue
    from router.reconciliation import reconcile as compare

    if not views.expected(uid, target.name):
        return
    answer: dict[str, Any] = {
        "study_instance_uid": uid, "destination": target.name, "words": "", "expected": 0, "arrived": 0,
        "open": 0, "missing": [], "resent": None, "complete": False, "error": None, "detail": "",
    }  # fmt: skip
    try:
        found = compare(views, open_catalogue(target), target.name, uid)
        answer.update(_told(views, found))
        if resend and found.missing:
            answer["resent"] = _send_again(views, found)
    except (TransientError, PermanentError) as error:
        answer.update(error=error.code, detail=error.detail)
    yield answer


def _told(views: Views, found: Reconciliation) -> dict[str, Any]:
    missing = set(found.missing)
    expected = views.expected(found.study_instance_uid, found.destination)
    return {
        "words": found.words,
        "expected": found.confirmed + found.open,
        "arrived": found.arrived,
        "open": found.open,
        "missing": [uid for uid, number, _ in expected if number in missing],
        "complete": found.is_complete,
    }


def _send_again(views: Views, found: Reconciliation) -> int:
    from router.reconciliation import send_again

    return send_again(views.root, found.destination, found.missing)


def _say(results: Sequence[dict[str, Any]], not_asked: Sequence[dict[str, str]]) -> None:
    for one in results:
        where = f"{one['study_instance_uid']} at {one['destination']}"
        if one["words"]:
            open_too = f", {one['open']} of them not confirmed yet" if one["open"] else ""
            print_line(f"{where}: {one['words']}{open_too}")
        if one["error"]:
            print_error(f"{where}: {one['error']}: {one['detail']}")
        if one["resent"] is not None:
            gone = len(one["missing"]) - one["resent"]
            left = f"; {gone} are not here any more" if gone else ""
            print_line(f"  {one['resent']} of the missing {len(one['missing'])} go again{left}")
    for unasked in not_asked:
        print_error(f"{unasked['destination']} was not asked: {unasked['detail']}")
    if not results:
        print_line("Nothing to compare: nothing of these studies goes to a destination that can be asked")


def _chosen(views: Views, studies: Sequence[str], since: str | None, zone: ZoneInfo) -> list[str]:
    if bool(studies) == bool(since):
        raise InvalidRequest("expected studies, or --since")
    if since is None:
        return list(dict.fromkeys(_one_study(views, study) for study in studies))
    try:
        day = date.fromisoformat(since)
    except ValueError as error:
        raise InvalidRequest("--since is no date; expected YYYY-MM-DD") from error
    return views.studies_since(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def _one_study(views: Views, text: str) -> str:
    """Raises `StudyNotFound`, and `InvalidRequest` where it may be several: no text quotes a number."""
    found = views.studies_called(text)
    if not found:
        raise StudyNotFound("No study of this UID, accession number or patient ID was received here")
    if len(found) > 1:
        named = ", ".join(found[-_MOST_NAMED:])
        raise InvalidRequest(
            f"{len(found)} studies are of this number; expected a Study Instance UID: {named}"
        )
    return found[0]
