"""Ending functions while they run: for tests and benches that ask what is lost then."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from infra.local.stack import LocalStack


def processes_of(stack: LocalStack, function_name: str) -> list[int]:
    """The processes in which this very stack runs a function. Linux alone: they are found in /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(stack.folder) in command and f"ministack-lambda-{function_name}" in command:
            found.append(int(entry.name))
    return found


def kill(process: int) -> bool:
    """kill -9; False when it was gone."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
