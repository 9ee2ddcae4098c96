"""Files that other people made to break readers: each is a picture, or one line that says why not."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import pytest

from ponte.errors import NothingToShow, PonteError, StudyNotFound
from ponte.folder import FolderSource
from ponte.image import Image
from ponte.instance import open_instance
from render.options import RenderOptions
from render.study import render_study
from tests.corpus import CORPUS

pytestmark = pytest.mark.corpus

LIMIT_S = 5.0
FOLDER = (CORPUS or Path()) / "malformed-synthetic"
FILES = sorted(FOLDER.glob("*.dcm")) if CORPUS is not None else []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_malformed_file_is_a_picture_or_one_line_that_says_why(path: Path) -> None:
    began, said = perf_counter(), "a picture"
    try:
        Image(open_instance(path.read_bytes())).picture(0)
    except PonteError as error:
        said = str(error)
    assert perf_counter() - began < LIMIT_S
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_malformed_file_is_a_document_or_named_as_unreadable(path: Path) -> None:
    source, began = FolderSource(path), perf_counter()
    for study in source.studies():
        with suppress(NothingToShow, StudyNotFound):
            assert render_study(source, study, io.BytesIO(), RenderOptions()).pages
    assert perf_counter() - began < LIMIT_S
