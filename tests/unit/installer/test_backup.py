"""What a backup takes along, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from installer import backup as backup_module
from installer.backup import make
from installer.restore import restore
from installer.settings import read_settings
from ponte.errors import InvalidRequest, StorageFull, TransientError
from router.config import DiskConfig, RouterConfig
from tests.factories import encode, make_ct
from tests.unit.router import invariants
from tests.unit.router.store import Store, dataset_of


def config(root: Path) -> RouterConfig:
    return RouterConfig(dicom_root=root, disk=DiskConfig(0, 0, warning_bytes=0))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two instances, and one without pixels in quarantine."""
    store = Store(tmp_path / "root")
    for number in (1, 2):
        store.send(make_ct(number))
    bare = make_ct(3)
    del bare.PixelData
    store.send(bare)
    store.close()
    return tmp_path / "root"


def test_all_comes_back_and_a_router_starts_on_it(root: Path, tmp_path: Path) -> None:
    said = make(config(root), tmp_path / "b.tar")
    assert (said.instances, said.missing, said.loose) == (2, 0, 0)
    assert said.quarantined == 2  # the instance and its record
    elsewhere = tmp_path / "elsewhere"
    assert restore(tmp_path / "b.tar", elsewhere) == said
    done = [make_ct(1), make_ct(2)]
    invariants.check(elsewhere, {one.SOPInstanceUID: dataset_of(one) for one in done})
    before, after = (
        {str(path.relative_to(one)) for path in one.rglob("_*/**/*")} for one in (root, elsewhere)
    )
    assert before == after
    assert all(path.stat().st_mode & 0o077 == 0 for path in elsewhere.rglob("*"))


def test_files_of_an_old_router_that_were_not_taken_in_come_along(root: Path, tmp_path: Path) -> None:
    loose = root / "20250101_120000_7_DOE_JOHN" / "CT.1.2.3.dcm"
    loose.parent.mkdir()
    loose.write_bytes(encode(make_ct(9)))
    (root / "alone.dcm").write_bytes(b"anything")
    (root / "link.dcm").symlink_to("/etc/passwd")
    (root / "notes.txt").write_text("not ours")
    assert make(config(root), tmp_path / "b.tar").loose == 2
    restore(tmp_path / "b.tar", tmp_path / "elsewhere")
    found = {
        str(path.relative_to(tmp_path / "elsewhere")) for path in (tmp_path / "elsewhere").rglob("*.dcm")
    }
    assert {"alone.dcm", "20250101_120000_7_DOE_JOHN/CT.1.2.3.dcm"} <= found
    assert "link.dcm" not in found


def test_keys_and_the_audit_come_along(root: Path, tmp_path: Path) -> None:
    (root / ".spool/receipt.key").write_bytes(b"key")
    (root / ".spool/receipt.pub").write_bytes(b"pub")
    (root / ".spool/log").mkdir()
    (root / ".spool/log/audit.log.1").write_bytes(b"who did what")
    (root / ".spool/log/router.log").write_bytes(b"")
    make(config(root), tmp_path / "b.tar")
    restore(tmp_path / "b.tar", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/.spool/receipt.key").read_bytes() == b"key"
    logs = tmp_path / "elsewhere/.spool/log"
    assert {path.name: path.read_bytes() for path in logs.iterdir()} == {"audit.log.1": b"who did what"}


def test_what_a_killed_backup_left_goes_with_the_next(root: Path, tmp_path: Path) -> None:
    left = root / ".spool/backup-dead/kept"
    left.mkdir(parents=True)
    (left / "x").write_bytes(b"x")
    make(config(root), tmp_path / "b.tar")
    assert list((root / ".spool").glob("backup-*")) == []


def test_one_is_made_at_a_time(root: Path, tmp_path: Path) -> None:
    from router.spool import Spool

    with backup_module._alone(Spool(root)), pytest.raises(TransientError, match="Another backup"):
        make(config(root), tmp_path / "b.tar")
    assert list(tmp_path.glob("*.tar*")) == []


def test_a_file_that_is_there_is_never_written_over(root: Path, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(b"mine")
    with pytest.raises(InvalidRequest, match="never written over"):
        make(config(root), tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == b"mine"


def test_the_disk_of_the_modalities_keeps_its_room(root: Path) -> None:
    full = replace(config(root), disk=DiskConfig(1 << 60, 0))
    with pytest.raises(StorageFull, match="modalities need the rest"):
        make(full, root / "b.tar")
    assert not list(root.glob("*.tar*"))
    assert not list(root.glob(".*.part"))


def test_a_kept_file_that_is_gone_is_said(root: Path, tmp_path: Path) -> None:
    next((root / ".spool/kept").rglob("*.dcm")).unlink()
    said = make(config(root), tmp_path / "b.tar")
    assert (said.instances, said.missing) == (1, 1)
    assert any("MISSING: 1" in line for line in said.lines())


def test_where_no_router_was_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="expected a DICOM_ROOT in use"):
        make(config(tmp_path), tmp_path / "b.tar")


def test_settings_bring_what_they_name_each_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("key.pem", "a/key.pem", "password"):
        (tmp_path / name).write_text(name)
    env, yaml = tmp_path / ".env", tmp_path / "router.yaml"
    env.write_text(
        f"ROUTER_CONFIG={yaml}\nDASHBOARD_TLS_KEY='{tmp_path}/key.pem'\nTARGET_AET_FILE=/not/there\n"
    )
    tls = f"{{certificate_file: {tmp_path}/a/key.pem, key_file: {tmp_path}/key.pem}}"
    yaml.write_text(
        f"listeners:\n- {{port: 2762, tls: {tls}}}\n"
        f"destinations:\n- {{name: a, password_file: {tmp_path}/password}}\n"
    )
    found = {one.name: one.path for one in read_settings([env])}
    names = {".env": env, "router.yaml": yaml, "password": tmp_path / "password"}
    keys = {"key.pem": tmp_path / "key.pem", "2-key.pem": tmp_path / "a/key.pem"}
    assert found == names | keys


def test_root_leaves_nothing_of_root_s_in_a_folder_of_the_service(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory() as name:  # whom it is given to must get there
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(root, folder / "root")
        (folder / "elsewhere").mkdir()
        for path in (folder / "elsewhere", folder / "root", *(folder / "root").rglob("*")):
            os.chown(path, 65534, 65534)
        make(config(folder / "root"), folder / "b.tar")
        restore(folder / "b.tar", folder / "elsewhere")
        for one in ("root", "elsewhere"):
            assert {path.stat().st_uid for path in (folder / one).rglob("*")} == {65534}
        assert ((folder / "b.tar").stat().st_uid, os.geteuid()) == (0, 0)
