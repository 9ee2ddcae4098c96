"""The router's log, live or by reloading, whether the router runs or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.page import Entry, render, text_of
from dashboard.streams import Message, stream
from router.logreader import LEVELS, PARTS, Filter, Follower, Line, latest, log_file

ENTRY: Final = Entry("logs", "/logs", "logs")
MOST_LINES: Final = 200
_LONGEST_TEXT: Final = 100
_EVERY_S: Final = 0.5
_MARKS: Final = {"DEBUG": "info", "INFO": "info", "WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}


def page(request: Request) -> Response:
    """The latest lines that fit, the newest first."""
    wanted = _filter(request)
    query = urlencode({name: value for name, value in request.query_params.items() if value})
    lines = latest(_path(request), wanted, MOST_LINES)[::-1]
    return render(
        request, "logs.html", lines=lines, wanted=wanted, levels=LEVELS, parts=PARTS, query=query,
        exists=_path(request).exists(), most=MOST_LINES, **_helpers(),
    )  # fmt: skip


def events(request: Request) -> Response:
    """New lines that fit, as they are written."""
    follower = Follower(_path(request))
    return stream(request, lambda: list(_new(request, follower)), _EVERY_S, end=follower.close)


def _new(request: Request, follower: Follower) -> Iterator[Message]:
    wanted = _filter(request)
    lines = [line for line in follower.lines() if wanted.fits(line)][-MOST_LINES:]
    if lines:
        yield "lines", "", text_of(request, "log_lines.html", lines=lines[::-1], **_helpers())


def _filter(request: Request) -> Filter:
    """What the reader asks for; what is none of what there is asks for nothing."""
    query = request.query_params
    level, part = query.get("level", "INFO"), query.get("part", "")
    return Filter(
        level=level if level in LEVELS else "INFO",
        part=part if part in PARTS else "",
        association=query.get("association", "")[:_LONGEST_TEXT].strip(),
        text=query.get("text", "")[:_LONGEST_TEXT].strip(),
    )


def _helpers() -> dict[str, Any]:
    return {"mark_of": mark_of}


def mark_of(line: Line) -> str:
    """The level as the pages draw it."""
    return _MARKS.get(line.level, "info")


def _path(request: Request) -> Any:
    return log_file(request.app.state.config.router.dicom_root)


routes = [
    Route("/logs", page, methods=["GET"]),
    Route("/logs/events", events, methods=["GET"]),
]
