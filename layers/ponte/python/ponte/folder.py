"""Studies from a folder or a file on this machine."""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from ponte.errors import InvalidRequest, LimitExceeded, PonteError, SourceUnavailable, StudyNotFound
from ponte.instance import study_instance_uid as read_study_instance_uid
from ponte.source import Fetched
from ponte.structure import PREAMBLE, Bytes, has_preamble
from ponte.uid import is_valid_uid

IGNORED_NAMES: Final = frozenset({"DICOMDIR", "Thumbs.db", ".DS_Store", "__MACOSX"})
FILE_LIMIT: Final = 4 << 30
_SHORTEST = PREAMBLE + 4
_HEAD = 16 << 10


class FolderSource:
    """A file, or a folder with all that is below it; symbolic links are not followed.

    A file counts by its content, whatever its name. What begins like DICOM and cannot be read on is handed
    out with every study: better named as unreadable than lost.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise InvalidRequest("The path does not exist")
        self._folder = path.parent if path.is_file() else path
        self._name = path.name if path.is_file() else None
        self._known: dict[tuple[str, int, int], str | None] = {}

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        """Yield the study's instances, sorted by path; one whose UID breaks the rules is found as well.

        Raises `StudyNotFound`, `LimitExceeded`, `InvalidRequest` for what is no UID and not here either.
        """
        chosen, unreadable = self._choose(study_instance_uid)
        if not chosen and not is_valid_uid(study_instance_uid):
            raise InvalidRequest("Study Instance UID (0020,000D) is not a UID")
        if not chosen:
            raise StudyNotFound("No file here belongs to the study")
        beginning = len(os.path.join(self._folder, ""))  # noqa: PTH118  (pathlib drops the last slash)
        for path in sorted([*chosen, *unreadable], key=lambda path: Path(path).parts):
            yield Fetched(_read(path), path[beginning:])

    def studies(self) -> dict[str, int]:
        """Study Instance UIDs found, and how many files each has."""
        found = Counter(uid for entry in self._files() if (uid := self._study_of(entry)))
        return dict(sorted(found.items()))

    def count(self, study_instance_uid: str) -> int | None:
        """How many files `instances` will hand out."""
        return sum(map(len, self._choose(study_instance_uid)))

    def _choose(self, wanted: str) -> tuple[list[str], list[str]]:
        chosen, unreadable = [], []
        for entry in self._files():
            uid = self._study_of(entry)
            if uid == wanted:
                chosen.append(entry.path)
            elif uid is None:
                unreadable.append(entry.path)
        return chosen, unreadable

    def _files(self) -> Iterator[os.DirEntry[str]]:
        """Regular files, those of each folder by name, then those of the folders below it."""
        if self._name is None:
            yield from _files_below(self._folder)
            return
        with _reachable(), os.scandir(self._folder) as entries:
            yield from [entry for entry in entries if entry.name == self._name]

    def _study_of(self, entry: os.DirEntry[str]) -> str | None:
        """As the function; who asked for the studies has had every header read already."""
        with _reachable():
            status = entry.stat()
        key = entry.path, status.st_mtime_ns, status.st_size
        if key not in self._known:
            self._known[key] = _study_of(entry.path)
        return self._known[key]


def _files_below(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    with _reachable(), os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    kept = [entry for entry in found if entry.name not in IGNORED_NAMES]
    yield from (entry for entry in kept if entry.is_file(follow_symlinks=False))
    for entry in kept:
        if entry.is_dir(follow_symlinks=False):
            yield from _files_below(entry.path)


def _study_of(path: str) -> str | None:
    """The study's UID; "" for what belongs to none, None for DICOM whose header cannot be read.

    An instance without a study's UID is nobody's: to show it with the others could mix up patients.
    """
    with _reachable():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            size, head = os.fstat(descriptor).st_size, os.read(descriptor, _HEAD)
            if size < 8:
                return ""
            if uid := peek_study(head):  # nearly always: most files are not read any further
                return uid
            if size <= len(head):
                return study_of(head)
            with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
                return study_of(data)
        finally:
            os.close(descriptor)


def peek_study(head: bytes) -> str | None:
    """The study's UID where these first bytes of an instance have it, else None."""
    try:
        return read_study_instance_uid(head)
    except PonteError:
        return None


def study_of(data: Bytes) -> str | None:
    """The study's UID; "" for what belongs to none, None for DICOM whose header cannot be read."""
    part10 = has_preamble(data[:_SHORTEST])
    try:
        return read_study_instance_uid(data) or ""
    except PonteError:
        return None if part10 else ""


def _read(path: str) -> bytes:
    with _reachable(), FileIO(path) as stream:
        if os.fstat(stream.fileno()).st_size > FILE_LIMIT:
            raise LimitExceeded(f"A file is larger than {FILE_LIMIT} bytes")
        return stream.readall()


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(f"A file cannot be read: {type(error).__name__}") from error
