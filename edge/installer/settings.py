"""The files that settings are in, and those that they name: certificates, keys, passwords."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_MOST_BYTES = 1 << 20
_OF_DASHBOARD = ("DASHBOARD_TLS_CERTIFICATE", "DASHBOARD_TLS_KEY")


@dataclass(frozen=True, slots=True)
class Setting:
    """One file: its name within a backup, the path that it had, what it holds."""

    name: str
    path: Path
    content: bytes = field(repr=False)


def read_settings(files: Sequence[Path]) -> list[Setting]:
    """These files and what they name, each once. Raises `OSError` for one that cannot be read."""
    found: dict[Path, Setting] = {}
    taken: set[str] = set()
    left = list(files)
    while left:
        path = left.pop(0).absolute()
        if path in found or not path.is_file():
            continue
        found[path] = Setting(_free(path.name, taken), path, path.read_bytes())
        left += _named_by(path)
    return list(found.values())


def _free(name: str, taken: set[str]) -> str:
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{number}-{name}"
    taken.add(free)
    return free


def _named_by(path: Path) -> Iterator[Path]:
    """Keys and certificates name nothing."""
    if path.suffix not in (".yaml", ".yml", ".env", "") or path.stat().st_size > _MOST_BYTES:
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix in (".yaml", ".yml"):
        yield from _in_yaml(yaml.safe_load(text))
        return
    for line in text.splitlines():
        name, _, value = line.strip().removeprefix("export ").partition("=")
        if (name.endswith("_FILE") or name in _OF_DASHBOARD or name == "ROUTER_CONFIG") and value:
            yield Path(value.strip().strip("'\""))


def _in_yaml(value: Any) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and str(key).endswith("_file"):
                yield Path(inner)
            else:
                yield from _in_yaml(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _in_yaml(inner)
