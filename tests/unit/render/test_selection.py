"""Key objects choose the pages, and presentation states how images are shown, wherever they come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, KeyObjectSelectionDocumentStorage

from ponte.errors import NothingToShow
from render.study import RenderOptions
from tests.unit.render.studies import SERIES, encoded, gray, plain
from tests.unit.render.test_study import pixels_of, rendered, text_of

KEYS = RenderOptions(cover_page=False, language="en", key_images=True)
RAMP = np.arange(64, dtype=np.uint16).reshape(8, 8) * 60


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def reference(number: int, *frames: int) -> Dataset:
    named = item(ReferencedSOPInstanceUID=f"{SERIES}.{number}")
    if frames:
        named.ReferencedFrameNumber = list(frames)
    return named


def key_object(*references: Dataset) -> bytes:
    content = [item(ValueType="IMAGE", ReferencedSOPSequence=[one]) for one in references]
    return encoded(plain(KeyObjectSelectionDocumentStorage, 90, Modality="KO", ContentSequence=content))


def presentation_state(*references: Dataset, **attributes: Any) -> bytes:
    series = item(SeriesInstanceUID=SERIES, ReferencedImageSequence=list(references))
    voi = item(WindowCenter=1000, WindowWidth=2000)
    return encoded(
        plain(
            GrayscaleSoftcopyPresentationStateStorage,
            91,
            Modality="PR",
            ReferencedSeriesSequence=[series],
            SoftcopyVOILUTSequence=[voi],
            PresentationLUTShape="IDENTITY",
            **attributes,
        )
    )


def test_pages_are_those_of_the_key_objects() -> None:
    frames = np.zeros((5, 8, 8), np.uint16)
    items = [gray(1), gray(2), gray(3, frames), key_object(reference(2), reference(3, 2, 4))]
    answer, pdf = rendered(*items, options=KEYS)
    lines = [text_of(page) for page in pdf.pages]
    assert ["Instance 2" in lines[0], "Frame 2 of 5" in lines[1], "Frame 4 of 5" in lines[2]] == [True] * 3
    assert (answer.shown, answer.partial) == (3, False)


def test_without_key_objects_there_is_nothing_to_show() -> None:
    with pytest.raises(NothingToShow, match="key object"):
        rendered(gray(1), options=KEYS)


def test_an_image_is_shown_as_its_state_says_and_others_as_before() -> None:
    state = presentation_state(reference(1), ImageRotation=90, ImageHorizontalFlip="N")
    options = RenderOptions(cover_page=False, language="en", lossless=True, presentation=True)
    wide = {"WindowCenter": 2048, "WindowWidth": 4096}
    _, pdf = rendered(gray(1, RAMP, **wide), gray(2, RAMP, **wide), state, options=options)
    first, second = (pixels_of(page).astype(int) for page in list(pdf.pages)[:2])
    expected = np.clip((RAMP - 999.5) / 1999 + 0.5, 0, 1) * 255
    assert np.abs(np.rot90(first) - expected).max() <= 1
    assert np.abs(second - np.clip((RAMP - 2047.5) / 4095 + 0.5, 0, 1) * 255).max() <= 1
    assert "presentation state applied" in text_of(pdf.pages[0])
    assert "presentation state" not in text_of(pdf.pages[1])


def test_states_are_only_applied_where_they_are_asked_for() -> None:
    items = (gray(1, RAMP), presentation_state(reference(1), ImageRotation=90))
    _, pdf = rendered(*items, options=RenderOptions(cover_page=False, language="en"))
    assert "presentation state applied" not in text_of(pdf.pages[0])
