"""The organised folders when the router is killed: every kept instance has one name, counts are right, and
the metadata is never half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.metadata import FILE_NAME
from tests.factories import uid
from tests.unit.router.house_child import EACH, STUDIES, send, settle
from tests.unit.router.organised import House

ROOT = Path(__file__).parents[2]
PLACES = [
    "organised", "linked", "metadata-taken-in", "metadata-written", "metadata-written:2", "metadata-synced",
    "metadata-synced:3", "metadata-renamed", "removal-marked", "removal-unlinked", "removal-unlinked:3",
    "removal-removed", "removal-removed:4", "removal-forgotten",
]  # fmt: skip
COMMITS = [f"committed:{count}" for count in range(1, 34, 4)]


def killed(root: Path, place: str, *more: str) -> int:
    """The exit code of a child that is killed there."""
    environment = os.environ | {"FAILPOINT": place, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.unit.router.house_child", str(root), *more]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=60).returncode


def check_whole(house: House) -> None:
    """Each kept instance has its file, one name, and no file or name is left of another."""
    names = [path for path in house.root.glob("[!._]*/*") if path.is_file()]
    kept = [house.store.spool.path_of(place) for place in house.store.spool.places()]
    assert sorted(path.stat().st_ino for path in names) == sorted(path.stat().st_ino for path in kept)
    assert {path.stat().st_nlink for path in kept} <= {2}
    assert len(kept) == house.store.count()
    assert all(any((house.root / folder).iterdir()) for folder in house.tree())


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


def test_the_place_of_every_kill_is_there(tmp_path: Path) -> None:
    """A failpoint that is never reached proves nothing: without one, the child ends well."""
    assert killed(tmp_path, "nowhere") == 0
