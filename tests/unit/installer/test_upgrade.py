"""From the rows of every version to those of this one: nothing lost, nothing half done, and a way back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installer import upgrade as upgrade_module
from installer.archive import Contents, Writer
from installer.restore import restore
from installer.upgrade import Upgraded, upgrade
from ponte.errors import InvalidRequest, StorageFull
from router.config import DiskConfig, RouterConfig
from router.database import FILE_NAME, MIGRATIONS, Database
from router.spool import Spool
from router.startup import SpoolLock
from tests.corpus import ROOT

HERE = ROOT / "tests/unit/router"
NEWEST = len(MIGRATIONS)
WRITTEN_DOWN = (1, 2, 3)
"""Of these there is a database as its version wrote it; the later ones are made by their scripts."""


def config(root: Path) -> RouterConfig:
    return RouterConfig(dicom_root=root, disk=DiskConfig(0, 0, warning_bytes=0))


def rows_of_version(version: int, root: Path) -> Path:
    spool = Spool(root)
    spool.make()
    path = spool.folder / FILE_NAME
    written = max(one for one in WRITTEN_DOWN if one <= version)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((HERE / f"schema_{written}.sql").read_text(encoding="utf-8"))
    if version > written:
        Database(path, migrations=MIGRATIONS[:version]).close()
    return path


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def structure(path: Path) -> set[tuple[Any, ...]]:
    return {
        (kind, name, " ".join(sql.replace('"', "").split()))
        for kind, name, sql in ask(path, "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        if not name.startswith("sqlite_")
    }


@pytest.mark.parametrize("version", range(1, NEWEST))
def test_rows_of_every_version_are_brought_up_and_none_is_lost(version: int, tmp_path: Path) -> None:
    """FI-30."""
    path = rows_of_version(version, tmp_path / "root")
    done = upgrade(config(tmp_path / "root"), tmp_path / "backups")
    assert (done.before, done.after) == (version, NEWEST)
    assert ask(path, "PRAGMA user_version") == [(NEWEST,)]
    assert ask(path, "SELECT sop_instance_uid, state FROM instances ORDER BY number") == [
        ("1.2.3.4", "kept"), ("1.2.3.5", "removed"),
    ]  # fmt: skip
    assert ask(path, "SELECT patient_name FROM studies") == [(b"CANARIO^Conceicao",)]
    assert ask(path, "SELECT id FROM quarantined") == [("q1",)]
    if version >= 3:
        assert ask(path, "SELECT destination, state FROM deliveries ORDER BY 1, 2") == [
            ("archive", "refused"), ("pacs", "sent"), ("pacs", "waiting"),
        ]  # fmt: skip
        assert ask(path, "SELECT upload_id FROM upload_parts") == [("upload-1",)]
    fresh = tmp_path / "fresh.db"
    Database(fresh).close()
    assert structure(path) == structure(fresh)


@pytest.mark.parametrize("version", WRITTEN_DOWN)
def test_no_script_was_changed_since_its_version_wrote_rows(version: int, tmp_path: Path) -> None:
    path = rows_of_version(version, tmp_path / "root")
    fresh = tmp_path / "fresh.db"
    Database(fresh, migrations=MIGRATIONS[:version]).close()
    assert structure(path) == structure(fresh)


def test_the_rows_as_they_were_stay_beside_and_take_it_back(tmp_path: Path) -> None:
    path = rows_of_version(3, tmp_path / "root")
    before = dump(path)
    done = upgrade(config(tmp_path / "root"), tmp_path / "backups")
    assert done.rows == path.with_name(f"{FILE_NAME}.schema-3")
    assert done.rows.stat().st_mode & 0o777 == 0o600
    done.rows.replace(path)
    assert dump(path) == before
    Database(path, migrations=MIGRATIONS[:3]).close()


def test_a_backup_is_made_first_and_says_the_old_version(tmp_path: Path) -> None:
    rows_of_version(1, tmp_path / "root")
    done = upgrade(config(tmp_path / "root"), tmp_path / "backups")
    assert done.backup is not None
    contents = restore(done.backup, tmp_path / "elsewhere")
    assert (contents.schema, contents.missing) == (1, 1)  # the rows of these tests have no files
    assert ask(tmp_path / "elsewhere/.spool" / FILE_NAME, "PRAGMA user_version") == [(1,)]


def test_without_room_for_a_backup_nothing_is_changed(tmp_path: Path) -> None:
    path = rows_of_version(1, tmp_path / "root")
    full = replace(config(tmp_path / "root"), disk=DiskConfig(1 << 60, 0))
    with pytest.raises(StorageFull, match="modalities"):
        upgrade(full, tmp_path / "root/backups")
    assert ask(path, "PRAGMA user_version") == [(1,)]
    assert list((tmp_path / "root/backups").iterdir()) == []
    assert upgrade(full, tmp_path / "root/backups", with_backup=False).after == NEWEST


def test_a_second_time_there_is_nothing_to_do(tmp_path: Path) -> None:
    rows_of_version(1, tmp_path / "root")
    upgrade(config(tmp_path / "root"), tmp_path / "backups")
    again = upgrade(config(tmp_path / "root"), tmp_path / "more")
    assert again == Upgraded(NEWEST, NEWEST)
    assert not (tmp_path / "more").exists()


def test_going_back_is_refused_in_a_sentence_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rows_of_version(3, tmp_path / "root")
    before = path.read_bytes()
    monkeypatch.setattr(upgrade_module, "MIGRATIONS", MIGRATIONS[:2])
    with pytest.raises(InvalidRequest, match="later version of Ponte; this one knows 2") as refused:
        upgrade(config(tmp_path / "root"), tmp_path / "backups")
    assert "Nothing was changed" in refused.value.detail
    assert path.read_bytes() == before
    assert not (tmp_path / "backups").exists()


def test_a_migration_that_fails_leaves_the_old_version_and_its_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-30."""
    path = rows_of_version(3, tmp_path / "root")

    def broken(path: Path, *, migrations: Sequence[str] = ()) -> Database:
        return Database(
            path, migrations=(*MIGRATIONS[:3], "CREATE TABLE more (a); INSERT INTO nowhere VALUES (1)")
        )

    monkeypatch.setattr(upgrade_module, "Database", broken)
    with pytest.raises(sqlite3.OperationalError):
        upgrade(config(tmp_path / "root"), tmp_path / "backups")
    assert ask(path, "PRAGMA user_version") == [(3,)]
    assert len(list((tmp_path / "backups").iterdir())) == 1


