"""Callbacks of the deployed functions: signed, tried again by a schedule, replayed; the samples at work."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import urllib3
from standardwebhooks import Webhook

from infra.local import demo_study
from infra.local.aws import REGION
from infra.local.process import wait_for
from infra.local.stack import LocalStack
from ponte_aws.jobs import Jobs, RenderRequest
from tests.corpus import ROOT
from tests.integration.test_render_flow import function_with, multipart_of_demo_study, pacs_stub, sync
from tests.stack import Api, callback_path
from tests.unit.callback.receiver import receiving

pytestmark = pytest.mark.stack

STUDY = str(demo_study.STUDY_INSTANCE_UID)
SAMPLES = ROOT / "docs" / "samples"


def client_of(stack: LocalStack, service: str) -> Any:
    """A client for a service that only these tests look into."""
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=stack.aws.endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@contextmanager
def allowed(stack: LocalStack, origin: str, **callback: str) -> Iterator[None]:
    """Callbacks may go to this origin too, with other variables for the function that makes them."""
    origins = f"{stack.receiver.origin},{origin}"
    with ExitStack() as exits:
        exits.enter_context(function_with(stack, "ApiFunction", CALLBACK_ALLOW_ORIGINS=origins))
        given = {"CALLBACK_ALLOW_ORIGINS": origins, **callback}
        exits.enter_context(function_with(stack, "CallbackFunction", **given))
        yield


def webhook_secret(stack: LocalStack) -> str:
    """The secret that the stack made, as an operator reads it."""
    arn = stack.outputs["WebhookSecretArn"]
    values = json.loads(stack.aws.secrets.get_secret_value(SecretId=arn)["SecretString"])
    return f"whsec_{values['first']}"


def wait_for_attempts(api: Api, job_id: str, count: int) -> None:
    """Until so many attempts at the callback stand on the job."""
    wait_for(
        lambda: len(api.job(job_id)["attempts"]) == count, timeout_s=60, msg=f"attempt {count} is not there"
    )


def test_wh_24_an_independent_verifier_accepts_what_the_deployed_function_signs(
    local_stack: LocalStack, api: Api
) -> None:
    with receiving() as receiver, allowed(local_stack, receiver.url):
        job = api.finished(api.render(STUDY, receiver.url + "/cb")["job_id"])
        ((headers, body),) = receiver.requests
    assert job["state"] == "delivered"
    verified = Webhook(webhook_secret(local_stack)).verify(body, {k.lower(): v for k, v in headers.items()})
    assert base64.b64decode(verified["ImagensPDF"]).startswith(b"%PDF-")
    assert headers["webhook-id"] == job["job_id"]


def test_fi_23_an_attempt_above_fifteen_minutes_is_a_schedule_that_brings_its_message(
    local_stack: LocalStack, api: Api
) -> None:
    """The schedule is the deployed function's own; only its time is moved, so that nobody waits for it."""
    scheduler, group = client_of(local_stack, "scheduler"), local_stack.outputs["ScheduleGroup"]
    with (
        receiving() as receiver,
        allowed(local_stack, receiver.url, RETRY_SCHEDULE_SECONDS="0,7200"),
    ):
        receiver.status = 503
        job_id = api.render(STUDY, receiver.url)["job_id"]
        wait_for_attempts(api, job_id, 1)
        made = scheduler.get_schedule(Name=f"{job_id}-2", GroupName=group)
        assert api.job(job_id)["callback"]["next_at"] > api.job(job_id)["updated_at"]
        receiver.status = 200
        wanted = ("Name", "GroupName", "FlexibleTimeWindow", "Target", "ActionAfterCompletion")
        scheduler.update_schedule(
            **{name: made[name] for name in wanted}, ScheduleExpression="at(2026-01-01T00:00:00)"
        )
        job = api.finished(job_id)
        assert (job["state"], [entry["status"] for entry in job["attempts"]]) == ("delivered", [503, 200])
        assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    wait_for(
        lambda: not scheduler.list_schedules(GroupName=group)["Schedules"],
        timeout_s=30,
        msg="the schedule outlives its time",
    )


