"""API-01 to API-08 and WH-19: who may call, and what a body may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from render.access import AllowedClients
from render.settings import api_settings
from tests.unit.conftest import Aws, _logs_reach_the_tests, aws
from tests.unit.render.test_api import BODY, call

__all__ = ["_logs_reach_the_tests", "aws"]


def allow(monkeypatch: pytest.MonkeyPatch, entries: str) -> None:
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", entries)
    api_settings.cache_clear()


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "x-real-ip", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Source-Ip"],
)
def test_api_01_no_header_says_who_calls(aws: Aws, monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    allow(monkeypatch, "10.0.0.1")
    status, _, answer = call("POST", "/render", BODY, source_ip="203.0.113.9", headers={header: "10.0.0.1"})
    assert (status, answer["code"]) == (403, "CLIENT_NOT_ALLOWED")


@pytest.mark.parametrize(
    ("row", "entries", "source_ip", "expected"),
    [
        ("API-02", "10.0.0.1", "::ffff:10.0.0.1", 404),
        ("API-02", "::ffff:10.0.0.1", "10.0.0.1", 404),
        ("API-02", "10.0.0.1", "::ffff:10.0.0.2", 403),
        ("API-03", "10.0.0.7/24", "10.0.0.200", 404),
        ("API-03", "10.0.0.7/24", "10.0.1.7", 403),
        ("API-04", "", "203.0.113.9", 404),
        ("API-04", " , ", "203.0.113.9", 404),
        ("API-06", "2001:db8::/32", "2001:db8:1::5", 404),
        ("API-06", "2001:db8::/32", "2001:db9::5", 403),
        ("API-06", "0.0.0.0/0", "2001:db8::1", 403),
    ],
)
def test_api_02_to_06_lists_mean_what_they_say(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, row: str, entries: str, source_ip: str, expected: int
) -> None:
    allow(monkeypatch, entries)
    assert call("GET", "/jobs/none", source_ip=source_ip)[0] == expected


@pytest.mark.parametrize(
    "entry", ["10.0.0.300", "10.0.0.0/33", "hospital.example", "10.0.0.1;10.0.0.2", "*", "::/129", "10.1"]
)
def test_api_05_a_malformed_entry_fails_closed(aws: Aws, monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    with pytest.raises(ValueError, match="ALLOWED_CLIENT_IPS"):
        AllowedClients.parse(f"10.0.0.1,{entry}")
    allow(monkeypatch, f"10.0.0.1,{entry}")
    with pytest.raises(ValueError, match="ALLOWED_CLIENT_IPS"):
        call("POST", "/render", BODY, source_ip="10.0.0.1")
    assert aws.table.scan()["Count"] == 0


@pytest.mark.parametrize("path", ["/render", "/render/sync", "/jobs/x/replay"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps({**BODY, "more": "x" * 11_000_000}), 413),
        ("[" * 100_000 + "]" * 100_000, 400),
        ('{"a":' * 30 + "1" + "}" * 30, 400),
        ('{"examID": NaN}', 400),
        ('{"examID": Infinity}', 400),
        ('{"examID": 1, "examID": 2}', 400),
        ('{"more": {"a": 1, "a": 1}}', 400),
        ("\ud800", 422),
        ('{"examID": 1', 422),
    ],
    ids=["11 MB", "1e5 deep", "30 deep", "NaN", "Infinity", "twice", "twice inside", "surrogate", "cut"],
)
def test_api_07_a_body_that_hurts_or_reads_two_ways_is_refused(
    aws: Aws, path: str, body: str, status: int
) -> None:
    assert call("POST", path, body)[0] == status
    assert aws.table.scan()["Count"] == 0


@pytest.mark.parametrize("path", ["/render", "/render/sync"])
@pytest.mark.parametrize(
    "uid", ["../../", "%2e%2e", "1." * 32 + "1", "", "1..2", "1.2.", ".1", "1.2\n", "1.2 ", "\u0661.2", "1.a"]
)
def test_api_08_a_study_uid_that_is_none_is_refused(aws: Aws, path: str, uid: str) -> None:
    status, _, answer = call("POST", path, {**BODY, "pacs_studies_iuid": uid})
    assert (status, answer["detail"][0]["loc"]) == (422, ["body", "pacs_studies_iuid"])
    assert aws.table.scan()["Count"] == 0


@pytest.mark.parametrize("field", ["Authorization", "IntegrationToken"])
@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x7fb", "a\u2028b", "\u1234", "x" * 5000]
)
def test_wh_19_a_header_that_breaks_out_is_refused_and_not_repeated(
    aws: Aws, field: str, value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, answer = call("POST", "/render", {**BODY, field: value})
    assert (status, answer["detail"][0]["loc"]) == (422, ["body", field])
    assert value not in json.dumps(answer, ensure_ascii=False) + capsys.readouterr().out
    assert aws.table.scan()["Count"] == 0
