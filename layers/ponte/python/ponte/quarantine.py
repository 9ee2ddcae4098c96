"""What was not sent on, kept with its reason until somebody decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

Kind = Literal["instance", "archive"]


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """What is known of what is kept. `name` may hold a patient's name: it stands in the record alone.

    `origin` names the archive that it came with, `place` where it was in it. `complete` is False where its
    source broke off: what is kept is what could be had. `sha256` is over the dataset.
    """

    reason: str
    detail: str
    kind: Kind = "instance"
    name: str = field(default="", repr=False)
    origin: str = ""
    place: str = ""
    complete: bool = True
    notes: tuple[str, ...] = ()
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    transfer_syntax_uid: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """What came of it: where it was sent, what was answered, and when (ISO 8601, UTC)."""

    at: str
    destination: str
    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry of the quarantine. `content_sha256` is over all its bytes, None where there are none.

    `kept_at` is in ISO 8601, UTC.
    """

    id: str
    record: QuarantineRecord
    size_bytes: int
    content_sha256: str | None
    kept_at: str
    released: Release | None = None


class Quarantine(Protocol):
    """Where it is kept."""

    def keep(self, record: QuarantineRecord, content: Iterable[bytes] | None) -> str:
        """Keep it, durably when this returns, and give its id. The same bytes for the same reason are kept
        once. Without `content` the record alone is kept. Raises `StorageFull`."""
        ...

    def list(self) -> Iterator[Kept]:
        """All of it, the oldest first."""
        ...

    def show(self, quarantine_id: str) -> Kept:
        """Raises `InvalidRequest` for an id that is not there."""
        ...

    def open(self, quarantine_id: str) -> BinaryIO:
        """Its bytes, in a stream that can seek. Raises `InvalidRequest` where there are none."""
        ...

    def purge(self, quarantine_id: str) -> None:
        """Remove it for good. Raises `InvalidRequest` for an id that is not there."""
        ...

    def mark_released(self, quarantine_id: str, release: Release) -> None:
        """Note what came of it; it stays until it is purged. Raises `InvalidRequest`."""
        ...


class FolderQuarantine:
    """A quarantine in a folder: `_INVALID_NO_PIXELS/` for images without pixels, `_QUARANTINE/<REASON>/`.

    Files are named by digests, never by anything that came from outside; nobody else can read them.
    """

    def __init__(self, root: Path, *, budget_bytes: int = 50 << 30) -> None:
        self._root = root
        self._budget_bytes = budget_bytes

    def keep(self, record: QuarantineRecord, content: Iterable[bytes] | None) -> str:
        raise NotImplementedError

    def list(self) -> Iterator[Kept]:
        raise NotImplementedError

    def show(self, quarantine_id: str) -> Kept:
        raise NotImplementedError

    def open(self, quarantine_id: str) -> BinaryIO:
        raise NotImplementedError

    def purge(self, quarantine_id: str) -> None:
        raise NotImplementedError

    def mark_released(self, quarantine_id: str, release: Release) -> None:
        raise NotImplementedError
