"""HTTP: `POST /classify`. It asks; `functions/classify` answers, in the PACS.

It is here because one function knows who may call (docs/adr/0013-who-may-ask-for-a-classification.md).
"""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from ponte_aws import clients
from ponte_aws.queues import send
from render.messages import ClassificationAccepted, ClassificationRequest, Unfit
from render.problems import problem
from render.reference import answer_of, problems_of
from render.settings import api_settings

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]


@router.post(
    "/classify",
    summary="Classify the chest radiographs of a study",
    description=(
        "Answers at once. Each frontal chest radiograph is given to the model that the operator has "
        "configured, and its answer stored in the PACS as a structured report. Not a medical device: "
        "unverified machine output."
    ),
    responses={
        200: answer_of(ClassificationAccepted, "The request is durable"),
        422: answer_of(Unfit, "The body does not fit"),
        **problems_of(400, 401, 403, 413, 500, 501, 503),
    },
)
def post_classify(body: Annotated[ClassificationRequest, Body()]) -> Response[Any]:
    """When this answers 200, the request's row and its message are both durable."""
    settings = api_settings()
    if not settings.classify_queue_url:
        return problem("NO_MODEL", "no model is configured: nothing is classified here")
    reference = f"request#{secrets.token_hex(16)}"
    clients.table(settings.jobs_table).put_item(
        Item={
            "job_id": f"{reference}#0",
            "studies": {body.pacs_studies_iuid: []},
            "expires_at": int(time.time()) + settings.job_retention_days * 86_400,
        }
    )
    send(clients.sqs(), settings.classify_queue_url, {"reference": reference, "rows": "1"})
    accepted = ClassificationAccepted(pacs_studies_iuid=body.pacs_studies_iuid)
    return Response(200, "application/json", accepted.model_dump_json())
