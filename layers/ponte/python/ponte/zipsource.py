"""Studies from a ZIP on this machine, read where it lies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from ponte.archive import Archive, Member
from ponte.archiving.names import is_litter
from ponte.errors import InvalidRequest, PonteError, SourceUnavailable, StudyNotFound
from ponte.folder import peek_study, study_of
from ponte.source import Fetched
from ponte.structure import MAX_HEADER_BYTES
from ponte.uid import is_valid_uid

_ENOUGH: Final = MAX_HEADER_BYTES  # bytes within which an instance must name its study


class ZipSource:
    """The members of a ZIP, whatever their names. Raises `UnsafeArchive` where none may be read.

    A member that cannot be had, or begins like DICOM and cannot be read on, is handed out with every study:
    better named as unreadable than lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._archive():
            pass

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        """Yield the study's instances in the order of the archive.

        Raises `StudyNotFound`, and `InvalidRequest` for what is no UID and not here either.
        """
        found = False
        with self._archive() as archive:
            for member in archive.members():
                pieces = _Pieces(member)
                uid = pieces.study()
                found = found or uid == study_instance_uid
                if uid in (None, study_instance_uid):
                    yield pieces.fetch()
        if not found:
            raise _not_here(study_instance_uid)

    def studies(self) -> dict[str, int]:
        """Study Instance UIDs found, and how many members each has."""
        with self._archive() as archive:
            found = Counter(uid for member in archive.members() if (uid := _Pieces(member).study()))
        return dict(sorted(found.items()))

    @contextmanager
    def _archive(self) -> Iterator[Archive]:
        try:
            stream: BinaryIO = self._path.open("rb")
        except OSError as error:
            raise SourceUnavailable(f"The archive cannot be read: {type(error).__name__}") from error
        with stream:
            yield Archive(stream)


class _Pieces:
    """A member that is read as far as is needed to know its study, and to its end where that is wanted."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._pieces = member.pieces()
        self._data = bytearray()
        self._error: PonteError | None = None

    def study(self) -> str | None:
        """The study's UID; "" for what belongs to none, None where nobody can tell."""
        if self._member.skipped:
            return ""
        while len(self._data) <= _ENOUGH and self._read():
            if uid := peek_study(bytes(self._data)):
                return uid
        if self._error is not None:
            return "" if is_litter(self._member.name) else None
        return study_of(bytes(self._data))

    def fetch(self) -> Fetched:
        """All of it. The checksum of the archive has the last word."""
        while self._read():
            pass
        data = b"" if self._error else bytes(self._data)
        return Fetched(data, self._member.name, self._error)

    def _read(self) -> bool:
        """One piece more; False at the end, and where it breaks off."""
        try:
            piece = next(self._pieces, None)
        except PonteError as error:
            self._error, piece = error, None
        self._data += piece or b""
        return piece is not None


def _not_here(study_instance_uid: str) -> PonteError:
    if not is_valid_uid(study_instance_uid):
        return InvalidRequest("Study Instance UID (0020,000D) is not a UID")
    return StudyNotFound("No member of the archive belongs to the study")
