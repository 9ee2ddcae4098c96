"""What an installation does, in a folder and on a machine."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from cli.router.installation import _carry_out
from installer import steps, units
from installer.layout import Layout, backups_of, in_folder, on_this_machine
from installer.plan import Plan, install, uninstall
from ponte.errors import InvalidRequest
from router.configfile import BadConfiguration, load
from tests.corpus import ROOT

PROGRAM = Path(sys.executable).with_name("ponte")
SETTINGS = {"HTR_IP": "127.0.0.1", "SCP_PORT": "11112", "TARGET_HOST": "10.0.0.9"}


class System:
    """Stands for useradd and systemctl; the user is the one who runs this."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def run(self, command: Sequence[str]) -> None:
        self.commands.append(list(command))


@pytest.fixture
def system() -> System:
    return System()


def me() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def machine(tmp_path: Path) -> Layout:
    from dataclasses import replace

    for folder in ("etc/systemd/system", "usr/local/bin", "var"):
        (tmp_path / folder).mkdir(parents=True)
    return replace(on_this_machine(tmp_path / "home/dicom", prefix=tmp_path), user=me())


def done(layout: Layout, system: System, settings: dict[str, str] = SETTINGS) -> Plan:
    plan = install(layout, settings, PROGRAM, run=system.run)
    plan.do()
    return plan


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_folder_has_all_that_a_router_starts_with(tmp_path: Path, system: System) -> None:
    layout = in_folder(tmp_path / "box", None)
    plan = done(layout, system)
    assert (mode(layout.env_file), mode(layout.root), mode(layout.backups)) == (0o600, 0o700, 0o700)
    config = load(None, {}, env_file=layout.env_file)
    assert (config.dicom_root, config.target.host) == (layout.root, "10.0.0.9")
    assert [(one.address, one.port) for one in config.listeners] == [("127.0.0.1", 11112)]
    assert system.commands == []
    assert plan.password
    assert mode(layout.root / ".spool/receipt.key") == 0o600


def test_only_the_hash_of_the_password_is_kept(tmp_path: Path, system: System) -> None:
    layout = in_folder(tmp_path, None)
    plan = done(layout, system)
    text = layout.env_file.read_text()
    assert plan.password not in text
    assert plan.password not in repr(plan)
    (line,) = [line for line in text.splitlines() if line.startswith("DASHBOARD_PASSWORD_HASH=")]
    assert PasswordHasher().verify(line.partition("=")[2].strip("'"), plan.password)
    assert "DASHBOARD_HOST=0.0.0.0\n" in text


def test_without_a_password_the_page_is_for_this_machine_alone(tmp_path: Path, system: System) -> None:
    layout = in_folder(tmp_path, None)
    plan = install(layout, SETTINGS, PROGRAM, password=False)
    plan.do()
    text = layout.env_file.read_text()
    assert plan.password == ""
    assert "DASHBOARD_HOST=127.0.0.1\n" in text
    assert "DASHBOARD_PUBLISH=127.0.0.1:8501\n" in text


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path, system: System, machine: Layout) -> None:
    for layout in (in_folder(tmp_path / "box", None), machine):
        done(layout, system)
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
        system.commands.clear()
        plan = install(layout, {}, PROGRAM, run=system.run)
        assert plan.said() == []
        plan.do()
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
        assert (plan.password, plan.different, system.commands) == ("", [], [])


def test_settings_that_are_there_stay_and_the_difference_is_said(tmp_path: Path, system: System) -> None:
    layout = in_folder(tmp_path, None)
    done(layout, system)
    before = layout.env_file.read_bytes()
    plan = done(layout, system, {"SCP_PORT": "4100", "HTR_IP": "127.0.0.1"})
    assert layout.env_file.read_bytes() == before
    assert plan.different == ["- SCP_PORT=11112", "+ SCP_PORT=4100"]


def test_what_would_be_done_is_said_and_not_done(tmp_path: Path) -> None:
    layout = in_folder(tmp_path / "box", None)
    plan = install(layout, SETTINGS, PROGRAM)
    assert any(str(layout.env_file) in line for line in plan.said())
    assert not layout.configuration.exists()


@pytest.mark.parametrize(
    "settings", [{"HTR_IP": "300.0.0.1"}, {"SCP_PORT": "0"}, {"SCP_AET": "LONGER-THAN-SIXTEEN"}]
)
def test_settings_that_no_router_starts_with_are_refused_before_anything_is_written(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(BadConfiguration):
        install(in_folder(tmp_path / "box", None), settings, PROGRAM)
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_a_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="without quotes"):
        install(in_folder(tmp_path / "box", None), {"TARGET_AET": "O'HARA"}, PROGRAM)


def test_a_machine_gets_a_user_units_and_a_command(machine: Layout, system: System) -> None:
    plan = install(machine, SETTINGS, PROGRAM, run=system.run)
    assert "systemctl daemon-reload" in plan.said()[-1]
    plan.do()
    assert system.commands == [["systemctl", "daemon-reload"]]
    assert {path.name for path in machine.units.iterdir()} == set(units.NAMES)
    assert machine.command is not None
    assert os.access(machine.command, os.X_OK)
    assert (mode(machine.configuration), mode(machine.env_file)) == (0o750, 0o600)


def test_a_user_that_is_not_there_is_added(machine: Layout, system: System) -> None:
    step = steps.SystemUser("no-such-user-here", system.run)
    assert step.say()
    step.do()
    assert system.commands[0][0] == "useradd"
    assert steps.SystemUser(me(), system.run).say() == ""


