"""What the API says of itself: title, version, and the ReDoc page."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer, SecurityScheme
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel

from render.messages import CallbackBody, Problem, Throttled

TITLE = "Ponte"
VERSION = "0.1.0"
DESCRIPTION = (
    "A DICOM study becomes a PDF: POST a study's UID, and the PDF arrives at your callback, or as the answer."
)
# Where the deployment has no tokens, none is asked for: so the empty alternative.
SECURITY_SCHEMES: dict[str, SecurityScheme] = {"token": HTTPBearer(scheme="bearer")}
SECURITY: list[dict[str, list[str]]] = [{"token": []}, {}]
_SCRIPT = "static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"


def answer_of(model: type[BaseModel], description: str) -> OpenAPIResponse:
    """How one answer is described: its meaning, and the shape of its JSON."""
    return {"description": description, "content": {"application/json": {"model": model}}}


def located(answer: OpenAPIResponse) -> OpenAPIResponse:
    """The same, with where to go on."""
    answer["headers"] = {"Location": {"description": "Where to go on", "schema": {"type": "string"}}}
    return answer


TO_PDF = located(
    {
        "description": "The PDF is at Location, for a short time",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
)
_MEANINGS = {
    400: "The JSON holds a key twice, NaN, or is nested too deep",
    401: "A token is needed (`Authorization: Bearer`)",
    403: "The caller's address is not one that may call",
    404: "There is no such job, or no such study",
    409: "The request does not fit to what is there: `code` says how",
    413: "The body is too large",
    500: "A fault of ours",
    501: "Nothing is configured that could do this",
    502: "The PACS failed",
    503: "Something that Ponte stands on does not answer: ask again",
    504: "The PACS did not answer in time",
}


def problems_of(*statuses: int) -> dict[int, OpenAPIResponse]:
    """How the errors of a route are described. Any may be asked too often: then the gateway answers."""
    answers = {status: answer_of(Problem, _MEANINGS[status]) for status in statuses}
    return answers | {429: answer_of(Throttled, "Too many requests: ask again")}


_WEBHOOK_HEADERS = {
    "webhook-id": "The job's id: the same over all attempts and replays",
    "webhook-timestamp": "Seconds since 1970, of this attempt",
    "webhook-signature": "Standard Webhooks, `v1,...`; several while a secret is being changed",
    "Authorization": "As the request said",
    "IntegrationToken": "As the request said",
}


def with_webhook(schema: dict[str, Any]) -> dict[str, Any]:
    """The description, with the callback that a job makes (OpenAPI 3.1, `webhooks`)."""
    body = CallbackBody.model_json_schema(ref_template="#/components/schemas/{model}")
    named = {**body.pop("$defs", {}), "CallbackBody": body}
    schema["components"]["schemas"] = {**named, **schema["components"]["schemas"]}
    answers = {
        "2XX": {"description": "Taken"},
        "410": {"description": "Never again"},
        "default": {"description": "Not taken: 5xx, 408, 425, 429 and no answer are tried again"},
    }
    schema["webhooks"] = {
        "callback": {
            "post": {
                "summary": "A job's result, sent to its UrlCallback",
                "description": "The same may come twice: keep `webhook-id`.",
                "operationId": "callback",
                "parameters": [
                    {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
                    for name, text in _WEBHOOK_HEADERS.items()
                ],
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/CallbackBody"}}
                    },
                },
                "responses": answers,
            }
        }
    }
    return schema


METHODS = (
    (r"/render(/sync)?|/classify", ("POST",)),
    (r"/jobs", ("GET",)),
    (r"/jobs/[^/]+(/pdf)?", ("GET",)),
    (r"/jobs/[^/]+/(cancel|replay)", ("POST",)),
    (r"/health(/deep)?", ("GET",)),
    (r"/docs|/redoc|/redoc\.standalone\.js|/openapi\.json", ("GET",)),
)


def methods_at(path: str) -> tuple[str, ...]:
    """The methods that an address takes; none where there is nothing."""
    return next((methods for pattern, methods in METHODS if re.fullmatch(pattern, path)), ())


def redoc_page() -> str:
    """The reference as one page."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}: reference</title>
<style>body {{ margin: 0; font-family: sans-serif }}</style>
</head>
<body>
<redoc spec-url="openapi.json"></redoc>
<script src="redoc.standalone.js"></script>
</body>
</html>
"""


@cache
def redoc_script() -> str:
    """ReDoc's bundle, from a package that carries it; that package's code, for Django, is not imported."""
    spec = find_spec("drf_spectacular_sidecar")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("drf-spectacular-sidecar is not installed")
    return Path(spec.submodule_search_locations[0], _SCRIPT).read_text(encoding="utf-8")
