"""SQS: an archive came into the inbox, or is to be gone on with."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from aws_lambda_powertools.utilities.typing import LambdaContext

from ponte.errors import PermanentError, PonteError
from ponte_aws import clients
from ponte_aws.announce import count_metric
from ponte_aws.archives import ArchiveBusy, ArchiveOver, Archives, State
from ponte_aws.heartbeat import beating
from ponte_aws.log import make_logger
from ponte_aws.queues import Message, RetryLater, backoff_s, handle_batch, hide, send
from zip_ingest.events import arrivals
from zip_ingest.run import Run
from zip_ingest.settings import IngestSettings, ingest_settings

logger = make_logger("zip_ingest")
HIDDEN_BEYOND_LEASE_S = 10  # a message comes again when the lease of a killed function is over, not before


class Stopped(PermanentError):
    """Each run over the archive ended without a word, at the same place."""

    default_code = "MEMORY"


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: a batch of S3 events, and of `{"archive_id"}` messages of ours."""
    settings = ingest_settings()

    def is_late() -> bool:
        return context.get_remaining_time_in_millis() / 1000 < settings.margin_seconds

    return cast(
        "dict[str, Any]",
        handle_batch(
            event,
            lambda message: handle(message, settings, is_late),
            sqs=clients.sqs(),
            queue_url=settings.ingest_queue_url,
            retry_base_s=settings.retry_base_seconds,
        ),
    )


def handle(message: Message, settings: IngestSettings, is_late: Callable[[], bool]) -> None:
    """Take an archive as far as it goes in one run. Several in one message get messages of their own."""
    archives = Archives(clients.table(settings.archives_table))
    arrived = arrivals(message, bucket=settings.inbox_bucket)
    if arrived is None:
        again = message.number("again", 0) > 0
        _work(archives, message.reference("archive_id"), message, settings, is_late, again=again)
        return
    rows = [archives.create(a, retention_days=settings.archive_retention_days) for a in arrived]
    if len(rows) == 1:
        _work(archives, rows[0].archive_id, message, settings, is_late)
        return
    for row in rows:
        send(clients.sqs(), settings.ingest_queue_url, {"archive_id": row.archive_id})


def _work(
    archives: Archives,
    archive_id: str,
    message: Message,
    settings: IngestSettings,
    is_late: Callable[[], bool],
    *,
    again: bool = False,
) -> None:
    """One run, under a lease that is prolonged while it lasts."""
    name = uuid.uuid4().hex
    _hide(message, settings)
    try:
        archive = archives.begin(
            archive_id,
            run=name,
            message_id=message.message_id,
            lease_seconds=settings.lease_seconds,
            again=again,
        )
    except ArchiveOver as error:
        logger.info("archive already settled", extra={"archive_id": archive_id, "reason": error.detail})
        return
    except ArchiveBusy as error:
        _wait_or_leave(error, archive_id, message)
        return

    def beat() -> None:
        archives.renew(archive_id, run=name, lease_seconds=settings.lease_seconds)
        _hide(message, settings)

    with beating(beat, lease_s=settings.lease_seconds):
        _go_on(Run(archives, archive, name, settings, is_late))


def _wait_or_leave(busy: ArchiveBusy, archive_id: str, message: Message) -> None:
    """The message that brought the archive to the run that has it is that run's only return ticket."""
    if busy.message_id == message.message_id:
        raise RetryLater(busy.detail, delay_s=busy.wait_s + HIDDEN_BEYOND_LEASE_S)
    logger.info("archive is in other hands", extra={"archive_id": archive_id})


def _go_on(run: Run) -> None:
    archive = run.archive
    if archive.silent > run.settings.max_silent:
        _give_up(run, Stopped("Each run ended without a word, at the same place"))
        return
    try:
        if not run.go_on():
            _send_on(run, setback=False)
    except ArchiveOver:
        logger.warning("archive was taken over", extra={"archive_id": archive.archive_id})
    except PonteError as error:
        _set_back(run, error)
    except Exception as error:  # noqa: BLE001  the boundary: a fault of ours is tried again, then said
        _set_back(run, PonteError(f"A fault inside Ponte ({type(error).__name__})"))


def _set_back(run: Run, error: PonteError) -> None:
    """The archive is as far as its checkpoint says: again later, or given up when that was done too often."""
    archive_id = run.archive.archive_id
    logger.warning(
        "archive held up",
        extra={"archive_id": archive_id, "code": error.code, "detail": error.detail},
    )
    count_metric("IngestSetbacks", 1)
    if run.archive.setbacks + 1 >= run.settings.max_attempts:
        _give_up(run, error)
    else:
        _send_on(run, setback=True)


def _send_on(run: Run, *, setback: bool) -> None:
    """Let another run go on: by a message of its own, since this is no failure of this one's receives."""
    settings, archive_id = run.settings, run.archive.archive_id
    delay_s = backoff_s(run.archive.setbacks + 1, settings.retry_base_seconds) if setback else 0
    run.archives.release(archive_id, run=run.name, setback=setback)
    message = {"archive_id": archive_id}
    send(clients.sqs(), settings.ingest_queue_url, message, delay_s=round(delay_s))
    logger.info("archive to be gone on with", extra={"archive_id": archive_id, "wait_s": round(delay_s)})


def _give_up(run: Run, error: PonteError) -> None:
    """Say in the report what was not sent, and put the archive among the dead letters: it can be redriven."""
    archive_id = run.archive.archive_id
    logger.error("archive given up", extra={"archive_id": archive_id, "code": error.code})
    message = {"archive_id": archive_id, "again": "1"}
    send(clients.sqs(), run.settings.ingest_dead_letter_url, message)
    run.conclude(error, State.FAILED)


def _hide(message: Message, settings: IngestSettings) -> None:
    seconds = settings.lease_seconds + HIDDEN_BEYOND_LEASE_S
    hide(clients.sqs(), settings.ingest_queue_url, message, seconds)
