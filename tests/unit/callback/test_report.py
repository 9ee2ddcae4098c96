from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from callback import report
from callback.settings import report_settings
from ponte_aws.jobs import Failure, RenderRequest, State, new_job_id
from tests.unit.callback.receiver import receiving
from tests.unit.conftest import Aws

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)


def tell(job_id: str, state: str = "failed") -> list[dict[str, str]]:
    body = json.dumps({"job_id": job_id, "state": state, "at": "2026-01-01T00:00:00.000Z"})
    record = {"messageId": "m", "receiptHandle": "r", "attributes": {}, "body": body}
    answer: list[dict[str, str]] = report.handler({"Records": [record]}, CONTEXT)["batchItemFailures"]
    return answer


def failed_job(aws: Aws) -> str:
    job_id = new_job_id()
    aws.jobs.create(RenderRequest(7, "1.2.3"), job_id=job_id, secrets={}, retention_days=7)
    aws.jobs.finish(job_id, State.FAILED, error=Failure("PACS_ERROR", "down"))
    return job_id


def test_one_change_of_state_is_one_post(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as log_api:
        monkeypatch.setenv("CREATE_LOG_URL", log_api.url + "/logs")
        report_settings.cache_clear()
        job_id = failed_job(aws)
        assert tell(job_id) == []
        assert json.loads(log_api.requests[0][1]) == {
            "job_id": job_id,
            "state": "failed",
            "at": "2026-01-01T00:00:00.000Z",
            "examID": 7,
            "pacs_studies_iuid": "1.2.3",
            "error": {"code": "PACS_ERROR", "detail": "down"},
        }


def test_a_log_api_that_fails_is_tried_again_and_one_that_is_down_too(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as log_api:
        monkeypatch.setenv("CREATE_LOG_URL", log_api.url)
        report_settings.cache_clear()
        job_id = failed_job(aws)
        log_api.status = 500
        assert tell(job_id) == [{"itemIdentifier": "m"}]
    assert tell(job_id) == [{"itemIdentifier": "m"}]


def test_a_job_whose_time_is_over_is_let_go(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATE_LOG_URL", "http://127.0.0.1:1")
    report_settings.cache_clear()
    assert tell("gone") == []
