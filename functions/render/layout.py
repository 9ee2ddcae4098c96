"""Which record stands where: pages of equal cells, series by series, and mammograms as they are hung."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final, NamedTuple

from render.options import Grid, Paper
from render.pdf import A4_PORTRAIT
from render.record import Record
from render.sheet import Sheet

MARGIN: Final = 30.0
BAND: Final = 27.0
"""Height of the upper band, rule included; the lower one is `FOOT`."""
FOOT: Final = 14.0
PRINT_DPI: Final = 200
"""Gray levels in print need no more; what a code stream holds beyond that is not decoded."""

_GAP = 8.0  # between a band and what it frames
_GUTTER = 6.0  # between cells
_LETTER = (612.0, 792.0)
_POINTS_PER_INCH = 72
_HIGHEST, _LOWEST = 14_400.0, 200.0  # of a page: PDF 32000-1, annex C.2; and room for its bands
_HUNG: Final = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))

Size = tuple[float, float]


class Box(NamedTuple):
    """A rectangle in points, from its lower left corner."""

    x: float
    y: float
    width: float
    height: float


class Cell(NamedTuple):
    """A record and its place. `side` is where a picture leans: -1 left, 0 centre, 1 right."""

    record: Record
    box: Box
    side: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Either cells, or a sheet of a document.

    `alone` says that the page is for one picture only, `hung` that mammograms of several series are on it.
    """

    size: Size
    cells: Sequence[Cell]
    sheet: Sheet | None = None
    alone: bool = True
    hung: bool = False

    @property
    def first(self) -> Record:
        return self.cells[0].record


@dataclass(frozen=True, slots=True)
class Layout:
    """Paper and grid, and what follows from them."""

    grid: Grid
    paper: Paper

    def size_for(self, columns: float, height: float) -> Size:
        """The page on which a picture of this shape comes out largest; upright where both are alike."""
        return _size_for(self, columns, height)

    def _size_for(self, columns: float, height: float) -> Size:
        if self.paper == "fit":
            return self._fitting(columns, height)
        upright = A4_PORTRAIT if self.paper == "A4" else _LETTER
        lying = upright[1], upright[0]
        larger = self._scale(lying, columns, height) > self._scale(upright, columns, height)
        return lying if larger else upright

    def boxes(self, size: Size) -> Sequence[Box]:
        """The cells of a page, in the order of reading."""
        return _boxes(self, size)

    def _boxes(self, size: Size) -> Sequence[Box]:
        left, bottom, width, height = free_area(size)
        rows, columns = self.grid.rows, self.grid.columns
        cell_width = (width - (columns - 1) * _GUTTER) / columns
        cell_height = (height - (rows - 1) * _GUTTER) / rows
        return [
            Box(
                left + column * (cell_width + _GUTTER),
                bottom + (rows - 1 - row) * (cell_height + _GUTTER),
                cell_width,
                cell_height,
            )
            for row in range(rows)
            for column in range(columns)
        ]

    def useful_halvings(self, columns: int, height: float) -> int:
        """How often the pixels of a picture may be halved and still print at `PRINT_DPI`."""
        scale = self._scale(self.size_for(columns, height), columns, height)
        dots = scale * PRINT_DPI / _POINTS_PER_INCH
        return max(0, int(-math.log2(dots))) if dots > 0 else 0

    def _scale(self, size: Size, columns: float, height: float) -> float:
        box = self.boxes(size)[0]
        return min(box.width / columns, box.height / height)

    def _fitting(self, columns: float, height: float) -> Size:
        """As wide as A4, and as high as the rows of such pictures are."""
        width = A4_PORTRAIT[0]
        cell = (width - 2 * MARGIN - (self.grid.columns - 1) * _GUTTER) / self.grid.columns
        rows = self.grid.rows * cell * height / columns + (self.grid.rows - 1) * _GUTTER
        around = 2 * MARGIN + BAND + FOOT + 2 * _GAP
        return width, min(max(around + rows, _LOWEST), _HIGHEST)

    def pages(self, records: Sequence[Record]) -> list[Page]:
        """The pages of records that are in the order of reading; no page has images of two series.

        Hung mammograms come before their own pages, and alone are of several series.
        """
        pages = list(self._hung(records))
        for _, series in groupby(records, key=lambda record: record.series.series_instance_uid):
            pages.extend(self._of_series(series))
        return pages

    def _of_series(self, records: Iterator[Record]) -> Iterator[Page]:
        for is_document, run in groupby(records, key=lambda record: record.document is not None):
            if is_document:
                yield from (page for record in run for page in _document_pages(record))
                continue
            cells = list(run)
            for start in range(0, len(cells), self.grid.cells):
                yield self._page(cells[start : start + self.grid.cells])

    def _page(self, records: Sequence[Record]) -> Page:
        shown = next((record for record in records if record.columns), None)
        size = self.size_for(shown.columns, shown.height) if shown else self.size_for(1, 2**0.5)
        cells = [Cell(*pair) for pair in zip(records, self.boxes(size), strict=False)]
        return Page(size, cells, alone=self.grid.cells == 1)

    def _hung(self, records: Sequence[Record]) -> Iterator[Page]:
        """RCC and LCC over RMLO and LMLO, back to back, where there is more than one of them."""
        views: dict[tuple[str, str], Record] = {}
        for record in records:
            if record.image is not None and record.series.modality == "MG":
                views.setdefault((record.geometry.laterality, record.geometry.view), record)
        if sum(view in views for view in _HUNG) < 2 or self.grid.cells > 1:
            return
        layout = Layout(Grid(2, 2), "A4" if self.paper == "fit" else self.paper)
        size = layout.size_for(1, 2**0.5)
        sides = (1, -1, 1, -1)
        boxes = layout.boxes(size)
        cells = [
            Cell(views[view], box, side)
            for view, box, side in zip(_HUNG, boxes, sides, strict=True)
            if view in views
        ]
        yield Page(size, cells, alone=False, hung=True)


@lru_cache(maxsize=256)
def _size_for(layout: Layout, columns: float, height: float) -> Size:
    """As the method; the pictures of a series have one shape."""
    return layout._size_for(columns, height)  # noqa: SLF001  (the method behind it)


@lru_cache(maxsize=64)
def _boxes(layout: Layout, size: Size) -> Sequence[Box]:
    return layout._boxes(size)  # noqa: SLF001  (likewise)


def _document_pages(record: Record) -> Iterator[Page]:
    assert record.document is not None  # noqa: S101  (for the type checker: the caller grouped by it)
    for sheet in record.document.sheets:
        width, height = sheet.size
        yield Page(sheet.size, [Cell(record, Box(0, 0, width, height))], sheet)


def free_area(size: Size) -> Box:
    """What the bands leave of a page."""
    bottom = MARGIN + FOOT + _GAP
    return Box(MARGIN, bottom, size[0] - 2 * MARGIN, size[1] - MARGIN - BAND - _GAP - bottom)
