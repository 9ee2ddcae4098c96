"""HTTP: `/render`, `/render/sync`, `/health`, the documents, and the routes of jobs. Never imports pixels.

What every request passes on its way in stands in `handler`; the routes begin behind it.
"""

from __future__ import annotations

import base64
import json
import time
from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Body, Header
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from ponte.errors import PonteError
from ponte_aws import clients
from ponte_aws.callback_url import CallbackRefused, Policy
from ponte_aws.jobs import FINAL, Claim, Job, Pdf, RenderRequest, State, new_job_id
from ponte_aws.log import make_logger
from ponte_aws.queues import send
from ponte_aws.rotating import read_secrets
from ponte_aws.secrets import body_mac, seal
from render import classify_routes
from render.access import AllowedClients, Tokens
from render.backend import jobs_of, link_to
from render.body import MalformedJson, check_body
from render.health import deep_health
from render.job_routes import router
from render.messages import (
    Accepted,
    AsyncRequest,
    DeepHealth,
    DeepHealthOrProblem,
    Health,
    PdfLink,
    SyncRequest,
    Unfit,
    UnfitOrProblem,
    to_request,
)
from render.problems import problem, unfit
from render.reference import (
    DESCRIPTION,
    SECURITY,
    SECURITY_SCHEMES,
    TITLE,
    TO_PDF,
    VERSION,
    answer_of,
    located,
    methods_at,
    problems_of,
    redoc_page,
    redoc_script,
    with_webhook,
)
from render.settings import ApiSettings, api_settings

logger = make_logger("api")
app = APIGatewayHttpResolver(enable_validation=True)
app.enable_swagger(
    path="/docs",
    title=TITLE,
    version=VERSION,
    description=DESCRIPTION,
    security_schemes=SECURITY_SCHEMES,
    security=SECURITY,
    compress=True,
)

FIRST_LOOK_S = 0.1
LONGEST_LOOK_S = 1.0
OPEN_PATHS = frozenset({"/health"})
# What they say is public anyhow, and a browser has no token to send.
DOCUMENT_PATHS = frozenset({"/docs", "/redoc", "/redoc.standalone.js", "/openapi.json"})
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=255, description="Two requests with it are one"),
]


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Entry point: one request, as API Gateway's HTTP API hands it over (payload 2.0)."""
    settings = api_settings()
    allowed = AllowedClients.parse(settings.allowed_client_ips)
    http = event["requestContext"]["http"]
    if http["path"] not in OPEN_PATHS and not allowed.allow(http["sourceIp"]):
        return _serialised(problem("CLIENT_NOT_ALLOWED", "this address may not call"))
    try:
        if http["path"] not in OPEN_PATHS | DOCUMENT_PATHS and not _has_token(event, settings):
            challenge: dict[str, str | list[str]] = {"WWW-Authenticate": "Bearer"}
            return _serialised(problem("UNAUTHORIZED", "a valid token is needed", headers=challenge))
        body = check_body(event)
    except MalformedJson as error:
        return _serialised(unfit([{"loc": ("body",), "msg": error.detail, "type": "json_invalid"}]))
    except PonteError as error:
        return _serialised(problem(error.code, error.detail))
    except (BotoCoreError, ClientError) as error:
        return _serialised(on_unreachable_service(error))
    # Clients of the old system send JSON with whatever Content-Type their library puts there.
    event["headers"] = {**event.get("headers", {}), "content-type": "application/json"}
    app.append_context(request=http["path"].encode() + b"\n" + body)  # type: ignore[no-untyped-call]
    return app.resolve(event, context)


def _has_token(event: dict[str, Any], settings: ApiSettings) -> bool:
    """Whether the caller has one of our tokens, or none is asked for."""
    if not settings.api_tokens_secret_arn:
        return True
    tokens = Tokens(read_secrets(clients.secrets_manager(), settings.api_tokens_secret_arn))
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    client = tokens.owner(headers.get("authorization", ""))
    logger.info("request", extra={"client": client})
    return client is not None


