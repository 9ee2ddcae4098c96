"""The one mapping from what went wrong to an HTTP answer."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response

_STATUS = {
    "INVALID_JSON": HTTPStatus.BAD_REQUEST,
    "UNAUTHORIZED": HTTPStatus.UNAUTHORIZED,
    "CLIENT_NOT_ALLOWED": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "JOB_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "STUDY_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "PDF_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "METHOD_NOT_ALLOWED": HTTPStatus.METHOD_NOT_ALLOWED,
    "IDEMPOTENCY_CONFLICT": HTTPStatus.CONFLICT,
    "JOB_BUSY": HTTPStatus.CONFLICT,
    "JOB_FINISHED": HTTPStatus.CONFLICT,
    "JOB_NOT_FINISHED": HTTPStatus.CONFLICT,
    "JOB_CANCELLED": HTTPStatus.CONFLICT,
    "BODY_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "INTERNAL": HTTPStatus.INTERNAL_SERVER_ERROR,
    "NO_MODEL": HTTPStatus.NOT_IMPLEMENTED,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "PACS_ERROR": HTTPStatus.BAD_GATEWAY,
    "PACS_TIMEOUT": HTTPStatus.GATEWAY_TIMEOUT,
}


def problem(
    code: str, detail: str, *, job_id: str | None = None, headers: dict[str, str | list[str]] | None = None
) -> Response[str]:
    """`{"detail", "code"}` as clients know it, with RFC 9457's keys beside.

    A code without a status of its own is a study that arrived and cannot be shown: 422.
    """
    status = _STATUS.get(code, HTTPStatus.UNPROCESSABLE_ENTITY)
    body: dict[str, Any] = {"detail": detail, "code": code}
    if job_id is not None:
        body["job_id"] = job_id
    body |= {"type": "about:blank", "title": status.phrase, "status": status.value}
    return Response(status.value, "application/json", json.dumps(body), headers=headers)


def unfit(errors: list[dict[str, Any]]) -> Response[str]:
    """422 in the shape that clients of the old system read: `{"detail": [{"loc", "msg", "type"}]}`.

    What was sent is not repeated: it may hold a secret.
    """
    detail = [
        {"loc": list(error["loc"]), "msg": error.get("msg", "is not valid"), "type": error["type"]}
        for error in errors
    ]
    return Response(
        status_code=HTTPStatus.UNPROCESSABLE_ENTITY.value,
        content_type="application/json",
        body=json.dumps({"detail": detail}),
    )
