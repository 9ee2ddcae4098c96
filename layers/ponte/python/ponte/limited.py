"""Run a command under limits: `python -IS limited.py BYTES SECONDS COMMAND...`.

Limits are set and the command takes this process's place, so that not one instruction of it runs without
them. A process with threads cannot do that between fork and exec. The command can write no file.
"""

from __future__ import annotations

import os
import resource
import sys

NOT_RUNNING = 127  # as shells, and the loader of shared libraries, say it


def main() -> None:
    memory, seconds, *command = sys.argv[1:]
    for limit, value in (
        (resource.RLIMIT_AS, int(memory)),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    # SIGXCPU says what it was; the kernel kills outright what goes on
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
    try:
        os.execv(command[0], command)  # noqa: S606  (a list of our own making)
    except OSError:
        sys.exit(NOT_RUNNING)


if __name__ == "__main__":
    main()
