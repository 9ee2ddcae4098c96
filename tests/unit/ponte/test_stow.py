"""The STOW-RS client against a real HTTP server that answers as told, also as no server should."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ponte.destination import Outcome, Outgoing
from ponte.dicomweb import Credentials
from ponte.errors import (
    AccessRefused,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    InvalidRequest,
    PermanentError,
    PonteError,
    SourceUnavailable,
)
from ponte.multipart import PartLimits, boundary_of, iterate_parts
from ponte.stow import StoreLimits, StowDestination
from tests.stub_pacs import Answer, Asked, StubPacs, stub_pacs
from tests.tls import self_signed_context

STUDIES = "/dicom-web/studies"
FAST = StoreLimits(retries=2, backoff_s=0.001, connect_s=2, answer_s=5, answer_bytes=1 << 16)
ONE, TWO = "1.2.3.1", "1.2.3.2"
CANARY = "CANARIO^PACIENTE"


@pytest.fixture
def pacs() -> Iterator[StubPacs]:
    with stub_pacs() as stub:
        yield stub


def destination(pacs: StubPacs, **options: Any) -> StowDestination:
    return StowDestination(f"{pacs.url}/dicom-web/", **{"limits": FAST, **options})


def store(pacs: StubPacs, *instances: Outgoing, **options: Any) -> list[Outcome]:
    return list(destination(pacs, **options).store(instances or [Outgoing(ONE, b"instance")]))


def items(tag: str, reasons: dict[str, int | None]) -> list[dict[str, Any]]:
    return [
        {"00081155": {"vr": "UI", "Value": [uid]}}
        | ({tag: {"vr": "US", "Value": [reason]}} if reason is not None else {})
        for uid, reason in reasons.items()
    ]


def said(
    stored: dict[str, int | None] | None = None, failed: dict[str, int | None] | None = None
) -> dict[str, Any]:
    """A store response of these instances, each with its reason."""
    return {
        "00081190": {"vr": "UR", "Value": ["http://pacs/studies/1.2.3"]},
        "00081199": {"vr": "SQ", "Value": items("00081196", stored or {})},
        "00081198": {"vr": "SQ", "Value": items("00081197", failed or {})},
    }


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/dicom+json"})


def as_xml(value: dict[str, Any], status: int = 200) -> Answer:
    """The same as Native DICOM Model (PS3.19 A.1)."""

    def attributes(row: dict[str, Any]) -> str:
        return "".join(
            f'<DicomAttribute tag="{tag}" vr="{element["vr"]}">'
            + "".join(
                f'<Item number="{number}">{attributes(one)}</Item>'
                if isinstance(one, dict)
                else f'<Value number="{number}">{one}</Value>'
                for number, one in enumerate(element["Value"], 1)
            )
            + "</DicomAttribute>"
            for tag, element in row.items()
        )

    namespace = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
    text = (
        f'<?xml version="1.0"?><NativeDicomModel xmlns="{namespace}">{attributes(value)}</NativeDicomModel>'
    )
    return Answer(status, text.encode(), {"Content-Type": "application/dicom+xml"})


def parts(asked: Asked) -> list[bytes]:
    """What the request held, read by the reader of multipart that fetching uses."""
    limits = PartLimits(1 << 30, 1 << 30, 1000)
    found = list(iterate_parts(iter([asked.body]), boundary_of(asked.headers["content-type"]), limits))
    assert all(part.headers == {"content-type": "application/dicom"} for part in found)
    return [part.data for part in found]


def everything(asked: Asked) -> Answer:
    """Stores what it gets: the tests' instances begin with their UID."""
    return as_json(said({part.partition(b" ")[0].decode(): None for part in parts(asked)}))


def instance(uid: str, size: int = 20) -> Outgoing:
    return Outgoing(uid, f"{uid} ".encode().ljust(size, b"x"))


