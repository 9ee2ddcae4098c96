"""HTTP: `/render`, `/render/sync`, `/jobs/{job_id}`, `/health` and the documents. Never imports pixels."""

from __future__ import annotations

import base64
import time
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Header
from aws_lambda_powertools.utilities.typing import LambdaContext

from ponte.errors import PonteError
from ponte_aws import clients
from ponte_aws.announce import announcer
from ponte_aws.callback_url import CallbackRefused, Policy
from ponte_aws.jobs import FINAL, Job, Jobs, RenderRequest, State, new_job_id
from ponte_aws.log import make_logger
from ponte_aws.queues import send
from ponte_aws.secrets import seal
from render.access import AllowedClients
from render.body import MalformedJson, check_body
from render.messages import (
    Accepted,
    AsyncRequest,
    Health,
    JobAnswer,
    Problem,
    SyncRequest,
    Unfit,
    to_request,
)
from render.problems import problem, unfit
from render.reference import DESCRIPTION, TITLE, VERSION, answer_of, redoc_page, redoc_script
from render.settings import ApiSettings, api_settings

logger = make_logger("api")
app = APIGatewayHttpResolver(enable_validation=True)
app.enable_swagger(path="/docs", title=TITLE, version=VERSION, description=DESCRIPTION, compress=True)

FIRST_LOOK_S = 0.1
LONGEST_LOOK_S = 1.0
OPEN_PATHS = frozenset({"/health"})


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: one request, as API Gateway's HTTP API hands it over (payload 2.0)."""
    allowed = AllowedClients.parse(api_settings().allowed_client_ips)
    http = event["requestContext"]["http"]
    if http["path"] not in OPEN_PATHS and not allowed.allow(http["sourceIp"]):
        return _serialised(problem("CLIENT_NOT_ALLOWED", "this address may not call"))
    try:
        check_body(event)
    except MalformedJson as error:
        return _serialised(unfit([{"loc": ("body",), "msg": error.detail, "type": "json_invalid"}]))
    except PonteError as error:
        return _serialised(problem(error.code, error.detail))
    # Clients of the old system send JSON with whatever Content-Type their library puts there.
    event["headers"] = {**event.get("headers", {}), "content-type": "application/json"}
    return app.resolve(event, context)


@app.post(
    "/render",
    summary="Render a study and call back",
    description="Answers at once; the PDF arrives as a POST to UrlCallback.",
    responses={
        200: answer_of(Accepted, "The job is durable"),
        409: answer_of(Problem, "The Idempotency-Key was used for another request"),
        413: answer_of(Problem, "The body is too large"),
        422: answer_of(Unfit, "The body does not fit"),
    },
)
def post_render(
    body: Annotated[AsyncRequest, Body()],
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)] = None,
) -> Response[Any]:
    """Accept a job. When this answers 200, the job's row and its message are both durable."""
    settings = api_settings()
    try:
        Policy.parse(settings.callback_allow_origins, settings.stage).check_url(body.UrlCallback)
    except CallbackRefused as error:
        return unfit([{"loc": ("body", "UrlCallback"), "msg": error.detail, "type": "callback_refused"}])
    job = _accept(
        to_request(
            body, default_workers=settings.default_max_workers, max_workers=settings.max_allowed_workers
        ),
        {"Authorization": body.Authorization, "IntegrationToken": body.IntegrationToken},
        idempotency_key,
        settings,
    )
    accepted = Accepted(
        examID=body.examID,
        pacs_studies_iuid=body.pacs_studies_iuid,
        callback_url=body.UrlCallback,
        job_id=job.job_id,
    )
    return Response(200, "application/json", accepted.model_dump_json())


@app.post(
    "/render/sync",
    summary="Render a study and answer its PDF",
    description="Waits up to 25 s. A large PDF is a redirect (`curl -L`), a long job 202 with its address.",
    responses={
        200: {"description": "The PDF", "content": {"application/pdf": {}}},
        202: answer_of(Accepted, "Not finished yet: see Location"),
        303: {"description": "The PDF is at Location, for a short time"},
        404: answer_of(Problem, "No such study"),
        422: answer_of(Unfit, "The body does not fit"),
        502: answer_of(Problem, "The PACS failed"),
        504: answer_of(Problem, "The PACS did not answer in time"),
    },
)
def post_render_sync(body: Annotated[SyncRequest, Body()]) -> Response[Any]:
    """Enqueue like `/render`, then watch the job's row."""
    settings = api_settings()
    request = to_request(
        body, default_workers=settings.default_max_workers, max_workers=settings.max_allowed_workers
    )
    job = _accept(request, {}, None, settings)
    return _outcome(_watch(job, settings), settings)


@app.get(
    "/jobs/<job_id>",
    summary="Where a job is",
    responses={200: answer_of(JobAnswer, "The job"), 404: answer_of(Problem, "No such job")},
)
def get_job(job_id: str) -> Response[Any]:
    """The job's state, progress, links, and the reason where it failed."""
    settings = api_settings()
    job = _jobs(settings).get(job_id)
    links = {"self": f"/jobs/{job.job_id}"}
    if job.pdf is not None:
        links["pdf"] = _link(job, settings)
    answer = JobAnswer(
        job_id=job.job_id,
        state=job.state.value,
        examID=job.request.exam_id,
        pacs_studies_iuid=job.request.study_instance_uid,
        created_at=job.created_at,
        updated_at=job.updated_at,
        progress=dict(job.progress),
        partial=job.partial,
        not_shown=[dict(entry) for entry in job.not_shown],
        pages=job.pdf.pages if job.pdf else None,
        error={"code": job.error.code, "detail": job.error.detail} if job.error else None,
        callback=dict(job.callback) or None,
        links=links,
    )
    return Response(200, "application/json", answer.model_dump_json())


