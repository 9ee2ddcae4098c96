from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from standardwebhooks import Webhook, WebhookVerificationError

from callback import handler as callback
from callback.retries import SCHEDULE_S
from callback.settings import callback_settings
from infra.local.process import wait_for
from ponte_aws import clients, rotating
from ponte_aws.deliveries import Deliveries
from ponte_aws.jobs import Failure, Job, JobBusy, JobFinished, Pdf, RenderRequest, State, new_job_id
from ponte_aws.later import Later
from ponte_aws.queues import Message, RetryLater
from ponte_aws.secrets import seal
from tests.unit.callback.receiver import Receiver, receiving
from tests.unit.conftest import Aws

CONTEXT: Any = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
PDF = b"%PDF-1.7 \xff\x00 the document" * 40_000


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
    stored = Pdf("pdf/x.pdf", len(PDF), hashlib.sha256(PDF).hexdigest(), 3)
    return aws.jobs.advance(job_id, state, run="a", pdf=stored)


def deliver(job: Job, *, turn: int = 1, receive_count: int = 1) -> list[dict[str, str]]:
    """Hand the message of one attempt to the function; answer the items that it wants again."""
    record = {
        "messageId": "m",
        "receiptHandle": "r",
        "attributes": {"ApproximateReceiveCount": str(receive_count)},
        "body": json.dumps({"job_id": job.job_id, "turn": str(turn)}),
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
    assert deliver(job) == []
    waiting = aws.jobs.get(job.job_id)
    assert (waiting.state, waiting.callback["status"], waiting.owed) == (State.DELIVERING, 500, True)
    assert waiting.secrets
    receiver.status = 204
    assert deliver(job, turn=2) == []
    done = aws.jobs.get(job.job_id)
    assert (done.state, done.callback["attempts"], dict(done.secrets)) == (State.DELIVERED, 2, {})
    assert (done.owed, done.callback["delivered"]) == (False, True)


def test_a_next_attempt_is_queued_with_its_number(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 500
    deliver(job)
    wait_for(
        lambda: aws.messages(aws.callback_queue_url) == [json.dumps({"job_id": job.job_id, "turn": "2"})],
        timeout_s=30,
        msg="no message for the next attempt",
    )


def test_every_attempt_is_on_the_job_with_time_status_latency_bytes_and_error(
    aws: Aws, receiver: Receiver
) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 503
    deliver(job)
    receiver.answer = lambda request: request.connection.close()
    deliver(job, turn=2)
    receiver.answer, receiver.status = None, 200
    deliver(job, turn=3)
    log = aws.jobs.get(job.job_id).attempts
    told = [(entry["attempt"], entry.get("status"), entry.get("error")) for entry in log]
    assert told == [(1, 503, "status"), (2, None, "cut"), (3, 200, None)]
    sent = len(receiver.requests[0][1])
    assert all(entry["at"] and entry["latency_ms"] >= 0 and entry["bytes"] == sent for entry in log)


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
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETRY_SCHEDULE_SECONDS", "0,0,0")
    callback_settings.cache_clear()
    job = make_job(aws, receiver.url)
    receiver.status = 503
    deliver(job)
    deliver(job, turn=2)
    assert aws.jobs.get(job.job_id).state is State.DELIVERING
    deliver(job, turn=3)
    failed = aws.jobs.get(job.job_id)
    assert failed.state is State.FAILED
    assert failed.error == Failure("CALLBACK_FAILED", "the receiver answered 503")
    assert (failed.owed, dict(failed.secrets), len(failed.attempts)) == (False, {}, 3)
    assert '"CallbacksGivenUp": 1' in capsys.readouterr().out


def test_a_job_whose_time_ends_before_the_next_attempt_expires(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    aws.table.update_item(
        Key={"job_id": job.job_id},
        UpdateExpression="SET expires_at = :soon",
        ExpressionAttributeValues={":soon": int(time.time()) + 2},
    )
    receiver.status = 500
    deliver(job)
    assert aws.jobs.get(job.job_id).state is State.EXPIRED


def test_fi_17_a_message_that_comes_twice_calls_once(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    deliver(job)
    assert deliver(job, receive_count=2) == []
    assert len(receiver.requests) == 1


def test_fi_17_two_functions_with_the_same_message_at_once_call_once(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    wanted_again: list[list[dict[str, str]]] = []

    def meanwhile(request: BaseHTTPRequestHandler) -> None:
        wanted_again.append(deliver(job))
        request.send_response(200)
        request.send_header("Content-Length", "0")
        request.end_headers()

    receiver.answer = meanwhile
    assert deliver(job) == []
    assert wanted_again == [[{"itemIdentifier": "m"}]]
    assert len(receiver.requests) == 1
    assert aws.jobs.get(job.job_id).state is State.DELIVERED


def test_a_message_of_an_attempt_that_is_over_changes_nothing(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 500
    deliver(job)
    assert deliver(job, turn=1) == []
    assert len(receiver.requests) == 1
    assert aws.jobs.get(job.job_id).turn == 2


def test_a_message_that_overtakes_the_row_waits_for_it(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    assert deliver(job, turn=2) == [{"itemIdentifier": "m"}]
    assert receiver.requests == []


@pytest.mark.parametrize("turn", [1, 2])
def test_a_message_waits_as_long_as_the_run_that_is_in_its_way_may_take(
    aws: Aws, receiver: Receiver, turn: int
) -> None:
    """Asked for every few seconds, it would be received too often, and end in the dead letters."""
    job = make_job(aws, receiver.url)
    Deliveries(aws.jobs).begin(job.job_id, 1, run="killed", lease_seconds=100)
    message = Message("m", "r", 1, json.dumps({"job_id": job.job_id, "turn": str(turn)}))
    with pytest.raises(RetryLater) as caught:
        callback.handle(message, callback_settings())
    assert 95 < (caught.value.delay_s or 0) <= 101


def test_fi_22_an_answer_that_was_lost_means_the_same_id_again(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The POST arrived; the function dies before it can say so."""
    job = make_job(aws, receiver.url)
    with monkeypatch.context() as patch:
        patch.setattr(Deliveries, "end", lambda *a, **k: pytest.fail("killed here"))
        with pytest.raises(pytest.fail.Exception):
            deliver(job)
    assert deliver(job) == [{"itemIdentifier": "m"}]  # the dead one's lease still counts
    aws.table.update_item(
        Key={"job_id": job.job_id},
        UpdateExpression="SET delivery_until = :past",
        ExpressionAttributeValues={":past": 0},
    )
    assert deliver(job) == []
    first, second = (headers["webhook-id"] for headers, _ in receiver.requests)
    assert first == second == job.job_id
    assert aws.jobs.get(job.job_id).state is State.DELIVERED


def test_fi_22_an_attempt_queued_but_not_written_is_made_again_and_none_is_lost(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 500
    with monkeypatch.context() as patch:
        patch.setattr(Deliveries, "put_off", lambda *a, **k: pytest.fail("killed here"))
        with pytest.raises(pytest.fail.Exception):
            deliver(job)
    wait_for(
        lambda: len(aws.messages(aws.callback_queue_url)) == 1, timeout_s=30, msg="the next attempt is lost"
    )


def test_a_receiver_that_hangs_up_is_tried_again(aws: Aws, receiver: Receiver) -> None:
    receiver.answer = lambda request: request.connection.close()
    job = make_job(aws, receiver.url)
    assert deliver(job) == []
    waiting = aws.jobs.get(job.job_id)
    assert (waiting.state, waiting.owed, waiting.turn) == (State.DELIVERING, True, 2)


@pytest.mark.parametrize(
    "stored", [PDF[:100], PDF + b"more", PDF[:-1] + b"?"], ids=["cut", "longer", "other"]
)
def test_a_document_that_is_not_the_one_of_its_row_is_never_delivered(
    aws: Aws, receiver: Receiver, stored: bytes
) -> None:
    job = make_job(aws, receiver.url)
    clients.s3().put_object(Bucket=aws.bucket, Key="pdf/x.pdf", Body=stored)
    assert deliver(job) == [{"itemIdentifier": "m"}]
    for headers, body in receiver.requests:
        assert len(body) < int(headers["Content-Length"])
    assert aws.jobs.get(job.job_id).state is State.DELIVERING


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_fi_25_without_the_key_nothing_is_sent_and_the_message_comes_again(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    job = make_job(aws, receiver.url)

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "Decrypt")

    with monkeypatch.context() as patch:
        patch.setattr(clients.kms(), "decrypt", refuse)
        assert deliver(job) == [{"itemIdentifier": "m"}]
        assert deliver(job, receive_count=2) == [{"itemIdentifier": "m"}]
        assert aws.jobs.get(job.job_id).attempts == ()
        assert deliver(job, receive_count=3) == []
    (entry,) = aws.jobs.get(job.job_id).attempts
    assert (entry["error"], entry["detail"]) == ("internal", "a fault inside Ponte (ClientError)")
    assert receiver.requests == []
    assert deliver(job, turn=2) == []
    assert receiver.requests[0][0]["Authorization"] == "Bearer caller-secret"


def test_fi_25_a_table_that_cannot_be_written_costs_no_attempt(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(aws, receiver.url)

    def throttled(*a: object, **k: object) -> None:
        raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "UpdateItem")

    with monkeypatch.context() as patch:
        patch.setattr(Deliveries, "begin", throttled)
        assert deliver(job) == [{"itemIdentifier": "m"}]
    assert receiver.requests == []
    assert deliver(job) == []


def test_a_function_that_is_killed_each_time_costs_one_attempt_and_not_the_job(
    aws: Aws, receiver: Receiver
) -> None:
    job = make_job(aws, receiver.url)
    for _ in range(3):
        Deliveries(aws.jobs).begin(job.job_id, 1, run="killed", lease_seconds=-5)
    assert deliver(job) == []
    waiting = aws.jobs.get(job.job_id)
    assert (waiting.attempts[0]["error"], waiting.turn, waiting.owed) == ("stopped", 2, True)
    assert receiver.requests == []
    assert deliver(job, turn=2) == []
    assert aws.jobs.get(job.job_id).state is State.DELIVERED


def test_a_message_that_was_received_often_and_never_run_costs_no_attempt(
    aws: Aws, receiver: Receiver
) -> None:
    """Lambda counts a receive for a function that it throttled."""
    job = make_job(aws, receiver.url)
    assert deliver(job, receive_count=25) == []
    assert aws.jobs.get(job.job_id).state is State.DELIVERED


@pytest.mark.parametrize(
    ("status", "headers", "least_s", "most_s"),
    [
        (500, {}, 4, 6),
        (408, {}, 4, 6),
        (425, {}, 4, 6),
        (429, {}, 4, 6),
        (429, {"Retry-After": "600"}, 600, 600),
        (503, {"Retry-After": "3600"}, 3600, 3600),
        (503, {"Retry-After": "999999"}, 86_400, 86_400),
        (503, {"Retry-After": "never"}, 4, 6),
    ],
)
def test_fi_23_the_schedule_is_kept_and_retry_after_honoured(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch,
    status: int, headers: dict[str, str], least_s: int, most_s: int,
) -> None:  # fmt: skip
    waits: list[float] = []
    monkeypatch.setattr(Later, "send", lambda self, name, body, delay_s: waits.append(delay_s))
    job = make_job(aws, receiver.url)
    receiver.status, receiver.headers = status, headers
    deliver(job)
    assert least_s <= waits[0] <= most_s


def test_fi_23_the_whole_schedule(aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(Later, "send", lambda self, name, body, delay_s: waits.append(delay_s))
    job = make_job(aws, receiver.url)
    receiver.status = 500
    for turn in range(1, 11):
        deliver(job, turn=turn)
    assert len(receiver.requests) == 10
    for waited, planned in zip(waits, SCHEDULE_S[1:], strict=True):
        assert planned * 0.9 <= waited <= planned * 1.1
    assert aws.jobs.get(job.job_id).state is State.FAILED


def test_fi_23_410_stops(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 410
    deliver(job)
    assert deliver(job, turn=2) == []
    assert len(receiver.requests) == 1
    assert aws.messages(aws.callback_queue_url) == []


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


def sign_with(aws: Aws, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """Store the operator's secrets for signing, and let the function know of them; answers the ARN."""
    arn = clients.secrets_manager().create_secret(Name="webhook", SecretString=text)["ARN"]
    monkeypatch.setenv("WEBHOOK_SECRET_ARN", arn)
    callback_settings.cache_clear()
    return arn


OLD, NEW = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))


def test_wh_24_an_independent_verifier_accepts_three_attempts_with_one_id(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_with(aws, monkeypatch, json.dumps({"first": OLD}))
    job = make_job(aws, receiver.url)
    receiver.status = 500
    deliver(job)
    deliver(job, turn=2)
    receiver.status = 200
    deliver(job, turn=3)
    for headers, body in receiver.requests:
        assert Webhook(OLD).verify(body, {k.lower(): v for k, v in headers.items()})
        with pytest.raises(WebhookVerificationError):
            Webhook(OLD).verify(body + b" ", {k.lower(): v for k, v in headers.items()})
    assert {headers["webhook-id"] for headers, _ in receiver.requests} == {job.job_id}


def test_wh_24_while_secrets_rotate_both_verify_and_then_the_new_one_alone(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = sign_with(aws, monkeypatch, json.dumps({"2026": OLD, "2027": NEW}))
    deliver(make_job(aws, receiver.url))
    clients.secrets_manager().put_secret_value(SecretId=arn, SecretString=json.dumps({"2027": NEW}))
    rotating.forget()
    deliver(make_job(aws, receiver.url))
    (both, both_body), (new, new_body) = (
        ({k.lower(): v for k, v in headers.items()}, body) for headers, body in receiver.requests
    )
    assert len(both["webhook-signature"].split()) == 2
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(both_body, both)
    assert Webhook(NEW).verify(new_body, new)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(new_body, new)


def test_the_time_of_the_signature_is_that_of_the_attempt(
    aws: Aws, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_with(aws, monkeypatch, json.dumps({"first": OLD}))
    job = make_job(aws, receiver.url)
    receiver.status = 500
    deliver(job)
    monkeypatch.setattr(callback, "time", SimpleNamespace(time=lambda: 4e9, monotonic=time.monotonic))
    deliver(job, turn=2)
    first, second = (headers for headers, _ in receiver.requests)
    assert abs(int(first["webhook-timestamp"]) - time.time()) < 60
    assert second["webhook-timestamp"] == "4000000000"
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("text", ["whsec_x", "{}", '{"a": "short"}', '{"a": 1}', "[]"])
def test_a_secret_that_cannot_sign_sends_nothing_unsigned(
    aws: Aws,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    sign_with(aws, monkeypatch, text)
    assert deliver(make_job(aws, receiver.url)) == [{"itemIdentifier": "m"}]
    assert receiver.requests == []
    assert "short" not in "".join(capsys.readouterr())


def test_a_link_stands_in_place_of_the_pdf_where_it_was_asked_for(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url, delivery="link")
    assert deliver(job) == []
    sent = json.loads(receiver.requests[0][1])
    assert list(sent) == [
        "examID", "studyIUID", "ImagensPDF", "CodAutorizacao", "CodFaturamento", "CodProcedimento",
        "pdf_url", "pdf_sha256", "pdf_bytes", "expires_at",
    ]  # fmt: skip
    assert sent["ImagensPDF"] is None
    assert (sent["pdf_bytes"], sent["pdf_sha256"]) == (len(PDF), hashlib.sha256(PDF).hexdigest())
    assert "Signature" in sent["pdf_url"]
    assert 0 < datetime.fromisoformat(sent["expires_at"]).timestamp() - time.time() <= 900


def replay(aws: Aws, job: Job, **secrets: bytes) -> Job:
    return Deliveries(aws.jobs).replay(aws.jobs.get(job.job_id), secrets)


def test_a_replay_of_a_delivered_job_sends_it_again_with_the_same_id_and_new_secrets(
    aws: Aws, receiver: Receiver
) -> None:
    job = make_job(aws, receiver.url)
    deliver(job)
    sealed = seal(clients.kms(), callback_settings().secrets_key_id, job.job_id, {"Authorization": "again"})
    again = replay(aws, job, **sealed)
    assert (again.state, again.owed) == (State.DELIVERED, True)
    assert deliver(job, turn=again.turn) == []
    (first, _), (second, _) = receiver.requests
    assert first["webhook-id"] == second["webhook-id"]
    assert second["Authorization"] == "again"
    done = aws.jobs.get(job.job_id)
    assert (done.state, done.owed, dict(done.secrets), len(done.attempts)) == (State.DELIVERED, False, {}, 2)


def test_a_replay_of_a_job_whose_delivery_failed_can_make_it_delivered(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 400
    deliver(job)
    again = replay(aws, job)
    assert (again.state, again.error) == (State.DELIVERING, None)
    receiver.status = 200
    deliver(job, turn=again.turn)
    assert aws.jobs.get(job.job_id).state is State.DELIVERED


def test_a_replay_of_a_failed_study_tells_of_the_failure_again(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url, State.FAILED)
    deliver(job)
    again = replay(aws, job)
    deliver(job, turn=again.turn)
    assert [json.loads(body)["status"] for _, body in receiver.requests] == ["failed", "failed"]
    assert aws.jobs.get(job.job_id).state is State.FAILED


def test_a_replay_takes_the_place_of_the_attempt_that_waits(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    receiver.status = 500
    deliver(job)
    again = replay(aws, job)
    receiver.status = 200
    assert deliver(job, turn=2) == []  # the message of the schedule before: nobody's turn
    assert len(receiver.requests) == 1
    deliver(job, turn=again.turn)
    assert receiver.requests[1][0]["Authorization"] == "Bearer caller-secret"
    assert aws.jobs.get(job.job_id).callback["attempts"] == 1


def test_a_replay_while_an_attempt_is_under_way_is_refused(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    Deliveries(aws.jobs).begin(job.job_id, 1, run="other", lease_seconds=60)
    with pytest.raises(JobBusy):
        replay(aws, job)


@pytest.mark.parametrize("state", [State.CANCELLED, State.EXPIRED])
def test_a_job_that_was_called_off_is_not_replayed(aws: Aws, receiver: Receiver, state: State) -> None:
    job = make_job(aws, receiver.url)
    aws.jobs.finish(job.job_id, state)
    with pytest.raises(JobFinished):
        replay(aws, job)


def test_a_cancelled_job_is_not_delivered(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    aws.jobs.cancel(job.job_id)
    assert deliver(job) == []
    assert receiver.requests == []
    assert not aws.jobs.get(job.job_id).secrets


def test_a_job_is_not_cancelled_in_the_middle_of_its_delivery(aws: Aws, receiver: Receiver) -> None:
    job = make_job(aws, receiver.url)
    Deliveries(aws.jobs).begin(job.job_id, 1, run="other", lease_seconds=60)
    with pytest.raises(JobBusy):
        aws.jobs.cancel(job.job_id)
    assert aws.jobs.get(job.job_id).secrets


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", '{"job_id": 3}', '{"job_id": "none"}', '{"job_id": "x", "turn": "-1"}']
)
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
