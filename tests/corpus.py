"""The corpus of real files, where there is one: `PONTE_CORPUS`, else `../shared/data` beside the project."""

from __future__ import annotations

import csv
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _find() -> Path | None:
    path = Path(os.environ.get("PONTE_CORPUS", ROOT.parent / "shared" / "data"))
    return path if (path / "CATALOGUE.csv").is_file() else None


CORPUS = _find()


def rows() -> list[dict[str, str]]:
    """The catalogue: one row a file. Empty without a corpus."""
    if CORPUS is None:
        return []
    with (CORPUS / "CATALOGUE.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
