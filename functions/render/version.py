"""Ponte's name and version, as the PDF states them."""

from typing import Final

from ponte.version import VERSION

PRODUCT: Final = f"Ponte {VERSION}"
