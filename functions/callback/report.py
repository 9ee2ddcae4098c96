"""SQS: tell the operator's log API (`CREATE_LOG_URL`) of a job's change of state.

Its queue is its own: however slow or dead the log API is, no job notices.
"""

from __future__ import annotations

import json
from typing import Any, cast

import urllib3
from aws_lambda_powertools.utilities.typing import LambdaContext

from callback.settings import ReportSettings, report_settings
from ponte.errors import TransientError
from ponte_aws import clients
from ponte_aws.announce import count_metric
from ponte_aws.jobs import JobNotFound, Jobs
from ponte_aws.log import make_logger
from ponte_aws.queues import Message, handle_batch

logger = make_logger("report")
RETRY_BASE_S = 30


class LogApiFailed(TransientError):
    """The log API did not take the entry."""

    default_code = "LOG_API_FAILED"


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Entry point: a batch of `{"job_id", "state", "at"}` messages."""
    settings = report_settings()
    return cast(
        "dict[str, Any]",
        handle_batch(
            event,
            lambda message: handle(message, settings),
            sqs=clients.sqs(),
            queue_url=settings.report_queue_url,
            retry_base_s=RETRY_BASE_S,
        ),
    )


def handle(message: Message, settings: ReportSettings) -> None:
    """POST one change of state. Raises `LogApiFailed`, so that the message comes again."""
    job_id, state, at = (message.reference(name) for name in ("job_id", "state", "at"))
    try:
        job = Jobs(clients.jobs_table(settings.jobs_table)).get(job_id)
    except JobNotFound:
        logger.info("report dropped: the job's time is over", extra={"job_id": job_id})
        return
    entry = {
        "job_id": job_id,
        "state": state,
        "at": at,
        "examID": job.request.exam_id,
        "pacs_studies_iuid": job.request.study_instance_uid,
        "error": {"code": job.error.code, "detail": job.error.detail} if job.error else None,
    }
    try:
        _post(settings, json.dumps(entry).encode())
    except LogApiFailed:
        count_metric("ReportsFailed", 1)
        raise


def _post(settings: ReportSettings, body: bytes) -> None:
    """Raises `LogApiFailed` for any answer but 2xx, and for none."""
    try:
        with urllib3.PoolManager(retries=False, timeout=settings.timeout_seconds) as pool:
            answer = pool.request(
                "POST",
                settings.create_log_url,
                body=body,
                headers={"Content-Type": "application/json"},
                redirect=False,
                preload_content=False,
            )
            answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        raise LogApiFailed(f"no answer from the log API ({type(error).__name__})") from error
    if not 200 <= answer.status < 300:
        raise LogApiFailed(f"the log API answered {answer.status}")
