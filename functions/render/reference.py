"""What the API says of itself: title, version, and the ReDoc page."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel

TITLE = "Ponte"
VERSION = "0.1.0"
DESCRIPTION = (
    "A DICOM study becomes a PDF: POST a study's UID, and the PDF arrives at your callback, or as the answer."
)
_SCRIPT = "static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"


def answer_of(model: type[BaseModel], description: str) -> OpenAPIResponse:
    """How one answer is described: its meaning, and the shape of its JSON."""
    return {"description": description, "content": {"application/json": {"model": model}}}


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
