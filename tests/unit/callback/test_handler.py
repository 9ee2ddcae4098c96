from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest

from callback import handler as callback
from callback.settings import callback_settings
from ponte_aws import clients
from ponte_aws.jobs import Failure, Job, Pdf, RenderRequest, State, new_job_id
from ponte_aws.secrets import seal
from tests.unit.callback.receiver import Receiver, receiving
from tests.unit.conftest import Aws

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
PDF = b"%PDF-1.7 \xff\x00 the document" * 100_000


@pytest.fixture
def receiver(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as listening:
        monkeypatch.setenv("CALLBACK_ALLOW_ORIGINS", listening.url)
        callback_settings.cache_clear()
        yield listening


def make_job(aws: Aws, url: str, state: State = State.DELIVERING, **request: Any) -> Job:
    """A job that waits for its callback, with its PDF stored and its secrets sealed."""
    job_id = new_job_id()
    secrets = {"Authorization": "Bearer caller-secret", "IntegrationToken": "token-secret"}
    fields = {"cod_autorizacao": "A", "cod_faturamento": "F", "cod_procedimento": None, **request}
    aws.jobs.create(
        RenderRequest(exam_id=7, study_instance_uid="1.2.3", url_callback=url, **fields),
        job_id=job_id,
        secrets=seal(clients.kms(), callback_settings().secrets_key_id, job_id, secrets),
        retention_days=7,
    )
    clients.s3().put_object(Bucket=aws.bucket, Key="pdf/x.pdf", Body=PDF)
    aws.jobs.begin(job_id, run="a", lease_seconds=60)
    if state is State.FAILED:
        return aws.jobs.finish(
            job_id, state, keep_secrets=True, error=Failure("STUDY_NOT_FOUND", "no such study")
        )
    aws.jobs.advance(job_id, State.RENDERING, run="a")
    aws.jobs.advance(job_id, State.STORING, run="a")
    return aws.jobs.advance(job_id, state, run="a", pdf=Pdf("pdf/x.pdf", len(PDF), "00", 3))


def deliver(job: Job, *, receive_count: int = 1) -> list[dict[str, str]]:
    """Hand the job's message to the function; answer the items that it wants again."""
    record = {
        "messageId": "m",
        "receiptHandle": "r",
        "attributes": {"ApproximateReceiveCount": str(receive_count)},
        "body": json.dumps({"job_id": job.job_id}),
    }
    answer: list[dict[str, str]] = callback.handler({"Records": [record]}, CONTEXT)["batchItemFailures"]
    return answer


def test_the_body_is_as_receivers_know_it_and_the_secrets_travel_as_headers(
    aws: Aws, receiver: Receiver
) -> None:
    job = make_job(aws, receiver.url + "/cb?x=1")
    assert deliver(job) == []
    headers, body = receiver.requests[0]
    sent = json.loads(body)
    assert list(sent) == [
        "examID", "studyIUID", "ImagensPDF", "CodAutorizacao", "CodFaturamento", "CodProcedimento",
    ]  # fmt: skip
    assert base64.b64decode(sent.pop("ImagensPDF"), validate=True) == PDF
    assert sent == {
        "examID": 7, "studyIUID": "1.2.3", "CodAutorizacao": "A", "CodFaturamento": "F-i",
        "CodProcedimento": None,
    }  # fmt: skip
    assert headers["Authorization"] == "Bearer caller-secret"
    assert headers["IntegrationToken"] == "token-secret"
    assert headers["Content-Type"].startswith("application/json")


def test_only_an_accepting_answer_makes_the_job_delivered_and_its_secrets_go(
    aws: Aws, receiver: Receiver
) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 500
    assert deliver(job) == [{"itemIdentifier": "m"}]
    assert aws.jobs.get(job.job_id).state is State.DELIVERING
    receiver.status = 204
    assert deliver(job, receive_count=2) == []
    done = aws.jobs.get(job.job_id)
    assert (done.state, done.callback["attempts"], dict(done.secrets)) == (State.DELIVERED, 2, {})


def test_a_failed_job_is_called_back_with_status_and_error(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url, State.FAILED)
    assert deliver(job) == []
    sent = json.loads(receiver.requests[0][1])
    assert sent["ImagensPDF"] is None
    assert (sent["status"], sent["error"]["code"]) == ("failed", "STUDY_NOT_FOUND")
    done = aws.jobs.get(job.job_id)
    assert (done.state, done.callback["delivered"], dict(done.secrets)) == (State.FAILED, True, {})


def test_a_null_billing_code_stays_null(aws: Aws, receiver: Receiver) -> None:
    deliver(make_job(aws, receiver.url, cod_faturamento=None))
    assert json.loads(receiver.requests[0][1])["CodFaturamento"] is None


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404, 410])
def test_an_answer_that_no_retry_can_mend_fails_the_job(aws: Aws, receiver: Receiver, status: int) -> None:
    job = make_job(aws, receiver.url)
    receiver.status, receiver.headers = status, {"Location": receiver.url + "/elsewhere"}
    assert deliver(job) == []
    failed = aws.jobs.get(job.job_id)
    assert (failed.state, failed.error and failed.error.code) == (State.FAILED, "CALLBACK_FAILED")
    assert len(receiver.requests) == 1


