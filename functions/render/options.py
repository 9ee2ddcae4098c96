"""What a caller may ask of a rendering."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, Self

from ponte.errors import InvalidRequest
from render.clinic import NO_CLINIC, Clinic
from render.texts import Language

Paper = Literal["A4", "letter", "fit"]
"""`fit` is as wide as A4 upright and as high as what stands on it."""

MOST_ROWS: Final = 6
MOST_COLUMNS: Final = 6
_GRID: Final = re.compile(r"([1-9])\s*[xX]\s*([1-9])")


@dataclass(frozen=True, slots=True)
class Grid:
    """How many images a page has, in rows and columns."""

    rows: int = 1
    columns: int = 1

    @property
    def cells(self) -> int:
        return self.rows * self.columns

    @classmethod
    def parse(cls, text: str) -> Self:
        """`3x2`: three rows of two. Raises `InvalidRequest`."""
        found = _GRID.fullmatch(text.strip())
        rows, columns = map(int, found.groups()) if found else (0, 0)
        if not (1 <= rows <= MOST_ROWS and 1 <= columns <= MOST_COLUMNS):
            raise InvalidRequest(f"The layout is rows x columns, 1x1 to {MOST_ROWS}x{MOST_COLUMNS}")
        return cls(rows, columns)


@dataclass(frozen=True, slots=True)
class RequestCodes:
    """The codes of the request that asked for the PDF, printed on the cover. Empty where there are none."""

    exam_id: str = ""
    cod_autorizacao: str = ""
    cod_procedimento: str = ""


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How a study is rendered.

    `max_workers` is the most threads that decode and compress; there are never more than processors. `series`
    names the only ones wanted, by Series Number or Series Instance UID. `frames` is how many of a multi-frame
    image are shown, evenly spread; `every` keeps one instance of so many; `max_pages` ends the document.
    0 stands for no limit. `max_bytes` is met by fewer pixels first, and by lower quality second.
    """

    anonymize: bool = False
    cover_page: bool = True
    lossless: bool = False
    language: Language = "pt-BR"
    max_workers: int = 4
    codes: RequestCodes = RequestCodes()
    grid: Grid = Grid()
    paper: Paper = "A4"
    series: tuple[str, ...] = ()
    frames: int = 0
    every: int = 1
    max_pages: int = 0
    max_bytes: int = 0
    key_images: bool = False
    presentation: bool = False
    job_url: str = ""
    clinic: Clinic = NO_CLINIC

    def __post_init__(self) -> None:
        """Raises `InvalidRequest` for what contradicts itself."""
        if self.lossless and self.max_bytes:
            raise InvalidRequest("lossless pages and max_bytes exclude each other")