def test_a_receiver_that_is_down_for_a_while_gets_its_callback_by_sqs_delays(
    local_stack: LocalStack, api: Api
) -> None:
    with (
        receiving() as receiver,
        allowed(local_stack, receiver.url, RETRY_SCHEDULE_SECONDS="0,1,1,1"),
    ):
        receiver.status = 500
        job_id = api.render(STUDY, receiver.url)["job_id"]
        wait_for_attempts(api, job_id, 2)
        receiver.status = 200
        job = api.finished(job_id)
    assert job["state"] == "delivered"
    assert [entry["attempt"] for entry in job["attempts"]] == list(range(1, len(job["attempts"]) + 1))


def test_a_job_is_replayed_with_the_same_id_and_listed(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    job_id = api.render(STUDY, local_stack.receiver.url(path), examID=770077)["job_id"]
    assert api.finished(job_id)["state"] == "delivered"
    answer = api.request("POST", f"/jobs/{job_id}/replay", json={"Authorization": "Bearer again"})
    assert answer.status == 202
    wait_for(lambda: len(local_stack.receiver.accepted(path)) == 2, timeout_s=60, msg="it did not come again")
    first, second = local_stack.receiver.accepted(path)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == job_id
    assert second.headers["authorization"] == "Bearer again"
    page = api.request("GET", "/jobs?examID=770077&state=delivered").json()
    assert [job["job_id"] for job in page["jobs"]] == [job_id]
    assert api.request("GET", f"/jobs/{job_id}/pdf").data.startswith(b"%PDF-")


def test_a_link_in_the_callback_leads_to_the_document_that_it_describes(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest
) -> None:
    path = callback_path(request)
    api.finished(api.render(STUDY, local_stack.receiver.url(path), delivery="link")["job_id"])
    fields = local_stack.receiver.wait(path).fields
    document = urllib3.request("GET", fields["pdf_url"], timeout=30).data
    assert len(document) == fields["pdf_bytes"]
    assert hashlib.sha256(document).hexdigest() == fields["pdf_sha256"]


def test_a_job_that_is_cancelled_while_it_works_is_never_delivered(
    local_stack: LocalStack, api: Api, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = callback_path(request)
    body = multipart_of_demo_study(tmp_path)
    with (
        pacs_stub('multipart/related; type="application/dicom"; boundary=cut', body, stall_first=True) as (
            url,
            asked,
        ),
        function_with(local_stack, "WorkerFunction", DICOM_WADO_URL=url, LEASE_SECONDS="2"),
    ):
        job_id = api.render(STUDY, local_stack.receiver.url(path))["job_id"]
        wait_for(lambda: bool(asked), timeout_s=30, msg="the worker did not ask for the study")
        assert api.request("POST", f"/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    done = api.finished(api.render(STUDY, local_stack.receiver.url(f"{path}-next"))["job_id"])
    assert done["state"] == "delivered"
    assert api.job(job_id)["state"] == "cancelled"
    assert local_stack.receiver.accepted(path) == []


def test_a_study_that_outlasts_the_wait_is_202_and_its_pdf_is_had_by_its_job(
    local_stack: LocalStack, api: Api
) -> None:
    with function_with(local_stack, "ApiFunction", SYNC_WAIT_SECONDS="0.05"):
        answer = sync(api)
    assert answer.status == 202
    job_id = answer.json()["job_id"]
    assert answer.headers["location"] == f"/jobs/{job_id}"
    assert api.finished(job_id)["state"] == "delivered"
    assert api.request("GET", f"/jobs/{job_id}/pdf").data.startswith(b"%PDF-")


def test_a_token_is_asked_for_where_there_are_tokens(local_stack: LocalStack, api: Api) -> None:
    tokens = json.dumps({"billing": "token-of-the-billing-system"})
    arn = local_stack.aws.secrets.create_secret(Name=f"tokens-{uuid.uuid4().hex}", SecretString=tokens)["ARN"]
    with function_with(local_stack, "ApiFunction", API_TOKENS_SECRET_ARN=arn):
        assert api.request("GET", "/jobs/none").status == 401
        known = {"Authorization": "Bearer token-of-the-billing-system"}
        assert api.request("GET", "/jobs/none", headers=known).status == 404
        assert api.request("GET", "/health").status == 200
        deep = api.request("GET", "/health/deep", headers=known)
        assert (deep.status, deep.json()["status"]) == (200, "ok")


def test_fi_19_a_message_from_the_dead_letters_is_done_when_its_cause_is_mended(
    local_stack: LocalStack, api: Api
) -> None:
    sqs, outputs, job_id = local_stack.aws.sqs, local_stack.outputs, str(uuid.uuid4())
    body = json.dumps({"job_id": job_id})
    sqs.send_message(QueueUrl=outputs["RenderQueueUrl"], MessageBody=body)
    dead: list[Any] = []

    def died() -> bool:
        answer = sqs.receive_message(QueueUrl=outputs["RenderDeadLetterUrl"], MaxNumberOfMessages=10)
        dead.extend(m for m in answer.get("Messages", []) if m["Body"] == body)
        return bool(dead)

    wait_for(died, timeout_s=90, msg="the message did not reach the dead letters")
    table = boto3.resource(
        "dynamodb",
        endpoint_url=local_stack.aws.endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ).Table(outputs["JobsTable"])
    Jobs(table).create(RenderRequest(7, STUDY), job_id=job_id, secrets={}, retention_days=7)
    sqs.send_message(QueueUrl=outputs["RenderQueueUrl"], MessageBody=dead[0]["Body"])
    assert api.finished(job_id)["state"] == "delivered"


def test_wh_23_the_callers_secrets_are_in_no_queue_table_log_schedule_or_dead_letter(
    local_stack: LocalStack, api: Api
) -> None:
    """While an attempt waits, the secret is sealed in the row; afterwards it is nowhere at all."""
    canary = f"canary-{uuid.uuid4().hex}"
    with (
        receiving() as receiver,
        allowed(local_stack, receiver.url, RETRY_SCHEDULE_SECONDS="0,7200"),
    ):
        receiver.status = 503
        job_id = api.render(STUDY, receiver.url, Authorization=canary, IntegrationToken=canary)["job_id"]
        wait_for_attempts(api, job_id, 1)
        assert receiver.requests[0][0]["Authorization"] == canary
        failed = api.render("1.2.3.4.5", receiver.url, Authorization=canary)["job_id"]
        wait_for_attempts(api, failed, 1)
        seen = everything(local_stack, api, [job_id, failed])
        assert job_id in seen
        assert canary not in seen
        assert base64.b64encode(canary.encode()).decode() not in seen
        for job in (job_id, failed):
            assert set(rows(local_stack, job)) & {"secrets"}
            receiver.status = 200
            api.request("POST", f"/jobs/{job}/replay")
            wait_for_attempts(api, job, 2)
            assert "secrets" not in rows(local_stack, job)
    assert canary not in everything(local_stack, api, [job_id, failed])


def rows(stack: LocalStack, job_id: str) -> dict[str, Any]:
    found = stack.aws.dynamodb.get_item(TableName=stack.outputs["JobsTable"], Key={"job_id": {"S": job_id}})
    return dict(found["Item"])


def everything(stack: LocalStack, api: Api, job_ids: list[str]) -> str:
    """Every queue, row, schedule, log line and answer that the stack has, as one text."""
    pieces: list[Any] = [stack.aws.dynamodb.scan(TableName=stack.outputs["JobsTable"])["Items"]]
    for name, url in stack.outputs.items():
        if name.endswith(("QueueUrl", "DeadLetterUrl")):
            answer = stack.aws.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, AttributeNames=["All"]
            )
            pieces.append(answer.get("Messages", []))
    scheduler, group = client_of(stack, "scheduler"), stack.outputs["ScheduleGroup"]
    schedules = scheduler.list_schedules(GroupName=group)["Schedules"]
    pieces.extend(scheduler.get_schedule(Name=schedule["Name"], GroupName=group) for schedule in schedules)
    for log in stack.aws.logs.describe_log_groups()["logGroups"]:
        events = stack.aws.logs.filter_log_events(logGroupName=log["logGroupName"])["events"]
        pieces.extend(event["message"] for event in events)
    pieces.append((stack.folder / "aws" / "emulator.log").read_text(errors="replace"))
    pieces.extend(api.job(job_id) for job_id in job_ids)
    return repr(pieces)


@contextmanager
def sample_receiver(secret: str, folder: Path) -> Iterator[str]:
    """The sample receiver as integrators run it; its URL."""
    process = subprocess.Popen(
        [sys.executable, str(SAMPLES / "receiver.py"), "0", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "WEBHOOK_SECRET": secret},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_the_sample_client_and_the_sample_receiver_do_a_job_together(
    local_stack: LocalStack, api: Api, tmp_path: Path
) -> None:
    with (
        sample_receiver(webhook_secret(local_stack), tmp_path / "received") as url,
        allowed(local_stack, url),
    ):
        command = [sys.executable, str(SAMPLES / "client.py"), api.url, STUDY, f"{url}/callback", "12345"]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    lines = done.stdout.split("\n")
    assert lines[0].startswith("job ")
    assert lines[-2] == "delivered"
    (pdf,) = (tmp_path / "received").glob("*.pdf")
    assert pdf.read_bytes().startswith(b"%PDF-")


def test_the_sample_receiver_takes_one_callback_once_and_no_forgery(
    local_stack: LocalStack, api: Api, tmp_path: Path
) -> None:
    forged = "whsec_" + base64.b64encode(bytes(32)).decode()
    with (
        sample_receiver(forged, tmp_path / "forged") as url,
        allowed(local_stack, url),
    ):
        job = api.finished(api.render(STUDY, url)["job_id"])
        assert (job["state"], job["attempts"][-1]["status"]) == ("failed", 401)
    assert list((tmp_path / "forged").iterdir()) == []
    with (
        sample_receiver(webhook_secret(local_stack), tmp_path / "received") as url,
        allowed(local_stack, url),
    ):
        job_id = api.render(STUDY, url)["job_id"]
        assert api.finished(job_id)["state"] == "delivered"
        before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "received").iterdir()}
        api.request("POST", f"/jobs/{job_id}/replay")
        wait_for_attempts(api, job_id, 2)
        assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "received").iterdir()} == before


def test_the_sample_in_curl_fetches_the_pdf_at_once_or_when_it_is_done(
    local_stack: LocalStack, api: Api, tmp_path: Path
) -> None:
    pdf = tmp_path / "study.pdf"
    command = ["sh", str(SAMPLES / "client.sh"), api.url, STUDY, str(pdf)]
    subprocess.run(command, check=True, timeout=60)
    assert pdf.read_bytes().startswith(b"%PDF-")
    with function_with(local_stack, "ApiFunction", SYNC_WAIT_SECONDS="0.05"):
        subprocess.run(command, check=True, timeout=60)
    assert pdf.read_bytes().startswith(b"%PDF-")
    missing = subprocess.run(
        [*command[:3], "1.2.3.4.5", str(pdf)], capture_output=True, text=True, timeout=60
    )
    assert missing.returncode == 1
    assert "STUDY_NOT_FOUND" in missing.stderr
    assert not pdf.exists()
