"""Many requests at once, functions killed at random: every accepted job is delivered, once in effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.load import drive

pytestmark = [
    pytest.mark.stack,
    pytest.mark.exhaustive,
    pytest.mark.skipif(
        not Path("/proc").is_dir(), reason="needs Linux: it finds the functions' processes in /proc"
    ),
]


def test_no_accepted_job_is_lost_while_functions_are_killed(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--endpoint"):
        pytest.skip("needs the functions' processes on this machine")
    report = drive(24, kills=4)
    assert (report.accepted, report.delivered, report.lost, report.other_states) == (24, 24, 0, {})
    assert report.kills > 0
