from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from infra.local.folder import OwnedFolder, sweep

OWNER = (
    "import time; from infra.local.folder import OwnedFolder;"
    "print(OwnedFolder().path, flush=True); time.sleep(600)"
)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_it_is_gone_after_its_removal(temporary: Path) -> None:
    folder = OwnedFolder()
    (folder.path / "file").write_text("x")

    folder.remove()
    folder.remove()

    assert list(temporary.iterdir()) == []


def test_only_its_user_can_read_it() -> None:
    folder = OwnedFolder()

    assert folder.path.stat().st_mode & 0o777 == 0o700

    folder.remove()


def test_a_living_owners_folder_is_kept_and_a_killed_owners_is_swept(temporary: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout as lines:
        path = Path(lines.readline().strip())
    sweep()
    assert path.is_dir()

    owner.kill()
    owner.wait()
    sweep()

    assert list(temporary.iterdir()) == []


def test_a_link_by_that_name_is_not_followed(temporary: Path) -> None:
    (temporary / "precious").mkdir()
    (temporary / "ponte-local-link").symlink_to(temporary / "precious")

    sweep()

    assert (temporary / "precious").is_dir()
