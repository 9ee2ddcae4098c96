"""Killed before any call that changes a folder: the next start brings the archive to the same end."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.watcher.helpers import Box, close_log, exam, uids
from watcher.config import read_config
from watcher.service import Target, open_watcher

CALLS = ("fsync", "link", "mkdir", "rename", "replace", "rmdir", "truncate", "unlink")
QUICKLY = {"poll_interval_seconds": 0.05, "wait_zip_complete_seconds": 0, "send_batch_size": 1}
MOST_CALLS = 200


class Killed(BaseException):
    """No `except` of the program catches it, as none catches SIGKILL."""


@contextmanager
def killed_before(number: int, counted: list[str]) -> Iterator[None]:
    """Raise `Killed` in the place of that call, and in that of every one after it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, _counting(name, getattr(os, name), number, counted))
        yield


def _counting(name: str, call: Callable[..., Any], number: int, counted: list[str]) -> Callable[..., Any]:
    def counting(*arguments: Any, **options: Any) -> Any:
        counted.append(name)
        if len(counted) > number:
            raise Killed
        return call(*arguments, **options)

    return counting


def run_through(box: Box) -> None:
    """What the watcher's threads do, one after the other: look, take, work off."""
    with open_watcher(
        read_config(box.path), Target(box.pacs, "PACS", "dicom://PACS@pacs"), threading.Event()
    ) as watcher:
        for _ in range(2):
            watcher._look_once()
        for item in list(watcher._items.values()):
            watcher._work.do(item)


def run_until_killed(box: Box, number: int) -> list[str]:
    counted: list[str] = []
    with killed_before(number, counted):
        try:
            run_through(box)
        except Killed:
            pass
        finally:
            close_log()
    return counted


@pytest.mark.parametrize("keep", [True, False])
def test_wherever_it_is_killed_nothing_is_lost_and_each_instance_arrives_once(
    tmp_path: Path, keep: bool
) -> None:
    """I1, I2, I4. A batch that was confirmed by the PACS and not yet noted may be sent again: it knows it."""
    number = 0
    while True:
        root = tmp_path / str(number)
        root.mkdir()
        box = Box(root, behavior={**QUICKLY, "move_zip_to_archive": keep})
        box.drop("exame.zip", exam(1, 2, 3))
        calls = run_until_killed(box, number)
        lost = not (box.incoming / "exame.zip").exists() and not (box.archive / "exame.zip").exists()
        if lost and not list(box.work.glob("queue/*/archive.zip")):
            assert sorted(box.pacs.kept) == sorted(uids(1, 2, 3)), f"removed too early, before call {number}"
        run_through(box)
        run_through(box)
        close_log()
        where = f"killed before call {number}, {calls[-1]}"
        assert sorted(box.pacs.kept) == sorted(uids(1, 2, 3)), where
        assert len(box.pacs.stores) <= 4, where
        assert sorted(path.name for path in box.incoming.iterdir()) == [], where
        assert box.queued() == [], where
        reports = list(box.archive.glob("exame*.report.json"))
        assert any(b'"verdict": "done"' in path.read_bytes() for path in reports), where
        archives = [path.read_bytes() for path in box.archive.glob("*.zip")]
        assert archives == ([exam(1, 2, 3)] if keep else []), where
        if len(calls) <= number:
            break
        number += 1
        assert number < MOST_CALLS
    assert number > 20


def test_a_damaged_journal_begins_the_archive_anew(tmp_path: Path) -> None:
    box = Box(tmp_path, behavior=QUICKLY)
    folder = box.work / "queue" / "20260122T141530-00000000"
    folder.mkdir(parents=True)
    (folder / "archive.zip").write_bytes(exam(1))
    (folder / "journal.json").write_text('{"later": true}')
    (folder / "parts.jsonl").write_text('{"position": 1, "part"')
    run_through(box)
    assert box.pacs.stores == uids(1)
    assert (box.archive / f"{folder.name}.zip").read_bytes() == exam(1)


def test_fs_05_an_archive_that_changed_while_nobody_looked_begins_anew(tmp_path: Path) -> None:
    """What was settled before was about another archive."""
    box = Box(tmp_path, behavior=QUICKLY)
    box.drop("exame.zip", exam(1, 2))
    box.pacs.on_store = lambda instance: killed() if box.pacs.stores else None
    with pytest.raises(Killed):
        run_through(box)
    box.pacs.on_store = lambda instance: None
    (archive,) = box.work.glob("queue/*/archive.zip")
    archive.write_bytes(exam(3, 4, 5))
    run_through(box)
    close_log()
    (report,) = box.archive.glob("*.report.json")
    assert [entry["name"] for entry in json.loads(report.read_bytes())["entries"]] == [
        "IM3.dcm", "IM4.dcm", "IM5.dcm",
    ]  # fmt: skip
    assert (box.archive / "exame.zip").read_bytes() == exam(3, 4, 5)


def killed() -> None:
    raise Killed
