"""The application: pages behind the gate, and what they share."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from dashboard.access import Gate
from dashboard.audit import AuditLog
from dashboard.checkups import Checkups
from dashboard.config import DashboardConfig
from dashboard.flash import Flashes
from dashboard.page import STATIC, problem
from dashboard.passwords import Passwords, Tries
from dashboard.routes import navigation, routes
from dashboard.sessions import Sessions
from dashboard.situation import Pulse
from dashboard.thumbs import Artist, Thumbs
from ponte.errors import InvalidRequest, PonteError, TransientError
from router import controlclient
from router.views import NoRouterHere, Views

log = logging.getLogger(__name__)

_SWEPT_EVERY_S = 30.0
_FOREVER = "public, max-age=31536000, immutable"


def create(config: DashboardConfig) -> Starlette:
    """The application. `app.state` has for its pages: `config`, `views()` (a `Views` for this request),
    `control(verb, **arguments)`, `pulse`, `audit`, `flashes`, `sessions`."""
    sessions = Sessions(config.idle_s, config.session_s)
    app = Starlette(
        lifespan=_living,
        routes=[Mount("/static", _Files(directory=STATIC)), *routes()],
        middleware=[Middleware(Gate, config=config, sessions=sessions)],
        exception_handlers={
            HTTPException: _http_problem,
            NoRouterHere: _no_rows,
            TransientError: _busy_rows,
            InvalidRequest: _unreadable_rows,
        },
    )
    root = config.router.dicom_root
    state = app.state
    state.config = config
    state.sessions = sessions
    state.cookie_name = "__Host-ponte" if config.has_tls else "ponte"
    state.zone = ZoneInfo(config.router.timezone)
    state.navigation = navigation()
    state.views = partial(Views, root)
    state.control = partial(controlclient.call, root)
    state.pulse = Pulse(config.router, state.views, partial(controlclient.call, root, timeout_s=3.0))
    state.audit = AuditLog(root)
    state.flashes = Flashes()
    state.passwords = Passwords(config)
    state.tries = Tries()
    state.artist = Artist()
    state.thumbs = Thumbs(root, state.artist)
    state.streams = 0
    state.checkups = Checkups()
    return app


@asynccontextmanager
async def _living(app: Starlette) -> AsyncIterator[None]:
    """While it runs, pictures of studies that are gone are taken away."""
    sweeping = asyncio.create_task(_sweep(app))
    try:
        yield
    finally:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        app.state.artist.close()


async def _sweep(app: Starlette) -> None:
    while True:
        try:
            await run_in_threadpool(app.state.thumbs.sweep, app.state.views)
        except (PonteError, sqlite3.Error, OSError) as error:
            log.info("thumbs not swept", extra={"error": type(error).__name__})
        await asyncio.sleep(_SWEPT_EVERY_S)


class _Files(StaticFiles):
    """Files that have the digest of their content in their address."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["Cache-Control"] = _FOREVER
        return response


def _http_problem(request: Request, error: Exception) -> Response:
    """What has a status, as a page."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    key = f"error.{status}" if status in (400, 403, 404, 405) else "error.400"
    return problem(request, status, key)


def _no_rows(request: Request, _: Exception) -> Response:
    values: dict[str, Any] = {"root": str(request.app.state.config.router.dicom_root)}
    return problem(request, 503, "error.norows", **values)


def _busy_rows(request: Request, _: Exception) -> Response:
    return problem(request, 503, "error.rows")


def _unreadable_rows(request: Request, error: Exception) -> Response:
    """Another version's, or another user's: the text says what to do, and quotes nothing."""
    return problem(
        request, 503, "error.unreadable", detail=error.detail if isinstance(error, InvalidRequest) else ""
    )
