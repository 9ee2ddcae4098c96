from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ponte_aws import clients, queues, rotating
from ponte_aws.deliveries import Deliveries
from ponte_aws.jobs import Failure, Pdf, State
from render import access, api
from render.reference import methods_at
from render.settings import ApiSettings, api_settings
from tests.unit.callback.receiver import receiving
from tests.unit.conftest import Aws

BODY: dict[str, Any] = {
    "examID": 12345,
    "pacs_studies_iuid": "1.2.840.1",
    "CodAutorizacao": "A1",
    "CodFaturamento": "F1",
    "CodProcedimento": "P1",
    "Authorization": "Bearer caller-secret",
    "IntegrationToken": "token-secret",
    "UrlCallback": "https://client.example/callback",
}
CONTEXT: Any = SimpleNamespace(
    function_name="api", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r"
)


def call(
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    source_ip: str = "10.0.0.1",
    query: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], Any]:
    """Call the API as the gateway does; answer status, headers and the parsed body."""
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers or {},
        "requestContext": {
            "stage": "$default",
            "requestId": "r",
            "http": {
                "method": method,
                "path": path,
                "sourceIp": source_ip,
                "protocol": "HTTP/1.1",
                "userAgent": "",
            },
        },
        "body": body if isinstance(body, str) or body is None else json.dumps(body),
        "isBase64Encoded": False,
        **({"queryStringParameters": query} if query else {}),
    }
    answer = api.handler(event, CONTEXT)
    raw = base64.b64decode(answer["body"]) if answer.get("isBase64Encoded") else answer["body"]
    kept = {key.lower(): value for key, value in answer.get("headers", {}).items()}
    text = isinstance(raw, str) and kept.get("content-type", "").startswith("application/json")
    return answer["statusCode"], kept, json.loads(raw) if text else raw


def test_render_answers_the_fields_that_clients_know(aws: Aws) -> None:
    status, _, answer = call("POST", "/render", BODY)
    assert status == 200
    job_id = answer.pop("job_id")
    assert answer == {
        "status": "accepted",
        "message": "Request accepted for processing",
        "examID": 12345,
        "pacs_studies_iuid": "1.2.840.1",
        "callback_url": "https://client.example/callback",
    }
    assert aws.jobs.get(job_id).state is State.ACCEPTED


def test_the_queue_gets_the_reference_alone(aws: Aws) -> None:
    _, _, answer = call("POST", "/render", BODY)
    assert aws.messages(aws.render_queue_url) == [json.dumps({"job_id": answer["job_id"]})]


def test_the_callers_secrets_are_nowhere_in_clear(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, answer = call("POST", "/render", BODY)
    row = repr(aws.table.scan()["Items"])
    assert "caller-secret" not in row
    assert "token-secret" not in row
    assert set(aws.jobs.get(answer["job_id"]).secrets) == {"Authorization", "IntegrationToken"}
    assert "secret" not in "".join(capsys.readouterr())


def test_unknown_fields_are_ignored_and_null_means_absent(aws: Aws) -> None:
    status, _, answer = call(
        "POST", "/render", {**BODY, "more": 1, "anonymize": None, "cover_page": None, "max_workers": None}
    )
    request = aws.jobs.get(answer["job_id"]).request
    assert status == 200
    assert (request.anonymize, request.cover_page, request.max_workers) == (False, True, 4)


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (-5, 1), (3, 3), (99, 8)])
def test_max_workers_is_clamped(aws: Aws, asked: int, given: int) -> None:
    _, _, answer = call("POST", "/render", {**BODY, "max_workers": asked})
    assert aws.jobs.get(answer["job_id"]).request.max_workers == given


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"examID": None}, "examID"),
        ({"examID": "abc"}, "examID"),
        ({"examID": True}, "examID"),
        ({"examID": 2**63}, "examID"),
        ({"max_workers": True}, "max_workers"),
        ({"delivery": "pigeon"}, "delivery"),
        ({"pacs_studies_iuid": "../../etc"}, "pacs_studies_iuid"),
        ({"pacs_studies_iuid": "%2e%2e"}, "pacs_studies_iuid"),
        ({"pacs_studies_iuid": "1." * 32 + "1"}, "pacs_studies_iuid"),
        ({"UrlCallback": None}, "UrlCallback"),
        ({"UrlCallback": "http://client.example/"}, "UrlCallback"),
        ({"UrlCallback": "https://127.0.0.1/"}, "UrlCallback"),
        ({"UrlCallback": "https://2130706433/"}, "UrlCallback"),
        ({"UrlCallback": "https://user@client.example/"}, "UrlCallback"),
        ({"Authorization": "a\r\nX-Evil: 1"}, "Authorization"),
        ({"anonymize": "perhaps"}, "anonymize"),
    ],
)
def test_a_body_that_does_not_fit_is_422_in_the_old_shape(
    aws: Aws, change: dict[str, Any], field: str
) -> None:
    status, _, answer = call("POST", "/render", {**BODY, **change})
    assert status == 422
    entry = answer["detail"][0]
    assert set(entry) == {"loc", "msg", "type"}
    assert entry["loc"][:2] == ["body", field]
    assert aws.table.scan()["Count"] == 0


