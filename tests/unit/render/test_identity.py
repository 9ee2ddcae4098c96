"""The identity of a rendering: the same for the same pages, another one for others."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from render.options import Grid, RenderOptions
from render.report import RenderReport
from render.study import render_study
from tests.unit.render.studies import STUDY, Instances, damaged, gray, report

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


def test_the_sources_are_the_instances_that_are_shown() -> None:
    assert [uid.rpartition(".")[2] for _, uid in rendered([*ITEMS[:2], damaged(3), ITEMS[3]]).sources] == [
        "1", "2",
    ]  # fmt: skip
