"""The commands that the READMEs show."""

from __future__ import annotations

import re

from tests.corpus import ROOT

FILES = ("README.md", "README.pt-BR.md")
_BLOCK = re.compile(r"(?:<!-- run: (\w+) -->\n)?```sh\n(.*?)```", re.DOTALL)


def blocks(name: str) -> list[tuple[str, str]]:
    """The shell blocks of a README in turn: the mark of one that is run, or "", and its lines."""
    return [(mark or "", text) for mark, text in _BLOCK.findall((ROOT / name).read_text(encoding="utf-8"))]


def marked(mark: str) -> str:
    """The lines of the block with this mark."""
    return dict(blocks(FILES[0]))[mark]
