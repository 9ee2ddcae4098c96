"""The verbs over the socket of a real router process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from router.controlclient import SOCKET_NAME, call
from tests.hazards.test_router_service import running


def test_the_status_of_a_router_that_runs(tmp_path: Path) -> None:
    root = tmp_path / "dicom"
    with running(root) as router:
        assert stat.S_IMODE((root / ".spool" / SOCKET_NAME).stat().st_mode) == 0o600
        status = call(root, "status")
        assert status["pid"] != os.getpid()
        assert {part["state"] for part in status["parts"]} == {"running"}
        assert [one["name"] for one in status["destinations"]] == ["target"]
        router.end()
        assert router.wait() == 0