@app.post(
    "/render",
    summary="Render a study and call back",
    description="Answers at once; the PDF arrives as a POST to UrlCallback.",
    responses={
        200: answer_of(Accepted, "The job is durable"),
        422: answer_of(Unfit, "The body does not fit"),
        **problems_of(400, 401, 403, 409, 413, 500, 503),
    },
)
def post_render(
    body: Annotated[AsyncRequest, Body()], idempotency_key: IdempotencyKey = None
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
    description=(
        "Waits up to 25 s. A large PDF is a redirect (`curl -L`), a long job 202 with its address. A caller "
        "that accepts `application/json` and no PDF gets a link."
    ),
    responses={
        200: {
            "description": "The PDF, or a link to it",
            "content": {
                "application/pdf": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"model": PdfLink},
            },
        },
        202: located(answer_of(Accepted, "Not finished yet: see Location")),
        303: TO_PDF,
        422: answer_of(UnfitOrProblem, "The body does not fit, or the study holds nothing that can be shown"),
        **problems_of(400, 401, 403, 404, 409, 413, 500, 502, 503, 504),
    },
)
def post_render_sync(
    body: Annotated[SyncRequest, Body()], idempotency_key: IdempotencyKey = None
) -> Response[Any]:
    """Enqueue like `/render`, then watch the job's row."""
    settings = api_settings()
    request = to_request(
        body, default_workers=settings.default_max_workers, max_workers=settings.max_allowed_workers
    )
    job = _watch(_accept(request, {}, idempotency_key, settings), settings)
    return _outcome(job, settings, wants_link=_wants_link(app.current_event.headers.get("accept", "")))


