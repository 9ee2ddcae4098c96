"""`python -m installer.health router|dashboard`: exit code 0 where it answers; a container's health.

By the standard library alone: it is started every half minute beside what it asks.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PATIENCE_S: Final = 8.0
_MOST_BYTES = 65536
_SOCKET = Path(".spool") / "control.sock"


def router_problem(root: Path, *, patience_s: float = PATIENCE_S) -> str:
    """What is wrong with the router of this root, by its own word; "" where nothing is."""
    try:
        answer = _ask(root, {"verb": "status"}, patience_s)
    except (OSError, ValueError) as error:
        return f"the router does not answer ({type(error).__name__})"
    if answer.get("ok") is not True:
        return "the router does not say how it is"
    parts = answer.get("result", {}).get("parts", [])
    failed = [str(part.get("name")) for part in parts if part.get("state") == "failed"]
    return f"failed: {', '.join(failed)}" if failed else ""


def _ask(root: Path, question: Mapping[str, str], patience_s: float) -> dict[str, Any]:
    """The router's answer. The socket is named by its folder's handle: a path may be longer than a socket's
    address."""
    folder = os.open(root / _SOCKET.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(patience_s)
            connection.connect(f"/proc/self/fd/{folder}/{_SOCKET.name}")
            connection.sendall(json.dumps(question).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline(_MOST_BYTES))
    finally:
        os.close(folder)
    if not isinstance(answer, dict):
        raise ValueError("no object")  # noqa: TRY004  (what JSON says is no type of ours)
    return answer


def dashboard_problem(environment: Mapping[str, str], *, patience_s: float = PATIENCE_S) -> str:
    """What is wrong with the dashboard of this machine; "" where it answers."""
    tls = bool(environment.get("DASHBOARD_TLS_CERTIFICATE"))
    address = f"http{'s' if tls else ''}://127.0.0.1:{environment.get('DASHBOARD_PORT') or 8501}/livez"
    # Asked on loopback, where no certificate names it: that it answers is all that is wanted.
    context = ssl._create_unverified_context() if tls else None  # noqa: S323, SLF001
    try:
        with urllib.request.urlopen(address, timeout=patience_s, context=context) as answer:  # noqa: S310
            return "" if answer.status == 200 else f"the dashboard answers {answer.status}"
    except OSError as error:
        return f"the dashboard does not answer ({type(error).__name__})"


def main(arguments: list[str], environment: Mapping[str, str]) -> int:
    """0 well, 1 not, 2 asked for something else."""
    if arguments == ["router"]:
        problem = router_problem(Path(environment.get("DICOM_ROOT") or "/home/dicom"))
    elif arguments == ["dashboard"]:
        problem = dashboard_problem(environment)
    else:
        sys.stderr.write("usage: python -m installer.health router|dashboard\n")
        return 2
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
