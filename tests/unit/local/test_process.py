from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.errors import LocalStackError
from infra.local.process import Child, answers, free_port, wait_for

PYTHON = sys.executable
WAIT = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); {WAIT}"
WITH_GRANDCHILD = (
    "import subprocess, sys, time;"
    f"child = subprocess.Popen([sys.executable, '-c', {WAIT!r}]);"
    "print(child.pid, flush=True);" + WAIT
)
OWNER = """
import sys, threading, time
from pathlib import Path
from infra.local.process import Child
def start():
    Child("child", [sys.executable, "-c", sys.argv[1]], log=Path(sys.argv[2]))
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(600)
"""


def exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process_id}/status").read_text()


def gone(process_id: int) -> bool:
    try:
        return not exists(process_id)
    except (FileNotFoundError, ProcessLookupError):
        return True


def printed(log: Path) -> bool:
    return log.exists() and log.read_text().endswith("\n")


def test_the_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Child("child", [PYTHON, "-c", "print('hello')"], log=log) as child:
        child.finish(timeout_s=30)

    assert log.read_text() == "hello\n"


def test_an_exit_code_that_is_not_zero_is_an_error_with_the_end_of_the_log(tmp_path: Path) -> None:
    with (
        Child("the child", [PYTHON, "-c", "raise SystemExit('no licence')"], log=tmp_path / "log") as child,
        pytest.raises(LocalStackError, match=r"(?s)the child failed with exit code 1.*no licence"),
    ):
        child.finish(timeout_s=30)


def test_a_child_that_ends_before_it_is_ready_is_an_error_at_once(tmp_path: Path) -> None:
    with (
        Child("the child", [PYTHON, "-c", "print('bad port')"], log=tmp_path / "log") as child,
        pytest.raises(LocalStackError, match=r"(?s)stopped before it answers.*bad port"),
    ):
        child.wait_until(lambda: False, timeout_s=30, what="it answers")


def test_a_child_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    with (
        Child("the child", [PYTHON, "-c", WAIT], log=tmp_path / "log") as child,
        pytest.raises(LocalStackError, match=r"no answer within 0\.1 s"),
    ):
        child.wait_until(lambda: False, timeout_s=0.1, what="answer")


def test_stopping_ends_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child("child", [PYTHON, "-c", STUBBORN], log=log, grace_s=0.1)
    child.wait_until(lambda: printed(log), timeout_s=30, what="it prints")

    child.stop()

    assert not child.running


def test_stopping_ends_what_the_child_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child("child", [PYTHON, "-c", WITH_GRANDCHILD], log=log, grace_s=1)
    child.wait_until(lambda: printed(log), timeout_s=30, what="it prints")

    child.stop()

    wait_for(lambda: gone(int(log.read_text())), timeout_s=10, msg="the grandchild lives")


def test_stopping_twice_is_allowed(tmp_path: Path) -> None:
    child = Child("child", [PYTHON, "-c", WAIT], log=tmp_path / "log")

    child.stop()
    child.stop()

    assert not child.running


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_owner_leaves_neither_child_nor_grandchild(tmp_path: Path, how: signal.Signals) -> None:
    """Also when the thread that started the child has ended."""
    log = tmp_path / "log"
    owner = subprocess.Popen([PYTHON, "-c", OWNER, WITH_GRANDCHILD, str(log)])
    wait_for(lambda: printed(log), timeout_s=30, msg="the child did not start")
    grandchild = int(log.read_text())
    assert exists(grandchild)

    owner.send_signal(how)
    owner.wait()

    wait_for(lambda: gone(grandchild), timeout_s=10, msg="the grandchild lives")


def test_a_killed_guardian_takes_the_child_with_it(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("PR_SET_PDEATHSIG is Linux's")
    log = tmp_path / "log"
    report = "import os; print(os.getpid(), os.getppid(), flush=True);" + WAIT
    child = Child("child", [PYTHON, "-c", report], log=log)
    child.wait_until(lambda: printed(log), timeout_s=30, what="it prints")
    process_id, guardian = map(int, log.read_text().split())

    os.kill(guardian, signal.SIGKILL)

    wait_for(lambda: gone(process_id), timeout_s=10, msg="the child lives")
    child.stop()


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()

    assert 1024 <= port < 65_536
    assert not answers(port)