@app.get(
    "/health",
    summary="Is the API up, and what is configured",
    description="Open to everybody, and tells no secret.",
    responses={200: answer_of(Health, "Up"), **problems_of(400, 413, 500)},
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


@app.get(
    "/health/deep",
    summary="Does everything answer that a job will need",
    description="Table, queues and PACS are asked. Behind access, unlike `/health`.",
    responses={
        200: answer_of(DeepHealth, "All answer"),
        503: answer_of(DeepHealthOrProblem, "At least one does not"),
        **problems_of(400, 401, 403, 413, 500),
    },
)
def get_deep_health() -> Response[Any]:
    """What each of them said, and how long it took."""
    health = deep_health(api_settings())
    return Response(200 if health.status == "ok" else 503, "application/json", health.model_dump_json())


app.include_router(router)
app.include_router(classify_routes.router)


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
    schema = app.get_openapi_json_schema(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        security_schemes=SECURITY_SCHEMES,
        security=SECURITY,
    )
    return Response(200, "application/json", json.dumps(with_webhook(json.loads(schema))))


@app.exception_handler(RequestValidationError)  # type: ignore[untyped-decorator]
def on_unfit_body(error: RequestValidationError) -> Response[Any]:
    return unfit(list(error.errors()))


@app.exception_handler(PonteError)  # type: ignore[untyped-decorator]
def on_known_error(error: PonteError) -> Response[Any]:
    return problem(error.code, error.detail)


@app.exception_handler([BotoCoreError, ClientError])  # type: ignore[untyped-decorator]
def on_unreachable_service(error: Exception) -> Response[Any]:
    """AWS did not do its part: nothing was accepted, and asking again may help."""
    logger.error("service failed", extra={"error_type": type(error).__name__, "code": _aws_code(error)})
    return problem("UNAVAILABLE", "a service that Ponte stands on does not answer; nothing was accepted")


def _aws_code(error: Exception) -> str | None:
    return error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None


@app.not_found
def on_not_found(_error: NotFoundError) -> Response[Any]:
    """404, or 405 where another method has an answer."""
    methods = methods_at(app.current_event.path)
    if methods and app.current_event.http_method not in methods:
        allow: dict[str, str | list[str]] = {"Allow": ", ".join(methods)}
        return problem("METHOD_NOT_ALLOWED", f"this address takes {' and '.join(methods)}", headers=allow)
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

    A repeat, by its Idempotency-Key or by its very body, sends the message again while nobody has begun: the
    answer to the first try may have been lost between the two.
    """
    job_id = new_job_id()
    claim = (
        Claim.of_key(idempotency_key, request)
        if idempotency_key
        else Claim.of_body(body_mac(clients.kms(), settings.body_key_id, app.context["request"]))
    )
    job, is_new = jobs_of(settings).create(
        request,
        job_id=job_id,
        secrets=seal(clients.kms(), settings.secrets_key_id, job_id, secrets),
        retention_days=settings.job_retention_days,
        claim=claim,
    )
    if is_new or job.state is State.ACCEPTED:
        send(clients.sqs(), settings.render_queue_url, {"job_id": job.job_id})
    logger.info("job accepted", extra={"job_id": job.job_id, "is_new": is_new})
    return job


def _watch(job: Job, settings: ApiSettings) -> Job:
    """Read the row until the job is over or our time is."""
    jobs, pause_s = jobs_of(settings), FIRST_LOOK_S
    deadline = time.monotonic() + settings.sync_wait_seconds
    while job.state not in FINAL and time.monotonic() < deadline:
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, LONGEST_LOOK_S)
        job = jobs.get(job.job_id)
    return job


def _wants_link(accept: str) -> bool:
    """Whether JSON will do and a PDF will not. `*/*`, which many libraries send besides, takes a PDF."""
    taken = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "application/json" in taken and not taken & {"*/*", "application/*", "application/pdf"}


def _outcome(job: Job, settings: ApiSettings, *, wants_link: bool) -> Response[Any]:
    """The PDF, the way to it, or why there is none."""
    if job.error is not None:
        return problem(job.error.code, job.error.detail, job_id=job.job_id)
    if job.state in {State.CANCELLED, State.EXPIRED}:
        return problem("JOB_CANCELLED", f"the job is {job.state.value}", job_id=job.job_id)
    if job.pdf is None or job.state is not State.DELIVERED:
        return _not_yet(job)
    if wants_link:
        return _linked(job, job.pdf, settings)
    if job.pdf.size_bytes > settings.inline_pdf_bytes:
        location = link_to(job.pdf, settings).url
        return Response(HTTPStatus.SEE_OTHER, "text/plain", "", headers={"Location": location})
    stored = clients.s3().get_object(Bucket=settings.pdf_bucket, Key=job.pdf.key)["Body"].read()
    answer = Response(
        HTTPStatus.OK,
        "application/pdf",
        base64.b64encode(stored).decode(),
        headers={"X-Job-Id": job.job_id},
    )
    answer.base64_encoded = True  # by ourselves: the validation would read bytes as text
    return answer


def _not_yet(job: Job) -> Response[Any]:
    body = Accepted(
        examID=job.request.exam_id,
        pacs_studies_iuid=job.request.study_instance_uid,
        callback_url="",
        job_id=job.job_id,
    )
    location = {"Location": f"/jobs/{job.job_id}"}
    return Response(HTTPStatus.ACCEPTED, "application/json", body.model_dump_json(), headers=location)


def _linked(job: Job, pdf: Pdf, settings: ApiSettings) -> Response[Any]:
    link = link_to(pdf, settings)
    body = PdfLink(
        job_id=job.job_id,
        pdf_url=link.url,
        pdf_sha256=pdf.sha256,
        pdf_bytes=pdf.size_bytes,
        expires_at=link.expires_at,
        pages=pdf.pages,
        partial=job.partial,
    )
    return Response(HTTPStatus.OK, "application/json", body.model_dump_json())


def _serialised(response: Response[Any]) -> dict[str, Any]:
    """An answer that is given before routing, in the gateway's form."""
    body = response.body or ""
    return {
        "statusCode": response.status_code,
        "headers": {"Content-Type": "application/json", **response.headers},
        "body": body if isinstance(body, str) else base64.b64encode(body).decode(),
        "isBase64Encoded": False,
    }
