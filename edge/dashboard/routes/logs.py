"""The router's log, live or by reloading, whether the router runs or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.page import Entry, render, text_of
from dashboard.streams import Message, stream
from router.config import RouterConfig
from router.logreader import LEVELS, PARTS, Filter, Follower, Line, latest

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
    """All that fits, since more may have come since the page was made; then new lines as they come."""
    poll = _Poll(request)
    return stream(request, poll, _EVERY_S, end=poll.close)


class _Poll:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._wanted = _filter(request)
        self._follower = Follower(_path(request))
        self._is_first = True
        self.close = self._follower.close

    def __call__(self) -> list[Message]:
        name, lines = ("all", self._latest()) if self._is_first else ("lines", self._new())
        self._is_first = False
        if not lines and name == "lines":
            return []
        return [(name, "", text_of(self._request, "log_lines.html", lines=lines[::-1], **_helpers()))]

    def _latest(self) -> list[Line]:
        return latest(_path(self._request), self._wanted, MOST_LINES)

    def _new(self) -> list[Line]:
        return [line for line in self._follower.lines() if self._wanted.fits(line)][-MOST_LINES:]


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


def _path(request: Request) -> Path:
    """Of the log; where it is turned off one that is not there."""
    router: RouterConfig = request.app.state.config.router
    return router.log_path or router.dicom_root / "no log"


routes = [
    Route("/logs", page, methods=["GET"]),
    Route("/logs/events", events, methods=["GET"]),
]
