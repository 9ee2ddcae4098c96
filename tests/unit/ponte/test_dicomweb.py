"""The DICOMweb client against a real HTTP server that answers as told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ponte.dicomweb import Credentials, DicomWebSource, Limits
from ponte.errors import AccessRefused, InvalidRequest, SourceRefused, SourceUnavailable, StudyNotFound
from tests.stub_pacs import Answer, Asked, StubPacs, instances, stub_pacs
from tests.tls import self_signed_context

UID = "1.2.3"
STUDY = f"/dicom-web/studies/{UID}"
FAST = Limits(retries=2, backoff_s=0.001, connect_s=2, read_s=5)
BUSY = Answer(503)


@pytest.fixture
def pacs() -> Iterator[StubPacs]:
    with stub_pacs() as stub:
        yield stub


def source(pacs: StubPacs, **options: Any) -> DicomWebSource:
    return DicomWebSource(f"{pacs.url}/dicom-web/", **{"limits": FAST, **options})


def fetched(source: DicomWebSource) -> list[bytes]:
    return [one.data for one in source.instances(UID)]


def qido(tag: str, *uids: str) -> Answer:
    body = json.dumps([{tag: {"vr": "UI", "Value": [uid]}} for uid in uids]).encode()
    return Answer(body=body, headers={"Content-Type": "application/dicom+json"})


def paged(tag: str, *uids: str) -> Any:
    """A listing that ends: a server that knows `offset`."""

    def answer(asked: Asked) -> Answer:
        offset = int(asked.path.partition("offset=")[2].partition("&")[0] or 0)
        return qido(tag, *uids[offset:]) if offset < len(uids) else Answer(204)

    return answer


def test_a_study_comes_in_one_request_in_the_servers_encoding(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = instances(b"one", b"two")
    found = list(source(pacs).instances(UID))
    assert [(one.data, one.origin) for one in found] == [(b"one", "part 1"), (b"two", "part 2")]
    assert pacs.paths == [STUDY]
    headers = pacs.asked[0].headers
    assert headers["accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'
    assert headers["accept-encoding"] == "identity"
    assert "authorization" not in headers


def test_a_quoted_boundary_is_understood(pacs: StubPacs) -> None:
    good = instances(b"one")
    pacs.routes[STUDY] = Answer(
        body=good.body, headers={"Content-Type": 'multipart/related; boundary="b0undary"'}
    )
    assert fetched(source(pacs)) == [b"one"]


@pytest.mark.parametrize(
    ("obj", "name", "value"),
    [
        ({"type": "bearer", "token": "t0k"}, "authorization", "Bearer t0k"),
        ({"type": "basic", "username": "u", "password": "p"}, "authorization", "Basic dTpw"),
        ({"type": "header", "name": "X-Api-Key", "value": "k"}, "x-api-key", "k"),
    ],
)
def test_credentials_travel_as_headers(pacs: StubPacs, obj: dict[str, str], name: str, value: str) -> None:
    pacs.routes[STUDY] = instances(b"one")
    credentials = Credentials.from_json(obj)
    fetched(source(pacs, credentials=credentials))
    assert pacs.asked[0].headers[name] == value
    assert value not in repr(credentials)


@pytest.mark.parametrize(
    "obj",
    [{}, {"type": "magic"}, {"type": "bearer"}, {"type": "header", "name": "A", "value": "b\r\nC: d"}],
)
def test_credentials_that_make_no_sense_are_refused_without_being_shown(obj: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Credentials.from_json(obj)
    assert "C: d" not in str(caught.value)


@pytest.mark.parametrize("status", [404, 204])
def test_a_study_that_is_not_there_is_not_found(pacs: StubPacs, status: int) -> None:
    pacs.routes[STUDY] = Answer(status)
    with pytest.raises(StudyNotFound):
        fetched(source(pacs))


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_named(pacs: StubPacs, status: int) -> None:
    pacs.routes[STUDY] = Answer(status)
    with pytest.raises(AccessRefused):
        fetched(source(pacs))
    assert len(pacs.paths) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_busy_server_is_asked_again(pacs: StubPacs, status: int) -> None:
    pacs.routes[STUDY] = [Answer(status), Answer(status), instances(b"one")]
    assert fetched(source(pacs)) == [b"one"]
    assert len(pacs.paths) == 3


def test_a_server_that_stays_busy_is_unavailable(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = BUSY
    with pytest.raises(SourceUnavailable):
        fetched(source(pacs))
    assert len(pacs.paths) == 1 + FAST.retries


def test_a_server_that_is_not_there_is_unavailable(pacs: StubPacs) -> None:
    address = pacs.url
    with stub_pacs() as other:
        address = other.url
    with pytest.raises(SourceUnavailable):
        fetched(DicomWebSource(address, limits=FAST))


@pytest.mark.parametrize("status", [400, 405, 406, 415, 501])
def test_a_server_that_does_not_serve_studies_is_asked_by_series(pacs: StubPacs, status: int) -> None:
    pacs.routes[STUDY] = Answer(status)
    pacs.routes[f"{STUDY}/series"] = paged("0020000E", "1.1", "1.2")
    pacs.routes[f"{STUDY}/series/1.1"] = instances(b"one")
    pacs.routes[f"{STUDY}/series/1.2"] = instances(b"two", b"three")
    assert fetched(source(pacs)) == [b"one", b"two", b"three"]


def by_instances(pacs: StubPacs, count: int) -> list[bytes]:
    """A server that serves single instances alone."""
    uids = [f"9.{n}" for n in range(count)]
    pacs.routes[STUDY] = Answer(406)
    pacs.routes[f"{STUDY}/series"] = paged("0020000E", "1.1")
    pacs.routes[f"{STUDY}/series/1.1"] = Answer(406)
    pacs.routes[f"{STUDY}/series/1.1/instances"] = paged("00080018", *uids)
    for uid in uids:
        pacs.routes[f"{STUDY}/series/1.1/instances/{uid}"] = instances(uid.encode())
    return [uid.encode() for uid in uids]


def test_and_then_by_instances_whose_order_is_kept(pacs: StubPacs) -> None:
    expected = by_instances(pacs, 23)
    assert fetched(source(pacs)) == expected


def test_instances_are_asked_for_in_parallel_and_never_many_ahead(pacs: StubPacs) -> None:
    by_instances(pacs, 12)
    together = threading.Barrier(3, timeout=10)

    def meet(_: Asked) -> Answer:
        together.wait()
        return instances(b"x")

    for number in range(12):
        pacs.routes[f"{STUDY}/series/1.1/instances/9.{number}"] = meet
    limits = Limits(retries=0, workers=3)
    stream = source(pacs, limits=limits).instances(UID)
    next(stream)
    assert sum("/instances/" in path for path in pacs.paths) <= 6
    assert len(list(stream)) == 11


def test_pages_of_a_listing_are_followed_to_the_end(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = Answer(406)
    uids = [f"1.{n}" for n in range(5)]

    def two_at_a_time(asked: Asked) -> Answer:
        offset = int(asked.path.partition("offset=")[2])
        return qido("0020000E", *uids[offset : offset + 2])

    pacs.routes[f"{STUDY}/series"] = two_at_a_time
    for uid in uids:
        pacs.routes[f"{STUDY}/series/{uid}"] = instances(uid.encode())
    assert fetched(source(pacs)) == [uid.encode() for uid in uids]


def test_a_server_that_knows_no_offset_does_not_loop(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = Answer(406)
    pacs.routes[f"{STUDY}/series"] = qido("0020000E", "1.1")
    pacs.routes[f"{STUDY}/series/1.1"] = instances(b"one")
    assert fetched(source(pacs)) == [b"one"]


def test_an_address_with_a_place_for_the_study_is_asked_as_it_is(pacs: StubPacs) -> None:
    pacs.routes["/client-api/patients"] = instances(b"one", b"two")
    found = DicomWebSource(f"{pacs.url}/client-api/patients?studyUID={{study}}", limits=FAST)
    assert fetched(found) == [b"one", b"two"]
    assert pacs.paths == [f"/client-api/patients?studyUID={UID}"]


def test_such_an_address_may_answer_with_a_single_instance(pacs: StubPacs) -> None:
    pacs.routes["/p"] = Answer(body=b"one", headers={"Content-Type": "application/dicom"})
    assert fetched(DicomWebSource(f"{pacs.url}/p?studyUID={{study}}", limits=FAST)) == [b"one"]


def test_such_an_address_has_nothing_to_fall_back_to(pacs: StubPacs) -> None:
    pacs.routes["/p"] = Answer(406)
    with pytest.raises(SourceRefused):
        fetched(DicomWebSource(f"{pacs.url}/p?studyUID={{study}}", limits=FAST))


@pytest.mark.parametrize("uid", ["", "1.2.3/../4", "1.2.3?x=1", "a" * 10, "1" * 65, "1..2"])
def test_what_is_no_uid_is_never_asked_for(pacs: StubPacs, uid: str) -> None:
    with pytest.raises(InvalidRequest):
        list(source(pacs).instances(uid))
    assert pacs.paths == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "https://",
        "host/dicom-web",
        "http://user:s3cret@host/",
        "file:///etc/passwd",
        "http://[::1",
    ],
)
def test_an_address_that_makes_no_sense_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        DicomWebSource(url)
    assert "s3cret" not in str(caught.value)


def test_studies_are_listed_with_their_instances(pacs: StubPacs) -> None:
    rows = [
        {"0020000D": {"Value": ["1.2"]}, "00201208": {"Value": [7]}},
        {"0020000D": {"Value": ["1.3"]}},
    ]
    pacs.routes["/dicom-web/studies"] = Answer(body=json.dumps(rows).encode())
    assert source(pacs).studies(limit=5) == {"1.2": 7, "1.3": 0}


@pytest.mark.parametrize("count", ["1e999", "NaN", '"many"', f'"{"9" * 5000}"', "-3", "null", "[]"])
def test_a_count_that_is_none_is_0(pacs: StubPacs, count: str) -> None:
    row = f'{{"0020000D": {{"Value": ["1.2"]}}, "00201208": {{"Value": [{count}]}}}}'
    pacs.routes["/dicom-web/studies"] = Answer(body=f"[{row}]".encode())
    assert source(pacs).studies() == {"1.2": 0}


def test_an_empty_server_lists_no_studies(pacs: StubPacs) -> None:
    pacs.routes["/dicom-web/studies"] = Answer(204)
    assert source(pacs).studies() == {}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'[{"0020000D": {"Value": ["1.2.3"]}, "00201208": {"Value": [7]}}]', 7),
        (b'[{"0020000D": {"Value": ["1.2.3"]}}]', None),
        (b"[]", None),
        (b"[{}, {}]", None),
        (b"not JSON", None),
        (None, None),
    ],
)
def test_how_many_instances_a_study_has_is_asked_and_never_an_error(
    pacs: StubPacs, answer: bytes | None, expected: int | None
) -> None:
    pacs.routes["/dicom-web/studies"] = Answer(501) if answer is None else Answer(body=answer)
    assert source(pacs).count("1.2.3") == expected
    assert source(pacs).count("no UID") is None
    assert DicomWebSource("http://127.0.0.1:9/dicom-web").count("1.2.3") is None


def test_redirects_within_the_origin_are_followed(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = Answer(307, headers={"Location": "/elsewhere"})
    pacs.routes["/elsewhere"] = instances(b"one")
    credentials = Credentials({"Authorization": "Bearer t"})
    assert fetched(source(pacs, credentials=credentials)) == [b"one"]
    assert pacs.asked[1].headers["authorization"] == "Bearer t"


def test_redirects_do_not_go_on_forever(pacs: StubPacs) -> None:
    pacs.routes[STUDY] = Answer(302, headers={"Location": STUDY})
    with pytest.raises(SourceRefused, match="redirects"):
        fetched(source(pacs))
    assert len(pacs.paths) == 4


def test_proxies_and_netrc_of_the_environment_are_ignored(
    pacs: StubPacs, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    pacs.routes[STUDY] = instances(b"one")
    assert fetched(source(pacs)) == [b"one"]
    assert "authorization" not in pacs.asked[0].headers


def test_a_certificate_that_nobody_vouches_for_is_refused_and_no_credential_is_sent(tmp_path: Path) -> None:
    with stub_pacs(self_signed_context(tmp_path)) as stub:
        credentials = Credentials.from_json({"type": "bearer", "token": "secret"})
        source = DicomWebSource(stub.url, credentials=credentials)
        with pytest.raises(SourceRefused, match="certificate"):
            next(source.instances("1.2.3"))
        assert stub.asked == []
