"""A button's effect: done, noted in the audit log, and said on the page that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse

from dashboard.audit import Line
from dashboard.flash import Flash, Level
from dashboard.words import WORDS
from ponte.errors import InvalidRequest, PonteError

Work = Callable[[], Flash]
Said = Callable[[dict[str, Any]], Flash]
"""Makes words of the router's answer."""


def perform(request: Request, action: str, target: str, back: str, work: Work) -> RedirectResponse:
    """Do it, and go `back`. `target` names what it is done to in the audit log, without patient data.

    `work` gives what really happened. What it raises is said with the words `failed.<code>` where
    there are such words, else with the error's own text.
    """
    try:
        flash, outcome = work(), "done"
    except PonteError as error:
        flash, outcome = _failed(error), error.code
    note(request, action, target, outcome)
    request.app.state.flashes.put(request.state.visitor, flash)
    return RedirectResponse(back, 303)


def ask_router(
    request: Request, verb: str, said: Callable[[dict[str, Any]], Flash], **arguments: Any
) -> Work:
    """Work that is one question to the router; `said` makes words of its answer."""
    return lambda: said(request.app.state.control(verb, **arguments))


def note(request: Request, action: str, target: str, outcome: str) -> None:
    """A line of the audit log."""
    request.app.state.audit.write(
        Line(request.state.role or "nobody", address_of(request), action, target, outcome)
    )


def address_of(request: Request) -> str:
    """Who asks, by the connection: never by a header, which anybody can write."""
    return request.client.host if request.client else "unknown"


def operators_only(request: Request) -> None:
    """For a page that a viewer may not see; every POST is an operator's anyway. Raises `HTTPException`."""
    if request.state.role != "operator":
        raise HTTPException(403)


def _failed(error: PonteError) -> Flash:
    level: Level = "warn" if isinstance(error, InvalidRequest) else "bad"
    if f"failed.{error.code}" in WORDS:
        return Flash(level, f"failed.{error.code}")
    return Flash(level, "flash.failed", {"code": error.code}, error.detail)


def safe_path(text: str) -> str:
    """A path of ours to go to, or the first page: never another site's."""
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_ours and "\\" not in text else "/"
