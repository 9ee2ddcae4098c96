"""Segmentations as coloured outlines on the images that they were made of.

A mask waits, compressed, until the whole study is there: segmentations and their sources come in any order.
The source's pixels stay what they are; the outline is a stencil of its own, drawn into the same rectangle.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from ponte.errors import PonteError
from ponte.image import Image
from ponte.pixelgrid import PixelGrid
from ponte.segmentation import Mask, Reference, Rgb, Segment, Segmentation, is_segmentation
from render.images import ImageStore
from render.layout import Box
from render.pdf import Canvas, PageImage
from render.record import Overlay, Record
from render.texts import TEXTS, Language, Texts
from render.typeface import REGULAR

MOST_FRAMES: Final = 20_000
MOST_BYTES: Final = 32 << 20
"""Masks and gray pages that wait, in bytes; the frames beyond are gray pages."""
MOST_PIXELS: Final = 16 << 20
"""Of a frame that is outlined."""
MOST_OVERLAYS: Final = 48
"""Outlines on one picture; what is beyond has the same picture once more."""

_THICK: Final = 320  # pixels of the longer side for each of which the outline is one wide
_REFERENCE_BYTES, _FRAME_BYTES = 300, 1000  # in memory, roughly
_DARK: Final = 0.2
_PALETTE: Final[tuple[Rgb, ...]] = (
    (1.0, 0.25, 0.2),
    (0.2, 0.8, 0.3),
    (0.25, 0.6, 1.0),
    (1.0, 0.8, 0.1),
    (0.9, 0.4, 0.95),
    (0.1, 0.85, 0.85),
    (1.0, 0.55, 0.15),
    (0.65, 0.9, 0.2),
)


class _Words(NamedTuple):
    """`over` is filled with the source's series and instance; `half` with half of the maximum."""

    over: str
    half: str
    empty: str
    series: str
    instance: str
    frame: str


_WORDS: Final[dict[Language, _Words]] = {
    "pt-BR": _Words(
        "contorno sobre {}", "fração a partir de {}", "vazio", "série {}", "instância {}", "quadro {}"
    ),
    "en": _Words("outline over {}", "fraction from {}", "empty", "series {}", "instance {}", "frame {}"),
}


class _Outline(NamedTuple):
    """The outline of one segment; without data where the mask is empty."""

    segment: Segment
    data: bytes


@dataclass(frozen=True, slots=True)
class SegmentedFrame:
    """A frame's outlines, and what is needed to find the image below them."""

    references: tuple[Reference, ...]
    grid: PixelGrid | None
    half: float | None
    outlines: tuple[_Outline, ...]


def segmented_frame(image: Image, segmentation: Segmentation, frame_index: int) -> SegmentedFrame | None:
    """The outlines of a frame; None where they cannot be had, and the frame is shown in gray."""
    if image.rows * image.columns > MOST_PIXELS or image.samples > 1:
        return None
    try:
        number = segmentation.number(frame_index)
        outlines = tuple(
            _Outline(segmentation.segments.get(found) or Segment(found), _compressed(mask))
            for found, mask in segmentation.masks(image.stored_values(frame_index), number)
        )
        grid = image.pixel_grid(frame_index)
        references = segmentation.references(frame_index)
    except PonteError:
        return None
    half = segmentation.maximum / 2 if segmentation.is_fractional else None
    return SegmentedFrame(references, grid, half, outlines) if outlines or number is None else None


