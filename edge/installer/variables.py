"""The variables of a clinic: `.env.example` says which there are, and is what a new `.env` is made from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

EXAMPLE: Final = Path(__file__).resolve().parents[2] / ".env.example"
_LINE = re.compile(r"#?([A-Z][A-Z0-9_]*)=(.*)")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@,+-]*", re.ASCII)
_SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY")
_HIDDEN = "********"


def known() -> dict[str, str]:
    """Every variable and its value in `.env.example`, in its order."""
    return {match[1]: match[2] for match in _matches(EXAMPLE.read_text(encoding="utf-8"))}


def _matches(text: str) -> list[re.Match[str]]:
    return [match for line in text.splitlines() if (match := _LINE.fullmatch(line))]


def read(text: str) -> dict[str, str]:
    """What a `.env` of ours sets."""
    settings = [match for match in _matches(text) if not match[0].startswith("#")]
    return {match[1]: match[2].strip("'\"") for match in settings}


def filled(values: Mapping[str, str]) -> str:
    """The text of a `.env`: that of the example with these values. Raises `KeyError` for a name that it does
    not have, `ValueError` for a value that no reader of such files would give back."""
    left = dict(values)
    lines = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        match = _LINE.fullmatch(line)
        lines.append(f"{match[1]}={quoted(left.pop(match[1]))}" if match and match[1] in left else line)
    if left:
        raise KeyError(next(iter(left)))
    return "\n".join(lines) + "\n"


def quoted(value: str) -> str:
    """As the router, systemd and docker-compose all read it: between single quotes where it has any sign that
    one of them might take for its own."""
    if _PLAIN.fullmatch(value):
        return value
    if not value.isprintable() or "'" in value or "\\" in value or " #" in value:
        raise ValueError(f"expected a text without quotes, backslashes and ' #', in one line: {value!r:.40}")
    return f"'{value}'"


def difference(there: str, wanted: Mapping[str, str]) -> list[str]:
    """What a `.env` says otherwise than it was wanted, and what it does not have yet, a line each, secrets
    hidden: `- NAME=value` is there, `+ NAME=value` would be."""
    found, named = read(there), {match[1] for match in _matches(there)}
    lines: list[str] = []
    for name, default in known().items():
        value = wanted.get(name, default)
        if name not in named:
            lines.append(f"+ {name}={_shown(name, value)}")
        elif name in wanted and found.get(name, default) != value:
            before = found.get(name, default)
            lines += [f"- {name}={_shown(name, before)}", f"+ {name}={_shown(name, value)}"]
    return lines


def _shown(name: str, value: str) -> str:
    return _HIDDEN if value and _SECRET.search(name) else value