def test_a_missing_field_is_named(aws: Aws) -> None:
    body = {key: value for key, value in BODY.items() if key != "examID"}
    status, _, answer = call("POST", "/render", body)
    assert (status, answer["detail"][0]["loc"], answer["detail"][0]["type"]) == (
        422, ["body", "examID"], "missing",
    )  # fmt: skip


PAGES: dict[str, Any] = {
    "layout": "2X3",
    "lang": "en",
    "max_bytes": 500_000,
    "series": [2, "1.2.840.9"],
    "key_images": True,
}


def test_how_the_pages_are_to_be_is_kept_in_the_job(aws: Aws) -> None:
    status, _, answer = call("POST", "/render", {**BODY, **PAGES})
    assert status == 200
    request = aws.jobs.get(answer["job_id"]).request
    assert (request.layout, request.lang, request.max_bytes) == ("2x3", "en", 500_000)
    assert (request.series, request.key_images, request.lossless) == (("2", "1.2.840.9"), True, False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layout", "7x1"),
        ("layout", "two"),
        ("layout", 2),
        ("lang", "fr"),
        ("lossless", "perhaps"),
        ("max_bytes", 0),
        ("max_bytes", True),
        ("max_bytes", "lots"),
        ("series", "2"),
        ("series", [""]),
        ("series", [{}]),
        ("series", ["1"] * 1001),
        ("key_images", 3),
    ],
)
def test_a_wrong_wish_for_the_pages_is_refused_with_its_field(aws: Aws, field: str, value: Any) -> None:
    for path in ("/render", "/render/sync"):
        status, _, answer = call("POST", path, {**BODY, field: value})
        assert status == 422
        assert {entry["loc"][1] for entry in answer["detail"]} == {field}


def test_pages_without_loss_have_no_size_to_keep_to(aws: Aws) -> None:
    status, _, answer = call("POST", "/render", {**BODY, "lossless": True, "max_bytes": 9_999})
    assert status == 422
    assert "exclude" in answer["detail"][0]["msg"]


@pytest.mark.parametrize("body", ["{", "", "nonsense", "[1,2"])
def test_what_is_not_json_is_422_as_it_always_was(aws: Aws, body: str) -> None:
    status, _, answer = call("POST", "/render", body)
    assert status == 422
    assert isinstance(answer["detail"], list)


@pytest.mark.parametrize(
    "body", ['{"examID": NaN}', '{"a":1,"a":2}', "[" * 100_000 + "]" * 100_000, "[" * 30 + "]" * 30]
)
def test_json_that_hurts_or_reads_two_ways_is_400(aws: Aws, body: str) -> None:
    status, _, answer = call("POST", "/render", body)
    assert (status, answer["code"]) == (400, "INVALID_JSON")


def test_a_body_beyond_the_limit_is_413(aws: Aws) -> None:
    status, _, answer = call("POST", "/render", json.dumps({**BODY, "more": "x" * 11_000_000}))
    assert (status, answer["code"]) == (413, "BODY_TOO_LARGE")


