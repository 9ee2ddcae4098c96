"""What the API says of itself, and whether it keeps to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import urllib3
from openapi_spec_validator import OpenAPIV31SpecValidator

from callback.body import callback_fields, link_fields
from ponte_aws import clients
from ponte_aws.deliveries import Deliveries
from ponte_aws.jobs import Failure, Pdf, RenderRequest, State, new_job_id
from ponte_aws.links import Link
from render.messages import CallbackBody
from tests.corpus import ROOT
from tests.openapi.served import served
from tests.unit.conftest import Aws, _logs_reach_the_tests, aws

__all__ = ["_logs_reach_the_tests", "aws"]

# A schema cannot say which addresses are public, so it cannot say which callbacks are accepted; and what old
# clients send is read kindly ("7" is an integer, "yes" is true), so that it refuses less than its schema.
NOT_CHECKED = "positive_data_acceptance,negative_data_rejection"


def make_jobs(aws: Aws) -> list[str]:
    """A job in each state that the routes tell apart."""

    def make(url: str | None = "https://client.example/cb") -> str:
        request = RenderRequest(exam_id=7, study_instance_uid="1.2.3", url_callback=url)
        job, _ = aws.jobs.create(request, job_id=new_job_id(), secrets={}, retention_days=7)
        return job.job_id

    def render(job_id: str, state: State) -> None:
        key = f"pdf/{job_id}.pdf"
        clients.s3().put_object(Bucket=aws.bucket, Key=key, Body=b"%PDF-x")
        aws.jobs.begin(job_id, run="a", lease_seconds=60)
        aws.jobs.record_progress(job_id, run="a", instances=2, frames=3)
        aws.jobs.advance(job_id, State.RENDERING, run="a")
        aws.jobs.advance(job_id, State.STORING, run="a")
        shown = [{"sop_instance_uid": "1.2", "reason": "NOT_AN_IMAGE", "detail": "a report"}]
        aws.jobs.advance(job_id, state, run="a", pdf=Pdf(key, 6, "00", 3), not_shown=shown)

    accepted, working, delivering, delivered, failed, cancelled, alone = (
        make(), make(), make(), make(), make(), make(), make(None),
    )  # fmt: skip
    aws.jobs.begin(working, run="a", lease_seconds=60)
    for job_id, state in (
        (delivering, State.DELIVERING),
        (delivered, State.DELIVERING),
        (alone, State.DELIVERED),
    ):
        render(job_id, state)
    job = Deliveries(aws.jobs).begin(delivered, 1, run="b", lease_seconds=60)
    entry = {"at": "2026-01-01T00:00:00Z", "status": 200, "latency_ms": 7, "bytes": 9}
    Deliveries(aws.jobs).end(job, run="b", attempt=entry, delivered=True)
    aws.jobs.finish(failed, State.FAILED, error=Failure("PACS_ERROR", "down"))
    aws.jobs.cancel(cancelled)
    return [accepted, working, delivering, delivered, failed, cancelled, alone]


def schema_of(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = urllib3.request("GET", f"{url}/openapi.json").json()
    return answer


def test_the_description_is_valid_openapi_3_1(aws: Aws) -> None:
    with served() as url:
        schema = schema_of(url)
    assert schema["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(schema).validate()


def test_every_operation_has_a_summary_an_answer_and_its_errors_and_every_request_an_example(
    aws: Aws,
) -> None:
    with served() as url:
        schema = schema_of(url)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]
            answers = set(operation["responses"])
            assert answers & {"200", "202", "303"}
            assert {"400", "429", "500"} <= answers
            if path != "/health":
                assert {"401", "403", "503"} <= answers
    for name in ("AsyncRequest", "SyncRequest", "ReplayRequest"):
        assert schema["components"]["schemas"][name]["example"]
    assert {"detail", "code", "title", "status", "type"} <= set(
        schema["components"]["schemas"]["Problem"]["properties"]
    )


@pytest.mark.parametrize("kind", ["inline", "link", "failed"])
def test_the_callback_that_is_described_is_the_one_that_is_sent(aws: Aws, kind: str) -> None:
    with served() as url:
        schema = schema_of(url)
    described = schema["components"]["schemas"]["CallbackBody"]
    assert schema["webhooks"]["callback"]["post"]["requestBody"]
    aws.jobs.create(
        RenderRequest(7, "1.2.3", url_callback="https://client.example/", cod_faturamento="F"),
        job_id="x", secrets={}, retention_days=7,
    )  # fmt: skip
    if kind == "failed":
        aws.jobs.finish("x", State.FAILED, error=Failure("PACS_ERROR", "down"))
    job, pdf = aws.jobs.get("x"), Pdf("pdf/x.pdf", 6, "00", 3)
    sent = (
        link_fields(job, pdf, Link("https://s3.example/", "later"))
        if kind == "link"
        else callback_fields(job)
    )
    CallbackBody.model_validate(sent)
    assert list(sent)[:6] == list(described["properties"])[:6] == described["required"]


@pytest.mark.exhaustive
def test_schemathesis_finds_no_5xx_and_no_answer_that_is_not_described(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SYNC_WAIT_SECONDS", "0.01")
    monkeypatch.setenv("CHECK_PACS", "false")
    jobs = make_jobs(aws)
    with served() as url:
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json",
            "--checks", "all", "--exclude-checks", NOT_CHECKED,
            "--max-examples", "60", "--seed", "20260101", "--continue-on-failure",
            "--suppress-health-check", "all", "--request-timeout", "30",
            "--max-redirects", "0", "--warnings", "off",
        ]  # fmt: skip
        environment = {
            **os.environ,
            "PONTE_JOBS": ",".join(jobs),
            "SCHEMATHESIS_HOOKS": "tests.openapi.hooks",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
