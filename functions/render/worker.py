"""SQS: fetch a study, render it, store the PDF, hand the job to its callback."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import uuid
from io import BufferedRandom
from typing import Any, cast

from aws_lambda_powertools.utilities.typing import LambdaContext

from ponte.errors import PermanentError, PonteError
from ponte_aws import clients
from ponte_aws.announce import announcer, count_metric
from ponte_aws.heartbeat import beating
from ponte_aws.jobs import KEPT, NOT_SHOWN_KEPT, WORKING, Failure, Job, JobBusy, JobMoved, Jobs, Pdf, State
from ponte_aws.log import make_logger
from ponte_aws.queues import Message, RetryLater, handle_batch, hide, send
from render.clinic import Clinic
from render.options import Grid
from render.place import open_source
from render.settings import WorkerSettings, worker_settings
from render.study import Progress, RenderOptions, RenderReport, RequestCodes, render_study
from render.texts import Language

logger = make_logger("worker")
HIDDEN_BEYOND_LEASE_S = 10  # a message comes again when the lease of a killed worker is over, not before


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Entry point: a batch of `{"job_id"}` messages."""
    settings = worker_settings()
    return cast(
        "dict[str, Any]",
        handle_batch(
            event,
            lambda message: handle(message, settings),
            sqs=clients.sqs(),
            queue_url=settings.render_queue_url,
            retry_base_s=settings.retry_base_seconds,
        ),
    )


def handle(message: Message, settings: WorkerSettings) -> None:
    """Take one job as far as it goes: stored and handed on, failed for good, or to be tried again."""
    jobs = Jobs(clients.jobs_table(settings.jobs_table), announcer(clients.sqs(), settings.report_queue_url))
    job_id, run = message.reference("job_id"), uuid.uuid4().hex
    _hide(message, settings)
    try:
        job = jobs.begin(job_id, run=run, lease_seconds=settings.lease_seconds)
    except JobMoved:
        _hand_on(jobs.get(job_id), settings)
        return
    except JobBusy as error:
        raise RetryLater(error.detail, delay_s=settings.lease_seconds + HIDDEN_BEYOND_LEASE_S) from error
    if job.expires_at <= time.time():
        jobs.finish(job_id, State.EXPIRED, owed=False)
        logger.error("job expired before it was done", extra={"job_id": job_id})
        return
    attempts = _attempts(job, settings)
    if job.begins > attempts:
        _fail(jobs, job, settings, Failure("MEMORY", "the worker stopped without a word, at every attempt"))
        return

    def beat() -> None:
        jobs.renew(job_id, run=run, lease_seconds=settings.lease_seconds)
        _hide(message, settings)

    with beating(beat, lease_s=settings.lease_seconds):
        done, failure, may_mend = _try(jobs, job, run, settings)
    if done is not None:
        _hand_on(done, settings)
    elif may_mend and job.begins < attempts:
        jobs.release(job_id, run=run)
        raise RetryLater(failure.detail)
    else:
        _fail(jobs, job, settings, failure)


def _try(jobs: Jobs, job: Job, run: str, settings: WorkerSettings) -> tuple[Job | None, Failure, bool]:
    """One attempt: the job with its PDF, or why there is none and whether another attempt may mend it."""
    try:
        return _render(jobs, job, run, settings), Failure("", ""), False
    except JobMoved:
        raise RetryLater("the job was taken over", delay_s=settings.lease_seconds) from None
    except PonteError as error:
        return None, Failure(error.code, error.detail), not isinstance(error, PermanentError)
    except Exception as error:  # noqa: BLE001  the boundary: a fault of ours fails the job in the end, with a word
        return None, Failure("INTERNAL", f"a fault inside Ponte ({type(error).__name__})"), True


def _hide(message: Message, settings: WorkerSettings) -> None:
    seconds = settings.lease_seconds + HIDDEN_BEYOND_LEASE_S
    hide(clients.sqs(), settings.render_queue_url, message, seconds)


def _attempts(job: Job, settings: WorkerSettings) -> int:
    """How often a job is tried: once where somebody waits at the other end of `/render/sync`."""
    waits = not job.request.url_callback and job.request.delivery != KEPT
    return 1 if waits else settings.max_attempts


