"""A member of an archive: its bytes, once, and the verdict on the instance that they should be."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from ponte.archiving.names import is_litter
from ponte.errors import BadMember, PonteError, UnsafeArchive
from ponte.scan import Scanner, Verdict

OF_THE_ARCHIVE: Final = (BadMember, UnsafeArchive)
"""What says something about a member. Any other error is of the place where the archive lies."""

_CHUNK = 1 << 20
_SKIPPED = {"SYMLINK": "A symbolic link", "NOT_REGULAR": "A device, a FIFO or a socket"}


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive. `name` is fit to be shown, and for nothing else.

    `position` is where to go on after it: see `Archive.members`. 0 says that more of the same entry may come.
    `skipped` is a reason not to look at it, `error` why it cannot be had.
    """

    name: str
    position: int = 0
    notes: tuple[str, ...] = ()
    skipped: str | None = None
    error: PonteError | None = None
    source: Iterator[bytes] = field(default_factory=lambda: iter(()))

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, once; they are good when no error came after the last. Raises `PonteError`."""
        if self.error is not None:
            raise self.error
        yield from self.source

    def scan(
        self,
        *,
        digest: bool = True,
        keep: frozenset[int] = frozenset(),
        spool: Callable[[bytes], object] | None = None,
    ) -> Verdict:
        """The verdict on the instance: accepted only where archive and instance are sound.

        `spool` is given each piece as it goes by; `keep` is that of `Scanner`. Raises what its source
        does where the archive cannot be read now, or is gone: that says nothing about the instance.
        """
        if self.skipped is not None:
            return Verdict.refused(self.skipped, _SKIPPED[self.skipped])
        scanner = Scanner(digest=digest, keep=keep)
        try:
            for piece in self.pieces():
                scanner.feed(piece)
                if spool is not None:
                    spool(piece)
        except OF_THE_ARCHIVE as error:
            return Verdict.refused(error.code, error.detail)
        verdict = scanner.finish()
        if verdict.accepted:
            return replace(verdict, notes=(*verdict.notes, *self.notes))
        return without_litter(verdict, self.name)


def without_litter(verdict: Verdict, name: str) -> Verdict:
    """A verdict of NOT_DICOM on what is known to lie beside images is IGNORED_NAME."""
    if verdict.reason in ("NOT_DICOM", "EMPTY") and is_litter(name):
        return replace(verdict, reason="IGNORED_NAME", detail="No image, by its name and its content")
    return verdict


def inflate(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Raw deflate in pieces of at most 1 MiB. Raises `BadMember` (ZIP_DEFLATE)."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for block in blocks:
        if inflater.eof:
            raise BadMember("Bytes follow the end of the deflated data")
        waiting, more = block, True
        while more and not inflater.eof:
            try:
                piece = inflater.decompress(waiting, _CHUNK)
            except zlib.error as error:
                raise BadMember("It cannot be inflated") from error
            waiting = inflater.unconsumed_tail
            more = bool(waiting) or len(piece) == _CHUNK
            if piece:
                yield piece
    if not inflater.eof or inflater.unused_data:
        raise BadMember("The deflated data do not end where they should")
