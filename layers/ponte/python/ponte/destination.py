"""Where instances go: what is sent, what became of it, and what a destination must be able to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import SEEK_END
from typing import BinaryIO, Literal, Protocol

from ponte.errors import SourceUnavailable

Status = Literal["stored", "stored_with_warning", "kept", "refused", "unknown"]

_CHUNK = 256 << 10


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An instance to be stored: a whole Part 10 stream (PS3.10), in memory or in a file that can seek.

    It is read from its start, and once more where the request is repeated. With `head`, that stands for the
    first `dataset_start` bytes of `content`: preamble and file meta that are not to be sent as they came.
    The dataset is never changed. A destination that negotiates needs SOP class and transfer syntax too.
    """

    sop_instance_uid: str
    content: bytes | BinaryIO = field(repr=False)
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    dataset_start: int = 0
    head: bytes | None = field(default=None, repr=False)

    @property
    def size_bytes(self) -> int:
        """Of the Part 10 stream that is sent."""
        if self.head is None:
            return self._content_bytes
        return len(self.head) + self.dataset_bytes

    @property
    def dataset_bytes(self) -> int:
        """Of the dataset alone."""
        return self._content_bytes - self.dataset_start

    def chunks(self, size: int) -> Iterator[bytes]:
        """Exactly `size` bytes, which is `size_bytes` as it was. Raises `SourceUnavailable` for a file that
        has become shorter."""
        if self.head is None:
            yield from self._read(0, size)
        else:
            yield self.head
            yield from self._read(self.dataset_start, size - len(self.head))

    def dataset_chunks(self, size: int) -> Iterator[bytes]:
        """Likewise of the dataset alone, as C-STORE carries it (PS3.7 9.1.1)."""
        yield from self._read(self.dataset_start, size)

    @property
    def _content_bytes(self) -> int:
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.seek(0, SEEK_END)

    def _read(self, start: int, size: int) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            yield from (
                self.content[at : min(at + _CHUNK, start + size)] for at in range(start, start + size, _CHUNK)
            )
            return
        self.content.seek(start)
        while size:
            chunk = _read_some(self.content, min(size, _CHUNK))
            size -= len(chunk)
            yield chunk


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the destination says of one instance.

    `kept` is what a queue has durably, and is to send on: nobody else has it yet. `unknown` is what its
    answer does not name: it may have it or not, and must be asked again. `reason` is the number of its
    status: a DIMSE status (PS3.7 C), a Failure Reason (0008,1197) or a Warning Reason (0008,1196), where it
    gives one. `retryable` says that the same instance may be taken later.
    """

    sop_instance_uid: str
    status: Status
    detail: str = ""
    reason: int | None = None
    retryable: bool = False

    @property
    def stored(self) -> bool:
        return self.status in ("stored", "stored_with_warning", "kept")


class Destination(Protocol):
    """A system that takes instances."""

    def check(self) -> None:
        """Ask whether it is there and would take anything: C-ECHO, or what comes closest.

        Raises `AccessRefused`, `DestinationRefused`, `DestinationUnavailable`, `DestinationTimeout`.
        """
        ...

    def store(self, instances: Iterable[Outgoing]) -> Iterator[Outcome]:
        """Send the instances, and yield what became of each, in their order.

        They are taken as they are needed, a batch at a time. Raises where it fails as a whole (see `check`),
        and `SourceUnavailable` where an instance cannot be read: then no instance counts as stored that was
        not yielded before. To send one again does no harm.
        """
        ...


def _read_some(stream: BinaryIO, size: int) -> bytes:
    try:
        chunk = stream.read(size)
    except OSError as error:
        raise SourceUnavailable(f"What is to be stored cannot be read: {type(error).__name__}") from error
    if not chunk:
        raise SourceUnavailable("What is to be stored became shorter while it was sent")
    return chunk
