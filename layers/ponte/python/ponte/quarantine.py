"""What was not sent on, kept with its reason until somebody decides."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Final, Literal, Protocol

from ponte.errors import InvalidRequest, StorageFull

Kind = Literal["instance", "archive"]

NO_PIXELS_FOLDER: Final = "_INVALID_NO_PIXELS"
OTHERS_FOLDER: Final = "_QUARANTINE"
_NO_PIXELS = "NO_PIXEL_DATA"
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_REASON = re.compile(r"[A-Z][A-Z0-9_]{0,40}", re.ASCII)
_RECORD_SUFFIX = ".json"
_SUFFIXES = (".dcm", ".bin", ".zip")
_MOST_RECORD = 1 << 20
_COUNT_AGAIN_S: Final = 10.0
"""Others may add to it and purge it: the size is counted again so long after it was."""


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

    def as_json(self) -> dict[str, Any]:
        """As one object, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Kept:
        """Raises `KeyError` or `TypeError` for what is no entry of ours."""
        record, released = dict(value["record"]), value.get("released")
        record["notes"] = tuple(record.get("notes", ()))
        return cls(
            id=value["id"],
            record=QuarantineRecord(**record),
            size_bytes=value["size_bytes"],
            content_sha256=value["content_sha256"],
            kept_at=value["kept_at"],
            released=Release(**released) if released else None,
        )


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


def quarantine_id(record: QuarantineRecord, content_sha256: str | None) -> str:
    """Of the reason and the bytes; without bytes, of where it came from."""
    what = content_sha256 or f"{record.origin}\n{record.place}\n{record.detail}"
    return hashlib.sha256(f"{record.reason}\n{what}".encode()).hexdigest()[:32]


def folder_of(reason: str) -> str:
    """Where things of this reason are, relative to the root. Raises `ValueError` for what is no code."""
    if _REASON.fullmatch(reason) is None:
        raise ValueError("a reason is a code of capitals")
    return NO_PIXELS_FOLDER if reason == _NO_PIXELS else f"{OTHERS_FOLDER}/{reason}"


def suffix_of(record: QuarantineRecord) -> str:
    """What the bytes are, as far as anybody knows."""
    if record.kind == "archive":
        return ".zip"
    return ".dcm" if record.sha256 else ".bin"


