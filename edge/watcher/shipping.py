"""Archives to an inbox as they are: nothing is looked into, the cloud does that."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from watcher.files import write_whole
from watcher.filing import REPORT, name_in, put_away
from watcher.item import Item
from watcher.logfile import tell
from watcher.work import Changed, note_digest


@runtime_checkable
class Inbox(Protocol):
    """Where whole archives go."""

    def check(self) -> None:
        """Raises as `Destination.check`."""
        ...

    def put(self, path: Path, sha256: str) -> str:
        """Have the archive there, durably when this returns; its key. Twice does no harm. Raises likewise."""
        ...


@dataclass(frozen=True, slots=True)
class Shipping:
    """What `Work` is for instances. `name` is that of the inbox."""

    inbox: Inbox
    name: str
    archive_dir: Path
    keep_archive: bool
    tell: Callable[[str, Mapping[str, Any]], None] | None = None

    def do(self, item: Item) -> None:
        """As `Work.do`."""
        if not item.journal.settled:
            self._ship(item)
        put_away(item, self.archive_dir)

    def _ship(self, item: Item) -> None:
        note_digest(item)
        sha256, size = item.journal.sha256 or "", item.journal.size or 0
        key = self.inbox.put(item.archive, sha256)
        if not item.is_as_noted():
            raise Changed("The archive changed while it was read")
        said = {
            "path": item.journal.name,
            "sha256": sha256,
            "verdict": "uploaded",
            "reason": None,
            "arrived_at": item.journal.arrived_at,
            "inbox": self.name,
            "key": key,
            "totals": {"bytes": size},
        }
        write_whole(
            self.archive_dir / f"{name_in(self.archive_dir, item)}{REPORT}", json.dumps(said).encode()
        )
        if self.tell is not None:
            self.tell(item.id, said)
        item.note(settled=True, delete=not self.keep_archive)
        tell(logging.INFO, "Upload OK: %s (%s)", item.journal.name, item.id, key)
