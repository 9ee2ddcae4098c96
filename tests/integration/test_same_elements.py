"""`open_instance` makes a dataset from its own walk: it must hold what pydicom reads, element by element."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from ponte.errors import NotDicom
from ponte.instance import open_instance
from ponte.quiet import BROKEN_INPUT, quiet
from tests.corpus import CORPUS, rows
from tests.unit.ponte.samples import BUNDLED


def contents(dataset: Dataset) -> dict[int, tuple[str, object]]:
    """VR and value by tag, sequences by their own; what cannot be converted counts as its error."""
    found: dict[int, tuple[str, object]] = {}
    for tag in dataset.keys():  # noqa: SIM118  (to iterate a Dataset is to convert its elements)
        try:
            element = dataset[tag]
            value = element.value
            if element.VR == "SQ":
                value = [contents(item) for item in value]
            value = bytes(value) if isinstance(value, memoryview) else value
            found[int(tag)] = (element.VR, value if isinstance(value, bytes | list) else repr(value))
        except BROKEN_INPUT as error:
            found[int(tag)] = ("", type(error).__name__)
    return found


def check(data: bytes) -> None:
    try:
        ours = open_instance(data)
    except NotDicom:
        return  # refused by the walk: pydicom reads as far as it gets
    with quiet():
        theirs = dcmread(BytesIO(data), force=True)
        assert contents(ours) == contents(theirs)
        assert ours.original_character_set == theirs.original_character_set


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.dcm")), ids=lambda path: path.name)
def test_bundled_files_hold_the_same(path: Path) -> None:
    check(path.read_bytes())


@pytest.mark.corpus
@pytest.mark.parametrize("name", [row["file"] for row in rows()] or ["all of them"])
def test_files_of_the_corpus_hold_the_same(name: str) -> None:
    assert CORPUS is not None
    check((CORPUS / name).read_bytes())
