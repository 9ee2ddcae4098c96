"""What the header of a compressed frame declares, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of a compressed frame.

    `adobe_transform` is what the Adobe marker says of the colour space: 0 RGB, 1 YCbCr. `transform` is the
    colour transform that the stream itself declares: RGB, YCBCR, ICT, RCT or XYB, "" where it declares none.
    `signed` is None where the format does not say. `unusual` marks what may cost a decoder far more than the
    size says: thousands of tiles, precincts of a pixel, hundreds of scans, a palette. `levels` is how often a
    code stream of wavelets can be decoded at half its size.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    adobe_transform: int | None = None
    kind: str = ""
    signed: bool | None = None
    transform: str = ""
    unusual: bool = False
    levels: int = 0
