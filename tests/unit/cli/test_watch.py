"""`ponte watch --check`: the file and the destination, before anything is watched."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cli import main as command
from tests.stub_pacs import Answer, stub_pacs

SECRET = "s3gredo"


def check(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["ponte", "watch", "--check", str(path)])
    with pytest.raises(SystemExit) as caught:
        command.main()
    return int(caught.value.code or 0)


def write(root: Path, destination: str) -> Path:
    paths = {"watch_dir": "in", "work_dir": "work", "archive_dir": "done", "state_db": "state.db"}
    path = root / "config.yaml"
    path.write_text(json.dumps({"paths": paths, "ponte": {"destination": destination, "colour": "red"}}))
    return path


@pytest.mark.parametrize(("status", "code"), [(200, 0), (401, 3)])
def test_the_destination_is_asked_and_nothing_is_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: int,
    code: int,
) -> None:
    with stub_pacs() as pacs:
        pacs.routes["/system"] = Answer(status, b'{"Version": "1"}')
        address = f"orthanc+{pacs.url}".replace("://", f"://ponte:{SECRET}@")
        assert check(write(tmp_path, address), monkeypatch) == code
    said = capsys.readouterr()
    assert "warning: ponte.colour: unknown key, not used" in said.out
    assert "warning: paths.watch_dir: " in said.out
    assert ("Check OK: orthanc+http://ponte@127.0.0.1" in said.out) == (status == 200)
    assert SECRET not in said.out + said.err
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_what_is_wrong_is_bad_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(write(tmp_path, "ftp://pacs/x"), monkeypatch) == 2
    assert check(tmp_path / "missing.yaml", monkeypatch) == 2
    assert "missing.yaml cannot be read" in capsys.readouterr().err
