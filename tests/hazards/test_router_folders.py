"""The organised folders when the router is killed: every kept instance has one name, counts are right, and
the metadata is never half written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt

from infra.local.process import wait_for
from router.metadata import FILE_NAME
from tests.factories import STUDY_UID, encode, make_ct, uid
from tests.hazards.test_router_service import outgoing, running
from tests.hazards.test_router_service import send as service_send
from tests.unit.router.house_child import EACH, STUDIES, send, settle
from tests.unit.router.organised import House

ROOT = Path(__file__).parents[2]
PLACES = [
    "organised", "linked", "metadata-taken-in", "metadata-written", "metadata-written:2", "metadata-synced",
    "metadata-synced:3", "metadata-renamed", "removal-marked", "removal-unlinked", "removal-unlinked:3",
    "removal-removed", "removal-removed:4", "removal-forgotten",
]  # fmt: skip
COMMITS = [
    *(f"committed:{count}" for count in (1, 4, 8)),
    *(pytest.param(f"changed:{count}", marks=pytest.mark.exhaustive) for count in range(1, 24)),
]


def killed(root: Path, place: str, task: str = "receive") -> int:
    """The exit code of a child that is killed there."""
    environment = os.environ | {"FAILPOINT": place, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.unit.router.house_child", str(root), task]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=60).returncode


def check_whole(house: House) -> None:
    """Each kept instance has its file, one name, and no file or name is left of another."""
    names = [path for path in house.root.glob("[!._]*/*") if path.is_file()]
    kept = [house.store.spool.path_of(place) for place in house.store.spool.places()]
    assert sorted(path.stat().st_ino for path in names) == sorted(path.stat().st_ino for path in kept)
    assert {path.stat().st_nlink for path in kept} <= {2}
    assert len(kept) == house.store.count()
    assert all(any((house.root / folder).iterdir()) for folder in house.tree())
    assert not list(house.store.spool.incoming.iterdir())


@pytest.mark.parametrize("place", [*PLACES, *COMMITS])
def test_killed_anywhere_the_next_start_puts_it_right(tmp_path: Path, place: str) -> None:
    """FI-07, and what FI-04 and FI-05 leave for the folders."""
    assert killed(tmp_path, place) == 137
    metadata = tmp_path / FILE_NAME
    if metadata.exists():
        assert isinstance(json.loads(metadata.read_bytes()), dict)
    house = House(tmp_path)
    house.organise()
    house.remove()  # what was begun: nothing more is confirmed
    check_whole(house)
    if house.store.count() == EACH * len(STUDIES):
        settle(house)
        assert house.store.count() == EACH
    check_whole(house)
    house.close()


@pytest.mark.exhaustive
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_the_counts_are_right_in_the_end(tmp_path: Path, place: str) -> None:
    """What was removed before the kill may come again: it is the same instance."""
    assert killed(tmp_path, place) == 137
    house = House(tmp_path)
    send(house)
    settle(house)
    check_whole(house)
    assert {key: entry["image_count"] for key, entry in house.entries().items()} == {
        uid(study): EACH for study in STUDIES
    }
    assert not (tmp_path / ".metadata.json.part").exists()
    house.close()


ADOPTING = [
    "adoption-linked", "adoption-linked:6", "adoption-kept", "adoption-kept:5", "adoption-quarantined",
    "adoption-forgotten", "adoption-forgotten:2", "metadata-taken-in", "organised", "linked",
    "committed:1", "committed:4",
    *(pytest.param(f"changed:{count}", marks=pytest.mark.exhaustive) for count in range(1, 31)),
]  # fmt: skip


def old_root(root: Path) -> set[str]:
    """An older router's: two loose files, a folder of four, one that is cut, one of them twice; the digests
    of those that are sound."""
    instances = [make_ct(number, size=4) for number in range(5)]
    for number, instance in enumerate(instances):
        folder = root if number < 2 else root / "20250912_090003_OLD-ID_DOE_JOHN"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"CT.{instance.SOPInstanceUID}.dcm").write_bytes(encode(instance))
    (root / "again.dcm").write_bytes(encode(instances[4]))
    (folder / "cut.dcm").write_bytes(encode(instances[0])[:-5])
    metadata = {STUDY_UID: {"folder": folder.name, "image_count": 4, "sent": False}}
    (root / FILE_NAME).write_text(json.dumps(metadata))
    for file in root.rglob("*.dcm"):
        os.utime(file, (1.7e9, 1.7e9))
    return {hashlib.sha256(encode(instance)).hexdigest() for instance in instances}


def digests(paths: Iterable[Path]) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("place", ADOPTING)
def test_killed_while_it_adopts_nothing_is_lost_and_nothing_twice(tmp_path: Path, place: str) -> None:
    """I4: at any time each of the old files is there, or in the spool, or in quarantine."""
    sound = old_root(tmp_path)
    assert killed(tmp_path, place, "adopt") == 137
    assert sound <= digests(tmp_path.rglob("*.dcm"))
    house = House(tmp_path)
    house.adopt()
    check_whole(house)
    assert digests(house.store.spool.path_of(place) for place in house.store.spool.places()) == sound
    assert house.store.quarantined() == ["TRUNCATED"]
    assert [(entry["image_count"], entry["folder"]) for entry in house.entries().values()] == [
        (5, "20250912_090003_OLD-ID_DOE_JOHN")
    ]
    assert not list(tmp_path.glob("*.dcm"))
    house.close()


@pytest.mark.parametrize("place", ["damaged-quarantined", "damaged-removed", "changed:4"])
def test_killed_while_it_puts_away_what_a_disk_forgot_the_damage_is_never_taken_for_the_image(
    tmp_path: Path, place: str
) -> None:
    """Between quarantine, file and row: one entry in quarantine, and nothing that is kept is damaged."""
    house = House(tmp_path)
    send(house)
    house.organise()
    damaged = house.store.spool.path_of(next(house.store.spool.places()))
    house.close()
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    assert killed(tmp_path, place, "patrol") == 137
    house = House(tmp_path)
    house.go_round()
    house.organise()
    assert house.store.quarantined() == ["DIGEST_MISMATCH"]
    assert house.store.count() == EACH * len(STUDIES) - 1
    check_whole(house)
    send(house)
    house.organise()
    assert house.store.count() == EACH * len(STUDIES)
    check_whole(house)
    house.close()


def test_the_router_itself_organises_what_it_receives_whatever_kills_it(tmp_path: Path) -> None:
    """As a process, with an association of ours: killed at once, and asked to end the second time."""
    root, stored = tmp_path / "root", set[str]()
    instances = [outgoing(number) for number in range(20)]
    for half in (instances[:10], instances[10:]):
        with running(root) as router:
            service_send(router.port, half, stored)
            router.kill()
    with running(root) as router:
        wait_for(
            lambda: [entry["image_count"] for entry in entries(root).values()] == [20],
            timeout_s=30,
            msg="not all were organised",
        )
        router.end()
        assert router.wait() == 0
    assert "CANAR" not in json.dumps(router.log)
    (folder,) = root.glob("2*")
    names = {f"CT.{uid}.dcm" for uid in stored}
    assert {path.name for path in folder.iterdir()} == names
    house = House(root)
    house.organise()
    check_whole(house)
    house.close()


def test_an_older_root_is_taken_over_sent_on_and_noted_as_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the router, with a destination: what was unsent arrives there, goes here, and its entry stays;
    what was sent stays as it is, and is not sent again."""
    root = tmp_path / "root"
    sound = old_root(root)
    sent = make_ct(50, size=4, StudyInstanceUID=uid("sent"))
    (root / "20250101_000000_ID_SENT").mkdir()
    left = root / "20250101_000000_ID_SENT" / f"CT.{sent.SOPInstanceUID}.dcm"
    left.write_bytes(encode(sent))
    os.utime(left, (1.7e9, 1.7e9))
    metadata = json.loads((root / FILE_NAME).read_bytes())
    metadata[uid("sent")] = {"folder": left.parent.name, "image_count": 1, "sent": True}
    (root / FILE_NAME).write_text(json.dumps(metadata))
    arrived: list[str] = []

    def store(event: evt.Event) -> int:
        arrived.append(str(event.dataset.SOPInstanceUID))
        return 0x0000

    archive = AE("ZEROCLICK")
    archive.add_supported_context(CTImageStorage)
    server = archive.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    assert server is not None
    monkeypatch.setenv("TARGET_PORT", str(server.server_address[1]))
    with running(root, settings="studies: {quiet_s: 0.2}\n") as router:
        wait_for(
            lambda: [entry.get("sent") for entry in entries(root).values()] == [True, True],
            timeout_s=60,
            msg="not all was sent",
        )
        router.end()
        assert router.wait() == 0
    server.shutdown()
    assert sorted(arrived) == sorted(make_ct(number).SOPInstanceUID for number in range(len(sound)))
    assert sorted(entry["image_count"] for entry in entries(root).values()) == [1, 5]
    assert left.read_bytes() == encode(sent)
    assert [path.parent.parent.name for path in root.rglob("*.dcm")] == ["root", "_QUARANTINE"]
    assert "CANAR" not in json.dumps(router.log)


def entries(root: Path) -> dict[str, Any]:
    """The metadata as a script reads it, at any moment."""
    with contextlib.suppress(FileNotFoundError):
        found = json.loads((root / FILE_NAME).read_bytes())
        assert isinstance(found, dict)
        return found
    return {}


def test_the_place_of_every_kill_is_there(tmp_path: Path) -> None:
    """A failpoint that is never reached proves nothing: without one, the child ends well."""
    assert killed(tmp_path / "a", "nowhere") == 0
    old_root(tmp_path / "b")
    assert killed(tmp_path / "b", "nowhere", "adopt") == 0
