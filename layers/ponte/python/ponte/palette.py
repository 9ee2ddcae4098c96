"""PALETTE COLOR and the supplemental palette: three tables of the dataset as one table of RGB.

PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6 (descriptor and data), C.7.9.2 (segmented), C.7.6.19 (supplemental).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ponte import attributes
from ponte.display import TABLE_BITS, Stored
from ponte.errors import InvalidAttribute
from ponte.quiet import BROKEN_INPUT

Entries = npt.NDArray[np.int64]

_COLOURS = ("Red", "Green", "Blue")
_BYTE: Final = 8
_MOST_ENTRIES: Final = 1 << 16
_DISCRETE, _LINEAR, _INDIRECT = range(3)


@dataclass(frozen=True, slots=True)
class Supplement:
    """A supplemental palette, by bit patterns: `coloured` says which of them have a colour of their own."""

    coloured: npt.NDArray[np.bool_]
    colours: npt.NDArray[np.uint8]

    def over(self, gray: npt.NDArray[np.uint8], patterns: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The gray picture as RGB, with colour where the palette has one."""
        picture = np.repeat(gray[..., None], 3, axis=2)
        chosen = self.coloured[patterns]
        picture[chosen] = self.colours[patterns[chosen]]
        return picture


def palette_of(dataset: Dataset, stored: Stored) -> npt.NDArray[np.uint8]:
    """A table of shape (2^bits, 3) from bit patterns to RGB; segmented palettes are expanded.

    Raises `InvalidAttribute` where the palette is absent or broken.
    """
    return _table(dataset, stored)[1]


def supplement_of(dataset: Dataset, stored: Stored) -> Supplement | None:
    """The colours of a grayscale image that says it has some; None without, or where they are broken.

    Stored values below the first one mapped are gray (PS3.3 C.8.16.2.1.1.1).
    """
    if attributes.text(dataset, "PixelPresentation").upper() not in ("COLOR", "MIXED"):
        return None
    try:
        numbers, colours, first_mapped = _table(dataset, stored)
    except InvalidAttribute:
        return None
    return Supplement(numbers >= first_mapped, colours)


def _table(dataset: Dataset, stored: Stored) -> tuple[Entries, npt.NDArray[np.uint8], int]:
    """The stored values of all bit patterns, their colours, and the first value that is mapped."""
    if stored.bits > TABLE_BITS:
        raise InvalidAttribute(f"Bits Stored (0028,0101) is {stored.bits}; expected at most {TABLE_BITS}")
    numbers = stored.values(np.arange(1 << stored.bits))
    try:
        tables = [_channel(dataset, colour, signed=stored.signed) for colour in _COLOURS]
    except BROKEN_INPUT as error:
        raise InvalidAttribute("The palette is absent or cannot be read") from error
    wide = max(int(entries.max()) for _, entries in tables) >> _BYTE
    columns = [entries[np.clip(numbers - first, 0, len(entries) - 1)] for first, entries in tables]
    colours = np.stack(columns, axis=-1) >> (_BYTE if wide else 0)
    return numbers, colours.astype(np.uint8), tables[0][0]


def _channel(dataset: Dataset, colour: str, *, signed: bool) -> tuple[int, Entries]:
    """First value mapped, and the entries. Raises what broken input raises."""
    descriptor = attributes.values(dataset, f"{colour}PaletteColorLookupTableDescriptor")
    count, first_mapped, bits = (int(value) for value in descriptor)
    count = count & 0xFFFF or _MOST_ENTRIES
    first_mapped &= 0xFFFF
    if signed and first_mapped > 0x7FFF:
        first_mapped -= 1 << 16
    little = dataset.original_encoding[1] is not False
    raw = _words(dataset, f"{colour}PaletteColorLookupTableData", little=little)
    if raw:
        entries = _plain(raw, count, bits)
    else:
        raw = _words(dataset, f"Segmented{colour}PaletteColorLookupTableData", little=little)
        segments = np.frombuffer(raw, np.uint8 if bits <= _BYTE else "<u2", len(raw) // _bytes(bits))
        entries = _expanded(segments.tolist(), count, _bytes(bits))
    if not len(entries):
        raise ValueError(colour)
    return first_mapped, entries


def _bytes(bits: int) -> int:
    return 1 if bits <= _BYTE else 2


def _words(dataset: Dataset, keyword: str, *, little: bool) -> bytes:
    """The value as little endian words, whether it is OW, or US by an older dictionary."""
    values = attributes.values(dataset, keyword)
    if len(values) == 1 and isinstance(values[0], bytes):
        raw = values[0]
        return raw if little else np.frombuffer(raw, ">u2", len(raw) // 2).astype("<u2").tobytes()
    return np.array([int(value) & 0xFFFF for value in values], "<u2").tobytes()


def _plain(raw: bytes, count: int, bits: int) -> Entries:
    """Entries of 8 or 16 bits, as the length says; where it says neither, as the descriptor does.

    0 entries may mean 65536, and stands in files that have 256.
    """
    size = len(raw) // count if len(raw) // count in (1, 2) else _bytes(bits)
    entries = np.frombuffer(raw, np.uint8 if size == 1 else "<u2", len(raw) // size)
    return entries[:count].astype(np.int64)


def _expanded(data: list[int], count: int, size: int) -> Entries:
    """Segments to entries, `count` at most. Raises what broken input raises."""
    entries: list[int] = []
    position, width = 0, 2 if size == 2 else 4
    while position + 2 < len(data) and len(entries) < count:
        opcode, length = data[position : position + 2]
        if opcode != _INDIRECT:
            position = _segment(data, position, entries)
            continue
        start = sum(
            part << (8 * size * i) for i, part in enumerate(data[position + 2 : position + 2 + width])
        )
        source = start // size  # the offset counts bytes
        for _ in range(length):
            if len(entries) < count:
                source = _segment(data, source, entries)
        position += 2 + width
    return np.array(entries[:count], np.int64)


def _segment(data: list[int], position: int, entries: list[int]) -> int:
    """Append a discrete or a linear segment; answers where the next one starts."""
    opcode, length = data[position], data[position + 1]
    if opcode == _DISCRETE:
        entries.extend(data[position + 2 : position + 2 + length])
        return position + 2 + length
    if opcode != _LINEAR:
        raise ValueError(opcode)
    end = data[position + 2]
    ramp = np.linspace(entries[-1], end, length + 1)[1:]
    entries.extend(np.floor(ramp + 0.5).astype(int).tolist())
    return position + 3
