"""The systemd units: what they promise, and what systemd's own tools say of them. No systemd runs here."""

from __future__ import annotations

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from installer import units
from installer.layout import Layout, on_this_machine
from router.config import RouterConfig

MOST_EXPOSED = 3.0


def layout(root: str = "/home/dicom") -> Layout:
    return on_this_machine(Path(root))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "opt/ponte/.venv/bin/ponte"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def unit(name: str, program: Path, root: str = "/home/dicom") -> ConfigParser:
    found = ConfigParser(strict=False, interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(units.texts(layout(root), program, RouterConfig().grace_s)[name])
    return found


@pytest.mark.parametrize("name", units.NAMES)
def test_nothing_is_left_to_be_filled_in(name: str, program: Path) -> None:
    text = units.texts(layout(), program, 25)[name]
    assert not re.search(r"@[A-Z_]+@", text)


def test_the_router_comes_back_whatever_it_ended_with(program: Path) -> None:
    service = unit("ponte-router.service", program)["Service"]
    assert service["Restart"] == "on-failure"
    assert service["RestartForceExitStatus"] == "75"
    assert "RestartPreventExitStatus" not in service  # 2 is also an address that is not there yet
    assert unit("ponte-router.service", program)["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert "WatchdogSec" not in service  # nobody would feed it


def test_those_who_are_served_may_finish_before_it_is_killed(program: Path) -> None:
    grace_s = RouterConfig().grace_s
    service = unit("ponte-router.service", program)["Service"]
    assert int(service["TimeoutStopSec"]) >= grace_s + 30


def test_the_dashboard_has_no_capability_and_the_last_place(program: Path) -> None:
    service = unit("ponte-dashboard.service", program)["Service"]
    assert service["CapabilityBoundingSet"] == ""
    assert "AmbientCapabilities" not in service
    assert (service["Nice"], service["IOSchedulingClass"]) == ("10", "idle")


@pytest.mark.parametrize("name", units.NAMES)
@pytest.mark.parametrize(
    ("root", "home", "bound"),
    [("/home/dicom", "tmpfs", "/home/dicom"), ("/srv/dicom", "true", None), ("/homely", "true", None)],
)
def test_only_the_images_are_written_to_and_no_home_is_seen(
    name: str, root: str, home: str, bound: str | None, program: Path
) -> None:
    service = unit(name, program, root)["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == root
    assert service["ProtectHome"] == home
    assert service.get("BindPaths") == bound


@pytest.mark.systemd
@pytest.mark.parametrize("name", units.NAMES)
def test_systemd_understands_the_unit_and_finds_little_exposed(
    name: str, program: Path, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(units.texts(layout(), program, 25)[name])
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False
    )
    said = [line for line in verified.stderr.splitlines() if name in line]
    assert (verified.returncode, said) == (0, [])
    most = f"--threshold={int(MOST_EXPOSED * 10)}"
    command = ["systemd-analyze", "security", "--offline=true", most, str(path)]
    measured = subprocess.run(command, capture_output=True, text=True, check=False)
    (level,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", measured.stdout)
    assert (measured.returncode, float(level) < MOST_EXPOSED) == (0, True), level


def test_the_command_runs_as_the_service_s_user(program: Path) -> None:
    text = units.command(layout(), program)
    assert "setpriv --reuid=ponte --regid=ponte --init-groups" in text
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