class FolderQuarantine:
    """A quarantine in a folder: `_INVALID_NO_PIXELS/` for images without pixels, `_QUARANTINE/<REASON>/`.

    Files are named by digests, never by anything that came from outside; nobody else can read them. An entry
    is there when its record is. `budget_bytes` is for all contents together.
    """

    def __init__(self, root: Path, *, budget_bytes: int = 50 << 30) -> None:
        self._root = root
        self._budget_bytes = budget_bytes
        self._size: int | None = None
        self._counted_at = 0.0

    def keep(self, record: QuarantineRecord, content: Iterable[bytes] | None) -> str:
        """See `Quarantine.keep`."""
        folder = self._root / folder_of(record.reason)
        try:
            _make_folder(folder, self._root)
            return self._keep(folder, record, content)
        except OSError as error:
            raise StorageFull(f"The quarantine cannot be written: {error.strerror}") from error

    def list(self) -> Iterator[Kept]:
        """See `Quarantine.list`. A record that is damaged is there too, and says so."""
        entries = [_read(path) for path in self._records("*")]
        yield from sorted(entries, key=lambda kept: (kept.kept_at, kept.id))

    def show(self, quarantine_id: str) -> Kept:
        """See `Quarantine.show`."""
        return _read(self._record_path(quarantine_id))

    def open(self, quarantine_id: str) -> BinaryIO:
        """See `Quarantine.open`."""
        kept = self.show(quarantine_id)
        path = self._content_path(kept)
        if kept.content_sha256 is None or not path.is_file():
            raise InvalidRequest(f"{quarantine_id} has no bytes: what was kept is the reason alone")
        return path.open("rb")

    def purge(self, quarantine_id: str) -> None:
        """See `Quarantine.purge`."""
        path = self._record_path(quarantine_id)
        for suffix in (*_SUFFIXES, _RECORD_SUFFIX):
            path.with_suffix(suffix).unlink(missing_ok=True)
        _sync_folder(path.parent)
        self._size = None

    def mark_released(self, quarantine_id: str, release: Release) -> None:
        """See `Quarantine.mark_released`."""
        path = self._record_path(quarantine_id)
        _write_record(path, replace(_read(path), released=release))

    def _keep(self, folder: Path, record: QuarantineRecord, content: Iterable[bytes] | None) -> str:
        partial = folder / f".{token_hex(8)}.part"
        try:
            size, sha256 = (0, None) if content is None else self._write(partial, content)
            name = quarantine_id(record, sha256)
            path = folder / f"{name}{_RECORD_SUFFIX}"
            if path.exists() and self._is_whole(path, size):
                return name
            if sha256 is not None:
                partial.replace(folder / f"{name}{suffix_of(record)}")
                self._size = None if path.exists() else self._used() + size
            _write_record(path, Kept(name, record, size, sha256, _now()))
        finally:
            partial.unlink(missing_ok=True)
        return name

    def _is_whole(self, path: Path, size: int) -> bool:
        """True for an entry that is still somebody's to decide on; one that was released counts anew."""
        kept = _read(path)
        content = self._content_path(kept)
        return kept.released is None and (not size or (content.is_file() and content.stat().st_size == size))

    def _write(self, path: Path, content: Iterable[bytes]) -> tuple[int, str]:
        """Size and digest of what was written, which is on the disk."""
        digest, size, used = hashlib.sha256(), 0, self._used()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            for piece in content:
                size += len(piece)
                if used + size > self._budget_bytes:
                    raise StorageFull(
                        f"The quarantine holds its {self._budget_bytes} bytes; purge what is decided"
                    )
                digest.update(piece)
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        return size, digest.hexdigest()

    def _records(self, name: str) -> Iterator[Path]:
        for pattern in (
            f"{NO_PIXELS_FOLDER}/{name}{_RECORD_SUFFIX}",
            f"{OTHERS_FOLDER}/*/{name}{_RECORD_SUFFIX}",
        ):
            yield from (path for path in self._root.glob(pattern) if _ID.fullmatch(path.stem))

    def _record_path(self, quarantine_id: str) -> Path:
        if _ID.fullmatch(quarantine_id):
            for path in self._records(quarantine_id):
                return path
        raise InvalidRequest(f"{quarantine_id!r:.80} is not in the quarantine")

    def _content_path(self, kept: Kept) -> Path:
        return self._root / folder_of(kept.record.reason) / f"{kept.id}{suffix_of(kept.record)}"

    def _used(self) -> int:
        """Bytes of all contents: counted now and then, and kept up to date meanwhile."""
        if self._size is None or time.monotonic() - self._counted_at > _COUNT_AGAIN_S:
            self._counted_at = time.monotonic()
            files = (path.with_suffix(suffix) for path in self._records("*") for suffix in _SUFFIXES)
            self._size = sum(file.stat().st_size for file in files if file.is_file())
        return self._size


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _make_folder(folder: Path, root: Path) -> None:
    """The folder and those above it up to the root, for their owner alone."""
    missing = [path for path in (folder, *folder.parents) if path.is_relative_to(root) and not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_folder(path.parent)


def _read(path: Path) -> Kept:
    """Never hides an entry: of a record that is damaged, id and reason are left."""
    try:
        if path.stat().st_size <= _MOST_RECORD:
            kept = Kept.from_json(json.loads(path.read_bytes()))
            if (kept.id, folder_of(kept.record.reason)) == (path.stem, _place(path)):
                return kept
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    reason = _NO_PIXELS if path.parent.name == NO_PIXELS_FOLDER else path.parent.name
    return Kept(path.stem, QuarantineRecord(reason, "The record is damaged"), 0, None, "")


def _place(path: Path) -> str:
    """The folder of a record, as `folder_of` has it."""
    name = path.parent.name
    return name if name == NO_PIXELS_FOLDER else f"{OTHERS_FOLDER}/{name}"


def _write_record(path: Path, kept: Kept) -> None:
    """Whole or not at all, and on the disk with the folder's other news."""
    partial = path.with_name(f".{token_hex(8)}.part")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(json.dumps(kept.as_json(), ensure_ascii=False).encode(errors="replace"))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