def jobs_in(aws: Aws) -> list[str]:
    """The ids of all jobs, without the rows that only claim one."""
    return [item["job_id"] for item in aws.table.scan()["Items"] if "state" in item]


def test_the_same_idempotency_key_gives_one_job(aws: Aws) -> None:
    first = call("POST", "/render", BODY, headers={"idempotency-key": "k1"})
    second = call("POST", "/render", BODY, headers={"idempotency-key": "k1"})
    other = call("POST", "/render", {**BODY, "examID": 9}, headers={"idempotency-key": "k1"})
    assert first[2]["job_id"] == second[2]["job_id"]
    assert (other[0], other[2]["code"]) == (409, "IDEMPOTENCY_CONFLICT")


def test_an_identical_body_is_the_same_job_until_that_is_over(aws: Aws) -> None:
    first, second = (call("POST", "/render", BODY)[2]["job_id"] for _ in range(2))
    assert first == second
    aws.jobs.cancel(first)
    assert call("POST", "/render", BODY)[2]["job_id"] != first


@pytest.mark.parametrize(
    "change", [{"examID": 9}, {"Authorization": "other"}, {"IntegrationToken": None}, {"unknown": 1}]
)
def test_a_body_that_differs_in_anything_is_another_job(aws: Aws, change: dict[str, Any]) -> None:
    first = call("POST", "/render", BODY)[2]["job_id"]
    assert call("POST", "/render", {**BODY, **change})[2]["job_id"] != first
    assert call("POST", "/render", BODY, headers={"idempotency-key": "k"})[2]["job_id"] != first


def test_the_row_by_which_a_body_is_known_again_tells_nothing_of_it(aws: Aws) -> None:
    call("POST", "/render", BODY)
    (claim,) = (item for item in aws.table.scan()["Items"] if item["job_id"].startswith("body#"))
    assert set(claim) == {"job_id", "claimed_job_id", "request_digest", "expires_at"}
    raw = b"/render\n" + json.dumps(BODY).encode()
    assert hashlib.sha256(raw).hexdigest() not in repr(claim)


def test_the_message_is_sent_again_when_the_first_answer_may_have_been_lost(aws: Aws) -> None:
    call("POST", "/render", BODY, headers={"idempotency-key": "k1"})
    assert len(aws.messages(aws.render_queue_url)) == 1
    call("POST", "/render", BODY, headers={"idempotency-key": "k1"})
    assert len(aws.messages(aws.render_queue_url)) == 1


def test_health_says_what_is_configured(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("GET", "/health")[2] == {
        "status": "ok", "dicom_server": "not_configured", "ip_validation": "disabled", "allowed_ips_count": 0,
    }  # fmt: skip
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "10.0.0.1, 192.168.0.0/24")
    monkeypatch.setenv("DICOM_WADO_URL", "http://pacs.example/dicom-web")
    api_settings.cache_clear()
    assert call("GET", "/health")[2] == {
        "status": "ok", "dicom_server": "configured", "ip_validation": "enabled", "allowed_ips_count": 2,
    }  # fmt: skip


def test_only_allowed_clients_get_in_and_forwarded_headers_do_not_help(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "10.0.0.1")
    api_settings.cache_clear()
    spoof = {"x-forwarded-for": "10.0.0.1"}
    status, _, answer = call("POST", "/render", BODY, source_ip="203.0.113.9", headers=spoof)
    assert (status, answer["code"]) == (403, "CLIENT_NOT_ALLOWED")
    assert call("POST", "/render", BODY, source_ip="10.0.0.1")[0] == 200
    assert call("GET", "/health", source_ip="203.0.113.9")[0] == 200


def test_a_malformed_allow_list_lets_nobody_in(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "10.0.0.300")
    api_settings.cache_clear()
    with pytest.raises(ValueError, match="ALLOWED_CLIENT_IPS"):
        call("GET", "/health")


