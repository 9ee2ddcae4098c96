"""Where an archive and its report go when they are done."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from watcher.files import move, safe_name, sync_folder
from watcher.item import Item

REPORT: Final = ".report.json"
PAGE: Final = ".report.html"


def name_in(folder: Path, item: Item) -> str:
    """The name of the archive there: the same each time that it is asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    name = item.journal.filed_as
    if name is None:
        name = _reserve(folder, item)
        item.note(filed_as=name)
    return name


def put_away(item: Item, folder: Path) -> None:
    """Move the archive to its place, or remove it, and forget the item. A crash in between is no harm."""
    name = item.journal.filed_as or item.id
    if item.archive.exists() and not item.journal.delete:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            move(item.archive, folder / name)
        except FileExistsError:
            move(item.archive, folder / _with_id(name, item))
    item.remove()
    sync_folder(item.folder.parent)


def _reserve(folder: Path, item: Item) -> str:
    """What the archive was called, if that is still free, report included; with the item's id if not."""
    name = safe_name(item.journal.name)
    for candidate in (name, _with_id(name, item)):
        with suppress(FileExistsError):
            if not (folder / candidate).exists():
                (folder / f"{candidate}{REPORT}").touch(exist_ok=False)
                return candidate
    return _with_id(name, item)


def _with_id(name: str, item: Item) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{item.id}.{suffix}"
