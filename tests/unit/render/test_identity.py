"""The identity of a rendering: the same for the same pages, another one for others."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from pydicom import dcmread

from ponte.encapsulated import Document, StudyHeader, write_encapsulated_pdf
from render.options import Grid, RenderOptions
from render.report import RenderReport
from render.study import render_study
from tests.unit.render.studies import STUDY, Instances, damaged, encoded, gray, report

ITEMS = [gray(1), gray(2), gray(3), report(4)]


def rendered(items: list[bytes] = ITEMS, **options: Any) -> RenderReport:
    return render_study(Instances(items), STUDY, BytesIO(), RenderOptions(**options))


def test_the_same_rendering_has_the_same_content_whatever_the_order_and_the_threads() -> None:
    first = rendered()
    assert len(first.content) == 64
    assert rendered(ITEMS[::-1], max_workers=1).content == first.content
    assert rendered(job_url="https://ponte/jobs/1").content == first.content


@pytest.mark.parametrize(
    "options",
    [
        {"grid": Grid(2, 2)},
        {"language": "en"},
        {"cover_page": False},
        {"lossless": True},
        {"max_pages": 2},
        {"max_bytes": 200_000},
        {"every": 2},
        {"anonymize": True},
        {"paper": "letter"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_other_options_are_another_content(options: dict[str, Any]) -> None:
    assert rendered(**options).content != rendered().content


@pytest.mark.parametrize(
    "items", [ITEMS[:3], ITEMS[1:], [*ITEMS[:2], damaged(3), ITEMS[3]], [*ITEMS, b"no DICOM"]]
)
def test_other_instances_or_another_fate_of_one_are_another_content(items: list[bytes]) -> None:
    assert rendered(items).content != rendered().content


def own(number: int, **attributes: Any) -> bytes:
    """A rendering of before, as it was stored; `attributes` make it somebody else's."""
    out = BytesIO()
    document = Document("c0ffee", f"Images {number}", datetime(2026, 1, 22, tzinfo=UTC), "Ponte 0")
    write_encapsulated_pdf(out, BytesIO(b"%PDF-1.7"), StudyHeader.read(gray(1)), document)
    dataset = dcmread(BytesIO(out.getvalue()))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return encoded(dataset)


def test_a_rendering_of_before_is_left_out_and_changes_nothing() -> None:
    """Else each rendering that is stored would hold all those before it."""
    first, again = rendered(ITEMS[:3]), rendered([own(1), *ITEMS[:3]])
    assert (again.content, again.sources) == (first.content, first.sources)
    assert (again.instances, again.shown, again.left_out, again.partial) == (4, 3, 1, False)


def test_somebody_elses_document_is_a_part_of_the_study() -> None:
    other = rendered([own(1, Manufacturer="CLINIC"), *ITEMS[:3]])
    assert other.content != rendered(ITEMS[:3]).content
    assert other.left_out == 0


def test_the_sources_are_the_instances_that_are_shown() -> None:
    assert [uid.rpartition(".")[2] for _, uid in rendered([*ITEMS[:2], damaged(3), ITEMS[3]]).sources] == [
        "1", "2",
    ]  # fmt: skip
