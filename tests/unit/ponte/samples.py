"""Bundled files of pydicom's own package (never downloaded), and datasets as bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom.data
from pydicom.dataset import Dataset

from ponte.instance import open_instance
from tests.factories import encode, make_dataset, set_pixels

BUNDLED = Path(pydicom.data.__file__).parent / "test_files"


def bundled(name: str) -> bytes:
    return (BUNDLED / name).read_bytes()


def opened(values: Any, *, photometric: str = "MONOCHROME2", **attributes: Any) -> Dataset:
    """An instance with these pixels, written and read again."""
    dataset = make_dataset("1.2.840.10008.5.1.4.1.1.7")
    set_pixels(dataset, values, photometric=photometric)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return open_instance(encode(dataset))