def finish(aws: Aws, job_id: str, pdf: bytes = b"%PDF-x") -> None:
    key = f"pdf/{job_id}.pdf"
    clients.s3().put_object(Bucket=aws.bucket, Key=key, Body=pdf)
    aws.jobs.begin(job_id, run="a", lease_seconds=60)
    aws.jobs.advance(job_id, State.RENDERING, run="a")
    aws.jobs.advance(job_id, State.STORING, run="a")
    aws.jobs.advance(
        job_id,
        State.DELIVERED,
        run="a",
        pdf=Pdf(key, len(pdf), "00", 3),
        not_shown=[{"reason": "NOT_AN_IMAGE"}],
    )


def test_a_job_shows_its_state_and_links(aws: Aws) -> None:
    job_id = call("POST", "/render", BODY)[2]["job_id"]
    status, _, answer = call("GET", f"/jobs/{job_id}")
    assert (status, answer["state"]) == (200, "accepted")
    assert answer["links"] == {"self": f"/jobs/{job_id}", "pdf": None}
    assert [change["state"] for change in answer["history"]] == ["accepted"]
    finish(aws, job_id)
    _, _, answer = call("GET", f"/jobs/{job_id}")
    assert (answer["state"], answer["partial"], answer["pages"]) == ("delivered", True, 3)
    assert answer["links"]["pdf"].startswith("https://")


@pytest.mark.parametrize("path", ["/jobs/none", "/jobs/%2e%2e", "/nothing", "/jobs/idempotency%23x"])
def test_what_is_not_there_is_404_with_a_code(aws: Aws, path: str) -> None:
    status, _, answer = call("GET", path)
    assert status == 404
    assert answer["code"] in {"NOT_FOUND", "JOB_NOT_FOUND"}


def test_a_job_tells_its_history_progress_and_every_attempt(aws: Aws) -> None:
    job_id = call("POST", "/render", BODY)[2]["job_id"]
    deliveries = Deliveries(aws.jobs)
    aws.jobs.begin(job_id, run="a", lease_seconds=60)
    aws.jobs.record_progress(job_id, run="a", instances=3, frames=5)
    assert call("GET", f"/jobs/{job_id}")[2]["progress"] == {
        "instances": 3, "frames": 5, "total": None, "pages": None,
    }  # fmt: skip
    aws.jobs.finish(job_id, State.FAILED, keep_secrets=True, error=Failure("PACS_ERROR", "down"))
    job = deliveries.begin(job_id, 1, run="b", lease_seconds=60)
    entry = {"at": "2026-01-01T00:00:00Z", "status": 503, "latency_ms": 7, "bytes": 9, "error": "status"}
    deliveries.put_off(job, run="b", attempt=entry, next_at="2026-01-01T00:00:05Z")
    answer = call("GET", f"/jobs/{job_id}")[2]
    assert answer["error"] == {"code": "PACS_ERROR", "detail": "down"}
    assert answer["callback"]["next_at"] == "2026-01-01T00:00:05Z"
    assert answer["attempts"] == [{"attempt": 1, **entry, "detail": None}]


def test_jobs_are_listed_by_exam_and_state_newest_first_in_pages(aws: Aws) -> None:
    ids = [call("POST", "/render", {**BODY, "more": n})[2]["job_id"] for n in range(5)]
    call("POST", "/render", {**BODY, "examID": 2})
    aws.jobs.cancel(ids[1])
    seen: list[str] = []
    query = {"examID": "12345", "limit": "2"}
    while True:
        status, _, page = call("GET", "/jobs", query=query)
        assert (status, len(page["jobs"]) <= 2) == (200, True)
        seen += [job["job_id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        query = {**query, "cursor": page["next"]}
    assert sorted(seen) == sorted(ids)
    stamps = [aws.jobs.get(job_id).created_at for job_id in seen]
    assert stamps == sorted(stamps, reverse=True)
    both = call("GET", "/jobs", query={"examID": "12345", "state": "cancelled"})[2]
    assert [job["job_id"] for job in both["jobs"]] == [ids[1]]
    accepted = call("GET", "/jobs", query={"state": "accepted"})[2]
    assert len(accepted["jobs"]) == 5
    assert "secret" not in json.dumps([accepted, both])


def cursor_of(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"state": "nowhere"},
        {"examID": "many"},
        {"examID": "1,2"},
        {"examID": "1", "limit": "0"},
        {"examID": "1", "limit": "101"},
        {"examID": "1", "cursor": "nonsense"},
        {"examID": "1", "cursor": cursor_of([])},
        {"examID": "1", "cursor": cursor_of({"job_id": "x"})},
        {"examID": "1", "cursor": cursor_of({"job_id": 1, "created_at": "x"})},
        {"examID": "1", "cursor": cursor_of({"job_id": "x" * 99, "created_at": "x"})},
        {"examID": "1", "cursor": cursor_of({"job_id": "x", "created_at": "x", "state": "y"})},
        {"examID": "1", "cursor": "\udcff"},
        {"examID": "1", "cursor": "x" * 2000},
    ],
)
def test_what_cannot_be_listed_is_422_and_names_the_parameter(aws: Aws, query: dict[str, str]) -> None:
    status, _, answer = call("GET", "/jobs", query=query)
    assert status == 422
    assert answer["detail"][0]["loc"][0] == "query"


