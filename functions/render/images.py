"""The images of a document: written as they come, or kept aside until it is known which, and how large."""

from __future__ import annotations

from typing import Protocol

from render.pdf import PageImage, PdfWriter


class ImageStore(Protocol):
    """Takes images while the study arrives, and knows their object numbers when pages are written."""

    def add(self, image: PageImage) -> int:
        """Take an image; the answer is a handle."""
        ...

    def number(self, handle: int) -> int:
        """The number of the object that the image is in the document."""
        ...


class WrittenImages:
    """Each image goes into the document at once, and nothing of it stays in memory."""

    def __init__(self, writer: PdfWriter) -> None:
        self._writer = writer

    def add(self, image: PageImage) -> int:
        return self._writer.add_image(image)

    def number(self, handle: int) -> int:
        return handle
