"""Where things are: on a machine that systemd runs, or in one folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

USER: Final = "ponte"
PACKAGING: Final = Path(__file__).resolve().parent.parent / "packaging"


@dataclass(frozen=True, slots=True)
class Layout:
    """`configuration` has `.env`, `router.yaml` and certificates; `units` is where systemd looks. `user` is
    whom all of it belongs to, "" for whoever asks. `command` is what people type, None in a folder."""

    configuration: Path
    root: Path
    backups: Path
    units: Path
    command: Path | None
    user: str = ""

    @property
    def env_file(self) -> Path:
        return self.configuration / ".env"

    @property
    def is_system(self) -> bool:
        return bool(self.user)


def on_this_machine(root: Path, *, prefix: Path = Path("/")) -> Layout:
    """For systemd, by root. `prefix` stands for `/` in tests."""
    return Layout(
        configuration=prefix / "etc/ponte",
        root=root,
        backups=prefix / "var/backups/ponte",
        units=prefix / "etc/systemd/system",
        command=prefix / "usr/local/bin/ponte",
        user=USER,
    )


def in_folder(folder: Path, root: Path | None) -> Layout:
    """All of it in one folder, for whoever asks: containers, trials."""
    return Layout(folder, root or folder / "dicom", folder / "backups", folder / "units", None)


def backups_of(env_file: Path) -> Path:
    """Where backups go for settings that are here."""
    folder = env_file.absolute().parent
    whole = on_this_machine(folder)
    return whole.backups if folder == whole.configuration else in_folder(folder, None).backups


def program() -> Path:
    """The `ponte` that this interpreter has."""
    return Path(sys.executable).with_name("ponte")
