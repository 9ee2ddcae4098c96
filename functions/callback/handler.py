"""SQS: deliver a finished job to its `UrlCallback`, one attempt a message."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from aws_lambda_powertools.utilities.typing import LambdaContext

from callback.body import JsonBody, PdfBody, callback_fields, link_fields
from callback.delivery import Body, Fault, Outcome, longest_s, post
from callback.retries import delay_s
from callback.settings import CallbackSettings, callback_settings
from ponte.signature import sign
from ponte_aws import clients
from ponte_aws.announce import announcer, count_metric
from ponte_aws.callback_url import CallbackRefused, Policy
from ponte_aws.deliveries import Deliveries
from ponte_aws.jobs import Failure, Job, JobBusy, JobMoved, Jobs, State, now
from ponte_aws.later import Later
from ponte_aws.links import link_to
from ponte_aws.log import make_logger
from ponte_aws.queues import Message, RetryLater, handle_batch, hide
from ponte_aws.rotating import read_secrets
from ponte_aws.secrets import unseal

logger = make_logger("callback")
USER_AGENT = "Ponte"
BUSY_S = 5.0  # how long a message waits at least whose attempt cannot begin yet


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Entry point: a batch of `{"job_id", "turn"}` messages; without `turn`, the first."""
    settings = callback_settings()
    return cast(
        "dict[str, Any]",
        handle_batch(
            event,
            lambda message: handle(message, settings),
            sqs=clients.sqs(),
            queue_url=settings.callback_queue_url,
            retry_base_s=settings.retry_base_seconds,
        ),
    )


def handle(message: Message, settings: CallbackSettings) -> None:
    """Make the attempt that the message is for, and see to the next one, or end the job."""
    jobs = Jobs(clients.jobs_table(settings.jobs_table), announcer(clients.sqs(), settings.report_queue_url))
    deliveries, run = Deliveries(jobs), uuid.uuid4().hex
    job_id, turn = message.reference("job_id"), message.number("turn", 1)
    lease_s = _longest_s(jobs.get(job_id))
    # After a killed function the message comes again then, and not after the queue's whole time-out.
    hide(clients.sqs(), settings.callback_queue_url, message, lease_s + BUSY_S)
    try:
        job = deliveries.begin(job_id, turn, run=run, lease_seconds=lease_s)
    except JobMoved:
        logger.info("callback already ended", extra={"job_id": job_id, "turn": turn})
        return
    except JobBusy as error:
        raise RetryLater(error.detail, max(error.wait_s or 0.0, BUSY_S)) from error
    at, outcome = now(), _attempt(deliveries, job, run, settings)
    attempt = {
        "at": at,
        "status": outcome.status,
        "latency_ms": round(outcome.latency_s * 1000),
        "bytes": outcome.sent_bytes,
        "error": outcome.fault and outcome.fault.value,
        "detail": outcome.detail or None,
    }
    _settle(deliveries, job, run, outcome, attempt, settings)


def _attempt(deliveries: Deliveries, job: Job, run: str, settings: CallbackSettings) -> Outcome:
    """One attempt. A fault of ours costs none: it is begun again, until that was done too often."""
    if job.delivery_begins > settings.max_begins:
        return Outcome(0.0, fault=Fault.STOPPED, detail="the function stopped without a word, each time")
    started = time.monotonic()
    try:
        return deliver(job, settings)
    except Exception as error:
        if job.delivery_begins < settings.max_begins:
            deliveries.release(job.job_id, run=run)
            raise
        detail = f"a fault inside Ponte ({type(error).__name__})"
        return Outcome(time.monotonic() - started, fault=Fault.INTERNAL, detail=detail)


