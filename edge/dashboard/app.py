"""The application: pages behind the gate, and what they share."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from dashboard.access import Gate
from dashboard.audit import AuditLog
from dashboard.config import DashboardConfig
from dashboard.flash import Flashes
from dashboard.page import STATIC, problem
from dashboard.passwords import Passwords, Tries
from dashboard.routes import navigation, routes
from dashboard.sessions import Sessions
from dashboard.situation import Pulse
from router import controlclient
from router.views import NoRouterHere, Views

_FOREVER = "public, max-age=31536000, immutable"


def create(config: DashboardConfig) -> Starlette:
    """The application. `app.state` has for its pages: `config`, `views()` (a `Views` for this request),
    `control(verb, **arguments)`, `pulse`, `audit`, `flashes`, `sessions`."""
    sessions = Sessions(config.idle_s, config.session_s)
    app = Starlette(
        routes=[Mount("/static", _Files(directory=STATIC)), *routes()],
        middleware=[Middleware(Gate, config=config, sessions=sessions)],
        exception_handlers={
            HTTPException: _http_problem,
            NoRouterHere: _no_rows,
            sqlite3.OperationalError: _busy_rows,
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
    state.streams = 0
    return app


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
