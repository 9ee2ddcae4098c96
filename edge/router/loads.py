"""Kept instances as they are sent: opened when they are needed, closed when they were."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO, cast

from ponte.destination import Outgoing
from router.delivery_rows import Delivery, Result


class KeptFile:
    """A file in the spool, as much of a stream as `Outgoing` needs. A batch of them holds no files open."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self._file: BinaryIO | None = None
        self._at = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Only to a place, or to the end."""
        self._at = self._size_bytes if whence == SEEK_END else offset
        if self._file is not None:
            self._file.seek(self._at)
        return self._at

    def read(self, size: int) -> bytes:
        """Raises `OSError`."""
        if self._file is None:
            self._file = self._path.open("rb", buffering=0)
            self._file.seek(self._at)
        return self._file.read(size)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(slots=True)
class Load:
    """A delivery in hand, and what is sent of it. `whole` is that before it was transcoded; `refused` are the
    transfer syntaxes that the destination did not accept. `files` are closed when it is settled.
    `copy_sha256` is of the dataset that is sent, where that is not what is kept."""

    delivery: Delivery
    outgoing: Outgoing
    whole: Outgoing
    files: tuple[KeptFile | BinaryIO, ...] = ()
    refused: tuple[str, ...] = ()
    copy_sha256: bytes | None = None

    def replace_by(self, copy: Outgoing) -> None:
        """Send a copy that was made of it, and remember its digest. Raises `SourceUnavailable`."""
        digest = hashlib.sha256()
        for chunk in copy.dataset_chunks(copy.dataset_bytes):
            digest.update(chunk)
        self.outgoing, self.copy_sha256 = copy, digest.digest()

    def noted(self, result: Result) -> Result:
        """The result with what it was that the destination took."""
        if result.state != "sent" or self.copy_sha256 is None:
            return result
        return replace(result, sent_sha256=self.copy_sha256, sent_syntax=self.outgoing.transfer_syntax_uid)

    @property
    def sent_as(self) -> str | None:
        """The UID of what is sent, where it is another."""
        uid = self.outgoing.sop_instance_uid
        return uid if uid != self.delivery.sop_instance_uid else None

    def close(self) -> None:
        for file in self.files:
            file.close()


def load(delivery: Delivery, path: Path) -> Load:
    """The instance as it was received."""
    file = KeptFile(path, delivery.size_bytes)
    outgoing = Outgoing(
        delivery.sop_instance_uid,
        cast("BinaryIO", file),
        delivery.sop_class_uid,
        delivery.transfer_syntax_uid,
        delivery.dataset_start,
    )
    return Load(delivery, outgoing, outgoing, (file,))