def outline(mask: Mask) -> Mask:
    """The pixels of `mask` at its edge, one wide for each 320 of the picture; its border is an edge."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    found = np.zeros_like(mask)
    if not len(rows):
        return found
    around = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inner = mask[around]
    for _ in range(max(1, round(max(mask.shape) / _THICK))):
        padded = np.pad(inner, 1)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    found[around] = mask[around] & ~inner
    return found


def _compressed(mask: Mask) -> bytes:
    """The outline as a stencil holds it; nothing for an empty mask."""
    return zlib.compress(np.packbits(outline(mask), axis=1).tobytes()) if mask.any() else b""


class _Kept(NamedTuple):
    record: Record
    image: PageImage
    frame: SegmentedFrame


class SegmentedFrames:
    """The frames of a study's segmentations, until it is known which images they lie on."""

    def __init__(self, language: Language, *, anonymous: bool) -> None:
        self._words, self._texts = _WORDS[language], TEXTS[language]
        self._anonymous = anonymous
        self._kept: list[_Kept] = []
        self._references: dict[tuple[Reference, ...], tuple[Reference, ...]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, record: Record, image: PageImage, frame: SegmentedFrame) -> bool:
        """Take a frame, and the gray picture of it; False beyond the limits."""
        size = _FRAME_BYTES + len(image.data) + sum(len(outline.data) for outline in frame.outlines)
        if frame.references not in self._references:
            size += _REFERENCE_BYTES * len(frame.references)
        if len(self._kept) >= MOST_FRAMES or self._bytes + size > MOST_BYTES:
            return False
        self._bytes += size
        shared = self._references.setdefault(frame.references, frame.references)
        self._kept.append(_Kept(record, image, replace(frame, references=shared)))
        return True

    def records(self, shown: Iterable[Record], images: ImageStore) -> Iterator[Record]:
        """A record for each image of `shown` with the frames that lie on it; the others stay gray."""
        sources = _Sources(shown)
        on_source: dict[tuple[int, int], tuple[Record, list[_Kept]]] = {}
        for kept in self._kept:
            source = sources.below(kept)
            if source is None:
                yield replace(kept.record, image=images.add(kept.image))
            else:
                key = id(kept.record.instance), id(source)
                on_source.setdefault(key, (source, []))[1].append(kept)
        for source, frames in on_source.values():
            for together in _chunks(sorted(frames, key=lambda kept: kept.record.frame_number)):
                yield self._over(source, together, images)

    def _over(self, source: Record, frames: Sequence[_Kept], images: ImageStore) -> Record:
        """The source's picture as a record of the segmentation's series."""
        size = source.columns, source.rows
        overlays = tuple(
            self._overlay(outline, size, images) for kept in frames for outline in kept.frame.outlines
        )
        half = frames[0].frame.half
        notes = [self._words.over.format(self._name(source))]
        if half is not None:
            notes.append(self._words.half.format(self._texts.number(half)))
        return replace(
            frames[0].record,
            geometry=source.geometry,
            image=source.image,
            window=source.window,
            notes=(*source.notes, *notes),
            overlays=overlays,
            frames=tuple(kept.record.frame_number for kept in frames),
        )

    def _overlay(self, outline: _Outline, size: tuple[int, int], images: ImageStore) -> Overlay:
        segment, handle = outline.segment, None
        if outline.data:
            handle = images.add(PageImage(*size, "", "FlateDecode", outline.data, stencil=True))
        named = [str(segment.number), "" if self._anonymous else segment.label]
        if segment.meaning != named[1]:
            named.append(f"({segment.meaning})" if named[1] and segment.meaning else segment.meaning)
        if handle is None:
            named.append(f"– {self._words.empty}")
        return Overlay(handle, _visible(segment), " ".join(word for word in named if word))

    def _name(self, source: Record) -> str:
        """`series 3, instance 12, frame 4`."""
        words, numbers = self._words, (source.series.series_number, source.instance.instance_number)
        named = [(words.series, numbers[0]), (words.instance, numbers[1])]
        if source.frame_count > 1:
            named.append((words.frame, source.frame_number))
        return ", ".join(word.format(number) for word, number in named if number is not None)


def _chunks(frames: Sequence[_Kept]) -> Iterator[list[_Kept]]:
    """So many frames at a time as have `MOST_OVERLAYS` outlines; at least one."""
    together, count = list[_Kept](), 0
    for kept in frames:
        if together and count + len(kept.frame.outlines) > MOST_OVERLAYS:
            yield together
            together, count = [], 0
        together.append(kept)
        count += len(kept.frame.outlines)
    yield together


