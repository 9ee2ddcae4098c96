"""A backup made while the router receives and forwards, restored elsewhere: real processes on both sides.

Everything acknowledged before the backup began is there, byte for byte (I1), nothing that is not whole (I2),
and what was waiting goes on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from infra.local.process import free_port, wait_for
from ponte_net import command
from tests.corpus import ROOT
from tests.hazards.test_router_service import Router, datasets, outgoing, running, send
from tests.told_scp import Conversation, ToldScp, told_scp
from tests.unit.router import invariants


def ponte(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = {name: value for name, value in environment.items() if not name.startswith("DICOM_")}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "router", *map(str, arguments)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def env_file(folder: Path, root: Path) -> Path:
    path = folder / f"{root.name}.env"
    path.write_text(f"DICOM_ROOT={root}\nHTR_IP=127.0.0.1\nSCP_PORT=11112\nORTHANC_PASSWORD=CANARY\n")
    return path


def configuration(folder: Path) -> Path:
    """Without a floor of free space: the machine that tests run on may be full."""
    (folder / "secret").write_text("only here")
    path = folder / "router.yaml"
    path.write_text(
        "disk: {associations_bytes: 0, instances_bytes: 0, warning_bytes: 0}\n"
        f"destinations:\n- {{kind: dicomweb, name: web, url: 'http://127.0.0.1:9/', username: u,"
        f" password_file: {folder / 'secret'}}}\n"
    )
    return path


def backup(folder: Path, root: Path) -> dict[str, object]:
    file = folder / "backup.tar"
    options = ("--env-file", env_file(folder, root), "--config", configuration(folder), "--json")
    done = ponte("backup", file, *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@contextmanager
def archive() -> Iterator[tuple[ToldScp, Counter[str]]]:
    """A destination that takes everything; how often it was given each instance."""
    given: Counter[str] = Counter()

    def take(conversation: Conversation) -> None:
        conversation.accept()
        while (stored := conversation.message()) is not None:
            given[str(command.text_of(stored.command, command.AFFECTED_SOP_INSTANCE_UID))] += 1
            conversation.answer(stored)

    with told_scp(take) as scp:
        yield scp, given


def target(port: int) -> str:
    return f"target: {{port: {port}}}\n"


def test_what_was_acknowledged_before_a_backup_is_there_after_it_and_is_forwarded(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    instances = [outgoing(number) for number in range(400)]
    stored: set[str] = set()
    enough = Event()

    def modality(router: Router) -> None:
        for at in range(0, len(instances), 4):
            if enough.is_set():
                return
            send(router.port, instances[at : at + 4], stored)

    with running(root, settings=target(free_port())) as router:
        sending = Thread(target=modality, args=(router,))
        sending.start()
        wait_for(lambda: len(stored) >= 20, timeout_s=60, msg="nothing is stored")
        before = set(stored)
        said = backup(tmp_path, root)
        enough.set()
        sending.join()
        assert stored > before, "it was to be made while instances came"
        router.kill()
    assert before <= {one.sop_instance_uid for one in instances}
    assert int(str(said["instances"])) >= len(before)
    assert said["missing"] == 0
    assert list(root.glob(".spool/backup-*")) == []

    restored = ponte("restore", tmp_path / "backup.tar", "--root", elsewhere)
    assert restored.returncode == 0, restored.stderr
    everything = datasets(*instances)
    with archive() as (scp, given), running(elsewhere, settings=target(scp.port)) as router:
        wait_for(lambda: before <= set(given), timeout_s=60, msg="it does not go on")
        router.end()
        assert router.wait() == 0
    assert set(given.values()) == {1}
    assert set(given) <= set(everything)


def test_a_restored_spool_is_whole_before_anything_is_forwarded(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    instances = [outgoing(number) for number in range(12)]
    stored: set[str] = set()
    with running(root, settings=target(free_port())) as router:
        send(router.port, instances, stored)
        backup(tmp_path, root)
        router.kill()
    assert len(stored) == 12
    assert ponte("restore", tmp_path / "backup.tar", "--root", elsewhere).returncode == 0
    invariants.check(elsewhere, datasets(*instances))


def test_what_is_forwarded_and_removed_while_it_is_made_is_no_alarm_after_it(tmp_path: Path) -> None:
    """Rows and files are of one moment, however long the copy takes."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    instances = [outgoing(number) for number in range(300)]
    stored: set[str] = set()
    with archive() as (scp, given), running(root, settings=target(scp.port)) as router:
        sending = Thread(target=send, args=(router.port, instances, stored))
        sending.start()
        wait_for(lambda: len(given) >= 20, timeout_s=60, msg="nothing is forwarded")
        said = backup(tmp_path, root)
        sending.join()
        router.kill()
    assert said["missing"] == 0
    assert ponte("restore", tmp_path / "backup.tar", "--root", elsewhere).returncode == 0
    with running(elsewhere, settings=target(free_port())) as router:
        (started,) = [line for line in router.log if line["message"] == "router started"]
        assert (started["missing"], started["adopted"], started["removed"]) == (0, 0, 0)


