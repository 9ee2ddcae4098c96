from __future__ import annotations

import json
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from callback import report
from callback.settings import report_settings
from ponte_aws import clients
from ponte_aws.announce import announcer
from ponte_aws.jobs import Failure, Jobs, RenderRequest, State, new_job_id
from tests.unit.callback.receiver import answering, receiving
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


@pytest.mark.parametrize("status", [301, 401, 403, 500, 503])
def test_fi_24_a_log_api_that_refuses_is_tried_again_and_counted_and_touches_no_job(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    with receiving() as log_api:
        monkeypatch.setenv("CREATE_LOG_URL", log_api.url)
        report_settings.cache_clear()
        job_id = failed_job(aws)
        before = aws.table.get_item(Key={"job_id": job_id})["Item"]
        log_api.status, log_api.headers = status, {"Location": log_api.url}
        assert tell(job_id) == [{"itemIdentifier": "m"}]
        assert len(log_api.requests) == 1
    assert '"ReportsFailed": 1' in capsys.readouterr().out
    assert aws.table.get_item(Key={"job_id": job_id})["Item"] == before


def test_fi_24_a_log_api_that_is_down_or_says_nothing_is_tried_again_and_counted(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job_id, ended = failed_job(aws), threading.Event()
    monkeypatch.setenv("TIMEOUT_SECONDS", "0.2")

    def say_nothing(connection: socket.socket) -> None:
        ended.wait(30)

    with answering(say_nothing) as silent:
        for url in (silent, "http://127.0.0.1:9/log"):
            monkeypatch.setenv("CREATE_LOG_URL", url)
            report_settings.cache_clear()
            assert tell(job_id) == [{"itemIdentifier": "m"}]
        ended.set()
    assert capsys.readouterr().out.count('"ReportsFailed": 1') == 2


def test_fi_24_a_report_that_cannot_be_queued_is_dropped_and_counted(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = Jobs(aws.table, announcer(clients.sqs(), "https://sqs.us-east-1.amazonaws.com/1/none"))
    job_id = new_job_id()
    jobs.create(RenderRequest(7, "1.2.3"), job_id=job_id, secrets={}, retention_days=7)
    assert jobs.cancel(job_id).state is State.CANCELLED
    assert capsys.readouterr().out.count('"ReportsDropped": 1') == 2


def test_a_job_whose_time_is_over_is_let_go(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREATE_LOG_URL", "http://127.0.0.1:1")
    report_settings.cache_clear()
    assert tell("gone") == []