def _render(jobs: Jobs, job: Job, run: str, settings: WorkerSettings) -> Job:
    """Fetch and render into a file, store it, and say so in the row: in this order."""
    request = job.request
    options = RenderOptions(
        anonymize=request.anonymize,
        cover_page=request.cover_page,
        language=cast("Language", request.lang or settings.pdf_language),
        grid=Grid.parse(request.layout or "1x1"),
        lossless=request.lossless,
        max_bytes=request.max_bytes,
        series=request.series,
        key_images=request.key_images,
        job_url=f"{settings.public_url.rstrip('/')}/jobs/{job.job_id}" if settings.public_url else "",
        clinic=Clinic.deployed(settings.clinic_colour),
        max_workers=min(request.max_workers, settings.max_allowed_workers),
        codes=RequestCodes(
            exam_id=str(request.exam_id),
            cod_autorizacao=_text(request.cod_autorizacao),
            cod_procedimento=_text(request.cod_procedimento),
        ),
    )
    source = open_source(settings)
    progress = _ProgressRow(jobs, job.job_id, run, source.count(request.study_instance_uid))
    with tempfile.TemporaryFile(
        prefix="ponte-"
    ) as pdf_file:  # no name: gone with the process, however it ends
        report = render_study(source, request.study_instance_uid, pdf_file, options, on_progress=progress)
        progress.mark_rendering()
        jobs.advance(job.job_id, State.STORING, run=run, progress=progress.counts(report))
        pdf = _store(job.job_id, pdf_file, report, settings)
    count_metric("JobDurationSeconds", report.seconds.total, unit="Seconds", Step="render")
    logger.info(
        "study rendered",
        extra={
            "job_id": job.job_id,
            "instances": report.instances,
            "pages": report.pages,
            "not_shown": len(report.not_shown),
            "pdf_bytes": report.bytes,
            "total_s": round(report.seconds.total, 3),
        },
    )
    state = State.DELIVERING if request.url_callback else State.DELIVERED
    not_shown = [
        {"sop_instance_uid": entry.sop_instance_uid, "reason": entry.reason, "detail": entry.detail}
        for entry in report.not_shown[:NOT_SHOWN_KEPT]
    ]
    return jobs.advance(job.job_id, state, run=run, pdf=pdf, not_shown=not_shown)


class _ProgressRow:
    """Writes the progress of a render into the row: the first frame marks the state, then once a second."""

    def __init__(self, jobs: Jobs, job_id: str, run: str, total: int | None) -> None:
        self._jobs, self._job_id, self._run, self._total = jobs, job_id, run, total
        self._rendering = False
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.frames:
            self.mark_rendering()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            counts = {"instances": progress.instances, "frames": progress.frames}
            if self._total is not None:
                counts["total"] = self._total
            self._jobs.record_progress(self._job_id, run=self._run, **counts)

    def mark_rendering(self) -> None:
        if not self._rendering:
            self._rendering = True
            self._jobs.advance(self._job_id, State.RENDERING, run=self._run)

    def counts(self, report: RenderReport) -> dict[str, int]:
        return {
            "instances": report.instances,
            "frames": report.shown,
            "total": report.instances,
            "pages": report.pages,
        }


def _store(job_id: str, pdf_file: BufferedRandom, report: RenderReport, settings: WorkerSettings) -> Pdf:
    """Put the PDF into its bucket. When this returns, S3 has it."""
    key = f"pdf/{job_id}.pdf"
    pdf_file.seek(0)
    digest = hashlib.file_digest(pdf_file, "sha256").hexdigest()
    size = pdf_file.seek(0, os.SEEK_END)
    pdf_file.seek(0)
    clients.s3().upload_fileobj(
        pdf_file,
        settings.pdf_bucket,
        key,
        ExtraArgs={"ContentType": "application/pdf", "ChecksumAlgorithm": "SHA256"},
    )
    return Pdf(key=key, size_bytes=size, sha256=digest, pages=report.pages)


def _hand_on(job: Job, settings: WorkerSettings) -> None:
    """Queue the callback of a job that has its result, or its failure; a repeat is harmless."""
    if job.state in WORKING or not job.request.url_callback:
        return
    if job.state in {State.DELIVERING, State.FAILED} and job.owed:
        send(clients.sqs(), settings.callback_queue_url, {"job_id": job.job_id})


def _fail(jobs: Jobs, job: Job, settings: WorkerSettings, failure: Failure) -> None:
    """End the job as failed, with its reason; its caller is told as well."""
    logger.error("job failed", extra={"job_id": job.job_id, "code": failure.code, "detail": failure.detail})
    wants_callback = bool(job.request.url_callback)
    try:
        job = jobs.finish(job.job_id, State.FAILED, keep_secrets=wants_callback, error=failure)
    except JobMoved:
        job = jobs.get(job.job_id)
    _hand_on(job, settings)


def _text(value: str | int | None) -> str:
    return "" if value is None else str(value)
