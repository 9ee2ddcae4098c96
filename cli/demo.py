"""`ponte demo`: a study becomes a PDF and a callback, on this machine, from one command."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import urllib3

from cli.output import ExitCode, print_line
from cli.sources import SeveralStudies, choose_study, open_source
from ponte.errors import PonteError

if TYPE_CHECKING:
    from infra.local.receiver import Callback
    from infra.local.stack import LocalStack

POLL_S = 0.2
JOB_S = 3_600.0
CALLBACK_S = 120.0
FINAL = ("delivered", "failed", "expired", "cancelled")
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Wanted:
    """The study to show. No `wado_url`: the demo study."""

    study_instance_uid: str
    wado_url: str = ""
    credentials: Mapping[str, str] | None = None


class JobFailedError(PonteError):
    """The job ended without a PDF; the text says why."""


class Timeline:
    """Lines on standard error, each with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        sys.stderr.write(f"{self.seconds:6.1f} s  {text}\n")
        sys.stderr.flush()


def demo(
    source: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="Your own folder or DICOMweb address.")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Study Instance UID; needed where there are several.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PDF to write.")] = Path("demo.pdf"),
    auth_file: Annotated[
        Path | None, typer.Option(help="Credentials of the DICOMweb address, as JSON.")
    ] = None,
) -> None:
    """Run a study through the whole system: local AWS, PACS, API, PDF, callback. Nothing is left running."""
    from infra.local.errors import LocalStackError, PortInUseError
    from infra.local.interrupts import Interrupted, Interrupts
    from infra.local.state import StateFolder

    timeline = Timeline()
    with Interrupts():
        try:
            wanted = find_study(source, study, auth_file)
            job = _run(wanted, output, timeline)
        except LocalStackError as error:
            up = isinstance(error, PortInUseError) and StateFolder().owner() is not None
            hint = "; `make down` ends the stack that is up" if up else ""
            sys.stderr.write(f"ponte: {error.detail}{hint}\n")
            raise typer.Exit(ExitCode.NOTHING) from None
        except Interrupted:
            sys.stderr.write("ponte: stopped; nothing is left running\n")
            raise typer.Exit(INTERRUPTED) from None
    print_next(output, source)
    raise typer.Exit(ExitCode.PARTIAL if job["partial"] else ExitCode.ALL)


def find_study(source: str | None, study: str | None, auth_file: Path | None) -> Wanted:
    """What to show. Raises `InvalidRequest`, with the list when there are several studies."""
    if source is None:
        from infra.local import demo_study

        return Wanted(str(demo_study.STUDY_INSTANCE_UID))
    opened, named = open_source(source, auth_file)
    try:
        uid = choose_study(opened, study or named)
    except SeveralStudies as error:
        raise SeveralStudies(f"{error.detail}\nor: make demo STUDY={source} UID=one-of-them") from None
    if "://" in source:
        credentials = json.loads(auth_file.read_text(encoding="utf-8")) if auth_file else None
        return Wanted(uid, source.rstrip("/").removesuffix(f"/studies/{uid}"), credentials)
    return Wanted(uid, Path(source).resolve().as_uri())


def _run(wanted: Wanted, output: Path, timeline: Timeline) -> dict[str, Any]:
    """Take the study through a stack that lives as long as this call; returns the finished job."""
    from infra.local.options import StackOptions
    from infra.local.stack import LocalStack

    options = replace(StackOptions.from_environment(), receiver=True)
    if wanted.wado_url:
        options = replace(options, dicom_wado_url=wanted.wado_url, dicom_credentials=wanted.credentials)
    with LocalStack(options, say=timeline.say) as stack:
        if not wanted.wado_url:
            timeline.say("loading the demo study")
            stack.load_demo_study()
        asked_at = timeline.seconds
        job_id = _ask(stack, wanted.study_instance_uid, timeline)
        job, callback = _follow(stack, job_id, timeline)
        seconds = timeline.seconds - asked_at
        _keep(callback, output)
        timeline.say("taking the stack down")
    _print_result(job, output, seconds, timeline.seconds)
    return job


def _ask(stack: LocalStack, study_instance_uid: str, timeline: Timeline) -> str:
    """POST /render, as a client of the old system does; returns the job's id."""
    body = {
        "examID": 1,
        "pacs_studies_iuid": study_instance_uid,
        "CodAutorizacao": "A-1",
        "CodFaturamento": "F-1",
        "CodProcedimento": "P-1",
        "UrlCallback": stack.receiver.url(),
    }
    timeline.say(f"POST {stack.api_url}/render")
    answer = urllib3.request("POST", f"{stack.api_url}/render", json=body, timeout=30, retries=False)
    fields = answer.json()
    if answer.status != 200:
        raise JobFailedError(f"POST /render answered {answer.status}: {json.dumps(fields.get('detail'))}")
    return str(fields["job_id"])


def _follow(stack: LocalStack, job_id: str, timeline: Timeline) -> tuple[dict[str, Any], Callback]:
    """Ask for the job until it is over, saying each change; returns it with its callback.

    Raises `JobFailedError` with the job's own code, or when nothing comes in time.
    """
    deadline, told = time.monotonic() + JOB_S, ""
    job: dict[str, Any] = {"state": ""}
    while job["state"] not in FINAL:
        job = urllib3.request("GET", f"{stack.api_url}/jobs/{job_id}", timeout=30, retries=False).json()
        if job["state"] != told:
            told = job["state"]
            timeline.say(f"job {job_id}: {told}{_progress(job)}")
        if time.monotonic() > deadline:
            raise JobFailedError(f"the job is not over after {JOB_S:g} s")
        time.sleep(POLL_S)
    if job["state"] != "delivered":
        error = job.get("error") or {"code": "INTERNAL", "detail": job["state"]}
        raise JobFailedError(error["detail"], code=error["code"])
    return job, stack.receiver.wait(timeout_s=CALLBACK_S)


def _progress(job: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {what}" for what, count in (job.get("progress") or {}).items())
    return f" ({counts})" if counts else ""


def _keep(callback: Callback, output: Path) -> None:
    if callback.pdf is None:
        raise JobFailedError("the callback held no PDF")
    shutil.move(callback.pdf, output)


def _print_result(job: Mapping[str, Any], output: Path, seconds: float, total: float) -> None:
    size = output.stat().st_size
    print_line(f"\n{output.resolve()}")
    print_line(f"  {job['pages']} pages, {f'{size / 1e6:.1f} MB' if size >= 1e6 else f'{size / 1e3:.0f} kB'}")
    print_line(f"  {seconds:.1f} s from the request to the callback, {total:.1f} s in all")
    for entry in job.get("not_shown") or ():
        print_line(f"  not shown: {entry['reason']}: {entry['detail']}")


def print_next(output: Path, source: str | None) -> None:
    """What to try now."""
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    print_line("\nNext:")
    print_line(f"  {opener} {output}")
    if source is None:
        print_line("  make demo STUDY=/path/to/a/study        a folder of yours, or a DICOMweb address")
    print_line("  make up                                 leaves the API at http://127.0.0.1:9000/docs")
    print_line("  .venv/bin/ponte render FOLDER -o F.pdf  without AWS and without the stack")