def test_a_job_is_cancelled_once_and_says_so_again(aws: Aws) -> None:
    job_id = call("POST", "/render", BODY)[2]["job_id"]
    for _ in range(2):
        status, _, answer = call("POST", f"/jobs/{job_id}/cancel")
        assert (status, answer["state"]) == (200, "cancelled")
    assert not aws.jobs.get(job_id).secrets
    assert call("POST", "/jobs/none/cancel")[0] == 404


def test_a_job_that_is_over_is_not_cancelled(aws: Aws) -> None:
    job_id = call("POST", "/render", BODY)[2]["job_id"]
    finish(aws, job_id)
    status, _, answer = call("POST", f"/jobs/{job_id}/cancel")
    assert (status, answer["code"]) == (409, "JOB_FINISHED")


def test_the_pdf_of_a_job_is_a_redirect_to_a_link(aws: Aws) -> None:
    job_id = call("POST", "/render", BODY)[2]["job_id"]
    status, _, answer = call("GET", f"/jobs/{job_id}/pdf")
    assert (status, answer["code"]) == (409, "JOB_NOT_FINISHED")
    finish(aws, job_id)
    status, headers, _ = call("GET", f"/jobs/{job_id}/pdf")
    assert status == 303
    assert f"/pdf/{job_id}.pdf?" in headers["location"]
    other = call("POST", "/render", {**BODY, "examID": 2})[2]["job_id"]
    aws.jobs.finish(other, State.FAILED, error=Failure("PACS_ERROR", "down"))
    assert call("GET", f"/jobs/{other}/pdf")[2]["code"] == "PDF_NOT_FOUND"
    assert call("GET", "/jobs/none/pdf")[2]["code"] == "JOB_NOT_FOUND"


def test_a_replay_queues_the_next_attempt_and_seals_the_secrets_given_anew(aws: Aws) -> None:
    job_id = call("POST", "/render", BODY)[2]["job_id"]
    assert call("POST", f"/jobs/{job_id}/replay")[2]["code"] == "JOB_BUSY"
    finish(aws, job_id)
    status, _, answer = call("POST", f"/jobs/{job_id}/replay", {"Authorization": "Bearer again-secret"})
    assert (status, answer["state"], answer["callback"]["ended"]) == (202, "delivered", False)
    assert aws.messages(aws.callback_queue_url) == [json.dumps({"job_id": job_id, "turn": "2"})]
    assert "again-secret" not in repr(aws.table.scan()["Items"])
    assert call("POST", f"/jobs/{job_id}/replay")[0] == 202
    assert call("POST", f"/jobs/{job_id}/replay", {"Authorization": "a\r\nb"})[0] == 422


