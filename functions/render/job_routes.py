"""HTTP: `/jobs`, and what a caller may do with one of them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from ponte_aws import clients
from ponte_aws.deliveries import Deliveries
from ponte_aws.jobs import WORKING, Job, State
from ponte_aws.listing import Listing
from ponte_aws.queues import send
from ponte_aws.secrets import seal
from render.backend import jobs_of, link_to
from render.messages import ExamId, JobAnswer, JobPage, ReplayRequest, Unfit
from render.problems import problem, unfit
from render.reference import TO_PDF, answer_of, problems_of
from render.settings import ApiSettings, api_settings

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]
JobId = Annotated[str, Path(min_length=1, max_length=64, description="As POST /render answered it")]


@router.get(
    "/jobs",
    summary="Jobs of an exam, or in a state",
    description="Newest first. A page may hold fewer than `limit`; there is more while `next` is not null.",
    responses={
        200: answer_of(JobPage, "A page of jobs"),
        422: answer_of(Unfit, "A parameter does not fit; at least one of examID and state is needed"),
        **problems_of(400, 401, 403, 500, 503),
    },
)
def list_jobs(
    examID: Annotated[ExamId | None, Query()] = None,  # noqa: N803  the client's name
    state: Annotated[State | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=1024, description="`next` of the page before")] = None,
) -> Response[Any]:
    """Jobs by exam, by state, or by both."""
    if examID is None and state is None:
        return unfit([{"loc": ("query",), "msg": "examID or state is needed", "type": "missing"}])
    listing = Listing(clients.jobs_table(api_settings().jobs_table))
    try:
        jobs, following = listing.page(exam_id=examID, state=state, limit=limit, cursor=cursor)
    except ValueError:
        return unfit([{"loc": ("query", "cursor"), "msg": "is not one of ours", "type": "cursor"}])
    return Response(200, "application/json", JobPage.of(jobs, following).model_dump_json())


@router.get(
    "/jobs/<job_id>",
    summary="Where a job is",
    description="State and history, progress, what was not shown, and every attempt at its callback.",
    responses={200: answer_of(JobAnswer, "The job"), **problems_of(400, 401, 403, 404, 500, 503)},
)
def get_job(job_id: JobId) -> Response[Any]:
    """The job's state, history, progress, attempts at its callback, and the reason where it failed."""
    settings = api_settings()
    return _answer(jobs_of(settings).get(job_id), settings)


@router.get(
    "/jobs/<job_id>/pdf",
    summary="The PDF of a job",
    description="A redirect to a link that lives for a short time (`curl -L`).",
    responses={
        303: TO_PDF,
        **problems_of(400, 401, 403, 404, 409, 500, 503),
    },
)
def get_job_pdf(job_id: JobId) -> Response[Any]:
    """Where the PDF can be had."""
    settings = api_settings()
    job = jobs_of(settings).get(job_id)
    if job.state in WORKING:
        return problem("JOB_NOT_FINISHED", f"the job is {job.state.value}: ask again later", job_id=job_id)
    if job.pdf is None:
        return problem("PDF_NOT_FOUND", f"the job is {job.state.value} and has no PDF", job_id=job_id)
    location = link_to(job.pdf, settings).url
    return Response(HTTPStatus.SEE_OTHER, "text/plain", "", headers={"Location": location})


@router.post(
    "/jobs/<job_id>/cancel",
    summary="End a job before it is delivered",
    description="What was not begun is not done, and nobody is called back. Repeating it changes nothing.",
    responses={
        200: answer_of(JobAnswer, "The job is cancelled"),
        **problems_of(400, 401, 403, 404, 409, 413, 500, 503),
    },
)
def cancel_job(job_id: JobId) -> Response[Any]:
    """Cancel the job, unless it is over or being delivered at this moment."""
    settings = api_settings()
    return _answer(jobs_of(settings).cancel(job_id), settings)


@router.post(
    "/jobs/<job_id>/replay",
    summary="Deliver a job's result again",
    description=(
        "A new schedule of attempts begins at once, with the same `webhook-id`. The secrets of the "
        "first request were deleted when the job ended: give them again where the receiver wants them."
    ),
    responses={
        202: answer_of(JobAnswer, "The result is on its way again"),
        422: answer_of(Unfit, "The body does not fit"),
        **problems_of(400, 401, 403, 404, 409, 413, 500, 503),
    },
)
def replay_job(job_id: JobId, body: Annotated[ReplayRequest | None, Body()] = None) -> Response[Any]:
    """Queue the callback once more."""
    settings = api_settings()
    jobs, given = jobs_of(settings), body or ReplayRequest()
    job = jobs.get(job_id)
    secrets = {"Authorization": given.Authorization, "IntegrationToken": given.IntegrationToken}
    again = Deliveries(jobs).replay(job, seal(clients.kms(), settings.secrets_key_id, job_id, secrets))
    send(clients.sqs(), settings.callback_queue_url, {"job_id": job_id, "turn": str(again.turn)})
    return _answer(again, settings, HTTPStatus.ACCEPTED)


def _answer(job: Job, settings: ApiSettings, status: HTTPStatus = HTTPStatus.OK) -> Response[Any]:
    link = link_to(job.pdf, settings).url if job.pdf is not None else None
    return Response(status, "application/json", JobAnswer.of(job, link).model_dump_json())