def test_when_the_attempts_are_used_up_the_job_fails_and_says_so(
    aws: Aws, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 503
    attempts = callback_settings().max_attempts
    assert deliver(job, receive_count=attempts - 1) != []
    assert deliver(job, receive_count=attempts) == []
    failed = aws.jobs.get(job.job_id)
    assert failed.state is State.FAILED
    assert failed.error == Failure("CALLBACK_FAILED", "the receiver answered 503")
    assert '"CallbacksGivenUp": 1' in capsys.readouterr().out


def test_a_message_that_comes_twice_calls_once(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    deliver(job)
    deliver(job, receive_count=2)
    assert len(receiver.requests) == 1


def test_a_receiver_that_hangs_up_is_tried_again(aws: Aws, receiver: Receiver) -> None:
    def hang_up(request: BaseHTTPRequestHandler) -> None:
        request.connection.close()

    receiver.answer = hang_up
    job = make_job(aws, receiver.url)
    assert deliver(job) == [{"itemIdentifier": "m"}]
    assert aws.jobs.get(job.job_id).state is State.DELIVERING


def test_a_document_shorter_than_its_row_is_never_delivered(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    clients.s3().put_object(Bucket=aws.bucket, Key="pdf/x.pdf", Body=PDF[:100])
    assert deliver(job) == [{"itemIdentifier": "m"}]
    assert aws.jobs.get(job.job_id).state is State.DELIVERING


def test_an_address_that_is_not_allowed_is_never_connected_to(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBACK_ALLOW_ORIGINS", "")
    callback_settings.cache_clear()
    job = make_job(aws, receiver.url)
    assert deliver(job) == []
    failed = aws.jobs.get(job.job_id)
    assert failed.state is State.FAILED
    assert receiver.requests == []


def test_secrets_of_one_job_do_not_open_on_another(aws: Aws, receiver: Receiver) -> None:
    first, second = make_job(aws, receiver.url), make_job(aws, receiver.url)
    stolen = dict(first.secrets)
    aws.table.update_item(
        Key={"job_id": second.job_id},
        UpdateExpression="SET secrets = :stolen",
        ExpressionAttributeValues={":stolen": stolen},
    )
    assert deliver(second) == [{"itemIdentifier": "m"}]
    assert receiver.requests == []


def test_no_secret_reaches_the_log(aws: Aws, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.status = 500
    deliver(make_job(aws, receiver.url))
    assert "secret" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"job_id": 3}', '{"job_id": "none"}'])
def test_a_message_that_is_not_ours_is_reported_and_the_others_are_done(
    aws: Aws, receiver: Receiver, body: str
) -> None:
    good = make_job(aws, receiver.url)
    records = [
        {"messageId": name, "receiptHandle": name, "attributes": {}, "body": text}
        for name, text in (("bad", body), ("good", json.dumps({"job_id": good.job_id})))
    ]
    answer = callback.handler({"Records": records}, CONTEXT)
    assert answer["batchItemFailures"] == [{"itemIdentifier": "bad"}]
    assert aws.jobs.get(good.job_id).state is State.DELIVERED
