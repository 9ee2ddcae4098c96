"""Runs one command, and ends it with all that it started as soon as whoever asked for it is gone.

A script of its own: `python -I -S guardian.py LIFELINE GRACE_S COMMAND...`. LIFELINE is the read end of a
pipe whose write end the owner alone holds, so its death by any cause, `kill -9` included, is an end of file
here. Unlike PR_SET_PDEATHSIG that is not tied to the thread that started us, and it reaches what the command
started. The command itself has PR_SET_PDEATHSIG, towards this process, for the case that this one is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def death_signal() -> Callable[[], None] | None:
    """What runs in the child before its program: ask the kernel to kill it when this process is gone."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wake_up_pipe() -> int:
    """A descriptor on which each signal's number arrives as a byte, instead of interrupting anything."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reading


def wait(child: subprocess.Popen[bytes], lifeline: int, signals: int) -> None:
    """Until the command has ended, its owner is gone, or somebody asks us to end it."""
    while child.poll() is None:
        ready, _, _ = select.select([lifeline, signals], [], [])
        if lifeline in ready or set(os.read(signals, 64)) & set(ENDING):
            return


def signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def end(child: subprocess.Popen[bytes], grace_s: float) -> int:
    """Ask the whole group to end, kill what is left of it after the grace, and say how the command ended."""
    if child.poll() is None:
        signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(grace_s)
    signal_group(child.pid, signal.SIGKILL)
    return child.wait()


def main(lifeline: int, grace_s: float, command: list[str]) -> int:
    signals = wake_up_pipe()
    child = subprocess.Popen(
        command, process_group=0, preexec_fn=death_signal()
    )  # one thread: nothing to fear
    wait(child, lifeline, signals)
    return end(child, grace_s)


if __name__ == "__main__":
    code = main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
    sys.exit(code if code >= 0 else 128 - code)
