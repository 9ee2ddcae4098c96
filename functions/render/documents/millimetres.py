"""Millimetre paper and traces on it, as compact content streams."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from render.pdf import Canvas, Colour, PdfWriter

MM: Final = 72 / 25.4
"""A millimetre in points."""
MM_PER_SECOND: Final = 25.0
MM_PER_MILLIVOLT: Final = 10.0

_FINE: Final[Colour] = (0.97, 0.86, 0.85)
_COARSE: Final[Colour] = (0.93, 0.68, 0.66)
_INK: Final[Colour] = (0.08, 0.1, 0.16)
_UNIT: Final = 0.02  # points; 0.7 µV at 10 mm/mV
_DETAIL: Final = 0.25  # points; of samples closer than that the highest and the lowest are drawn
_PEN: Final = 0.55
_FAR: Final = 100_000  # units; further than any paper


class _Strokes(Canvas):
    """A canvas whose stream was made elsewhere."""

    def __init__(self, stream: bytes) -> None:
        super().__init__()
        self._stream = stream

    def content(self) -> bytes:
        return self._stream


def draw_paper(canvas: Canvas, x: float, y: float, columns_mm: int, rows_mm: int) -> None:
    """Lines every millimetre, stronger ones every five, from the corner at (x, y) in points."""
    fine = _lines(
        x, y, columns_mm, rows_mm, (step for step in range(1, max(columns_mm, rows_mm)) if step % 5)
    )
    coarse = _lines(x, y, columns_mm, rows_mm, range(0, max(columns_mm, rows_mm) + 1, 5))
    stream = b"q %.2f %.2f %.2f RG 0.2 w\n%b S\n%.2f %.2f %.2f RG 0.4 w\n%b S Q"
    canvas.draw(_Strokes(stream % (*_FINE, fine, *_COARSE, coarse)))


def _lines(x: float, y: float, columns_mm: int, rows_mm: int, steps: Iterable[int]) -> bytes:
    right, top = x + columns_mm * MM, y + rows_mm * MM
    lines = list[bytes]()
    for step in steps:
        if step <= columns_mm:
            lines.append(b"%.2f %.2f m %.2f %.2f l" % (x + step * MM, y, x + step * MM, top))
        if step <= rows_mm:
            lines.append(b"%.2f %.2f m %.2f %.2f l" % (x, y + step * MM, right, y + step * MM))
    return b"\n".join(lines)


def draw_trace(
    canvas: Canvas, x: float, zero: float, step_mm: float, heights_mm: npt.NDArray[np.float64]
) -> None:
    """A trace from `x` points on, a sample every `step_mm`; `zero` is the y of height 0. NaN are gaps."""
    step, paths = step_mm * MM / _UNIT, list[bytes]()
    for start, run in _runs(heights_mm):
        kept = _kept(run, max(1, int(_DETAIL / (step_mm * MM))))
        across = np.rint((start + kept) * step).astype(np.int64)
        up = np.rint(np.clip(run[kept] * MM / _UNIT, -_FAR, _FAR)).astype(np.int64)
        if len(kept) == 1:
            across, up = np.repeat(across, 2), np.repeat(up, 2)  # a single sample is a dot
        points = [b"%d %d" % point for point in zip(across.tolist(), up.tolist(), strict=True)]
        paths.append(points[0] + b" m " + b" l ".join(points[1:]) + b" l")
    if paths:
        stream = b"q %.2f %.2f %.2f RG %g 0 0 %g %.4f %.4f cm %g w 1 J 1 j\n%b S Q"
        scaled = (*_INK, _UNIT, _UNIT, x, zero, _PEN / _UNIT, b"\n".join(paths))
        canvas.draw(_Strokes(stream % scaled))


def draw_pulse(canvas: Canvas, x: float, zero: float) -> None:
    """What one millivolt looks like for 0.2 s, with a millimetre before and after it."""
    across = [0, 1, 1, 6, 6, 7]
    points = zip(across, (0, 0, 10, 10, 0, 0), strict=True)
    drawn = [b"%.2f %.2f" % (x + mm * MM, zero + up * MM) for mm, up in points]
    path = drawn[0] + b" m " + b" l ".join(drawn[1:]) + b" l"
    canvas.draw(_Strokes(b"q %.2f %.2f %.2f RG %g w %b S Q" % (*_INK, _PEN, path)))


def clipped(drawn: Canvas, x: float, y: float, width: float, height: float) -> Canvas:
    """What `drawn` has, within a rectangle alone."""
    return _Strokes(b"q %.2f %.2f %.2f %.2f re W n\n%b\nQ" % (x, y, width, height, drawn.content()))


def add_form(writer: PdfWriter, drawn: Canvas, size: tuple[float, float]) -> int:
    """Write what `drawn` has, lines alone, as a form for a page of `size` (PDF 32000-1, 8.10)."""
    dictionary = b"/Type /XObject /Subtype /Form /BBox [0 0 %.2f %.2f] /Resources << >> /Filter /FlateDecode"
    return writer.add_stream(dictionary % size, zlib.compress(drawn.content(), 6))


def _runs(heights: npt.NDArray[np.float64]) -> list[tuple[int, npt.NDArray[np.float64]]]:
    """The stretches without gaps, each with the index of its first sample."""
    there = np.isfinite(heights)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], there, [False])).astype(np.int8)))
    return [(int(start), heights[start:end]) for start, end in edges.reshape(-1, 2)]


def _kept(run: npt.NDArray[np.float64], block: int) -> npt.NDArray[np.int64]:
    """Which samples are drawn: ends, and of each block the lowest and the highest, where they are."""
    if block < 3 or len(run) < 2 * block:
        return np.arange(len(run))
    whole = len(run) // block * block
    blocks = run[:whole].reshape(-1, block)
    first = np.arange(0, whole, block)
    chosen = (first + blocks.argmin(1), first + blocks.argmax(1), np.arange(whole, len(run)))
    return np.unique(np.concatenate(([0], *chosen, [len(run) - 1])))
