"""What `FAILPOINT` asks for happens where and when it says, and nothing else does."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

from tests.corpus import ROOT

_PROGRAM = """
from router.failpoint import failpoint
for number in range(1, 5):
    for name in ("written", "renamed"):
        try:
            failpoint(name)
        except OSError as error:
            print(name, number, error.errno, flush=True)
print("alive")
"""


def run(plan: str) -> tuple[int, list[str]]:
    environment = {**os.environ, "FAILPOINT": plan, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stdout.splitlines()


def test_without_a_plan_nothing_happens() -> None:
    assert run("") == (0, ["alive"])


def test_a_call_fails_once_and_another_kills() -> None:
    plan = "written:2=EIO,written:3=ENOSPC,renamed:4"
    assert run(plan) == (137, [f"written 2 {errno.EIO}", f"written 3 {errno.ENOSPC}"])
