"""Members of an archive, looked at and gathered into batches."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from threading import Event

from ponte.archive import Archive, Member
from ponte.ingesting.route import Route
from ponte.ingesting.spool import Content, Spool
from ponte.scan import Verdict

_OF_ARCHIVE = "ZIP_"


class Stopped(Exception):
    """The reader was told to stop."""


@dataclass(frozen=True, slots=True)
class Item:
    """A member that was looked at, and what of it waits. `place` and `position` are those of `Entry` and
    `Member`."""

    ordinal: int
    place: str
    position: int
    name: str = field(repr=False)
    verdict: Verdict
    spool: Spool

    @property
    def content(self) -> Content | None:
        """Its bytes, or what could be had of them; None where there are none."""
        return self.spool.content if self.spool.size_bytes else None

    @property
    def uid(self) -> str | None:
        """SOP Instance UID."""
        return self.verdict.sop_instance_uid

    @property
    def digest(self) -> str:
        """SHA-256 over the dataset."""
        return self.verdict.sha256 or ""

    @property
    def complete(self) -> bool:
        """False where the archive did not give all of it."""
        return not (self.verdict.reason or "").startswith(_OF_ARCHIVE)


class Reader:
    """Goes through an archive once. What it has read is the caller's to close."""

    def __init__(self, archive: Archive, route: Route, first: int) -> None:
        self._archive = archive
        self._route = route
        self._first = first
        self._stop = Event()

    def stop(self) -> None:
        """From another thread: end as soon as may be."""
        self._stop.set()

    def batches(self) -> Generator[list[Item]]:
        """Yield what is within the limits of a batch; an instance larger than that goes alone.

        Raises `TransientError` where the archive cannot be read on, or there is no room.
        """
        limits = self._route.limits
        batch: list[Item] = []
        held = 0
        try:
            for item in self._items():
                size = item.spool.size_bytes
                ready: list[Item] = []
                if batch and held + size > limits.batch_bytes:
                    ready, batch, held = batch, [], 0
                batch.append(item)
                held += size
                if ready:
                    yield ready
                if len(batch) >= limits.batch_instances:
                    ready, batch, held = batch, [], 0
                    yield ready
            ready, batch = batch, []
            if ready:
                yield ready
        finally:
            for item in batch:
                item.spool.close()

    def _items(self) -> Iterator[Item]:
        position, within = self._first, 0
        for ordinal, member in enumerate(self._archive.members(self._first), 1):
            if member.position:
                position, within = member.position, 0
            else:
                within += 1
            place = f"{position}.{within}" if within else str(position)
            spool = Spool(None if self._route.is_rehearsal else self._route.limits.memory_bytes)
            try:
                verdict = self._look(member, spool)
            except BaseException:
                spool.close()
                raise
            yield Item(ordinal, place, member.position, member.name, verdict, spool)

    def _look(self, member: Member, spool: Spool) -> Verdict:
        def take(piece: bytes) -> None:
            if self._stop.is_set():
                raise Stopped
            spool.write(piece)

        return member.scan(keep=self._route.keep, spool=take)