@pytest.mark.parametrize("answer", [as_json, as_xml, lambda value: as_json([value])])
def test_instances_go_in_one_request_and_each_has_its_outcome(pacs: StubPacs, answer: Any) -> None:
    pacs.routes[STUDIES] = answer(said({ONE: None, TWO: 0xB000}))
    assert store(pacs, instance(ONE), instance(TWO)) == [
        Outcome(ONE, "stored"),
        Outcome(TWO, "stored_with_warning", "B000H: it changed attributes", 0xB000),
    ]
    (asked,) = pacs.asked
    assert parts(asked) == [instance(ONE).content, instance(TWO).content]
    assert asked.headers["accept"] == "application/dicom+json"
    assert asked.headers["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert "transfer-encoding" not in asked.headers


@pytest.mark.parametrize("size", [0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 3_000_000])
def test_a_file_is_sent_whole_from_its_start(pacs: StubPacs, tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "instance").write_bytes(content)
    pacs.routes[STUDIES] = as_json(said({ONE: None}))
    with (tmp_path / "instance").open("rb") as stream:
        stream.read(7)
        (outcome,) = store(pacs, Outgoing(ONE, stream))
    assert outcome.stored
    assert parts(pacs.asked[0]) == [content]


class Watched(BytesIO):
    """A file that knows how much of it was asked for at once."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.most = max(self.most, len(self.getbuffer()) if size is None or size < 0 else size)
        return super().read(size)


def test_a_file_is_never_in_memory_as_a_whole(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = as_json(said({ONE: None}))
    stream = Watched(bytes(5_000_000))
    store(pacs, Outgoing(ONE, stream))
    assert 0 < stream.most <= 1 << 20


def test_a_file_that_becomes_shorter_is_an_error_and_not_half_an_instance(pacs: StubPacs) -> None:
    class Shrinking(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            self.truncate(1000)
            return super().read(size)

    pacs.routes[STUDIES] = as_json(said({ONE: None}))
    with pytest.raises(SourceUnavailable, match="became shorter"):
        store(pacs, Outgoing(ONE, Shrinking(bytes(2000))))


def test_batches_are_cut_by_bytes_and_by_number_and_taken_as_needed(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = everything
    limits = StoreLimits(batch_bytes=100, batch_instances=3)
    sizes = [60, 60, 40, 150, 20, 20, 20, 20]
    taken: list[int] = []

    def instances() -> Iterator[Outgoing]:
        for number, size in enumerate(sizes):
            taken.append(number)
            yield instance(f"1.2.{number}", size)

    outcomes = destination(pacs, limits=limits).store(instances())
    assert next(outcomes).stored
    assert taken == [0, 1]
    assert [one.sop_instance_uid for one in outcomes] == [f"1.2.{number}" for number in range(1, len(sizes))]
    assert [[len(part) for part in parts(asked)] for asked in pacs.asked] == [
        [60], [60, 40], [150], [20, 20, 20], [20],
    ]  # fmt: skip


def test_a_uid_never_comes_twice_in_one_request(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = everything
    assert [one.stored for one in store(pacs, instance(ONE), instance(TWO), instance(ONE, 30))] == [True] * 3
    assert [len(parts(asked)) for asked in pacs.asked] == [2, 1]


@pytest.mark.parametrize("answer", [as_json, as_xml])
@pytest.mark.parametrize(
    ("reason", "detail", "retryable"),
    [
        (0xA700, "A700H: out of resources", True),
        (0xA900, "A900H: dataset does not match its SOP class", False),
        (0xC123, "C123H: cannot understand the instance", False),
        (0xC122, "C122H: transfer syntax not supported", False),
        (272, "0110H: processing failure", True),
        (45070, "B00EH: it has an instance of this UID already", False),
        (0x1234, "1234H", False),
        (None, "The server refuses it without a reason", False),
    ],
)
def test_the_one_that_failed_is_refused_with_its_reason(
    pacs: StubPacs, answer: Any, reason: int | None, detail: str, retryable: bool
) -> None:
    pacs.routes[STUDIES] = answer(said({TWO: None}, {ONE: reason}), 202)
    assert store(pacs, instance(ONE), instance(TWO)) == [
        Outcome(ONE, "refused", detail, reason, retryable),
        Outcome(TWO, "stored"),
    ]


def nested() -> dict[str, Any]:
    """The instance named within an item, as a related one: not what the item is about."""
    row = said({TWO: None})
    row["00081199"]["Value"][0]["00081140"] = {"vr": "SQ", "Value": items("00081196", {ONE: None})}
    return row


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


JSON = {"Content-Type": "application/dicom+json"}
GOOD = json.dumps(said({ONE: None})).encode()
CHUNKED = JSON | {"Transfer-Encoding": "chunked"}
FALSE_SUCCESS: dict[str, Answer] = {
    "nothing": Answer(200),
    "no content": Answer(204),
    "spaces": Answer(200, b" \r\n"),
    "an empty object": as_json({}),
    "an empty list": as_json([]),
    "null": as_json(None),
    "a number": as_json(1),
    "list of strings": as_json([ONE]),
    "empty sequences": as_json(said()),
    "another instance": as_json(said({TWO: None})),
    "a prefix of the UID": as_json(said({ONE[:-1]: None})),
    "within an item": as_json(nested()),
    "within an item, XML": as_xml(nested()),
    "two UIDs in one item": as_json(
        {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": [ONE, TWO]}}]}}
    ),
    "a number for a UID": as_json({"00081199": {"Value": [{"00081155": {"Value": [123]}}]}}),
    "no sequence": as_json({"00081199": {"Value": {"00081155": {"Value": [ONE]}}}}),
    "text": Answer(200, b"stored: " + ONE.encode()),
    "a login page": Answer(200, b"<html><body>" + ONE.encode() + b"</body></html>"),
    "truncated JSON": Answer(200, GOOD[:-2], JSON),
    "JSON cut by the connection": Answer(200, GOOD[:-2], JSON, length=len(GOOD)),
    "JSON that is whole, cut by the connection": Answer(200, GOOD, JSON, length=len(GOOD) + 9),
    "JSON that is whole, in chunks without the last": Answer(200, chunk(GOOD), CHUNKED, length=None),
    "failures that are no items": as_json(said({ONE: None}) | {"00081198": {"Value": [ONE]}}),
    "failures that are no list": as_json(said({ONE: None}) | {"00081198": {"Value": {}}}),
    "failures that are null": as_json(said({ONE: None}) | {"00081198": None}),
    "failures that are a value, XML": as_xml(said({ONE: None}) | {"00081198": {"vr": "SQ", "Value": ["x"]}}),
    "two objects": Answer(200, GOOD + GOOD, JSON),
    "a name twice": Answer(200, b'{"00081198":{},"00081198":{},' + GOOD[1:], JSON),
    "not UTF-8": Answer(200, GOOD[:-1] + b'"\xff"', JSON),
    "deep JSON": Answer(200, b"[" * 60_000, JSON),
    "a huge number": Answer(200, b'{"a":' + b"9" * 5000 + b"}", JSON),
    "truncated XML": Answer(200, as_xml(said({ONE: None})).body[:-5]),
    "an entity": Answer(200, b'<!DOCTYPE x [<!ENTITY a "b">]>' + as_xml(said({ONE: None})).body[21:]),
    "deep XML": Answer(200, b"<NativeDicomModel>" + b"<Item>" * 5000),
    "compressed": Answer(200, GOOD, JSON | {"Content-Encoding": "gzip"}),
    "too large": Answer(200, b" " * (1 << 17) + GOOD, JSON),
    "without end": Answer(200, b'{"a":"' + b"x" * (1 << 20), JSON, length=1 << 40),
    "stored, said with 409": as_json(said({ONE: None}), 409),
    "409 for another one": as_json(said({}, {TWO: 0xA700}), 409),
    "other failures": as_json({"0008119A": {"Value": [{"00081197": {"Value": [0x0122]}}]}}),
}


@pytest.mark.parametrize("name", FALSE_SUCCESS)
def test_what_the_answer_does_not_name_is_not_stored(pacs: StubPacs, name: str) -> None:
    pacs.routes[STUDIES] = FALSE_SUCCESS[name]
    (outcome,) = store(pacs)
    assert (outcome.status, outcome.stored, outcome.retryable) == ("unknown", False, True)
    assert outcome.detail
    assert len(pacs.asked) == 1


def test_an_answer_in_chunks_is_read(pacs: StubPacs) -> None:
    body = chunk(GOOD[:10]) + chunk(GOOD[10:]) + b"0\r\n\r\n"
    pacs.routes[STUDIES] = Answer(200, body, CHUNKED, length=None)
    assert store(pacs) == [Outcome(ONE, "stored")]


@pytest.mark.parametrize("answer", [as_json, as_xml])
def test_an_instance_that_is_said_to_be_both_is_refused(pacs: StubPacs, answer: Any) -> None:
    pacs.routes[STUDIES] = answer(said({ONE: None}, {ONE: 0x0110}))
    (outcome,) = store(pacs)
    assert (outcome.status, outcome.reason) == ("refused", 0x0110)


@pytest.mark.parametrize("body", [b"", b"conflict", b'{"00081198":{"vr":"SQ"'])
def test_409_without_a_reason_is_refused(pacs: StubPacs, body: bytes) -> None:
    pacs.routes[STUDIES] = Answer(409, body)
    (outcome,) = store(pacs)
    assert (outcome.status, outcome.reason, outcome.retryable) == ("refused", None, False)


def test_409_with_the_one_that_failed(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = as_json(said({}, {ONE: 0xA900}), 409)
    first, second = store(pacs, instance(ONE), instance(TWO))
    assert (first.status, first.reason) == ("refused", 0xA900)
    assert second.status == "unknown"


@pytest.mark.parametrize(
    ("status", "error", "asked"),
    [
        (401, AccessRefused, 1),
        (403, AccessRefused, 1),
        (404, DestinationRefused, 1),
        (405, DestinationRefused, 1),
        (302, DestinationRefused, 1),
        (304, DestinationRefused, 1),
        (429, DestinationUnavailable, 3),
        (500, DestinationUnavailable, 3),
        (503, DestinationUnavailable, 3),
    ],
)
def test_a_request_that_failed_as_a_whole_raises_and_what_may_pass_is_tried_again(
    pacs: StubPacs, status: int, error: type[PonteError], asked: int
) -> None:
    pacs.routes[STUDIES] = Answer(status, GOOD, JSON)
    with pytest.raises(error) as caught:
        store(pacs)
    assert caught.value.code == "PACS_ERROR"
    assert len(pacs.asked) == asked


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_batch_that_is_refused_whole_is_halved_until_the_one_is_found(pacs: StubPacs, status: int) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(status) if any(b"bad" in part for part in parts(asked)) else everything(asked)

    pacs.routes[STUDIES] = answer
    sent = [instance(f"1.2.{number}") for number in range(5)]
    sent[3] = Outgoing("1.2.3", b"bad")
    outcomes = store(pacs, *sent)
    assert [one.sop_instance_uid for one in outcomes] == [one.sop_instance_uid for one in sent]
    assert [one.status for one in outcomes] == ["stored", "stored", "stored", "refused", "stored"]
    assert outcomes[3].detail == f"The server answers {status}"
    assert len(pacs.asked) == 7


def test_a_busy_server_is_asked_again_with_all_of_it(pacs: StubPacs, tmp_path: Path) -> None:
    pacs.routes[STUDIES] = [
        Answer(503, headers={"Retry-After": "0"}),
        Answer(500),
        as_json(said({ONE: None})),
    ]
    (tmp_path / "instance").write_bytes(b"all of it")
    with (tmp_path / "instance").open("rb") as stream:
        assert store(pacs, Outgoing(ONE, stream))[0].stored
    assert [parts(asked) for asked in pacs.asked] == [[b"all of it"]] * 3


def test_what_was_stored_before_a_failure_stays_said(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = [as_json(said({ONE: None})), Answer(401)]
    outcomes = destination(pacs, limits=StoreLimits(batch_instances=1)).store([instance(ONE), instance(TWO)])
    assert next(outcomes).stored
    with pytest.raises(AccessRefused):
        next(outcomes)


def test_success_before_everything_was_sent_is_not_believed(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = as_json(said({ONE: None}))
    pacs.unread.add(STUDIES)
    try:
        outcomes = store(pacs, Outgoing(ONE, bytes(50_000_000)))
    except DestinationUnavailable:
        return  # the connection broke before the answer was read
    assert [one.status for one in outcomes] == ["unknown"]


def test_an_answer_that_does_not_come_is_an_error_in_time(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = Answer(200, b'{"0008', JSON, length=1000)
    pacs.hold_open.add(STUDIES)
    (outcome,) = store(pacs, limits=StoreLimits(answer_s=0.2))
    assert outcome.status == "unknown"


def test_silence_is_a_timeout(pacs: StubPacs) -> None:
    def silent(asked: Asked) -> Answer:
        pacs.closing.wait()
        return Answer(200)

    pacs.routes[STUDIES] = silent
    with pytest.raises(DestinationTimeout) as caught:
        store(pacs, limits=StoreLimits(answer_s=0.2))
    assert caught.value.code == "PACS_TIMEOUT"
    pacs.closing.set()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with stub_pacs() as gone:
        url = gone.url
    with pytest.raises(DestinationUnavailable):
        list(StowDestination(url, limits=FAST).store([instance(ONE)]))


def test_redirects_are_followed_within_the_origin_where_they_keep_the_method(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = Answer(307, headers={"Location": "/elsewhere/studies"})
    pacs.routes["/elsewhere/studies"] = everything
    assert store(pacs, instance(ONE))[0].stored
    assert [len(parts(asked)) for asked in pacs.asked] == [1, 1]


@pytest.mark.parametrize(
    ("status", "location"),
    [(307, "http://127.0.0.1:1/x"), (308, "https://other/x"), (303, STUDIES), (301, STUDIES), (307, STUDIES)],
)
def test_credentials_and_instances_do_not_follow_a_redirect_elsewhere(
    pacs: StubPacs, status: int, location: str
) -> None:
    """Nor one that would make a GET of it, nor one without end."""
    pacs.routes[STUDIES] = Answer(status, headers={"Location": location})
    with pytest.raises(DestinationRefused):
        store(pacs)


def test_a_certificate_that_cannot_be_verified_is_refused(tmp_path: Path) -> None:
    with (
        stub_pacs(self_signed_context(tmp_path)) as pacs,
        pytest.raises(DestinationRefused, match="certificate"),
    ):
        store(pacs)
    assert pacs.asked == []


def test_credentials_go_with_the_request(pacs: StubPacs) -> None:
    pacs.routes[STUDIES] = everything
    store(pacs, instance(ONE), credentials=Credentials.from_json({"type": "bearer", "token": "secret"}))
    assert pacs.asked[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "http://user:secret@host/x", "host", "http://host/{study}", ""]
)
def test_an_address_that_takes_nothing_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        StowDestination(url)
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("status", [200, 202, 400, 401, 404, 409, 500])
def test_nothing_of_the_patient_or_of_the_answer_is_in_errors_and_logs(
    pacs: StubPacs, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    row = said({CANARY: None}, {CANARY: 0x0110}) | {"00100010": {"vr": "PN", "Value": [CANARY]}}
    content = f"{CANARY} instance".encode()
    for body in (json.dumps(row).encode(), CANARY.encode(), f"<a>{CANARY}</a>".encode()):
        pacs.routes[STUDIES] = Answer(status, body, {"X-Message": CANARY})
        try:
            (outcome,) = store(pacs, Outgoing(ONE, content))
            text = repr(outcome)
        except (PermanentError, DestinationUnavailable) as error:
            text = repr(error) + str(error.__cause__ or "")
        assert CANARY not in text
    assert CANARY not in repr(Outgoing(ONE, content))
    assert CANARY not in caplog.text + "".join(repr(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("status", [200, 204, 405, 406, 501])
def test_a_server_that_is_there_passes_the_check_also_where_it_does_not_search(
    pacs: StubPacs, status: int
) -> None:
    pacs.routes[STUDIES] = Answer(status)
    destination(pacs).check()
    assert pacs.paths == [f"{STUDIES}?limit=1"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AccessRefused),
        (404, DestinationRefused),
        (302, DestinationRefused),
        (503, DestinationUnavailable),
    ],
)
def test_a_server_that_is_not_there_or_does_not_let_us_in_fails_the_check(
    pacs: StubPacs, status: int, error: type[PonteError]
) -> None:
    pacs.routes[STUDIES] = Answer(status)
    with pytest.raises(error):
        destination(pacs).check()
