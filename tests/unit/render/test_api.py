from __future__ import annotations

import base64
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ponte_aws import clients, queues
from ponte_aws.jobs import Failure, Pdf, State
from render import api
from render.settings import api_settings
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


def test_the_same_idempotency_key_gives_one_job(aws: Aws) -> None:
    first = call("POST", "/render", BODY, headers={"idempotency-key": "k1"})
    second = call("POST", "/render", BODY, headers={"idempotency-key": "k1"})
    other = call("POST", "/render", {**BODY, "examID": 9}, headers={"idempotency-key": "k1"})
    assert first[2]["job_id"] == second[2]["job_id"]
    assert (other[0], other[2]["code"]) == (409, "IDEMPOTENCY_CONFLICT")


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
    assert (status, answer["state"], answer["links"]) == (200, "accepted", {"self": f"/jobs/{job_id}"})
    finish(aws, job_id)
    _, _, answer = call("GET", f"/jobs/{job_id}")
    assert (answer["state"], answer["partial"], answer["pages"]) == ("delivered", True, 3)
    assert answer["links"]["pdf"].startswith("https://")


@pytest.mark.parametrize("path", ["/jobs/none", "/jobs/%2e%2e", "/nothing", "/jobs/idempotency%23x"])
def test_what_is_not_there_is_404_with_a_code(aws: Aws, path: str) -> None:
    status, _, answer = call("GET", path)
    assert status == 404
    assert answer["code"] in {"NOT_FOUND", "JOB_NOT_FOUND"}


SYNC = {"examID": 1, "pacs_studies_iuid": "1.2.3"}


def sync_with(aws: Aws, monkeypatch: pytest.MonkeyPatch, act: Any) -> tuple[int, dict[str, str], Any]:
    """POST /render/sync, and `act(job_id)` in the worker's place as soon as the job is queued."""
    send = queues.send

    def send_and_act(sqs: Any, url: str, body: dict[str, str]) -> None:
        send(sqs, url, body)
        act(body["job_id"])

    monkeypatch.setattr(api, "send", send_and_act)
    return call("POST", "/render/sync", SYNC)


def test_sync_answers_the_pdf(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    status, headers, body = sync_with(aws, monkeypatch, lambda job_id: finish(aws, job_id, b"%PDF-\xff\x00"))
    assert (status, headers["content-type"], body) == (200, "application/pdf", b"%PDF-\xff\x00")


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
    monkeypatch.setenv("RENDER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/none")
    api_settings.cache_clear()
    status, _, answer = call("POST", "/render", BODY)
    assert (status, answer["code"]) == (500, "INTERNAL")


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
    assert {"/render", "/render/sync", "/jobs/{job_id}", "/health"} == set(schema["paths"])
    answers = schema["paths"]["/render"]["post"]["responses"]
    shapes = {code: answer["content"]["application/json"]["schema"] for code, answer in answers.items()}
    assert shapes["200"] == {"$ref": "#/components/schemas/Accepted"}
    assert shapes["422"] == {"$ref": "#/components/schemas/Unfit"}


def test_the_api_imports_no_pixels() -> None:
    heavy = "('numpy', 'pydicom', 'PIL', 'imagecodecs')"
    code = f"import sys, render.api; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
