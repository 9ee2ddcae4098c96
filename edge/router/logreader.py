"""The log as it was written: lines from the end of a file, and new ones as they come, over its rotation.

Of a line the known keys alone are taken (`router.log.KEYS`), so that what shows it shows nothing else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Final

from router.log import KEYS

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LONGEST_LINE: Final = 16 << 10
_LONGEST_VALUE: Final = 200
_AT_ONCE: Final = 256 << 10
_MOST_FILES: Final = 20
_SIMPLE: Final = re.compile(r"[A-Za-z0-9._:-]+")
"""What stands in a line as it is written as it does in what is shown of it."""
_RARE: Final = {"WARNING": (b"WARNING", b"ERROR", b"CRITICAL"), "ERROR": (b"ERROR", b"CRITICAL")}
_PARTS: Final[Mapping[str, str]] = {
    "association": "listeners", "listener": "listeners", "connection": "listeners", "dataset": "listeners",
    "destination": "forwarder", "delivery": "forwarder", "deliveries": "forwarder", "forwarding": "forwarder",
    "planning": "forwarder", "instance": "intake", "quarantine": "intake", "commit": "intake",
    "commitment": "commitment", "commitments": "commitment", "database": "rows", "disk": "disk",
    "metadata": "organiser", "file": "organiser", "folder": "organiser", "alert": "alerts",
    "alerts": "alerts", "control": "control", "router": "router", "part": "router",
}  # fmt: skip
"""Which part of the router says it, by the first word of the message."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `at` is seconds since the epoch; `fields` are texts, by keys that are known."""

    at: float
    level: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def alarm(self) -> str:
        """Its name, "" for a line that is none."""
        return self.fields.get("alarm", "")

    @property
    def part(self) -> str:
        """Which part of the router says it."""
        return _PARTS.get(self.message.partition(" ")[0].removesuffix("'s"), "router")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines are wanted: of that level at least, that part, that association, with that text in them."""

    level: str = "DEBUG"
    part: str = ""
    association: str = ""
    text: str = ""

    def may_fit(self, text: bytes) -> bool:
        """False for a line that need not be read to know that it does not fit: most of them."""
        if self.level in _RARE and not any(b'"level": "%b"' % one in text for one in _RARE[self.level]):
            return False
        if self.association and self.association.encode() not in text:
            return False
        needle = _needle(self.text)
        return not needle or needle in text.lower()

    def fits(self, line: Line) -> bool:
        """True for a line that all of it wants."""
        least = LEVELS.index(self.level) if self.level in LEVELS else 0
        level = LEVELS.index(line.level) if line.level in LEVELS else len(LEVELS)
        return (
            level >= least
            and self.part in ("", line.part)
            and line.fields.get("association", "").startswith(self.association)
            and self.text.casefold() in _text(line).casefold()
        )


PARTS: Final = tuple(sorted({*_PARTS.values()}))


def read_line(text: bytes) -> Line | None:
    """None for what is no line of ours."""
    try:
        found = json.loads(text)
        at = datetime.fromisoformat(found["time"]).timestamp()
        level, message = str(found["level"]), _short(found["message"])
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
    fields = {key: _short(found[key]) for key in KEYS if found.get(key) is not None}
    return Line(at, level, message, fields)


def files(path: Path) -> list[Path]:
    """The file and those that it was before, the newest first."""
    older = (path.with_name(f"{path.name}.{number}") for number in range(1, _MOST_FILES))
    return [one for one in (path, *older) if one.is_file()]


def latest(
    path: Path, wanted: Filter, most: int, *, most_bytes: int = 8 << 20, having: Sequence[bytes] = ()
) -> list[Line]:
    """The last `most` lines that fit, the oldest first; not more than `most_bytes` are looked at, and of
    those with `having` only what has one of these texts somewhere."""
    found: list[Line] = []
    left = most_bytes
    for one in files(path):
        for text in _backwards(one, left):
            left -= len(text) + 1
            if (having and not _has_one(text, having)) or not wanted.may_fit(text):
                continue
            line = read_line(text)
            if line is not None and wanted.fits(line):
                found.append(line)
                if len(found) == most:
                    return found[::-1]
    return found[::-1]


def _has_one(text: bytes, parts: Sequence[bytes]) -> bool:
    for part in parts:  # noqa: SIM110  three times as fast as any() with a generator, for each of many lines
        if part in text:
            return True
    return False


@lru_cache(maxsize=64)
def _needle(text: str) -> bytes:
    """What stands in each line that has this text, in lower case; empty where that cannot be known."""
    return text.lower().encode() if _SIMPLE.fullmatch(text) else b""


def _backwards(path: Path, most_bytes: int) -> Iterator[bytes]:
    """Whole lines from the end on, read a quarter of a megabyte at a time."""
    try:
        with path.open("rb") as stream:
            at = stream.seek(0, os.SEEK_END)
            end, rest = max(0, at - most_bytes), b""
            while at > end:
                start = max(end, at - _AT_ONCE)
                stream.seek(start)
                first, *lines = (stream.read(at - start) + rest).split(b"\n")
                yield from reversed([line for line in lines if line])
                at, rest = start, first
            if rest and not end:
                yield rest
    except OSError:
        return


def tail(path: Path, most_bytes: int) -> list[bytes]:
    """The last whole lines of a file; none where it cannot be read."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            start = max(0, size - most_bytes)
            stream.seek(start)
            data = stream.read(most_bytes)
    except OSError:
        return []
    lines = data.splitlines(keepends=True)
    return lines[1:] if start else lines


class Follower:
    """New lines of a file, from its end on; one that was replaced is read to its end, then the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self._file: FileIO | None = None
        self._open(at_end=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def lines(self) -> list[Line]:
        """Those since the last time, a quarter of a megabyte of them at most: the rest comes next time."""
        if self._file is None:
            self._open(at_end=False)
        if self._file is None:
            return []
        data = self._file.read(_AT_ONCE) or b""
        if not data and self._was_replaced(self._file):
            self.close()
            self._open(at_end=False)
        return list(self._whole(data))

    def _open(self, *, at_end: bool) -> None:
        with suppress(OSError):
            self._file = FileIO(self._path)
            self._rest = b""
            if at_end:
                self._file.seek(0, os.SEEK_END)

    def _was_replaced(self, file: FileIO) -> bool:
        """Another file has its name now, or it was made shorter."""
        ours = os.fstat(file.fileno())
        try:
            there = self._path.stat()
        except OSError:
            return False
        is_other = (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)
        return is_other or there.st_size < file.tell()

    def _whole(self, data: bytes) -> Iterator[Line]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._rest = b""
        for text in whole:
            line = read_line(text)
            if line is not None:
                yield line


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _text(line: Line) -> str:
    return " ".join([line.message, *(f"{key}={value}" for key, value in line.fields.items())])