def test_it_waits_for_no_router_to_run(tmp_path: Path) -> None:
    rows_of_version(1, tmp_path / "root")
    lock = SpoolLock(Spool(tmp_path / "root"))
    with pytest.raises(InvalidRequest, match="Another router works"):
        upgrade(config(tmp_path / "root"), tmp_path / "backups")
    lock.release()


def test_where_nothing_is_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing to upgrade"):
        upgrade(config(tmp_path), tmp_path / "backups")


def test_a_backup_of_a_later_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    with file.open("wb") as stream:
        writer = Writer(stream)
        writer.add_bytes("spool/router.db", b"")
        writer.finish(Contents("2030-01-01T00:00:00Z", "Ponte 9", NEWEST + 1))
    with pytest.raises(InvalidRequest, match="install that version"):
        restore(file, tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["../x", "/etc/x", "spool", "elsewhere/x", "spool/../../x", "spool//x"])
def test_a_backup_never_writes_outside_of_its_root(name: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    with file.open("wb") as stream:
        writer = Writer(stream)
        writer.add_bytes(name, b"x")
        writer.finish(Contents("2030-01-01T00:00:00Z", "Ponte", 1))
    with pytest.raises(InvalidRequest, match="a name that is none of ours"):
        restore(file, tmp_path / "a" / "b" / "elsewhere")
    assert list((tmp_path / "a/b/elsewhere").iterdir()) == []
    assert not list(tmp_path.rglob("x"))
