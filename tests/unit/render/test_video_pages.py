"""A video has one page that says what it is, and is never counted as shown in full."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from ponte.errors import NothingToShow
from render.report import RenderReport
from render.study import RenderOptions, render_study
from render.texts import Language
from tests import videos
from tests.factories import STUDY_UID, encode, make_ct
from tests.unit.render.studies import Instances

VIDEO = videos.make_video(
    videos.mp4(videos.H264_HIGH), uid.MPEG4HP41, number=2, NumberOfFrames=90, FrameTime=40
)


@pytest.fixture
def no_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def some_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nprintf 'P6\\n4 2\\n255\\naaaaaaaaaaaabbbbbbbbbbbb'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def rendered(
    *items: bytes, language: Language = "en", anonymize: bool = False
) -> tuple[RenderReport, pikepdf.Pdf, list[str]]:
    out = io.BytesIO()
    options = RenderOptions(language=language, anonymize=anonymize)
    report = render_study(Instances(items), STUDY_UID, out, options)
    pdf = pikepdf.open(out)
    return report, pdf, [_text(page) for page in pdf.pages]


def _text(page: pikepdf.Page) -> str:
    lines = pikepdf.parse_content_stream(page)
    return "\n".join(bytes(line.operands[0]).decode("cp1252") for line in lines if str(line.operator) == "Tj")


@pytest.mark.usefixtures("no_ffmpeg")
def test_without_ffmpeg_a_video_alone_is_a_document_that_describes_it() -> None:
    report, pdf, (cover, page) = rendered(VIDEO)
    assert (report.instances, report.frames, report.shown, report.partial) == (1, 90, 0, True)
    (entry,) = report.not_shown
    assert (entry.reason, entry.frame_number) == ("UNSUPPORTED_SYNTAX", None)
    assert "H.264 High@4.1 video of 1920x1080, 90 frames, 3.6 s" in entry.detail
    assert not pdf.pages[1].get_images()
    for said in ("H.264 High@4.1 · MP4", "1920 × 1080", "90", "3.6 s", "(UNSUPPORTED_SYNTAX)", "ffmpeg"):
        assert said in page
    assert "Frame " not in page
    assert "It is a video" in cover


@pytest.mark.usefixtures("some_ffmpeg")
def test_a_poster_frame_says_that_it_is_one_and_the_study_stays_partial() -> None:
    report, pdf, (cover, page) = rendered(VIDEO)
    assert (report.frames, report.shown, report.partial) == (90, 1, True)
    (entry,) = report.not_shown
    assert (entry.reason, entry.frame_number) == ("UNSUPPORTED_SYNTAX", None)
    assert "frame 31 alone is on a page, as its poster" in entry.detail
    assert len(pdf.pages[1].get_images()) == 1
    for said in ("Video: this page shows a single frame of it", "Poster frame: frame 31 of 90", "3.6 s"):
        assert said in page
    assert "Frame 31 of 90 · poster frame of a video" in page
    assert "It is a video" in cover


@pytest.mark.usefixtures("some_ffmpeg")
def test_a_video_has_one_page_in_its_place_among_the_images() -> None:
    report, _, (_, *pages) = rendered(encode(make_ct(3)), VIDEO, encode(make_ct(1)))
    assert (report.pages, report.shown, report.frames) == (4, 3, 92)
    assert sum("Video:" in page for page in pages) == 1


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("language", ["pt-BR", "en"])
def test_anonymous_pages_say_what_the_video_is_and_nothing_of_the_patient(language: Language) -> None:
    _, _, texts = rendered(VIDEO, language=language, anonymize=True)
    assert "H.264 High@4.1" in texts[1]
    assert "CANAR" not in "".join(texts).upper()


@pytest.mark.usefixtures("no_ffmpeg")
def test_portuguese_pages_have_no_english_words() -> None:
    _, _, (_, page) = rendered(VIDEO, language="pt-BR")
    assert "Vídeo: nenhum quadro pôde ser exibido" in page
    assert "Duração: 3,6 s" in page
    assert not {"Video", "Frames", "Reason"} & set(page.replace(":", " ").split())


@pytest.mark.usefixtures("some_ffmpeg")
def test_an_anonymous_ultrasound_video_of_another_size_than_its_regions_shows_nothing() -> None:
    region = Dataset()
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1 = region.RegionLocationMaxY1 = 99
    options: dict[str, Any] = {"Modality": "US", "SequenceOfUltrasoundRegions": [region]}
    stream = videos.mp4(videos.H264_HIGH)
    agreeing = videos.make_video(stream, uid.MPEG4HP41, number=1, **options)
    other = videos.make_video(stream, uid.MPEG4HP41, size=(960, 540), number=2, **options)
    report, *_ = rendered(agreeing, other, anonymize=True)
    assert report.shown == 1
    assert [entry.reason for entry in report.not_shown] == ["BURNED_IN", "UNSUPPORTED_SYNTAX"]


@pytest.mark.usefixtures("some_ffmpeg")
def test_a_contradiction_is_on_the_page() -> None:
    data = videos.make_video(videos.bare(videos.MPEG2), uid.HEVCMP51)
    _, _, (_, page) = rendered(data)
    assert "contradicts the video itself" in page
    assert "MPEG-2 Main@Main" in page


@pytest.mark.usefixtures("no_ffmpeg")
def test_a_video_without_any_stream_is_not_described() -> None:
    with pytest.raises(NothingToShow):
        rendered(videos.make_video(b"", uid.MPEG2MPML))
