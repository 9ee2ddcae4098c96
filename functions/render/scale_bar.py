"""A bar that says how large what is seen is: drawn beside the picture, true to its pixel spacing."""

from __future__ import annotations

from typing import Final

from render.layout import Box
from render.pdf import Canvas, Colour
from render.texts import Texts
from render.typeface import REGULAR

_COLOUR: Colour = (0.38, 0.42, 0.46)
_LENGTHS_MM: Final = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1)
_LONGEST: Final = 0.34  # of the picture's width
_MM_A_CM: Final = 10.0


def draw_scale_bar(
    canvas: Canvas,
    picture: Box,
    right: float,
    baseline: float,
    width_mm: float,
    remark: str,
    size: float,
    texts: Texts,
) -> None:
    """A bar of whole centimetres or millimetres that ends at `right`, its length before it.

    `width_mm` is what the whole picture is wide, `remark` says where that holds. Pictures of less than a
    third of a millimetre have none.
    """
    points_a_mm = picture.width / width_mm
    length_mm = next((mm for mm in _LENGTHS_MM if mm <= width_mm * _LONGEST), None)
    if length_mm is None:
        return
    length, tick = length_mm * points_a_mm, size / 3
    left = right - length
    canvas.line(left, baseline, right, baseline, 0.8, _COLOUR)
    step = _MM_A_CM if length_mm > _MM_A_CM else length_mm
    for number in range(round(length_mm / step) + 1):
        x = left + number * step * points_a_mm
        canvas.line(x, baseline, x, baseline + tick, 0.8, _COLOUR)
    whole = length_mm >= _MM_A_CM
    said = texts.number(length_mm / _MM_A_CM if whole else length_mm)
    label = f"{said} {'cm' if whole else 'mm'} {remark}".strip()
    canvas.text_right(left - size / 2, baseline, label, REGULAR, size * 0.85, _COLOUR)