def _settle(
    deliveries: Deliveries,
    job: Job,
    run: str,
    outcome: Outcome,
    attempt: Mapping[str, Any],
    settings: CallbackSettings,
) -> None:
    """Write what came of the attempt; a next one is queued before, so that none is lost between the two."""
    said = {"job_id": job.job_id, "turn": job.turn, **attempt}
    if outcome.accepted:
        deliveries.end(job, run=run, attempt=attempt, delivered=True)
        logger.info("callback delivered", extra=said)
        return
    wait_s = delay_s(job.turn - job.round_turn + 1, settings.schedule, outcome.retry_after_s)
    if wait_s is None or not outcome.worth_a_retry or time.time() + wait_s >= job.expires_at:
        out_of_time = wait_s is not None and outcome.worth_a_retry
        state = State.EXPIRED if out_of_time else State.FAILED
        failure = Failure("CALLBACK_FAILED", outcome.detail)
        deliveries.end(job, run=run, attempt=attempt, delivered=False, state=state, error=failure)
        count_metric("CallbacksGivenUp", 1)
        logger.error("callback given up", extra=said)
        return
    _later(settings).send(f"{job.job_id}-{job.turn + 1}", _message(job.job_id, job.turn + 1), wait_s)
    next_at = (datetime.now(UTC) + timedelta(seconds=wait_s)).isoformat(timespec="seconds")
    deliveries.put_off(job, run=run, attempt=attempt, next_at=next_at.replace("+00:00", "Z"))
    logger.warning("callback failed", extra={**said, "wait_s": round(wait_s)})


def _message(job_id: str, turn: int) -> dict[str, str]:
    return {"job_id": job_id, "turn": str(turn)}


def _later(settings: CallbackSettings) -> Later:
    return Later(
        sqs=clients.sqs(),
        scheduler=clients.scheduler(),
        queue_url=settings.callback_queue_url,
        queue_arn=settings.callback_queue_arn,
        dead_letter_arn=settings.callback_dead_letter_arn,
        group=settings.schedule_group,
        role_arn=settings.scheduler_role_arn,
    )


def _longest_s(job: Job) -> int:
    """How long one attempt may take, with the PDF as base64, and some time to read it before."""
    return round(60 + 2 * longest_s(job.pdf.size_bytes if job.pdf else 0))


def deliver(job: Job, settings: CallbackSettings) -> Outcome:
    """POST the job's result. Raises what our own side raises: KMS, S3, Secrets Manager, the document."""
    policy = Policy.parse(settings.callback_allow_origins, settings.stage)
    try:
        target = policy.check_url(job.request.url_callback or "")
    except CallbackRefused as error:
        return Outcome(0.0, fault=Fault.REFUSED, detail=error.detail)
    body = _body(job, settings)
    return post(target, policy, _headers(job, body, settings), body)


def _headers(job: Job, body: Body, settings: CallbackSettings) -> dict[str, str]:
    """Ours, the caller's two, and the signature, which only now reads the whole body."""
    secrets = (
        read_secrets(clients.secrets_manager(), settings.webhook_secret_arn).values()
        if settings.webhook_secret_arn
        else ()
    )
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        "Connection": "close",
        **unseal(clients.kms(), settings.secrets_key_id, job.job_id, job.secrets),
        **sign(job.job_id, int(time.time()), body, secrets),
    }


def _body(job: Job, settings: CallbackSettings) -> Body:
    if job.pdf is None or (job.state is State.FAILED):
        return JsonBody.of(callback_fields(job))
    if job.request.delivery == "link":
        link = link_to(clients.s3(), settings.pdf_bucket, job.pdf.key, seconds=settings.link_seconds)
        return JsonBody.of(link_fields(job, job.pdf, link))
    return PdfBody(callback_fields(job), job.pdf, _StoredPdf(job.pdf.key, settings.pdf_bucket).open)


class _StoredPdf:
    """The document in its bucket: what is signed and what is sent are one and the same object."""

    def __init__(self, key: str, bucket: str) -> None:
        self._wanted = {"Bucket": bucket, "Key": key}

    def open(self) -> Any:
        answer = clients.s3().get_object(**self._wanted)  # type: ignore[arg-type]
        self._wanted["IfMatch"] = answer["ETag"]
        return answer["Body"]
