"""What is understood once for a series is what the dataset itself says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from ponte import attributes, description, grayscale
from ponte.description import KEYWORDS, PixelDescription
from ponte.errors import PonteError
from ponte.instance import open_instance
from tests.corpus import CORPUS
from tests.unit.ponte.samples import BUNDLED, opened


def images(paths: Iterator[Path]) -> Iterator[tuple[Dataset, str]]:
    for path in paths:
        try:
            dataset = open_instance(path.read_bytes())
        except PonteError:
            continue
        yield from ((dataset, keyword) for keyword in KEYWORDS if keyword in dataset)


def check(dataset: Dataset, keyword: str) -> bool:
    """Compare with and without what is remembered; False where neither can be had."""
    try:
        found = PixelDescription.from_dataset(dataset, keyword)
    except PonteError:
        return False
    assert found == description._describe(dataset, keyword, str(found.transfer_syntax_uid))
    if found.samples == 1:
        assert grayscale.display_of(dataset, found, 0) == grayscale.read_display(dataset, found, 0)
    return True


def test_bundled_files() -> None:
    assert sum(check(*image) for image in images(iter(sorted(BUNDLED.rglob("*.dcm"))))) > 50


@pytest.mark.corpus
def test_files_of_the_corpus() -> None:
    assert CORPUS is not None
    assert sum(check(*image) for image in images(iter(sorted(CORPUS.rglob("*.dcm"))))) > 400


def test_two_that_differ_in_one_attribute_are_told_apart() -> None:
    pixels = np.zeros((4, 4), np.uint16)
    one, other = (opened(pixels, WindowCenter=center, WindowWidth=400) for center in (40, 50))
    displays = [
        grayscale.display_of(dataset, PixelDescription.from_dataset(dataset, "PixelData"), 0)
        for dataset in (one, other)
    ]
    assert displays[0] != displays[1]


def test_what_was_changed_since_is_seen() -> None:
    dataset = opened(np.zeros((4, 4), np.uint16), WindowCenter=40, WindowWidth=400)
    found = PixelDescription.from_dataset(dataset, "PixelData")
    before = grayscale.display_of(dataset, found, 0)
    dataset.WindowCenter = 50
    assert grayscale.display_of(dataset, found, 0) != before


def test_a_sequence_is_never_remembered() -> None:
    dataset = opened(np.zeros((4, 4), np.uint16))
    dataset.VOILUTSequence = [Dataset()]
    assert attributes.excerpt(dataset, grayscale.ATTRIBUTES) is None
