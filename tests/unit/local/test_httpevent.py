from __future__ import annotations

import base64

import pytest

from infra.local.httpevent import Answer, Request, answer_of, event_of

JSON = ("Content-Type", "application/json")


def request(target: str = "/render", *headers: tuple[str, str], body: bytes = b"") -> Request:
    return Request("POST", target, headers, body, "192.0.2.7")


def test_the_event_has_the_fields_of_payload_format_2() -> None:
    event = event_of(request("/jobs/a%20b?x=1&x=2&y=", ("Host", "localhost:9000"), ("User-Agent", "curl")))

    assert event["version"] == "2.0"
    assert event["routeKey"] == "$default"
    assert event["rawPath"] == "/jobs/a b"
    assert event["rawQueryString"] == "x=1&x=2&y="
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["requestContext"]["domainName"] == "localhost:9000"
    assert event["requestContext"]["http"] == {
        "method": "POST",
        "path": "/jobs/a b",
        "protocol": "HTTP/1.1",
        "sourceIp": "192.0.2.7",
        "userAgent": "curl",
    }


def test_the_source_is_the_peer_whatever_a_header_says() -> None:
    event = event_of(request("/", ("X-Forwarded-For", "203.0.113.9")))

    assert event["requestContext"]["http"]["sourceIp"] == "192.0.2.7"
    assert event["headers"]["x-forwarded-for"] == "203.0.113.9"


def test_repeated_headers_are_joined_and_cookies_are_apart() -> None:
    event = event_of(request("/", ("Accept", "a"), ("ACCEPT", "b"), ("Cookie", "x=1; y=2")))

    assert event["headers"] == {"accept": "a,b"}
    assert event["cookies"] == ["x=1", "y=2"]


def test_a_json_body_stays_text() -> None:
    event = event_of(request("/", JSON, body='{"a":"ç"}'.encode()))

    assert (event["body"], event["isBase64Encoded"]) == ('{"a":"ç"}', False)


@pytest.mark.parametrize("headers", [(JSON,), (("Content-Type", "application/dicom"),), ()])
def test_a_body_that_is_no_text_is_base64(headers: tuple[tuple[str, str], ...]) -> None:
    event = event_of(request("/", *headers, body=b"\xff\x00"))

    assert base64.b64decode(event["body"]) == b"\xff\x00"
    assert event["isBase64Encoded"] is True


def test_without_a_body_there_is_none_in_the_event() -> None:
    assert "body" not in event_of(request("/", JSON))


def test_an_answer_keeps_status_headers_and_cookies() -> None:
    answer = answer_of(
        {"statusCode": 303, "headers": {"Location": "/x", "Content-Length": "9"}, "cookies": ["a=1", "b=2"]}
    )

    assert answer == Answer(303, (("location", "/x"), ("set-cookie", "a=1"), ("set-cookie", "b=2")))


def test_a_base64_answer_is_decoded() -> None:
    assert answer_of({"statusCode": 200, "body": "JVBERg==", "isBase64Encoded": True}).body == b"%PDF"


def test_a_result_without_a_status_is_the_body_of_a_200() -> None:
    assert answer_of({"a": 1}) == Answer(200, (("content-type", "application/json"),), b'{"a": 1}')


def test_a_body_that_is_not_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="not base64"):
        answer_of({"statusCode": 200, "body": "!", "isBase64Encoded": True})
