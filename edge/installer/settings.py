"""The files that settings are in, and those that they name: certificates, keys, passwords."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

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
    for path in files:
        named = [path, *_named_by(path)]
        for one in named:
            if one.absolute() in found or not one.is_file():
                continue
            name = _free(one.name, taken)
            found[one.absolute()] = Setting(name, one.absolute(), one.read_bytes())
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
