"""Tables: drawn on a terminal, and in plain columns where another program reads."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cli.output import print_line


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """One line for each row. Nothing that a value holds can begin a line or colour one."""
    shown = [[printable(str(value)) for value in row] for row in rows]
    if sys.stdout.isatty():
        _draw(heads, shown)
        return
    widths = [max(len(row[at]) for row in [list(heads), *shown]) for at in range(len(heads))]
    for row in [list(heads), *shown]:
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        print_line(line.rstrip())


def printable(text: str) -> str:
    """The text with everything replaced that is no character to be shown."""
    return "".join(character if character.isprintable() else "_" for character in text)


def _draw(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=SIMPLE)
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    Console().print(table)