def test_what_has_no_receiver_or_was_called_off_is_not_replayed(aws: Aws) -> None:
    sync_id = call("POST", "/render/sync", SYNC)[2]["job_id"]
    finish(aws, sync_id)
    cancelled = call("POST", "/render", BODY)[2]["job_id"]
    aws.jobs.cancel(cancelled)
    for job_id in (sync_id, cancelled):
        status, _, answer = call("POST", f"/jobs/{job_id}/replay")
        assert (status, answer["code"]) == (409, "JOB_FINISHED")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/render", "POST"),
        ("TRACE", "/health", "GET"),
        ("DELETE", "/jobs/x", "GET"),
        ("PUT", "/jobs/x/cancel", "POST"),
    ],
)
def test_a_method_that_an_address_does_not_take_is_405(
    aws: Aws, method: str, path: str, allowed: str
) -> None:
    status, headers, answer = call(method, path)
    assert (status, answer["code"], headers["allow"]) == (405, "METHOD_NOT_ALLOWED", allowed)


TOKENS = {"billing": "token-of-the-billing-system", "portal": "token-of-the-portal-2026"}


def with_tokens(monkeypatch: pytest.MonkeyPatch, tokens: Any) -> str:
    """Ask for one of these tokens from now on; answers the secret's ARN."""
    arn = clients.secrets_manager().create_secret(Name="tokens", SecretString=json.dumps(tokens))["ARN"]
    monkeypatch.setenv("API_TOKENS_SECRET_ARN", arn)
    api_settings.cache_clear()
    return arn


