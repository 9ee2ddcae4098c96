"""SQS: studies that are to be classified. What becomes of each is kept, and its reports are sent.

The kept result of a study is the checkpoint: a message that comes again passes over studies that have one. A
report that is sent twice is the same instance.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final, cast

from aws_lambda_powertools.utilities.typing import LambdaContext

from classify.gate import Gate
from classify.model import Model, open_model
from classify.place import open_destination, open_source
from classify.request import Asked, Request
from classify.settings import ClassifySettings, classify_settings
from classify.triage import NOTICE, Options, Result, classify, model_json
from ponte.destination import Destination, Outgoing
from ponte.errors import DestinationUnavailable, PermanentError, PonteError
from ponte.source import Source
from ponte_aws import clients
from ponte_aws.announce import count_metric
from ponte_aws.log import make_logger
from ponte_aws.queues import Message, handle_batch, send

logger = make_logger("classify")

RESULT_PREFIX: Final = "classify/"


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: a batch of `{"reference", "rows"}` messages."""
    settings = classify_settings()

    def is_late() -> bool:
        return context.get_remaining_time_in_millis() / 1000 < settings.margin_seconds

    return cast(
        "dict[str, Any]",
        handle_batch(
            event,
            lambda message: handle(message, settings, is_late),
            sqs=clients.sqs(),
            queue_url=settings.classify_queue_url,
            retry_base_s=settings.retry_base_seconds,
        ),
    )


def handle(message: Message, settings: ClassifySettings, is_late: Callable[[], bool]) -> None:
    """Classify the studies of a message, one by one. Raises where the message is wanted again."""
    request = Request.of(message)
    model = loaded_model(settings.classify_model)
    source, destination = open_source(settings), open_destination(settings)
    table, key = settings.jobs_table, "job_id"
    if request.is_from_archive:
        table, key = settings.archives_table, "archive_id"
    for asked in request.studies(clients.table(table), key):
        name = result_key(request.reference, asked.study_instance_uid, model)
        if _is_kept(settings, name):
            continue
        if is_late():
            send(
                clients.sqs(),
                settings.classify_queue_url,
                {"reference": request.reference, "rows": str(request.rows)},
            )
            return
        said = _study(asked, model, source, destination, settings)
        _keep(settings, name, said)


@cache
def loaded_model(place: str) -> Model:
    """The model of this deployment, as long as the function is warm. Raises as `open_model`."""
    return open_model(place, clients.s3)


def result_key(reference: str, study_instance_uid: str, model: Model) -> str:
    """Where the result of a study is kept; says nothing of it."""
    parts = (reference, study_instance_uid, model.manifest.identity)
    return f"{RESULT_PREFIX}{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}.json"


def _study(
    asked: Asked, model: Model, source: Source, destination: Destination, settings: ClassifySettings
) -> dict[str, Any]:
    """Raises what may mend itself; what cannot is part of the result."""
    options = Options(
        Gate(any_body_part=settings.any_body_part), settings.sr_class, overlay=settings.saliency
    )
    images: list[dict[str, Any]] = []
    problem = None
    try:
        for fetched in source.instances(asked.study_instance_uid):
            result = _instance(fetched.data, fetched.error, model, options)
            if result.sop_instance_uid and not asked.means(result.sop_instance_uid):
                continue
            made = [_deliver(outgoing, destination) for outgoing in result.made]
            images.append({**result.as_json(), "sr": made[0] if made else None, "made": made[1:]})
            count_metric("ImagesClassified", 1, Verdict=result.verdict)
        images += _missing(asked, images)
    except PermanentError as error:
        problem = {"reason": error.code, "detail": error.detail}
        logger.error("study not classified", extra={"code": error.code})
    verdicts = [image["verdict"] for image in images]
    logger.info("study classified", extra={name: verdicts.count(name) for name in set(verdicts)})
    return {
        "study_instance_uid": asked.study_instance_uid,
        "images": images,
        "error": problem,
        "model": model_json(model),
        "notice": NOTICE,
    }


def _missing(asked: Asked, images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Instances that were named and did not come."""
    gone = asked.sop_instance_uids - {image["sop_instance_uid"] for image in images}
    detail = "The study has no such instance"
    return [
        {**Result("failed", uid, "STUDY_NOT_FOUND", detail).as_json(), "sr": None, "made": []}
        for uid in sorted(gone)
    ]


def _instance(data: bytes, error: PonteError | None, model: Model, options: Options) -> Result:
    if error is not None:
        return Result("failed", reason=error.code, detail=error.detail)
    return classify(data, model, options)


def _deliver(outgoing: Outgoing, destination: Destination) -> dict[str, Any]:
    """Send an instance. Raises where the destination may take it later."""
    (outcome,) = destination.store([outgoing])
    if not outcome.stored:
        if outcome.retryable or outcome.status == "unknown":
            raise DestinationUnavailable("The destination did not store a report, and may later")
        count_metric("ReportsRefused", 1)
        logger.error("report refused", extra={"status": outcome.status, "code": outcome.reason})
    return {
        "sop_instance_uid": outgoing.sop_instance_uid,
        "sent": {"stored": outcome.stored, "status": outcome.status, "detail": outcome.detail},
    }


def _is_kept(settings: ClassifySettings, name: str) -> bool:
    answer = clients.table(settings.jobs_table).get_item(Key={"job_id": name}, ConsistentRead=True)
    return "Item" in answer


def _keep(settings: ClassifySettings, name: str, said: dict[str, Any]) -> None:
    """The result first, then the row that says that it is there."""
    body = json.dumps(said, ensure_ascii=False).encode()
    clients.s3().put_object(
        Bucket=settings.result_bucket, Key=name, Body=body, ContentType="application/json"
    )
    expires_at = int(time.time()) + settings.retention_days * 86_400
    clients.table(settings.jobs_table).put_item(Item={"job_id": name, "expires_at": expires_at})
