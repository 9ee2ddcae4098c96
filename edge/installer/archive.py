"""The one file of a backup: a plain tar, whose last member says what is in it, so that a file that was cut
short is never taken for a whole one.

`spool/` is `DICOM_ROOT/.spool`, `root/` the rest of DICOM_ROOT, `configuration/` what the settings are in.
`SHA256SUMS` has the digest of each, as sha256sum reads it; `manifest.json` that of `SHA256SUMS`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from ponte.errors import InvalidRequest

FORMAT: Final = 1
SUMS: Final = "SHA256SUMS"
MANIFEST: Final = "manifest.json"
TOP: Final = frozenset({"spool", "root", "configuration"})
_PORTION = 1 << 20
_MOST_MANIFEST = 16 << 20
_MOST_SUMS = 1 << 30


class DamagedBackup(InvalidRequest):
    """Not a backup of ours, not all of it, or not as it was written."""

    default_code = "DAMAGED_BACKUP"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a backup holds. `waiting` is what each destination has yet to get, `missing` what has a row
    and no file; `configuration` maps names within to the paths that they had."""

    made_at: str
    version: str
    schema: int
    instances: int = 0
    instance_bytes: int = 0
    missing: int = 0
    quarantined: int = 0
    loose: int = 0
    waiting: Mapping[str, int] = field(default_factory=dict)
    configuration: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As one object."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        waiting = ", ".join(f"{count} for {name}" for name, count in sorted(self.waiting.items()))
        said = [
            f"made {self.made_at} by {self.version}, schema {self.schema}",
            f"{self.instances} instances ({self.instance_bytes} bytes); waiting: {waiting or 'none'}",
            f"{self.quarantined} files of quarantine, {self.loose} that no router has taken in yet",
            f"settings: {', '.join(self.configuration.values()) or 'none'}",
            "patients' data, keys and password hashes: keep it as such",
        ]
        return said + ([f"MISSING: {self.missing} instances have rows and no file"] if self.missing else [])


class Writer:
    """Adds files, each with its digest; `finish` makes it whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._tar = tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._sums: list[str] = []

    def add(self, name: str, path: Path) -> int:
        """A file that does not change meanwhile; its size. Raises `OSError`."""
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            self._add(name, stream, found.st_size, found.st_mtime)
            return found.st_size

    def add_bytes(self, name: str, content: bytes) -> None:
        """A small file."""
        self._add(name, io.BytesIO(content), len(content), 0)

    def finish(self, contents: Contents) -> None:
        """Say what is in it, at the end."""
        sums = "".join(self._sums).encode()
        self.add_bytes(SUMS, sums)
        manifest = {"format": FORMAT, "sums": hashlib.sha256(sums).hexdigest(), **contents.as_json()}
        self.add_bytes(MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
        self._tar.close()

    def _add(self, name: str, stream: BinaryIO, size: int, changed_at: float) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, changed_at
        reader = _Digesting(stream)
        self._tar.addfile(entry, reader)
        self._sums.append(f"{reader.digest.hexdigest()}  {name}\n")


class _Digesting:
    """Takes the digest of what is read."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self.digest.update(piece)
        return piece


def unpack(stream: BinaryIO, target: Path) -> Contents:
    """Write all of it below `target`, which is empty, and compare every digest.

    Raises `DamagedBackup`: then what is there is of no use. Nothing is written outside `target`.
    """
    found: dict[str, str] = {}
    small: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for entry, member in _members(tar):
                if entry.name in (SUMS, MANIFEST):
                    small[entry.name] = member.read()
                else:
                    found[entry.name] = _write(target / _path_of(entry.name), member, entry.mtime)
    except (tarfile.TarError, EOFError) as error:
        raise DamagedBackup(f"no whole backup ({type(error).__name__})") from error
    if MANIFEST not in small or SUMS not in small:
        raise DamagedBackup("the backup is cut short: its end is missing")
    contents = _contents(small)
    _compare(found, small[SUMS].decode(errors="replace"))
    return contents


def _members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, BinaryIO]]:
    for entry in tar:
        member = tar.extractfile(entry) if entry.isreg() else None
        if member is None:
            raise DamagedBackup("the backup has something that is no file")
        limit = {SUMS: _MOST_SUMS, MANIFEST: _MOST_MANIFEST}.get(entry.name)
        if limit is not None and entry.size > limit:
            raise DamagedBackup(f"the backup's {entry.name} has {entry.size} bytes; expected {limit} at most")
        yield entry, member  # type: ignore[misc]  # an IO of bytes


def _path_of(name: str) -> PurePosixPath:
    """Raises `DamagedBackup` for a name that is none of ours."""
    path = PurePosixPath(name)
    fits = str(path) == name and path.parts[0] in TOP and len(path.parts) > 1 and ".." not in path.parts
    if not fits or path.is_absolute() or "\0" in name:
        raise DamagedBackup("the backup has a file of a name that is none of ours")
    return path


def _write(path: Path, member: BinaryIO, changed_at: float) -> str:
    """The digest of what was written, durably."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        while piece := member.read(_PORTION):
            digest.update(piece)
            stream.write(piece)
        stream.flush()
        os.utime(descriptor, (changed_at, changed_at))
        os.fsync(descriptor)
    return digest.hexdigest()


def _contents(small: Mapping[str, bytes]) -> Contents:
    try:
        manifest = json.loads(small[MANIFEST])
        version, sums = manifest.pop("format"), manifest.pop("sums")
        if version == FORMAT:
            contents = Contents(**manifest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedBackup("the backup does not say what is in it") from error
    if version != FORMAT:
        raise DamagedBackup(f"the backup has format {version!r:.20}; this version reads {FORMAT}")
    if hashlib.sha256(small[SUMS]).hexdigest() != sums:
        raise DamagedBackup(f"the backup is damaged: {SUMS} is not as it was")
    return contents


def _compare(found: Mapping[str, str], sums: str) -> None:
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in sums.splitlines())}
    if wrong := sum(1 for name, digest in expected.items() if found.get(name) != digest):
        raise DamagedBackup(f"the backup is damaged: {wrong} of {len(expected)} files are not as they were")
    if len(found) != len(expected):
        raise DamagedBackup(f"the backup has {len(found) - len(expected)} files that it does not speak of")
