"""What is in quarantine, the newest first, without reading all of it: a page's entries alone are opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dashboard.language import Words
from ponte.errors import InvalidRequest
from ponte.quarantine import NO_PIXELS_FOLDER, OTHERS_FOLDER, FolderQuarantine, Kept

NO_PIXELS: Final = "NO_PIXEL_DATA"


@dataclass(frozen=True, slots=True)
class Some:
    """Entries of a page, whether more follow, and how many there are of each reason, those that were
    released included."""

    entries: list[Kept]
    has_more: bool
    reasons: dict[str, int]


def some(root: Path, reason: str, start: int, most: int) -> Some:
    """`most` entries from `start` on, of one reason or ("") of all."""
    found = [one for name, folder in _folders(root) for one in _names(name, folder)]
    reasons: dict[str, int] = {}
    for _, name, _ in found:
        reasons[name] = reasons.get(name, 0) + 1
    wanted = sorted((one for one in found if reason in ("", one[1])), reverse=True)
    quarantine = FolderQuarantine(root)
    entries = []
    for _, _, identity in wanted[start : start + most]:
        with suppress(InvalidRequest):  # purged meanwhile
            entries.append(quarantine.show(identity))
    return Some(entries, len(wanted) > start + most, dict(sorted(reasons.items())))


def content_path(root: Path, quarantine_id: str) -> Path:
    """The file of an entry, where it has one. Raises `InvalidRequest`."""
    with FolderQuarantine(root).open(quarantine_id) as stream:
        return Path(stream.name)


def why(words: Words, code: str) -> str:
    """A reason in words."""
    return words(f"why.{code}" if words.has(f"why.{code}") else "why.other")


def _folders(root: Path) -> Iterator[tuple[str, str]]:
    yield NO_PIXELS, str(root / NO_PIXELS_FOLDER)
    with suppress(FileNotFoundError), os.scandir(root / OTHERS_FOLDER) as folders:
        yield from ((one.name, one.path) for one in folders if one.is_dir(follow_symlinks=False))


def _names(reason: str, folder: str) -> Iterator[tuple[int, str, str]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for one in entries:
            if one.name.endswith(".json") and not one.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield one.stat().st_mtime_ns, reason, one.name.removesuffix(".json")
