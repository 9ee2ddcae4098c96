"""The client of Orthanc's own interface against a real HTTP server that answers as told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from ponte.destination import Outcome, Outgoing
from ponte.dicomweb import Credentials
from ponte.errors import (
    AccessRefused,
    BadAnswer,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    InvalidRequest,
    PonteError,
)
from ponte.orthanc import OrthancDestination
from ponte.storeclient import StoreLimits
from tests.factories import encode, make_ct
from tests.stub_pacs import Answer, Asked, StubPacs, stub_pacs

INSTANCES = "/instances"
ID = "19816330-cb02e1cf-df3a8fe8-bf510623-ccefe9f5"
KEPT = f"/instances/{ID}/attachments/dicom/md5"
FILE = f"/instances/{ID}/file"
FAST = StoreLimits(retries=2, backoff_s=0.001, connect_s=2, answer_s=5, answer_bytes=1 << 16)
ONE, TWO = "1.2.3.1", "1.2.3.2"
HAD = Outcome(ONE, "stored", "It had the instance already")
CANARY = "CANARIO^PACIENTE"
CONTENT = b"an instance"


@pytest.fixture
def orthanc() -> Iterator[StubPacs]:
    with stub_pacs() as stub:
        yield stub


def store(orthanc: StubPacs, *instances: Outgoing, **options: Any) -> list[Outcome]:
    destination = OrthancDestination(orthanc.url, **{"limits": FAST, **options})
    return list(destination.store(instances or [Outgoing(ONE, CONTENT)]))


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def said(status: str = "Success", **more: Any) -> Answer:
    return as_json({"ID": ID, "ParentStudy": ID, "Path": f"/instances/{ID}", "Status": status, **more})


def test_each_instance_is_a_request_of_its_bytes_and_has_its_outcome(orthanc: StubPacs) -> None:
    orthanc.routes[INSTANCES] = said()
    credentials = Credentials.from_json({"type": "basic", "username": "u", "password": "p"})
    outcomes = store(orthanc, Outgoing(ONE, b"one"), Outgoing(TWO, BytesIO(b"two")), credentials=credentials)
    assert outcomes == [Outcome(ONE, "stored"), Outcome(TWO, "stored")]
    assert [asked.body for asked in orthanc.asked] == [b"one", b"two"]
    assert {asked.headers["content-type"] for asked in orthanc.asked} == {"application/dicom"}
    assert {asked.headers["authorization"] for asked in orthanc.asked} == {"Basic dTpw"}


def test_the_head_that_was_made_anew_is_what_goes_out(orthanc: StubPacs) -> None:
    orthanc.routes[INSTANCES] = said()
    store(orthanc, Outgoing(ONE, b"OLDdataset", dataset_start=3, head=b"NEW HEAD "))
    assert orthanc.asked[0].body == b"NEW HEAD dataset"


def test_instances_are_taken_as_they_are_needed(orthanc: StubPacs) -> None:
    orthanc.routes[INSTANCES] = said()
    taken: list[int] = []

    def instances() -> Iterator[Outgoing]:
        for number in range(3):
            taken.append(number)
            yield Outgoing(f"1.2.{number}", CONTENT)

    assert next(OrthancDestination(orthanc.url, limits=FAST).store(instances())).stored
    assert taken == [0]


def test_what_it_had_already_is_stored_when_the_file_is_the_same(orthanc: StubPacs) -> None:
    orthanc.routes[INSTANCES] = said("AlreadyStored")
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    orthanc.routes[KEPT] = Answer(200, digest.upper().encode())
    assert store(orthanc) == [HAD]


@pytest.mark.parametrize("digest", [Answer(200, b"0" * 32), Answer(404), Answer(200, b"x" * 70_000)])
def test_what_it_had_already_is_compared_where_the_file_is_another_one(
    orthanc: StubPacs, digest: Answer
) -> None:
    sent, other = make_ct(1), make_ct(1, PatientID="OTHER")
    orthanc.routes[INSTANCES] = said("AlreadyStored")
    orthanc.routes[KEPT] = digest
    orthanc.routes[FILE] = Answer(200, b"II*\0" + encode(sent)[4:])
    assert store(orthanc, Outgoing(ONE, encode(sent))) == [HAD]
    orthanc.routes[FILE] = Answer(200, encode(other))
    (outcome,) = store(orthanc, Outgoing(ONE, encode(sent)))
    assert (outcome.status, outcome.reason, outcome.retryable) == ("refused", 0x0111, False)


@pytest.mark.parametrize(
    ("file", "status"),
    [
        (Answer(404), "unknown"),
        (Answer(200, b"cut", length=2000), "unknown"),
        (Answer(200, b"<html>"), "refused"),
        (Answer(200, bytes(3 << 20)), "refused"),
    ],
    ids=["gone", "cut", "a page", "too large"],
)
def test_what_it_does_not_show_is_no_success(orthanc: StubPacs, file: Answer, status: str) -> None:
    orthanc.routes[INSTANCES] = said("AlreadyStored")
    orthanc.routes[KEPT] = Answer(404)
    orthanc.routes[FILE] = file
    (outcome,) = store(orthanc, Outgoing(ONE, encode(make_ct(1))))
    assert (outcome.status, outcome.retryable) == (status, status == "unknown")


def test_what_is_too_large_to_compare_is_not_fetched(
    orthanc: StubPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ponte.orthanc._MOST_COMPARED", 10)
    orthanc.routes[INSTANCES] = said("AlreadyStored")
    orthanc.routes[KEPT] = Answer(404)
    (outcome,) = store(orthanc)
    assert (outcome.status, outcome.reason) == ("refused", 0x0111)
    assert FILE not in orthanc.paths


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_it_cannot_read_is_refused_and_does_not_cost_the_others(orthanc: StubPacs, status: int) -> None:
    orthanc.routes[INSTANCES] = lambda asked: Answer(status) if asked.body == b"bad" else said()
    first, second = store(orthanc, Outgoing(ONE, b"bad"), Outgoing(TWO, CONTENT))
    assert (first.status, first.retryable, first.detail) == ("refused", False, f"The server answers {status}")
    assert second.stored


def test_what_a_filter_refuses_is_refused(orthanc: StubPacs) -> None:
    orthanc.routes[INSTANCES] = as_json({"Status": "FilteredOut"})
    assert store(orthanc)[0].status == "refused"


FALSE_SUCCESS: dict[str, Answer] = {
    "nothing": Answer(200),
    "a login page": Answer(200, b"<html>Success</html>"),
    "a list": as_json([]),
    "no status": as_json({"ID": ID}),
    "no identifier": as_json({"Status": "Success"}),
    "an identifier that goes elsewhere": as_json({"Status": "AlreadyStored", "ID": "../../system"}),
    "another word": said("Failure"),
    "a number": as_json({"Status": 1, "ID": ID}),
    "cut": Answer(200, b'{"Status":"Success"', length=200),
    "compressed": Answer(200, said().body, {"Content-Encoding": "gzip"}),
    "too large": said(more="x" * (1 << 17)),
}


@pytest.mark.parametrize("name", FALSE_SUCCESS)
def test_an_answer_that_does_not_say_it_clearly_is_no_success(orthanc: StubPacs, name: str) -> None:
    orthanc.routes[INSTANCES] = FALSE_SUCCESS[name]
    (outcome,) = store(orthanc)
    assert (outcome.status, outcome.retryable) == ("unknown", True)


@pytest.mark.parametrize(
    ("status", "error", "asked"),
    [
        (401, AccessRefused, 1),
        (403, AccessRefused, 1),
        (404, DestinationRefused, 1),
        (201, DestinationRefused, 1),
        (302, DestinationRefused, 1),
        (429, DestinationUnavailable, 3),
        (500, DestinationUnavailable, 3),
        (503, DestinationUnavailable, 3),
        (507, DestinationUnavailable, 3),
    ],
)
def test_what_is_not_about_the_instance_raises_and_what_may_pass_is_tried_again(
    orthanc: StubPacs, status: int, error: type[PonteError], asked: int
) -> None:
    orthanc.routes[INSTANCES] = Answer(status, said().body)
    with pytest.raises(error):
        store(orthanc)
    assert len(orthanc.asked) == asked


def test_a_busy_server_is_sent_all_of_it_again(orthanc: StubPacs) -> None:
    orthanc.routes[INSTANCES] = [Answer(503), said()]
    assert store(orthanc, Outgoing(ONE, BytesIO(b"all of it")))[0].stored
    assert [asked.body for asked in orthanc.asked] == [b"all of it"] * 2


def test_silence_is_a_timeout(orthanc: StubPacs) -> None:
    def silent(asked: Asked) -> Answer:
        orthanc.closing.wait()
        return Answer(200)

    orthanc.routes[INSTANCES] = silent
    with pytest.raises(DestinationTimeout):
        store(orthanc, limits=StoreLimits(answer_s=0.2))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with stub_pacs() as gone:
        url = gone.url
    with pytest.raises(DestinationUnavailable):
        list(OrthancDestination(url, limits=FAST).store([Outgoing(ONE, CONTENT)]))
    with pytest.raises(DestinationUnavailable):
        OrthancDestination(url, limits=FAST).check()


def test_neither_instances_nor_credentials_go_elsewhere(orthanc: StubPacs) -> None:
    orthanc.routes[INSTANCES] = Answer(307, headers={"Location": "http://127.0.0.1:1/instances"})
    with pytest.raises(DestinationRefused):
        store(orthanc)


def test_an_orthanc_says_its_version(orthanc: StubPacs) -> None:
    orthanc.routes["/system"] = [Answer(503), as_json({"Version": "1.12.6", "Name": "x"})]
    OrthancDestination(orthanc.url, limits=FAST).check()
    assert orthanc.paths == ["/system", "/system"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (as_json({"name": "another"}), DestinationRefused),
        (Answer(200, b"<html>"), BadAnswer),
        (Answer(401), AccessRefused),
        (Answer(404), DestinationRefused),
        (Answer(500), DestinationUnavailable),
    ],
)
def test_what_is_no_orthanc_or_does_not_let_us_in_fails_the_check(
    orthanc: StubPacs, answer: Answer, error: type[PonteError]
) -> None:
    orthanc.routes["/system"] = answer
    with pytest.raises(error):
        OrthancDestination(orthanc.url, limits=FAST).check()


@pytest.mark.parametrize("url", ["ftp://host/x", "http://user:secret@host/x", "host", ""])
def test_an_address_that_takes_nothing_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        OrthancDestination(url)
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_nothing_of_the_patient_or_of_the_answer_is_in_errors(orthanc: StubPacs, status: int) -> None:
    orthanc.routes[INSTANCES] = Answer(status, json.dumps({"Status": CANARY, "Details": CANARY}).encode())
    try:
        text = repr(store(orthanc, Outgoing(ONE, CANARY.encode())))
    except PonteError as error:
        text = repr(error) + str(error.__cause__ or "")
    assert CANARY not in text