def test_settings_and_what_they_name_come_along_and_overwrite_nothing(tmp_path: Path) -> None:
    root, elsewhere, settings = tmp_path / "root", tmp_path / "elsewhere", tmp_path / "settings"
    with running(root, settings=target(free_port())):
        said = backup(tmp_path, root)
    assert str(said["configuration"]).count(":") == 3
    settings.mkdir()
    (settings / "router.yaml").write_text("mine")
    options = ("--root", elsewhere, "--configuration", settings)
    done = ponte("restore", tmp_path / "backup.tar", *options)
    assert done.returncode == 0, done.stderr
    assert (settings / "router.yaml").read_text() == "mine"
    assert (settings / "secret").read_text() == "only here"
    assert (settings / "root.env").stat().st_mode & 0o777 == 0o600
    assert "CANARY" not in done.stdout


def test_a_root_in_use_is_never_restored_upon(tmp_path: Path) -> None:
    root = tmp_path / "root"
    stored: set[str] = set()
    instances = [outgoing(1)]
    with running(root, settings=target(free_port())) as router:
        send(router.port, instances, stored)
        backup(tmp_path, root)
        done = ponte("restore", tmp_path / "backup.tar", "--root", root)
        assert (done.returncode, "a router works on" in done.stderr) == (2, True)
        upgrade = ponte("upgrade", "--env-file", env_file(tmp_path, root))
        assert (upgrade.returncode, "Another router works" in upgrade.stderr) == (2, True)
    done = ponte("restore", tmp_path / "backup.tar", "--root", root)
    assert (done.returncode, "expected one that is empty" in done.stderr) == (2, True)
    invariants.check(root, datasets(*instances))


def flipped(whole: bytes, at: int) -> bytes:
    return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "a few bytes": lambda whole: whole[:100],
    "half": lambda whole: whole[: len(whole) // 2],
    "without its manifest": lambda whole: whole[: whole.rindex(b"manifest.json")],
    "in its manifest": lambda whole: whole[: whole.rindex(b"manifest.json") + 600],
    "a pixel": lambda whole: flipped(whole, whole.index(b"DICM") + 1000),
    "a row": lambda whole: flipped(whole, whole.index(b"SQLite format 3") + 5000),
    "a digest": lambda whole: flipped(whole, whole.rindex(b"  spool/kept/") - 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_backup_that_is_cut_short_or_changed_restores_nothing(damage: str, tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    stored: set[str] = set()
    with running(root, settings=target(free_port())) as router:
        send(router.port, [outgoing(1), outgoing(2)], stored)
        backup(tmp_path, root)
    file = tmp_path / "backup.tar"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    done = ponte("restore", file, "--root", elsewhere)
    assert done.returncode == 2, done.stdout
    assert "backup" in done.stderr
    assert list(elsewhere.iterdir()) == []
