"""`ponte up`, `ponte down`, `ponte status`: the local stack, left running between commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import ExitCode, print_json, print_line

if TYPE_CHECKING:
    from infra.local.state import StackState, StateFolder

START_S = 240
STOP_S = 20
POLL_S = 0.05
INTERRUPTED = 130


def up(
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay here, until Ctrl-C, instead of running behind.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the API (default: API_PORT, else 9000).")
    ] = None,
) -> None:
    """Start the local stack, with the API on http://127.0.0.1:9000, and leave it running."""
    from infra.local.state import StateFolder

    folder = StateFolder()
    if port is not None:
        os.environ["API_PORT"] = str(port)
    if folder.owner() is not None:
        print_line("already up")
        _print_state(_wait_ready(folder, None))
        return
    if foreground:
        from infra.local import supervisor

        raise typer.Exit(supervisor.main())
    _print_state(_start(folder))


def down(quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing.")] = False) -> None:
    """End the local stack."""
    from infra.local.folder import sweep
    from infra.local.state import StateFolder

    folder = StateFolder()
    was_up = _stop(folder)
    sweep()
    if not quiet:
        print_line("down" if was_up else "the local stack is not up")


def status(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say whether the local stack is up, and where."""
    from infra.local.state import StateFolder

    folder = StateFolder()
    state, owner = folder.read(), folder.owner()
    if as_json:
        print_json(
            {"up": state is not None, "starting": owner is not None and state is None} | _public(state)
        )
    elif state is not None:
        _print_state(state)
    else:
        print_line("starting" if owner is not None else "down")


def _start(folder: StateFolder) -> StackState:
    """Start the supervisor in a session of its own, and wait until it has written where everything is."""
    from infra.local.interrupts import Interrupted, Interrupts, held

    folder.make()
    with Interrupts():
        supervisor = None
        try:
            with held():
                supervisor = _spawn(folder)
            return _wait_ready(folder, supervisor)
        except BaseException as error:
            if supervisor is not None:
                with held():
                    supervisor.terminate()
                    supervisor.wait(STOP_S)
            if isinstance(error, Interrupted):
                raise typer.Exit(INTERRUPTED) from None
            raise


def _spawn(folder: StateFolder) -> subprocess.Popen[bytes]:
    with folder.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.local.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_ready(folder: StateFolder, supervisor: subprocess.Popen[bytes] | None) -> StackState:
    """Poll for the state file, showing meanwhile what the supervisor says."""
    deadline, shown = time.monotonic() + START_S, 0
    while time.monotonic() < deadline:
        ended = supervisor.poll() is not None if supervisor else folder.owner() is None
        state = folder.read()
        if supervisor is not None:
            shown = _show_log(folder, shown)
        if state is not None:
            return state
        if ended:
            raise typer.Exit(ExitCode.NOTHING)
        time.sleep(POLL_S)
    sys.stderr.write(f"ponte: the local stack is not up after {START_S} s: see {folder.log}\n")
    raise typer.Exit(ExitCode.NOTHING)


def _show_log(folder: StateFolder, shown: int) -> int:
    """Copy what is new in the log to standard error; returns how much of it was shown by now."""
    with folder.log.open("rb") as log:
        log.seek(shown)
        new = log.read()
    sys.stderr.write(new.decode(errors="replace"))
    sys.stderr.flush()
    return shown + len(new)


def _stop(folder: StateFolder) -> bool:
    """Ask the supervisor to stop, and kill it when it does not; whether there was one."""
    owner = folder.owner()
    if owner is None:
        return False
    deadline = time.monotonic() + STOP_S
    _signal(owner, signal.SIGTERM)
    while folder.owner() == owner:
        if time.monotonic() > deadline:
            _signal(owner, signal.SIGKILL)
        time.sleep(POLL_S)
    return True


def _signal(process_id: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, number)


def _public(state: StackState | None) -> dict[str, object]:
    """The state without the password."""
    if state is None:
        return {}
    return {name: value for name, value in asdict(state).items() if name != "orthanc_password"}


def _print_state(state: StackState) -> None:
    print_line(f"API       {state.api_url}   (documents: {state.docs_url})")
    print_line(f"studies   {state.dicom_wado_url}")
    if state.orthanc_url:
        print_line(f"Orthanc   {state.orthanc_url}   (user and password: .ponte/stack.json)")
    print_line(f"AWS       AWS_ENDPOINT_URL={state.emulator_url}")
    if state.inbox_bucket:
        print_line(f"inbox     s3://{state.inbox_bucket}")
    print_line(f"log       {state.log}")
    if state.study_instance_uid:
        body = json.dumps({"examID": 1, "pacs_studies_iuid": state.study_instance_uid})
        print_line("\nTry:")
        print_line(f"  curl -sSL {state.api_url}/render/sync -H 'Content-Type: application/json' \\")
        print_line(f"    -d '{body}' -o study.pdf")
    if state.inbox_bucket:
        print_line("\nA ZIP put into the inbox goes to the PACS, and its report comes into reports/:")
        print_line(f"  curl -sS -T exam.zip {state.emulator_url}/{state.inbox_bucket}/exam.zip")
        print_line(f"  curl -sS '{state.emulator_url}/{state.inbox_bucket}?prefix=reports/'")
    print_line("\nmake down ends it.")
