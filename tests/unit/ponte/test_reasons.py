"""The closed lists of reason codes are closed: nothing else is raised, and each has its sentences."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import ponte
from ponte import reasons
from ponte.ingesting.words import NOTES, REASONS
from tests.corpus import ROOT

CODE = re.compile(r"[A-Z]{4,}(_[A-Z]+)*|[A-Z]{2,}(_[A-Z]+)+", re.ASCII)
FOLDER = Path(ponte.__file__).parent
WAY = (
    "archive.py", "archiving", "scan.py", "scanning", "structure.py", "framegroups.py", "codestream.py",
    "limits.py", "ingest.py", "ingesting", "dedup.py", "quarantine.py", "orthanc.py", "stow.py",
    "storeclient.py", "storeanswer.py", "sqlitestore.py", "memorystore.py", "errors.py", "zipsource.py",
)  # fmt: skip
"""Every module that a member passes on its way from an archive to a destination."""
OF_THE_API = frozenset({"STUDY_NOT_FOUND", "CLAIM_LOST"})
NO_CODES = frozenset({"COMMIT", "ROLLBACK", "DICOMDIR", "DICM", "POST", "JPEG", "YCBCR"})
ALL = reasons.ARCHIVE | reasons.INSTANCE | reasons.NOTES | reasons.RENDERING | reasons.RUN | reasons.SPOOL


def modules() -> list[Path]:
    found = [FOLDER / name for name in WAY]
    return sorted(
        path
        for one in found
        for path in (one.rglob("*.py") if one.is_dir() else [one])
        if path.name != "words.py"
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_code_that_a_module_names_is_in_the_lists(path: Path) -> None:
    said = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }
    assert said <= ALL | OF_THE_API | NO_CODES


def test_every_code_of_the_lists_is_raised_somewhere() -> None:
    roots = (FOLDER, ROOT / "edge")
    modules = [path for root in roots for path in root.rglob("*.py") if path.stem != "reasons"]
    text = "".join(path.read_text(encoding="utf-8") for path in modules)
    assert [code for code in sorted(ALL) if f'"{code}"' not in text] == []


@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_each_has_a_sentence_in_either_language(language: str) -> None:
    assert set(REASONS[language]) == reasons.ARCHIVE | reasons.INSTANCE | reasons.RUN  # type: ignore[index]
    assert set(NOTES[language]) == reasons.NOTES  # type: ignore[index]
