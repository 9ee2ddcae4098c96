"""Settings: the configuration in effect, the parts of the router, and its destinations."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.actions import ask_router, perform
from dashboard.flash import Flash
from dashboard.page import Entry, problem, render
from router.origins import settings

ENTRY: Final = Entry("configuration", "/configuration", "configuration")
PARTS: Final = ("listeners", "forwarder", "organiser", "watcher", "alerts", "router")


def page(request: Request) -> Response:
    """All of it, each value with where it comes from."""
    app = request.app.state
    config, facts = app.config, app.pulse.facts()
    found = settings(config.router, config.configuration, os.environ, config.env_file)
    groups: dict[str, list[Any]] = {}
    for one in found:
        groups.setdefault(one.name.partition(".")[0].partition("[")[0], []).append(one)
    return render(
        request, "configuration.html", groups=groups, facts=facts, parts=PARTS,
        states={one.name: one.state for one in facts.status.parts} if facts.status else {},
        warnings=[*config.router.warnings(), *config.warnings()], is_newer=_is_newer(request),
        configuration=str(config.configuration or ""), env_file=str(config.env_file or ""),
    )  # fmt: skip


def _is_newer(request: Request) -> bool:
    """True where a file was written to after the router began: it does not know of that yet."""
    config, facts = request.app.state.config, request.app.state.pulse.facts()
    if facts.status is None:
        return False
    read = [path for path in (config.configuration, config.env_file) if path is not None and path.is_file()]
    return any(path.stat().st_mtime > facts.status.started_at for path in read)


def restart(request: Request) -> Response:
    """One part of the router, or all of it."""
    part = request.state.form.get("part", "")
    if part not in PARTS:
        return problem(request, 404, "error.404")
    return _ask(request, "restart", part, lambda _: Flash("ok", f"did.restart.{part}"), part=part)


def drain(request: Request) -> Response:
    """Take nothing new, and forward what is there."""
    return _ask(request, "drain", "", lambda _: Flash("ok", "did.drain"))


def undrain(request: Request) -> Response:
    """Take images again."""
    return _ask(request, "undrain", "", lambda _: Flash("ok", "did.undrain"))


def reload(request: Request) -> Response:
    """The destinations of the file, as they are written now."""
    return _ask(request, "reload", "", lambda _: Flash("ok", "did.reload"))


def pause(request: Request) -> Response:
    """Send nothing more to a destination until it is resumed."""
    return _to_destination(request, "pause")


def resume(request: Request) -> Response:
    """Send to it again."""
    return _to_destination(request, "resume")


def _to_destination(request: Request, verb: str) -> Response:
    name = request.state.form.get("destination", "")
    if name not in {one.name for one in request.app.state.pulse.facts().destinations}:
        return problem(request, 404, "error.404")
    return _ask(request, verb, name, lambda _: Flash("ok", f"did.{verb}", {"name": name}), destination=name)


def _ask(
    request: Request, verb: str, target: str, said: Callable[[dict[str, Any]], Flash], **arguments: Any
) -> Response:
    response = perform(request, verb, target, "/configuration", ask_router(request, verb, said, **arguments))
    request.app.state.pulse.forget()
    return response


routes = [
    Route("/configuration", page, methods=["GET"]),
    Route("/configuration/restart", restart, methods=["POST"]),
    Route("/configuration/pause", pause, methods=["POST"]),
    Route("/configuration/resume", resume, methods=["POST"]),
    Route("/configuration/drain", drain, methods=["POST"]),
    Route("/configuration/undrain", undrain, methods=["POST"]),
    Route("/configuration/reload", reload, methods=["POST"]),
]
