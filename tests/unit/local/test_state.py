from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from infra.local.errors import LocalStackError
from infra.local.state import StackState, StateFolder

STATE = StackState(
    pid=1,
    started="2026-01-22T14:15:30+00:00",
    api_url="http://127.0.0.1:9000",
    docs_url="http://127.0.0.1:9000/docs",
    emulator_url="",
    dicom_wado_url="",
    study_instance_uid="",
    orthanc_url="",
    orthanc_username="",
    orthanc_password="secret",
    inbox_bucket="",
    folder="",
    log="",
)


def own_and_end(path: str) -> None:
    """Be killed while owning the state."""
    with StateFolder(Path(path)).owned():
        StateFolder(Path(path)).write(STATE)
        os.kill(os.getpid(), 9)


def test_without_a_stack_there_is_no_owner_and_no_state(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / ".ponte")

    assert folder.owner() is None
    assert folder.read() is None


def test_the_owner_is_known_before_the_state_is(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with folder.owned():
        assert folder.owner() == os.getpid()
        assert folder.read() is None

        folder.write(STATE)
        assert folder.read() == STATE

    assert folder.owner() is None
    assert folder.read() is None


def test_a_second_stack_is_refused(tmp_path: Path) -> None:
    with (
        StateFolder(tmp_path).owned(),
        pytest.raises(LocalStackError, match="already up"),
        StateFolder(tmp_path).owned(),
    ):
        pass


def test_the_state_of_a_killed_stack_does_not_count(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=own_and_end, args=(str(tmp_path),))
    process.start()
    process.join()
    assert (tmp_path / "stack.json").exists()

    assert StateFolder(tmp_path).read() is None
    assert StateFolder(tmp_path).owner() is None


def test_only_its_user_can_read_the_password(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with folder.owned():
        folder.write(STATE)

        assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