@app.get(
    "/health",
    summary="Is the API up, and what is configured",
    responses={200: answer_of(Health, "Up")},
)
def get_health() -> Response[Any]:
    """Says what is configured, no more."""
    settings = api_settings()
    allowed = AllowedClients.parse(settings.allowed_client_ips)
    health = Health(
        dicom_server="configured" if settings.dicom_wado_url else "not_configured",
        ip_validation="enabled" if allowed.networks else "disabled",
        allowed_ips_count=len(allowed.networks),
    )
    return Response(200, "application/json", health.model_dump_json())


@app.get("/redoc", include_in_schema=False)
def get_redoc() -> Response[Any]:
    """The reference as one page."""
    return Response(200, "text/html; charset=utf-8", redoc_page())


@app.get("/redoc.standalone.js", include_in_schema=False, compress=True, cache_control="max-age=86400")
def get_redoc_script() -> Response[Any]:
    """The script of that page, served by ourselves: a hospital's network often ends at its door."""
    return Response(200, "text/javascript; charset=utf-8", redoc_script())


@app.get("/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    """The description of this API that both pages read."""
    schema = app.get_openapi_json_schema(title=TITLE, version=VERSION, description=DESCRIPTION)
    return Response(200, "application/json", schema)


@app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator]
def on_unfit_body(error: RequestValidationError) -> Response[Any]:
    return unfit(list(error.errors()))


@app.exception_handler(PonteError)  # type: ignore[untyped-decorator]
def on_known_error(error: PonteError) -> Response[Any]:
    return problem(error.code, error.detail)


@app.not_found
def on_not_found(_error: NotFoundError) -> Response[Any]:
    return problem("NOT_FOUND", "there is nothing at this address")


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def on_unknown_error(error: Exception) -> Response[Any]:
    """The boundary: the caller learns that we failed, the log learns where."""
    logger.error("request failed", extra={"error_type": type(error).__name__})
    return problem("INTERNAL", "the request failed inside Ponte; it was not accepted")


def _accept(
    request: RenderRequest,
    secrets: dict[str, str | None],
    idempotency_key: str | None,
    settings: ApiSettings,
) -> Job:
    """Make the job durable: its row first, then its message.

    A repeat with the same Idempotency-Key sends the message again while nobody has begun: the answer to the
    first try may have been lost between the two.
    """
    job_id = new_job_id()
    job, is_new = _jobs(settings).create(
        request,
        job_id=job_id,
        secrets=seal(clients.kms(), settings.secrets_key_id, job_id, secrets),
        retention_days=settings.job_retention_days,
        idempotency_key=idempotency_key,
    )
    if is_new or job.state is State.ACCEPTED:
        send(clients.sqs(), settings.render_queue_url, {"job_id": job.job_id})
    logger.info("job accepted", extra={"job_id": job.job_id, "is_new": is_new})
    return job


def _watch(job: Job, settings: ApiSettings) -> Job:
    """Read the row until the job is over or our time is."""
    jobs, pause_s = _jobs(settings), FIRST_LOOK_S
    deadline = time.monotonic() + settings.sync_wait_seconds
    while job.state not in FINAL and time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, LONGEST_LOOK_S)
        job = jobs.get(job.job_id)
    return job


def _outcome(job: Job, settings: ApiSettings) -> Response[Any]:
    """The PDF, the way to it, or why there is none."""
    if job.error is not None:
        return problem(job.error.code, job.error.detail, job_id=job.job_id)
    if job.pdf is None or job.state is not State.DELIVERED:
        body = Accepted(
            examID=job.request.exam_id,
            pacs_studies_iuid=job.request.study_instance_uid,
            callback_url="",
            job_id=job.job_id,
        )
        location = {"Location": f"/jobs/{job.job_id}"}
        return Response(HTTPStatus.ACCEPTED, "application/json", body.model_dump_json(), headers=location)
    if job.pdf.size_bytes > settings.inline_pdf_bytes:
        return Response(HTTPStatus.SEE_OTHER, "text/plain", "", headers={"Location": _link(job, settings)})
    stored = clients.s3().get_object(Bucket=settings.pdf_bucket, Key=job.pdf.key)["Body"].read()
    answer = Response(
        HTTPStatus.OK,
        "application/pdf",
        base64.b64encode(stored).decode(),
        headers={"X-Job-Id": job.job_id},
    )
    answer.base64_encoded = True  # by ourselves: the validation would read bytes as text
    return answer


def _link(job: Job, settings: ApiSettings) -> str:
    """A link to the PDF that lives for a short time."""
    assert job.pdf is not None  # noqa: S101  callers have looked
    return clients.s3().generate_presigned_url(
        "get_object",
        Params={"Bucket": settings.pdf_bucket, "Key": job.pdf.key},
        ExpiresIn=settings.link_seconds,
    )


def _jobs(settings: ApiSettings) -> Jobs:
    return Jobs(clients.jobs_table(settings.jobs_table), announcer(clients.sqs(), settings.report_queue_url))


def _serialised(response: Response[Any]) -> dict[str, Any]:
    """An answer that is given before routing, in the gateway's form."""
    body = response.body or ""
    return {
        "statusCode": response.status_code,
        "headers": {"Content-Type": "application/json"},
        "body": body if isinstance(body, str) else base64.b64encode(body).decode(),
        "isBase64Encoded": False,
    }
