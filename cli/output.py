"""How the commands speak: one object on standard output with `--json`, everything else for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from ponte.errors import InvalidRequest


class ExitCode(IntEnum):
    """What the shell is told."""

    ALL = 0
    PARTIAL = 1
    USAGE = 2
    NOTHING = 3


def print_json(value: Mapping[str, Any]) -> None:
    """Print one object and nothing else."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def print_line(text: str) -> None:
    """A line of result for a person."""
    sys.stdout.write(text + "\n")


def print_error(text: str) -> None:
    """One line that says what is wrong."""
    sys.stderr.write("ponte: " + " ".join(text.split()) + "\n")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write `path` beside itself and rename it at the end, so that it is never seen half written.

    Raises `InvalidRequest` where it cannot be written at all. On an error nothing is left, and what was
    at `path` before is untouched.
    """
    if path.is_dir():
        raise InvalidRequest(f"{path} is a folder; expected the name of the file to write")
    partial = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        stream = partial.open("xb")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror}") from error
    try:
        with stream:
            yield stream
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