def test_what_an_old_router_left_is_given_to_the_service(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    old = tmp_path / "old"
    (old / "20250101_120000_1_DOE").mkdir(parents=True)
    image = old / "20250101_120000_1_DOE" / "CT.1.2.dcm"
    image.write_bytes(b"x")
    (old / "link").symlink_to("/etc/passwd")
    step = steps.Ownership(old, "nobody")
    assert "give 4 files" in step.say()
    step.do()
    assert image.stat().st_uid == image.parent.stat().st_uid != 0
    assert Path("/etc/passwd").stat().st_uid == 0
    assert step.say() == ""


def test_it_goes_without_a_word_on_what_it_received(machine: Layout, system: System) -> None:
    done(machine, system)
    image = machine.root / "CT.1.dcm"
    image.write_bytes(b"x")
    system.commands.clear()
    plan = uninstall(machine, system.run)
    plan.do()
    assert system.commands[0][:3] == ["systemctl", "disable", "--now"]
    assert list(machine.units.iterdir()) == []
    assert machine.command is not None
    assert not machine.command.exists()
    assert image.exists()
    assert machine.env_file.exists()
    assert uninstall(machine, system.run).said() == []


def test_a_file_is_never_seen_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "unit"
    path.write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        steps.File(path, "after", 0o644).do()
    assert [one.name for one in tmp_path.iterdir()] == ["unit"]
    assert path.read_text() == "before"


def run(*arguments: str, answers: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "router", "install", *arguments],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        input=answers, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command_installs_into_a_folder(tmp_path: Path) -> None:
    box = tmp_path / "box"
    options = ("--folder", str(box), "--yes", "--htr-ip", "127.0.0.1", "--scp-port", "11112")
    dry = run(*options, "--dry-run")
    assert (dry.returncode, box.exists()) == (0, False)
    assert f"would write {box}/.env" in dry.stdout
    assert "Password" not in dry.stdout
    first, second = run(*options), run(*options)
    assert first.returncode == second.returncode == 0, first.stderr
    assert "shown this once" in first.stdout
    assert "shown this once" not in second.stdout
    assert run("--folder", str(box), "--uninstall").returncode == 0
    assert (box / ".env").exists()


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    done = run("--folder", str(tmp_path), "--yes", "--scp-port", "x")
    assert done.returncode == 2
    assert "port: expected a whole number" in done.stderr


def test_empty_for_one_of_the_target_is_empty_for_all_of_it(tmp_path: Path, system: System) -> None:
    """Else the router would forward to the default beside the destinations of its YAML file."""
    yaml = tmp_path / "router.yaml"
    yaml.write_text(
        "listeners: [{address: 127.0.0.1, port: 11112}]\ngrace_s: 90\n"
        "destinations: [{kind: dicom, name: pacs, host: 10.0.0.9, ae_title: PACS}]\n"
    )
    layout = in_folder(tmp_path / "box", None)
    done(layout, system, {"HTR_IP": "", "TARGET_HOST": "", "ROUTER_CONFIG": str(yaml)})
    config = load(yaml, {}, env_file=layout.env_file)
    assert [one.name for one in config.destinations] == ["pacs"]
    assert [one.port for one in config.listeners] == [11112]
    assert "TimeoutStopSec=125\n" in (layout.units / "ponte-router.service").read_text()


def test_backups_go_where_the_settings_say() -> None:
    assert backups_of(Path("/etc/ponte/.env")) == Path("/var/backups/ponte")
    assert backups_of(Path("/srv/box/.env")) == Path("/srv/box/backups")


def test_an_old_root_is_shut_to_others(tmp_path: Path, system: System) -> None:
    """Names of its folders are names of patients."""
    layout = in_folder(tmp_path / "box", None)
    (layout.root / "20250101_120000_1_DOE").mkdir(parents=True)
    layout.root.chmod(0o755)
    done(layout, system)
    assert mode(layout.root) == 0o700


def test_on_a_terminal_it_asks_once_and_not_where_settings_are(tmp_path: Path) -> None:
    box = tmp_path / "box"
    answers = ["127.0.0.1", "11112", "", "10.0.0.9", "", "", str(tmp_path / "images")]
    said = on_a_terminal(["--folder", str(box)], answers)
    assert "AE title of the PACS (TARGET_AET) [ZEROCLICK]" in said
    config = load(None, {}, env_file=box / ".env")
    assert (config.target.host, config.target.ae_title) == ("10.0.0.9", "ZEROCLICK")
    assert config.dicom_root == tmp_path / "images"
    assert "nothing to do" in on_a_terminal(["--folder", str(box)], [])


def on_a_terminal(arguments: list[str], answers: list[str]) -> str:
    """Run the command as a person does; each answer follows a question."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "router", "install", *arguments],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said, left = "", list(answers)
    with contextlib.suppress(OSError):  # what a terminal says when nobody is there any more
        while piece := os.read(ours, 4096):
            said += piece.decode()
            if said.endswith(": ") and left:
                os.write(ours, left.pop(0).encode() + b"\n")
    os.close(ours)
    assert (process.wait(30), left) == (0, []), said
    return said


def test_the_password_is_shown_even_where_a_later_step_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fails:
        def say(self) -> str:
            return "fail"

        def do(self) -> None:
            raise OSError(1, "no systemd here")

    layout = in_folder(tmp_path, None)
    plan = install(layout, SETTINGS, PROGRAM)
    plan.steps.append(Fails())
    with pytest.raises(OSError, match="no systemd"):
        _carry_out(layout, plan, dry_run=False)
    assert plan.password in capsys.readouterr().out
