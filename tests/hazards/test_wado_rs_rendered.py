"""WR-01 to WR-10 as the renderer sees them: an error and no PDF, or a PDF that says what is missing."""

from __future__ import annotations

import gzip
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pikepdf
import pytest

from ponte.dicomweb import DicomWebSource, Limits
from ponte.errors import BadAnswer, LimitExceeded, PonteError, SourceRefused
from render.options import RenderOptions
from render.report import RenderReport
from render.study import render_study
from tests.factories import STUDY_UID, encode, make_ct, uid
from tests.stub_pacs import BOUNDARY, Answer, StubPacs, instances, multipart, stub_pacs

STUDY = f"/studies/{STUDY_UID}"
RELATED = f"multipart/related; boundary={BOUNDARY}"
FAST = Limits(retries=0, connect_s=2, read_s=5)
HANG_S = 50.0
MEMORY_KB = 256 << 10
HOME = Path(__file__).parents[2]
WHOLE = multipart(*(encode(make_ct(number)) for number in range(1, 4)))


@pytest.fixture
def pacs() -> Iterator[StubPacs]:
    with stub_pacs() as stub:
        yield stub


def rendered(pacs: StubPacs, out: io.BytesIO, limits: Limits = FAST) -> RenderReport:
    began = perf_counter()
    try:
        options = RenderOptions(cover_page=False, language="en")
        return render_study(DicomWebSource(pacs.url, limits=limits), STUDY_UID, out, options)
    finally:
        assert perf_counter() - began < HANG_S


def related(body: bytes, **options: int | None) -> Answer:
    return Answer(body=body, headers={"Content-Type": RELATED}, **options)  # type: ignore[arg-type]


ANSWERS: dict[str, tuple[Answer, type[PonteError]]] = {
    "wr-01 no boundary": (Answer(body=WHOLE, headers={"Content-Type": "multipart/related"}), BadAnswer),
    "wr-02 a part that breaks off its headers": (
        related(f"--{BOUNDARY}\r\none\r\n--{BOUNDARY}--".encode()),
        BadAnswer,
    ),
    "wr-03 cut within the last instance": (related(WHOLE[:-600], length=len(WHOLE)), BadAnswer),
    "wr-03 cut, and the length says so": (related(WHOLE[:-600]), BadAnswer),
    "wr-04 no parts": (related(f"--{BOUNDARY}--\r\n".encode()), BadAnswer),
    "wr-04 nothing": (related(b""), BadAnswer),
    "wr-05 a login page": (Answer(body=b"<html>", headers={"Content-Type": "text/html"}), BadAnswer),
    "wr-07 gzip": (
        Answer(body=gzip.compress(WHOLE), headers={"Content-Type": RELATED, "Content-Encoding": "gzip"}),
        BadAnswer,
    ),
    "wr-08 another host": (Answer(302, headers={"Location": "http://169.254.169.254/x"}), SourceRefused),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_is_not_the_study_gives_an_error_and_no_pdf(
    name: str, pacs: StubPacs, caplog: pytest.LogCaptureFixture
) -> None:
    answer, expected = ANSWERS[name]
    pacs.routes[STUDY], out = answer, io.BytesIO()
    caplog.set_level(logging.DEBUG)
    with pytest.raises(expected) as caught:
        rendered(pacs, out)
    assert "CANAR" not in (str(caught.value) + caplog.text).upper()
    with pytest.raises(pikepdf.PdfError):
        pikepdf.open(out)
    pacs.routes[STUDY], out = related(WHOLE), io.BytesIO()
    assert rendered(pacs, out).shown == 3
    assert len(pikepdf.open(out).pages) == 3


def test_wr_02_a_part_without_headers_is_rendered(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = related(multipart(encode(make_ct()), part_headers=""))
    assert rendered(pacs, io.BytesIO()).shown == 1


def test_wr_06_a_part_beyond_the_limit_gives_no_pdf(pacs: StubPacs) -> None:
    pacs.routes[STUDY], out = related(WHOLE), io.BytesIO()
    with pytest.raises(LimitExceeded):
        rendered(pacs, out, Limits(instance_bytes=4096, retries=0))
    with pytest.raises(pikepdf.PdfError):
        pikepdf.open(out)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data"])
def test_wr_09_an_address_within_an_instance_or_a_listing_is_never_asked(
    address: str, pacs: StubPacs
) -> None:
    dataset = make_ct(2, PixelDataProviderURL=address, RetrieveURL=address)
    pacs.routes[STUDY] = instances(encode(dataset))
    assert rendered(pacs, io.BytesIO()).shown == 1
    assert [path.partition("?")[0] for path in pacs.paths] == [STUDY]


def test_wr_10_one_bad_instance_has_a_page_that_says_so_and_the_others_theirs(pacs: StubPacs) -> None:
    bad = encode(make_ct(2, Rows=0))
    pacs.routes[STUDY] = instances(encode(make_ct(1)), bad, b"not an instance", encode(make_ct(3)))
    out = io.BytesIO()
    report = rendered(pacs, out)
    assert (report.instances, report.shown, report.pages, report.partial) == (4, 2, 4, True)
    assert [entry.reason for entry in report.not_shown] == ["CANNOT_DECODE", "NOT_DICOM"]
    said = [b"could not be shown" in _drawn(page) for page in pikepdf.open(out).pages]
    assert said == [False, True, False, True]


def test_wr_10_five_thousand_instances_have_their_pages_at_little_memory(pacs: StubPacs) -> None:
    whole = encode(make_ct(77777, size=16))
    name = uid("instance", 1, 77777, make_ct().SOPClassUID).encode()
    assert whole.count(name) == 2
    pacs.routes[STUDY] = instances(*(whole.replace(name, name[:-5] + b"%05d" % n) for n in range(5000)))
    probe = [sys.executable, "-m", "tests.hazards.study_probe", pacs.url]
    done = subprocess.run(probe, cwd=HOME, capture_output=True, text=True, check=True, timeout=HANG_S)
    said = json.loads(done.stdout)
    assert (said["code"], said["pages"], said["shown"]) == ("", 5001, 5000)
    assert said["grown_kb"] < MEMORY_KB
    assert "CANAR" not in said["log"].upper()


def test_wr_10_more_instances_than_the_budget_give_no_pdf(pacs: StubPacs) -> None:
    pacs.routes[STUDY], out = related(WHOLE), io.BytesIO()
    with pytest.raises(LimitExceeded):
        rendered(pacs, out, Limits(instances=2, retries=0))
    with pytest.raises(pikepdf.PdfError):
        pikepdf.open(out)


def _drawn(page: pikepdf.Page) -> bytes:
    lines = pikepdf.parse_content_stream(page)
    return b"\n".join(bytes(line.operands[0]) for line in lines if str(line.operator) == "Tj")
