"""A page before it has its number: what stands on it, without the bands that every page has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from render.pdf import A4_PORTRAIT, Canvas


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of a document that is not an image.

    `resources` are the images and forms that the canvas draws, by the name that it calls them, and their
    object numbers in the PDF. A sheet that is not `framed` is somebody else's page, and gets no bands.
    """

    canvas: Canvas
    size: tuple[float, float] = A4_PORTRAIT
    resources: Sequence[tuple[str, int]] = ()
    framed: bool = True


@dataclass(frozen=True, slots=True)
class Document:
    """What an instance that is not an image looks like on paper. `left_out` says what of it is not there."""

    title: str
    sheets: Sequence[Sheet] = field(default_factory=tuple)
    left_out: str = ""
