"""Studies from a folder or a file on this machine."""

from __future__ import annotations

import mmap
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ponte.errors import InvalidRequest, LimitExceeded, PonteError, SourceUnavailable, StudyNotFound
from ponte.instance import study_instance_uid as read_study_instance_uid
from ponte.source import Fetched
from ponte.structure import PREAMBLE, has_preamble
from ponte.uid import is_valid_uid

IGNORED_NAMES: Final = frozenset({"DICOMDIR", "Thumbs.db", ".DS_Store", "__MACOSX"})
FILE_LIMIT: Final = 4 << 30
_SHORTEST = PREAMBLE + 4


class FolderSource:
    """A file, or a folder with all that is below it; symbolic links are not followed.

    A file counts by its content, whatever its name. What begins like DICOM and cannot be read on is handed
    out with every study: better named as unreadable than lost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[tuple[Path, int, int], str | None] = {}
        if not path.exists():
            raise InvalidRequest("The path does not exist")

    def instances(self, study_instance_uid: str) -> Iterator[Fetched]:
        """Yield the study's instances, sorted by path; one whose UID breaks the rules is found as well.

        Raises `StudyNotFound`, `LimitExceeded`, `InvalidRequest` for what is no UID and not here either.
        """
        chosen, unreadable = self._choose(study_instance_uid)
        if not chosen and not is_valid_uid(study_instance_uid):
            raise InvalidRequest("Study Instance UID (0020,000D) is not a UID")
        if not chosen:
            raise StudyNotFound("No file here belongs to the study")
        for path in sorted([*chosen, *unreadable]):
            yield Fetched(_read(path), self._origin(path))

    def studies(self) -> dict[str, int]:
        """Study Instance UIDs found, and how many files each has."""
        found = Counter(uid for path in self._files() if (uid := self._study_of(path)))
        return dict(sorted(found.items()))

    def _choose(self, wanted: str) -> tuple[list[Path], list[Path]]:
        chosen, unreadable = [], []
        for path in self._files():
            uid = self._study_of(path)
            if uid == wanted:
                chosen.append(path)
            elif uid is None:
                unreadable.append(path)
        return chosen, unreadable

    def _files(self) -> Iterator[Path]:
        """Regular files in the order of their paths."""
        if self._path.is_file():
            yield self._path
            return
        for folder, folders, names in os.walk(self._path, followlinks=False):
            folders[:] = sorted(name for name in folders if name not in IGNORED_NAMES)
            for name in sorted(names):
                path = Path(folder, name)
                if name not in IGNORED_NAMES and path.is_file() and not path.is_symlink():
                    yield path

    def _study_of(self, path: Path) -> str | None:
        """As the function; who asked for the studies has had every header read already."""
        with _reachable():
            status = path.stat()
        key = path, status.st_mtime_ns, status.st_size
        if key not in self._known:
            self._known[key] = _study_of(path)
        return self._known[key]

    def _origin(self, path: Path) -> str:
        return path.name if path == self._path else path.relative_to(self._path).as_posix()


def _study_of(path: Path) -> str | None:
    """The study's UID; "" for what belongs to none, None for DICOM whose header cannot be read.

    An instance without a study's UID is nobody's: to show it with the others could mix up patients.
    """
    with _reachable(), path.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size < 8:
            return ""
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            part10 = has_preamble(data[:_SHORTEST])
            try:
                return read_study_instance_uid(data) or ""
            except PonteError:
                return None if part10 else ""


def _read(path: Path) -> bytes:
    with _reachable():
        if path.stat().st_size > FILE_LIMIT:
            raise LimitExceeded(f"A file is larger than {FILE_LIMIT} bytes")
        return path.read_bytes()


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceUnavailable(f"A file cannot be read: {type(error).__name__}") from error
