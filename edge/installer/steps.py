"""What an installation does, each step by itself: it says what it would do, and does it once."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from installer.owner import as_owner_of
from router.receipt_keys import KEY_NAME, ensure_key
from router.spool import FOLDER_NAME

Run = Callable[[Sequence[str]], None]


class Step(Protocol):
    """`say` is empty where there is nothing to do."""

    def say(self) -> str:
        """What it would do now, in words."""
        ...

    def do(self) -> None:
        """Do it. Raises `OSError`."""
        ...


def run(command: Sequence[str]) -> None:
    """Run a command of the system's. Raises `OSError` where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(done.returncode, f"{' '.join(command)}: {done.stderr.strip()}")


def has_user(name: str) -> bool:
    """True where the system knows the user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A user without password, home and shell."""

    name: str
    run: Run = run

    def say(self) -> str:
        return "" if has_user(self.name) else f"add the system user {self.name}"

    def do(self) -> None:
        arguments = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        self.run(["useradd", *arguments, "--shell", "/usr/sbin/nologin", self.name])


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this mode. One that is there gets the owner that it is to have, and is shut to others
    with `closed`; what is in it is left."""

    path: Path
    mode: int
    owner: str = ""
    closed: bool = False

    def say(self) -> str:
        if not self.path.is_dir():
            return f"make {self.path} ({self.mode:04o}{f', {self.owner}' if self.owner else ''})"
        found = self.path.stat()
        if self.owner and has_user(self.owner) and found.st_uid != pwd.getpwnam(self.owner).pw_uid:
            return f"give {self.path} to {self.owner}"
        return f"shut {self.path} to others" if self._is_open(found) else ""

    def do(self) -> None:
        if not self.path.is_dir():
            self.path.mkdir(parents=True)
            self.path.chmod(self.mode)
        elif self._is_open(self.path.stat()):
            self.path.chmod(self.mode)
        give(self.path, self.owner)

    def _is_open(self, found: os.stat_result) -> bool:
        return self.closed and bool(found.st_mode & 0o7777 & ~self.mode)


@dataclass(frozen=True, slots=True)
class File:
    """A file of ours with this content: written anew where it differs, as a whole."""

    path: Path
    text: str
    mode: int
    owner: str = ""

    def say(self) -> str:
        if self.path.exists() and self.path.read_text(encoding="utf-8", errors="replace") == self.text:
            return ""
        return f"{'change' if self.path.exists() else 'write'} {self.path}"

    def do(self) -> None:
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(self.text)
                stream.flush()
                os.fsync(descriptor)
            beside.chmod(self.mode)
            give(beside, self.owner)
            beside.replace(self.path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise


@dataclass(frozen=True, slots=True)
class Ownership:
    """All of a folder given to the service's user: an old router may have run as another."""

    path: Path
    owner: str

    def say(self) -> str:
        strangers = sum(1 for _ in self._strangers())
        return f"give {strangers} files and folders below {self.path} to {self.owner}" if strangers else ""

    def do(self) -> None:
        entry = pwd.getpwnam(self.owner)
        for path in self._strangers():
            os.lchown(path, entry.pw_uid, entry.pw_gid)

    def _strangers(self) -> Iterator[Path]:
        number = pwd.getpwnam(self.owner).pw_uid if has_user(self.owner) else -1
        for folder, _, files in os.walk(self.path):
            for path in (Path(folder), *(Path(folder) / name for name in files)):
                if path.lstat().st_uid != number:
                    yield path


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """The key that receipts are signed with; one that is there is never touched."""

    root: Path

    def say(self) -> str:
        path = self.root / FOLDER_NAME / KEY_NAME
        return "" if path.exists() else f"make the key of the receipts, {path}"

    def do(self) -> None:
        with as_owner_of(self.root):
            ensure_key(self.root)


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the system's, which does no harm when repeated."""

    arguments: Sequence[str]
    run: Run = run

    def say(self) -> str:
        return f"run {' '.join(self.arguments)}"

    def do(self) -> None:
        self.run(self.arguments)


@dataclass(frozen=True, slots=True)
class Gone:
    """A file of ours taken away."""

    path: Path

    def say(self) -> str:
        return f"remove {self.path}" if self.path.exists() else ""

    def do(self) -> None:
        self.path.unlink(missing_ok=True)


def give(path: Path, owner: str) -> None:
    """To a user and their group; to nobody else where none is named."""
    if owner:
        entry = pwd.getpwnam(owner)
        os.chown(path, entry.pw_uid, entry.pw_gid)
