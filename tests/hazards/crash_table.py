"""`python -m tests.hazards.crash_table`: run the whole crash matrix, and write what came of it into
docs/reliability.md, between the marks that are there for it."""

from __future__ import annotations

import re
import sys
import tempfile
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.corpus import ROOT
from tests.hazards import crash
from tests.hazards.crash import PLACES, TROUBLES, Cell, Outcome

DOCUMENT: Final = ROOT / "docs/reliability.md"
FAILED: Final = "**failed**"
AT_A_TIME: Final = 4
_MARKS = ("<!-- crash matrix -->\n", "<!-- end of the crash matrix -->\n")


def outcomes(cells: list[Cell]) -> dict[Cell, Outcome | None]:
    """What came of each, several at a time; None where something promised does not hold."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return dict(zip(cells, pool.map(_outcome, cells), strict=True))


def _outcome(cell: Cell) -> Outcome | None:
    with tempfile.TemporaryDirectory(prefix="ponte-crash-") as folder:
        try:
            found = crash.run(cell, Path(folder))
        except Exception:  # noqa: BLE001  (told, and in the table)
            sys.stderr.write(f"{cell.name}: FAILED\n{traceback.format_exc()}\n")
            return None
    sys.stderr.write(f"{cell.name}: {found}\n")
    return found


def as_table(found: Mapping[Cell, Outcome | None]) -> str:
    """Markdown: for each cell how many were acknowledged before the kill, and how many were sent again."""
    lines = [
        "| killed when | " + " | ".join(trouble.name for trouble in TROUBLES) + " |",
        "|---|" + "--:|" * len(TROUBLES),
    ]
    for place in PLACES:
        row = [found[Cell(place, trouble)] for trouble in TROUBLES]
        words = [f"{one.acknowledged}, {one.again}" if one else FAILED for one in row]
        lines.append(f"| {name_of(place)} | " + " | ".join(words) + " |")
    return "\n".join(lines) + "\n"


def name_of(place: crash.Place) -> str:
    """Of the row."""
    return f"{place.hazard} {place.words} (`{place.failpoint}`)"


def committed() -> list[list[str]]:
    """The table that docs/reliability.md has, its header first, the second line left out."""
    text = DOCUMENT.read_text(encoding="utf-8")
    lines = text.partition(_MARKS[0])[2].partition(_MARKS[1])[0].strip().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return rows[:1] + rows[2:]


def _write(table: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    between = re.compile(f"(?<={re.escape(_MARKS[0])}).*(?={re.escape(_MARKS[1])})", re.DOTALL)
    DOCUMENT.write_text(between.sub(lambda _: table, text, count=1), encoding="utf-8")


if __name__ == "__main__":
    whole = outcomes(crash.cells())
    _write(as_table(whole))
    sys.exit(None in whole.values())
