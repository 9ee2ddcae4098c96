"""A stack that is stopped at any moment leaves no process, no folder and no open port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from infra.local.folder import sweep
from infra.local.process import answers, free_port, wait_for
from tests.stack import clean_environment

pytestmark = pytest.mark.stack

STAGES = ["starting the AWS emulator", "synthesising", "deploying", "loading", "up:"]
START_S = 60
STOP_S = 15


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def start_until(stage: str, port: int, project: Path) -> subprocess.Popen[str]:
    """Start a supervisor with its state elsewhere, and return when it says that it is at the stage."""
    code = (
        "import sys; from pathlib import Path; from infra.local import state, supervisor;"
        f"state.StateFolder.__init__.__defaults__ = (Path({str(project)!r}) / 'state',);"
        "sys.exit(supervisor.main())"
    )
    environment = clean_environment() | {"API_PORT": str(port), "TMPDIR": os.environ["TMPDIR"]}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    guard = threading.Timer(START_S, process.kill)  # a start that hangs ends the loop below
    guard.start()
    for line in process.stderr:
        if stage in line:
            guard.cancel()
            return process
    raise AssertionError(f"it never came to {stage!r}")


def processes_with(text: str) -> list[str]:
    """Command lines of living processes that have the text in it, or in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                whole = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if text.encode() in whole:
                found.append(whole.partition(b"\0\0")[0].decode(errors="replace"))
    return found


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(stage: str, number: signal.Signals, temporary: Path) -> None:
    port = free_port()
    process = start_until(stage, port, temporary)
    children = temporary / "ponte-local-"

    process.send_signal(number)
    process.send_signal(number)
    code = process.wait(STOP_S)
    process.stderr.close()  # type: ignore[union-attr]

    assert code == 0
    assert processes_with(str(children)) == []
    assert list(temporary.glob("*ponte-*")) == []
    assert not answers(port)


@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_leaves_no_process_and_the_next_start_removes_the_folder(stage: str, temporary: Path) -> None:
    port = free_port()
    process = start_until(stage, port, temporary)
    children = temporary / "ponte-local-"

    process.kill()
    process.wait()
    process.stderr.close()  # type: ignore[union-attr]
    wait_for(
        lambda: processes_with(str(children)) == [], timeout_s=STOP_S, msg="children outlive their supervisor"
    )

    sweep()
    assert list(temporary.glob("*ponte-local-*")) == []
    assert not answers(port)
