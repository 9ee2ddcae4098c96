"""WR-01 to WR-10: what a DICOMweb server may send, and what must not become of it."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from operator import attrgetter

import pytest

from ponte.dicomweb import Credentials, DicomWebSource, Limits
from ponte.errors import (
    BadAnswer,
    LimitExceeded,
    SourceRefused,
    SourceTimeout,
    TransientError,
)
from ponte.image import Image
from ponte.instance import open_instance
from tests.factories import encode, make_ct
from tests.stub_pacs import BOUNDARY, Answer, Asked, StubPacs, instances, multipart, stub_pacs

UID = "1.2.3"
STUDY = f"/studies/{UID}"
FAST = Limits(retries=1, backoff_s=0.001, connect_s=2, read_s=5)
RELATED = f"multipart/related; boundary={BOUNDARY}"


@pytest.fixture
def pacs() -> Iterator[StubPacs]:
    with stub_pacs() as stub:
        yield stub


def fetched(pacs: StubPacs, limits: Limits = FAST, credentials: Credentials | None = None) -> list[bytes]:
    source = DicomWebSource(pacs.url, limits=limits, credentials=credentials)
    return [one.data for one in source.instances(UID)]


def test_wr_01_an_answer_without_boundary_is_bad(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = Answer(body=multipart(b"one"), headers={"Content-Type": "multipart/related"})
    with pytest.raises(BadAnswer, match="boundary"):
        fetched(pacs)


def test_wr_02_a_part_without_headers_is_taken_and_one_that_breaks_them_off_is_bad(pacs: StubPacs) -> None:
    bare = f"--{BOUNDARY}\r\n\r\none\r\n--{BOUNDARY}--".encode()
    broken = f"--{BOUNDARY}\r\none\r\n--{BOUNDARY}--".encode()
    pacs.routes[STUDY] = [Answer(body=body, headers={"Content-Type": RELATED}) for body in (bare, broken)]
    assert fetched(pacs) == [b"one"]
    with pytest.raises(BadAnswer):
        fetched(pacs)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("claim_it_all", [True, False])
def test_wr_03_a_cut_answer_is_bad(pacs: StubPacs, share: float, claim_it_all: bool) -> None:
    whole = multipart(*(encode(make_ct(n)) for n in range(3)))
    cut = whole[: int(len(whole) * share) - 4]
    length = len(whole) if claim_it_all else None
    pacs.routes[STUDY] = Answer(body=cut, headers={"Content-Type": RELATED}, length=length)
    with pytest.raises(TransientError) as caught:
        fetched(pacs)
    assert caught.value.code == "PACS_ERROR"


def test_wr_03_a_cut_in_the_middle_is_not_asked_again(pacs: StubPacs) -> None:
    whole = multipart(b"a" * 300_000, b"b" * 300_000)
    pacs.routes[STUDY] = Answer(body=whole[:400_000], headers={"Content-Type": RELATED}, length=len(whole))
    source = DicomWebSource(pacs.url, limits=FAST).instances(UID)
    assert next(source).data == b"a" * 300_000
    with pytest.raises(BadAnswer):
        next(source)
    assert len(pacs.paths) == 1


@pytest.mark.parametrize("body", [b"", f"--{BOUNDARY}--\r\n".encode()])
def test_wr_04_no_parts_at_all_are_bad(pacs: StubPacs, body: bytes) -> None:
    pacs.routes[STUDY] = Answer(body=body, headers={"Content-Type": RELATED})
    with pytest.raises(BadAnswer):
        fetched(pacs)


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "<script>", ""])
def test_wr_05_a_login_page_is_bad(pacs: StubPacs, kind: str) -> None:
    pacs.routes[STUDY] = Answer(body=b"<html>log in</html>", headers={"Content-Type": kind})
    with pytest.raises(BadAnswer) as caught:
        fetched(pacs)
    assert "script" not in str(caught.value)


@pytest.mark.parametrize("header", ["", "Content-Length: 4000000\r\n"])
def test_wr_06_a_part_beyond_the_limit_is_refused_and_not_kept(pacs: StubPacs, header: str) -> None:
    body = multipart(b"\0" * 4_000_000, part_headers=header)
    pacs.routes[STUDY] = Answer(body=body, headers={"Content-Type": RELATED})
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            fetched(pacs, Limits(instance_bytes=1 << 16))
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_wr_06_a_study_beyond_the_limit_is_refused(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = instances(*[b"\0" * 1000] * 20)
    with pytest.raises(LimitExceeded):
        fetched(pacs, Limits(study_bytes=10_000))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_wr_07_a_compressed_answer_is_not_inflated(pacs: StubPacs, encoding: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    headers = {"Content-Type": RELATED, "Content-Encoding": encoding}
    pacs.routes[STUDY] = Answer(body=bomb, headers=headers)
    with pytest.raises(BadAnswer, match="compressed"):
        fetched(pacs)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_wr_08_a_redirect_to_another_origin_is_refused_and_learns_nothing(
    pacs: StubPacs, status: int
) -> None:
    with stub_pacs() as other:
        other.routes[STUDY] = instances(b"one")
        pacs.routes[STUDY] = Answer(status, headers={"Location": other.url + STUDY})
        with pytest.raises(SourceRefused, match="another origin"):
            fetched(pacs, credentials=Credentials({"Authorization": "Bearer t"}))
        assert other.asked == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "https://127.0.0.1/", "//169.254.169.254/latest"])
def test_wr_08_so_is_one_to_another_scheme_or_host(pacs: StubPacs, target: str) -> None:
    pacs.routes[STUDY] = Answer(302, headers={"Location": target})
    with pytest.raises(SourceRefused):
        fetched(pacs)


@pytest.mark.parametrize(
    "uid", ["../../admin", "1.2/../..", "http://169.254.169.254/", "1.2\r\nX: y", "", None, 12]
)
def test_wr_09_a_listing_cannot_send_us_anywhere(pacs: StubPacs, uid: object) -> None:
    row = {"0020000E": {"vr": "UI", "Value": [uid], "BulkDataURI": "file:///etc/passwd"}}
    pacs.routes[STUDY] = Answer(406)
    pacs.routes[f"{STUDY}/series"] = Answer(body=json.dumps([row]).encode())
    with pytest.raises(BadAnswer):
        fetched(pacs)
    assert all(path.startswith(STUDY) for path in pacs.paths)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[1]", b"[" * 100_000, b'[{"0020000E": 7}]', b"\xff"])
def test_wr_09_a_listing_that_is_no_dicom_json_is_bad(pacs: StubPacs, body: bytes) -> None:
    pacs.routes[STUDY] = Answer(406)
    pacs.routes[f"{STUDY}/series"] = Answer(body=body)
    with pytest.raises(BadAnswer):
        fetched(pacs)


def test_wr_10_five_thousand_instances_come_through_one_at_a_time(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = instances(*[b"x" * 200] * 5000)
    source = DicomWebSource(pacs.url, limits=FAST)
    assert sum(1 for _ in source.instances(UID)) == 5000


@pytest.mark.parametrize("header", ["", "Content-Length: 8000000\r\n"])
def test_wr_10_no_more_than_one_instance_is_in_memory(pacs: StubPacs, header: str) -> None:
    body = multipart(*[b"\0" * 8_000_000] * 3, part_headers=header)
    pacs.routes[STUDY] = Answer(body=body, headers={"Content-Type": RELATED})
    source = DicomWebSource(pacs.url, limits=FAST).instances(UID)
    tracemalloc.start()
    try:
        assert sum(map(len, map(attrgetter("data"), source))) == 24_000_000  # which keeps none itself
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


def test_wr_10_more_than_the_budget_are_refused(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = instances(*[b"x"] * 50)
    with pytest.raises(LimitExceeded, match="49"):
        fetched(pacs, Limits(instances=49))


def test_wr_10_one_bad_instance_leaves_the_others_alone(pacs: StubPacs) -> None:
    good = encode(make_ct())
    pacs.routes[STUDY] = instances(good, b"not an instance", good)
    found = fetched(pacs)
    assert [found[0], found[2]] == [good, good]
    assert Image(open_instance(found[2])).picture(0).pixels.any()


def test_a_server_that_falls_silent_is_a_time_out(pacs: StubPacs) -> None:
    whole = multipart(b"one" * 1000)

    def stall(_: Asked) -> Answer:
        return Answer(body=whole[:100], headers={"Content-Type": RELATED, "X": "y"}, length=len(whole))

    pacs.hold_open.add(STUDY)
    pacs.routes[STUDY] = stall
    with pytest.raises(SourceTimeout) as caught:
        fetched(pacs, Limits(read_s=0.2, retries=0))
    assert caught.value.code == "PACS_TIMEOUT"