def test_one_of_the_tokens_lets_in_and_nothing_else_does(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tokens(monkeypatch, TOKENS)
    for token in TOKENS.values():
        for scheme in ("Bearer", "bearer"):
            headers = {"authorization": f"{scheme} {token}"}
            assert call("GET", "/jobs/none", headers=headers)[0] == 404
    refused: list[dict[str, str]] = [
        {}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer billing"},
        {"authorization": f"Basic {TOKENS['billing']}"}, {"authorization": TOKENS["billing"]},
        {"authorization": f"Bearer {TOKENS['billing']}x"}, {"authorization": "Bearer \xff\u1234"},
        {"x-authorization": f"Bearer {TOKENS['billing']}"},
    ]  # fmt: skip
    for headers in refused:
        status, answer_headers, answer = call("POST", "/render", BODY, headers=headers)
        assert (status, answer["code"]) == (401, "UNAUTHORIZED")
        assert answer_headers["www-authenticate"] == "Bearer"
    assert aws.table.scan()["Count"] == 0
    assert call("GET", "/health")[0] == 200
    assert call("GET", "/health/deep")[0] == 401


def test_tokens_rotate_while_the_function_runs(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = with_tokens(monkeypatch, {"billing": TOKENS["billing"]})
    put = clients.secrets_manager().put_secret_value

    def status_of(name: str) -> int:
        return call("GET", "/jobs/none", headers={"authorization": f"Bearer {TOKENS[name]}"})[0]

    assert (status_of("billing"), status_of("portal")) == (404, 401)
    put(SecretId=arn, SecretString=json.dumps(TOKENS))
    assert status_of("portal") == 401  # kept for a minute
    monkeypatch.setattr(rotating, "KEPT_S", 0.0)
    assert (status_of("billing"), status_of("portal")) == (404, 404)
    put(SecretId=arn, SecretString=json.dumps({"portal": TOKENS["portal"]}))
    assert (status_of("billing"), status_of("portal")) == (401, 404)


@pytest.mark.parametrize("tokens", [{}, {"a": "short"}, {"a": ""}, ["list"], "text"])
def test_tokens_that_are_none_let_nobody_in(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tokens: Any
) -> None:
    with_tokens(monkeypatch, tokens)
    status, _, answer = call("POST", "/render", BODY, headers={"authorization": "Bearer short"})
    assert (status, answer["code"]) == (500, "INTERNAL")
    assert aws.table.scan()["Count"] == 0
    assert "short" not in capsys.readouterr().out


def test_without_secrets_manager_nobody_gets_in(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:gone-AbCdEf"
    monkeypatch.setenv("API_TOKENS_SECRET_ARN", arn)
    api_settings.cache_clear()
    assert call("POST", "/render", BODY)[0] == 503


def test_every_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def note(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", note)
    tokens = access.Tokens(TOKENS)
    assert tokens.owner(f"Bearer {TOKENS['billing']}") == "billing"
    assert tokens.owner("Bearer nothing") is None
    assert compared == [(32, 32)] * 4


def test_deep_health_asks_table_queues_and_pacs(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as pacs:
        monkeypatch.setenv("DICOM_WADO_URL", f"{pacs.url}/dicom-web")
        api_settings.cache_clear()
        status, _, answer = call("GET", "/health/deep")
        assert (status, answer["status"]) == (200, "ok")
        assert set(answer["checks"]) == {"table", "render_queue", "callback_queue", "pacs"}
    status, _, answer = call("GET", "/health/deep")
    assert (status, answer["status"], answer["checks"]["pacs"]["ok"]) == (503, "degraded", False)
    assert answer["checks"]["table"]["ok"]
    monkeypatch.setenv("CHECK_PACS", "false")
    monkeypatch.setenv("JOBS_TABLE", "gone")
    api_settings.cache_clear()
    clients.jobs_table.cache_clear()
    status, _, answer = call("GET", "/health/deep")
    assert (status, answer["checks"]["table"]["ok"], "pacs" in answer["checks"]) == (503, False, False)


def test_deep_health_is_behind_access(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_CLIENT_IPS", "10.0.0.9")
    api_settings.cache_clear()
    assert call("GET", "/health/deep")[0] == 403


SYNC = {"examID": 1, "pacs_studies_iuid": "1.2.3"}


def sync_with(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, act: Any, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    """POST /render/sync, and `act(job_id)` in the worker's place as soon as the job is queued."""
    send = queues.send

    def send_and_act(sqs: Any, url: str, body: dict[str, str]) -> None:
        send(sqs, url, body)
        act(body["job_id"])

    monkeypatch.setattr(api, "send", send_and_act)
    return call("POST", "/render/sync", SYNC, headers=headers)


def test_sync_answers_the_pdf(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    status, headers, body = sync_with(aws, monkeypatch, lambda job_id: finish(aws, job_id, b"%PDF-\xff\x00"))
    assert (status, headers["content-type"], body) == (200, "application/pdf", b"%PDF-\xff\x00")


GATEWAY_BYTES = 6 * 1024 * 1024  # what a function may answer, as the runtime counts it


@pytest.mark.parametrize(("over", "expected"), [(-1, 200), (0, 200), (1, 303)])
def test_sync_carries_a_pdf_up_to_the_gateways_real_limit_base64_included(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, over: int, expected: int
) -> None:
    limit = ApiSettings().inline_pdf_bytes
    pdf = bytes(limit + over)
    answers: list[Any] = []
    handler = api.handler

    def keep(event: Any, context: Any) -> Any:
        answers.append(handler(event, context))
        return answers[-1]

    monkeypatch.setattr(api, "handler", keep)
    status, _, body = sync_with(aws, monkeypatch, lambda job_id: finish(aws, job_id, pdf))
    assert status == expected
    assert len(json.dumps(answers[0])) < GATEWAY_BYTES
    if expected == 200:
        assert body == pdf
        # The limit is where the gateway's is, not far below it.
        assert len(json.dumps(answers[0])) > 0.9 * GATEWAY_BYTES


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json; charset=utf-8", "text/html, application/json"]
)
def test_sync_gives_a_link_to_a_caller_that_accepts_json_and_no_pdf(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    status, headers, answer = sync_with(
        aws, monkeypatch, lambda job_id: finish(aws, job_id), headers={"accept": accept}
    )
    assert (status, headers["content-type"]) == (200, "application/json")
    assert answer["pdf_url"].startswith("https://")
    assert (answer["pdf_bytes"], answer["partial"], answer["pages"]) == (6, True, 3)
    assert answer["expires_at"].endswith("Z")


@pytest.mark.parametrize("accept", ["", "*/*", "application/json, text/plain, */*", "application/pdf"])
def test_sync_gives_the_pdf_to_all_others(aws: Aws, monkeypatch: pytest.MonkeyPatch, accept: str) -> None:
    _, headers, _ = sync_with(
        aws, monkeypatch, lambda job_id: finish(aws, job_id), headers={"accept": accept}
    )
    assert headers["content-type"] == "application/pdf"


def test_sync_of_a_job_that_is_cancelled_meanwhile_says_so(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    status, _, answer = sync_with(aws, monkeypatch, lambda job_id: aws.jobs.cancel(job_id))
    assert (status, answer["code"]) == (409, "JOB_CANCELLED")


def test_sync_redirects_when_the_gateway_cannot_carry_the_pdf(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INLINE_PDF_BYTES", "4")
    api_settings.cache_clear()
    status, headers, _ = sync_with(aws, monkeypatch, lambda job_id: finish(aws, job_id))
    assert status == 303
    assert "Signature" in headers["location"]


def test_sync_that_outlasts_the_gateway_says_where_to_look(aws: Aws) -> None:
    status, headers, answer = call("POST", "/render/sync", SYNC)
    assert (status, headers["location"]) == (202, f"/jobs/{answer['job_id']}")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("STUDY_NOT_FOUND", 404),
        ("PACS_ERROR", 502),
        ("PACS_TIMEOUT", 504),
        ("NOT_AN_IMAGE", 422),
        ("INTERNAL", 500),
    ],
)
def test_sync_maps_the_reason_of_a_failed_job(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, code: str, expected: int
) -> None:
    status, _, answer = sync_with(
        aws, monkeypatch, lambda job_id: aws.jobs.finish(job_id, State.FAILED, error=Failure(code, "why"))
    )
    assert status == expected
    assert (answer["code"], answer["detail"]) == (code, "why")
    assert answer["job_id"]


def test_a_fault_of_ours_is_500_and_names_no_value(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*a: object, **k: object) -> None:
        raise KeyError("caller-secret")

    monkeypatch.setattr(api, "send", fail)
    status, _, answer = call("POST", "/render", BODY)
    assert (status, answer["code"]) == (500, "INTERNAL")
    assert "secret" not in json.dumps(answer)


def test_fi_25_a_queue_that_is_not_there_is_503_and_the_same_request_later_the_same_job(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RENDER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/none")
        api_settings.cache_clear()
        status, _, answer = call("POST", "/render", BODY)
    assert (status, answer["code"]) == (503, "UNAVAILABLE")
    api_settings.cache_clear()
    status, _, answer = call("POST", "/render", BODY)
    assert status == 200
    assert aws.messages(aws.render_queue_url) == [json.dumps({"job_id": answer["job_id"]})]
    assert len(jobs_in(aws)) == 1


@pytest.mark.parametrize("operation", ["encrypt", "generate_mac"])
def test_fi_25_without_kms_nothing_is_accepted_and_no_secret_is_kept_in_clear(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], operation: str
) -> None:
    def deny(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "caller-secret"}}, operation)

    monkeypatch.setattr(clients.kms(), operation, deny)
    status, _, answer = call("POST", "/render", BODY)
    assert (status, answer["code"]) == (503, "UNAVAILABLE")
    assert aws.table.scan()["Count"] == 0
    assert "secret" not in json.dumps(answer) + "".join(capsys.readouterr())


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Powertools leaves its files open
def test_the_documents_are_served(aws: Aws) -> None:
    status, _, page = call("GET", "/docs")
    assert status == 200
    assert "swagger-ui" in page
    assert "<redoc" in call("GET", "/redoc")[2]
    status, headers, script = call("GET", "/redoc.standalone.js")
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert "Redoc" in script
    status, _, schema = call("GET", "/openapi.json")
    assert status == 200
    assert schema["openapi"].startswith("3.1")
    for path, operations in schema["paths"].items():
        assert methods_at(path.replace("{job_id}", "x")) == tuple(name.upper() for name in operations)
    assert len(schema["paths"]) == 10
    answers = schema["paths"]["/render"]["post"]["responses"]
    shapes = {code: answer["content"]["application/json"]["schema"] for code, answer in answers.items()}
    assert shapes["200"] == {"$ref": "#/components/schemas/Accepted"}
    assert shapes["422"] == {"$ref": "#/components/schemas/Unfit"}


def test_the_api_imports_no_pixels() -> None:
    heavy = "('numpy', 'pydicom', 'PIL', 'imagecodecs')"
    code = f"import sys, render.api; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
