"""Archives to an inbox unchanged, by the same watcher."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ponte.errors import DestinationUnavailable
from tests.unit.watcher.helpers import Box, exam


class Inbox:
    """Keeps the bytes by their digest."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.fail = 0

    def check(self) -> None:
        """It is there."""

    def put(self, path: Path, sha256: str) -> str:
        if self.fail:
            self.fail -= 1
            raise DestinationUnavailable("The upload failed")
        self.kept[sha256] = path.read_bytes()
        return f"inbox/{sha256}.zip"


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_an_archive_arrives_as_it_is_and_is_put_away_with_a_report(box: Box) -> None:
    inbox = Inbox()
    inbox.fail = 2
    with box.run(inbox):
        box.drop("a.zip", exam(1))
        report = box.reported("a.zip")
    sha256 = hashlib.sha256(exam(1)).hexdigest()
    assert inbox.kept == {sha256: exam(1)}
    assert (report["verdict"], report["sha256"], report["key"]) == ("uploaded", sha256, f"inbox/{sha256}.zip")
    assert (box.archive / "a.zip").read_bytes() == exam(1)
    assert "try 2 failed" in box.lines()
    assert "Upload OK: a.zip" in box.lines()


def test_i4_it_is_removed_only_when_the_inbox_has_it(box: Box) -> None:
    config = json.loads(box.path.read_text())
    config["behavior"]["move_zip_to_archive"] = False
    box.path.write_text(json.dumps(config))
    inbox = Inbox()
    inbox.fail = 10**6
    box.drop("a.zip", exam(1))
    with box.run(inbox):
        box.until(lambda: "try 2 failed" in box.lines(), "not tried")
    assert len(list(box.work.glob("queue/*/archive.zip"))) == 1
    inbox.fail = 0
    with box.run(inbox):
        box.reported("a.zip")
    assert len(inbox.kept) == 1
    assert not (box.archive / "a.zip").exists()
