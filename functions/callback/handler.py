"""SQS: deliver a finished job to its `UrlCallback`."""

from __future__ import annotations

from typing import Any, cast

from aws_lambda_powertools.utilities.typing import LambdaContext

from callback.body import JsonBody, PdfBody, callback_fields
from callback.delivery import Answer, Body, longest_s, post
from callback.settings import CallbackSettings, callback_settings
from ponte.errors import PermanentError, PonteError
from ponte_aws import clients
from ponte_aws.announce import announcer, count_metric
from ponte_aws.callback_url import Policy
from ponte_aws.jobs import Failure, Job, Jobs, State, now
from ponte_aws.log import make_logger
from ponte_aws.queues import Message, RetryLater, backoff_s, handle_batch, hide
from ponte_aws.secrets import unseal

logger = make_logger("callback")
USER_AGENT = "Ponte"


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Entry point: a batch of `{"job_id"}` messages."""
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
    """Deliver once; ask for the message again, or end the job, by what came of it."""
    jobs = Jobs(clients.jobs_table(settings.jobs_table), announcer(clients.sqs(), settings.report_queue_url))
    job = jobs.get(message.reference("job_id"))
    if job.state not in {State.DELIVERING, State.FAILED} or job.callback.get("ended"):
        logger.info("callback already ended", extra={"job_id": job.job_id, "state": job.state.value})
        return
    # After a killed function the message comes again then, and not after the queue's whole time-out.
    hide(clients.sqs(), settings.callback_queue_url, message, _longest_s(job))
    attempt = message.receive_count
    if attempt > settings.max_attempts:
        _give_up(jobs, job, attempt, "the attempts are used up")
        return
    try:
        answer = deliver(job, settings)
    except PonteError as error:
        outcome, retry = error.detail, not isinstance(error, PermanentError)
        delay_s = None
    else:
        if answer.accepted:
            _end(jobs, job, attempt, answer)
            return
        outcome, retry = f"the receiver answered {answer.status}", answer.worth_a_retry
        delay_s = answer.retry_after_s
    if not retry or attempt >= settings.max_attempts:
        _give_up(jobs, job, attempt, outcome)
        return
    jobs.record_callback(job.job_id, {"attempts": attempt, "last_error": outcome, "at": now()}, final=False)
    logger.warning("callback failed", extra={"job_id": job.job_id, "attempt": attempt, "outcome": outcome})
    raise RetryLater(outcome, max(delay_s or 0, backoff_s(attempt, settings.retry_base_seconds)))


def _longest_s(job: Job) -> float:
    """How long one attempt may take, with the PDF as base64 and some time to read it."""
    return 60 + 2 * longest_s(job.pdf.size_bytes if job.pdf else 0)


def deliver(job: Job, settings: CallbackSettings) -> Answer:
    """POST the job's result. Raises `CallbackRefused` or `DeliveryFailed`."""
    policy = Policy.parse(settings.callback_allow_origins, settings.stage)
    target = policy.check_url(job.request.url_callback or "")
    secrets = unseal(clients.kms(), settings.secrets_key_id, job.job_id, job.secrets)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "Accept": "application/json",
        "Connection": "close",
        **secrets,
    }
    return post(target, policy, headers, _body(job, settings))


def _body(job: Job, settings: CallbackSettings) -> Body:
    fields = callback_fields(job)
    pdf = job.pdf
    if job.state is State.FAILED or pdf is None:
        return JsonBody.of(fields)

    def open_pdf() -> Any:
        return clients.s3().get_object(Bucket=settings.pdf_bucket, Key=pdf.key)["Body"]

    return PdfBody(fields, pdf.size_bytes, open_pdf)


def _end(jobs: Jobs, job: Job, attempt: int, answer: Answer) -> None:
    """The receiver has it: only now is the job delivered."""
    outcome = {
        "attempts": attempt,
        "status": answer.status,
        "latency_ms": round(answer.latency_s * 1000),
        "at": now(),
        "ended": True,
        "delivered": True,
    }
    if job.state is State.DELIVERING:
        jobs.finish(job.job_id, State.DELIVERED, callback=outcome)
    else:
        jobs.record_callback(job.job_id, outcome, final=True)
    logger.info(
        "callback delivered", extra={"job_id": job.job_id, "attempt": attempt, "status": answer.status}
    )


def _give_up(jobs: Jobs, job: Job, attempt: int, outcome: str) -> None:
    """No further attempt: the job says so, and an alarm tells the operator."""
    row = {"attempts": attempt, "last_error": outcome, "at": now(), "ended": True, "delivered": False}
    if job.state is State.DELIVERING:
        jobs.finish(job.job_id, State.FAILED, callback=row, error=Failure("CALLBACK_FAILED", outcome))
    else:
        jobs.record_callback(job.job_id, row, final=True)
    count_metric("CallbacksGivenUp", 1)
    logger.error("callback given up", extra={"job_id": job.job_id, "attempt": attempt, "outcome": outcome})
