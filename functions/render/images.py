"""The images of a document: written as they come, or kept aside until it is known which are wanted."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol, Self

from ponte.errors import InvalidRequest
from render.pdf import PageImage, PdfWriter


class ImageStore(Protocol):
    """Takes images while the study arrives, and knows their object numbers when pages are written."""

    @property
    def reduced(self) -> bool:
        """True where images have fewer pixels than they came with, to keep within a size."""
        ...

    def add(self, image: PageImage) -> int:
        """Take an image; the answer is a handle."""
        ...

    def choose(self, handles: Iterable[int], pages: int) -> None:
        """Say which images are on the pages, so many of them, before the first is asked for."""
        ...

    def number(self, handle: int) -> int:
        """The number of the object that the image is in the document."""
        ...


class WrittenImages:
    """Each image goes into the document at once, and nothing of it stays in memory."""

    reduced = False

    def __init__(self, writer: PdfWriter) -> None:
        self._writer = writer

    def add(self, image: PageImage) -> int:
        return self._writer.add_image(image)

    def choose(self, handles: Iterable[int], pages: int) -> None:
        """Too late: they are in the document."""

    def number(self, handle: int) -> int:
        return handle


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where an image lies in the file, and all of it but its data."""

    offset: int
    length: int
    bare: PageImage


class SpooledImages:
    """Images in a file of their own, so that only those on pages get into the document, and fit into it.

    With `max_bytes`, each image has the share of what is left that its own size is of all that are to come;
    it is made smaller until it fits. Memory holds one image. A context manager: the file goes with it.
    """

    _PAGE_BYTES = 1000
    _TAIL_BYTES = 40_000  # of what holds the pages together, fonts among it

    def __init__(self, writer: PdfWriter, max_bytes: int = 0) -> None:
        self._writer = writer
        self._max_bytes = max_bytes
        self._file = tempfile.TemporaryFile(prefix="ponte-images-")  # noqa: SIM115  (closed by `__exit__`)
        self._kept: list[_Kept] = []
        self._numbers: dict[int, int] = {}
        self._to_come = self._pages = 0
        self._wanted = 0
        self.reduced = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, image: PageImage) -> int:
        offset = self._kept[-1].offset + self._kept[-1].length if self._kept else 0
        self._file.seek(offset)
        self._file.write(image.data)
        self._kept.append(_Kept(offset, len(image.data), replace(image, data=b"")))
        return len(self._kept) - 1

    def choose(self, handles: Iterable[int], pages: int) -> None:
        wanted = set(handles)
        self._wanted, self._pages = len(wanted), pages
        self._to_come = sum(self._kept[handle].length for handle in wanted)
        self.reduced = bool(self._max_bytes) and self._to_come > self._room()

    def number(self, handle: int) -> int:
        if handle not in self._numbers:
            self._numbers[handle] = self._writer.add_image(self._fitted(handle))
            self._to_come -= self._kept[handle].length
        return self._numbers[handle]

    def check(self) -> None:
        """Raise `InvalidRequest` where the document came out larger than it may be."""
        if self._max_bytes and self._writer.size_bytes > self._max_bytes:
            raise InvalidRequest(
                f"The document cannot be made smaller than {self._writer.size_bytes} bytes; max_bytes is "
                f"{self._max_bytes}"
            )

    def _room(self) -> int:
        pages = self._pages * (1 - len(self._numbers) / max(self._wanted, 1))
        reserve = self._TAIL_BYTES + int(self._PAGE_BYTES * pages)
        return max(self._max_bytes - self._writer.size_bytes - reserve, 0)

    def _fitted(self, handle: int) -> PageImage:
        kept = self._kept[handle]
        self._file.seek(kept.offset)
        image = replace(kept.bare, data=self._file.read(kept.length))
        if not self.reduced or image.stencil:
            return image
        from render.shrinking import shrunk

        return shrunk(image, self._room() * kept.length // max(self._to_come, 1))
