"""What machines ask: is this process alive, is the router ready, and the metrics.

`/livez` and `/readyz` answer everybody, with codes alone. `/metrics` answers who asks from this machine
without a proxy between, and who has the token.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dashboard.access import LOOPBACK_NAMES
from ponte.errors import PonteError
from router.metrics import exposition, not_ready
from router.views import Views

_ROUTER_S: Final = 3.0
_PROXIED: Final = ("x-forwarded-for", "x-real-ip", "forwarded", "via")


def alive(_: Request) -> Response:
    """200 while this process answers."""
    return JSONResponse({"alive": True})


def ready(request: Request) -> Response:
    """200 while the router accepts associations; else 503 with the codes of why not."""
    try:
        facts = request.app.state.pulse.facts()
    except PonteError:
        codes = ["ROWS_UNREADABLE"]
    else:
        status = facts.status
        silent = "ROUTER_SILENT" if facts.heart == "silent" else "ROUTER_NOT_RUNNING"
        codes = [silent] if status is None else not_ready(status.refusing)
        codes += ["ROWS_UNREADABLE"] if facts.rows_code else []
    return JSONResponse({"ready": not codes, "reasons": codes}, 503 if codes else 200)


def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    if not _may_read(request):
        headers = {"WWW-Authenticate": "Bearer"}
        return PlainTextResponse("metrics need DASHBOARD_METRICS_TOKEN\n", 401, headers)
    root, status = request.app.state.config.router.dicom_root, _status(request)
    try:
        with _rows(request) as rows:
            text = exposition(status, rows, root)
    except (PonteError, OSError):
        text = exposition(status, None, root)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may_read(request: Request) -> bool:
    token: str = request.app.state.config.metrics_token
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if given:
        is_same = hmac.compare_digest(given.encode(), token.encode())
        return bool(token) and kind.lower() == "bearer" and is_same
    return _is_from_here(request)


def _is_from_here(request: Request) -> bool:
    """From this machine, by a loopback name, and through no proxy: that would make all of the network it."""
    host = request.client.host if request.client else ""
    try:
        is_near = ip_address(host).is_loopback
    except ValueError:
        return False
    return (
        is_near
        and request.url.hostname in LOOPBACK_NAMES
        and not any(name in request.headers for name in _PROXIED)
    )


def _status(request: Request) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = request.app.state.control("status", timeout_s=_ROUTER_S)
    except PonteError:
        return None
    return found


@contextmanager
def _rows(request: Request) -> Iterator[Views | None]:
    """None where there are none, or none that can be read."""
    try:
        views: Views = request.app.state.views()
    except PonteError:
        yield None
        return
    with views:
        yield views


routes: Final = [
    Route("/livez", alive),
    Route("/readyz", ready),
    Route("/metrics", metrics),
]