def _visible(segment: Segment) -> Rgb:
    """The colour that is recommended, unless it is too dark to be seen on an image."""
    if segment.colour is not None and max(segment.colour) >= _DARK:
        return segment.colour
    return _PALETTE[(segment.number - 1) % len(_PALETTE)]


class _Sources:
    """The images of the document, by what a segmentation can say of them."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_name: dict[tuple[str, int], Record] = {}
        self._by_plane: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        for record in sorted(records, key=lambda record: record.order):
            if record.image is None or not record.as_stored or record.video is not None:
                continue
            if is_segmentation(record.instance.sop_class_uid):
                continue
            uid = record.instance.sop_instance_uid
            self._by_name[uid, record.frame_number] = record
            if record.frame_count == 1:
                self._by_name[uid, 0] = record
            if record.grid is not None:
                self._by_plane[_plane(record.grid)].append(record)

    def below(self, kept: _Kept) -> Record | None:
        """The image that a frame lies on, pixel upon pixel: the one it names, else any on the same plane.

        Where both say where they lie, they must agree, whatever the frame names.
        """
        frame = kept.frame
        beside = [record for record in self._beside(frame.grid) if _is_alike(record, kept.record)]
        named = {(reference.sop_instance_uid, reference.frame_number) for reference in frame.references}
        for record in beside:
            uid = record.instance.sop_instance_uid
            if (uid, 0) in named or (uid, record.frame_number) in named:
                return record
        if len(named) == 1:
            only = self._by_name.get(next(iter(named)))
            if only is not None and None in (only.grid, frame.grid) and _is_alike(only, kept.record):
                return only
        return beside[0] if beside and frame.grid and frame.grid.frame_of_reference_uid else None

    def _beside(self, grid: PixelGrid | None) -> Iterator[Record]:
        if grid is None:
            return
        uid, depth = _plane(grid)
        for near in (depth - 1, depth, depth + 1):
            for record in self._by_plane.get((uid, near), ()):
                if record.grid is not None and grid.matches(record.grid):
                    yield record


def _plane(grid: PixelGrid) -> tuple[str, int]:
    return grid.frame_of_reference_uid, round(grid.depth_mm)


def _is_alike(record: Record, other: Record) -> bool:
    return (record.columns, record.rows) == (other.columns, other.rows)


def draw_legend(canvas: Canvas, overlays: Sequence[Overlay], box: Box, size: float, texts: Texts) -> Box:
    """Name the segments below the picture, each with its colour; answers the room that is left."""
    lines = _lines(overlays, box.width, size, max(1, int(box.height * 0.3 / (size * 1.5))), texts)
    for index, line in enumerate(reversed(lines)):
        y = box.y + index * size * 1.5 + size * 0.4
        x = box.x
        for colour, text in line:
            if colour is not None:
                canvas.rectangle(x, y - size * 0.08, size * 0.8, size * 0.8, colour)
            canvas.text(x + size * 1.2, y, text, REGULAR, size)
            x += size * 2.6 + REGULAR.width(text, size)
    height = len(lines) * size * 1.5 + size * 0.6
    return Box(box.x, box.y + height, box.width, box.height - height)


_Entry = tuple[Rgb | None, str]


def _lines(
    overlays: Sequence[Overlay], width: float, size: float, most: int, texts: Texts
) -> list[list[_Entry]]:
    """Entries in lines of `width`; where they are more than `most`, the last says how many are left."""
    lines, used = list[list[_Entry]]([[]]), 0.0
    for index, overlay in enumerate(overlays):
        text = REGULAR.clip(overlay.legend, size, width - size * 2.6)
        needed = size * 2.6 + REGULAR.width(text, size)
        if used and used + needed > width:
            if len(lines) == most:
                left = len(overlays) - index + 1
                lines[-1][-1] = (None, texts.and_more.format(left))
                return lines
            lines.append([])
            used = 0.0
        lines[-1].append((overlay.colour if overlay.image is not None else None, text))
        used += needed
    return lines if overlays else []
