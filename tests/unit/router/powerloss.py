"""A model of a power loss: what of a folder is still there, when the disk kept only what it had to.

While it records, it notes at every fsync what that made durable: of a file its bytes, of a folder the names
in it. At every later moment the machine may stop; `survivors` gives what may be found then. The database is
its own: it is taken as of its last commit, or as lost.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Literal

import pytest

from router.database import FILE_NAME, Database
from router.intake import FileIntake
from router.reception import SUCCESS, Asked, Reception

Loss = Literal["all that was not synced", "names without their bytes", "old names and new"]
LOSSES: tuple[Loss, ...] = (
    "all that was not synced", "names without their bytes", "old names and new",
)  # fmt: skip
Identity = tuple[int, int]  # inode, and how often that number was given anew


@dataclass(frozen=True)
class Moment:
    """What is there, and what of it is durable, after an event."""

    event: str
    detail: str
    names: dict[str, dict[str, Identity]]
    synced_names: dict[str, dict[str, Identity]]
    synced_bytes: dict[Identity, bytes]
    database: bytes | None
    acknowledged: tuple[str, ...]


class Recorder:
    """Notes what happens below a folder. `moments` has one for each event."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.moments: list[Moment] = []
        self._again: dict[int, int] = {}
        self._synced_names: dict[str, dict[str, Identity]] = {}
        self._synced_bytes: dict[Identity, bytes] = {}
        self._database: bytes | None = None
        self._acknowledged: list[str] = []
        self._lock = RLock()

    def acknowledge(self, what: str) -> None:
        """Somebody was told that it is durable."""
        self._acknowledged.append(what)
        self._note("answer", what)

    @contextmanager
    def recording(self) -> Iterator[None]:
        fsync, rename, replace, unlink, commit = os.fsync, os.rename, os.replace, os.unlink, Database.commit

        def on_fsync(file: int) -> None:
            fsync(file)
            self._synced(file)

        def on_rename(source: str, target: str) -> None:
            rename(source, target)
            self._note("rename", str(target))

        def on_replace(source: str, target: str) -> None:
            replace(source, target)
            self._note("rename", str(target))

        def on_unlink(path: str, **options: int) -> None:
            inode = os.lstat(path).st_ino if os.path.lexists(path) else 0
            unlink(path, **options)
            self._again[inode] = self._again.get(inode, 0) + 1

        def on_commit(database: Database) -> None:
            commit(database)
            self._database = database._connection.serialize()
            self._note("commit", "")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", on_fsync)
            patch.setattr(os, "rename", on_rename)
            patch.setattr(os, "replace", on_replace)
            patch.setattr(os, "unlink", on_unlink)
            patch.setattr(Database, "commit", on_commit)
            yield

    @contextmanager
    def answers(self) -> Iterator[None]:
        """Note each C-STORE answer with Success when it is about to leave, between `finish` and the wire."""
        begin = FileIntake.begin

        def on_begin(intake: FileIntake[Any], asked: Asked) -> Reception:
            return _Heard(begin(intake, asked), asked, self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FileIntake, "begin", on_begin)
            yield

    def _identity(self, inode: int) -> Identity:
        return inode, self._again.get(inode, 0)

    def _synced(self, file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        if not path.is_relative_to(self.root):
            return
        found = os.fstat(file)
        if stat.S_ISDIR(found.st_mode):
            self._synced_names[str(path)] = self._listing(path)
            self._note("fsync folder", str(path))
        else:
            self._synced_bytes[self._identity(found.st_ino)] = path.read_bytes()
            self._note("fsync file", str(path))

    def _listing(self, folder: Path) -> dict[str, Identity]:
        return {
            entry.name: self._identity(entry.inode())
            for entry in os.scandir(folder)
            if not entry.name.startswith(FILE_NAME)
        }

    def _note(self, event: str, detail: str) -> None:
        with self._lock:
            self._note_now(event, detail)

    def _note_now(self, event: str, detail: str) -> None:
        names = {str(folder): self._listing(folder) for folder, _, _ in self.root.walk()}
        self.moments.append(
            Moment(
                event, detail, names, dict(self._synced_names), dict(self._synced_bytes), self._database,
                tuple(self._acknowledged),
            )
        )  # fmt: skip

    def survive(self, moment: Moment, loss: Loss, target: Path, *, database: bool) -> None:
        """Lay out what is found after the loss in `target`, another folder."""
        target.mkdir()
        self._lay_out(moment, loss, self.root, target)
        folder = target / ".spool"
        if database and moment.database is not None and folder.is_dir():
            (folder / FILE_NAME).write_bytes(moment.database)

    def _lay_out(self, moment: Moment, loss: Loss, folder: Path, target: Path) -> None:
        synced, names = moment.synced_names.get(str(folder), {}), moment.names.get(str(folder), {})
        if loss == "all that was not synced":
            names = synced
        elif loss == "old names and new":
            names = synced | names
        for name, identity in names.items():
            if str(folder / name) in moment.names:
                (target / name).mkdir()
                self._lay_out(moment, loss, folder / name, target / name)
            else:
                (target / name).write_bytes(moment.synced_bytes.get(identity, b""))


class _Heard:
    """A reception whose Success is noted."""

    def __init__(self, reception: Reception, asked: Asked, recorder: Recorder) -> None:
        self._reception = reception
        self._asked = asked
        self._recorder = recorder
        self.write = reception.write
        self.abandon = reception.abandon

    def finish(self) -> int:
        status = self._reception.finish()
        if status == SUCCESS:
            self._recorder.acknowledge(self._asked.sop_instance_uid)
        return status
