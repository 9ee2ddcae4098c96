"""The dashboard's process: it listens, and yields to everything else on the machine."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Final

import uvicorn

from dashboard.app import create
from dashboard.config import DashboardConfig
from ponte.errors import InvalidRequest
from router.log import JsonFormatter

_NICENESS: Final = 10
_BACKLOG = 64
_MOST_CONNECTIONS = 200
_LONGEST_HEAD = 16 << 10
_GRACE_S = 2


def serve(config: DashboardConfig, *, said: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT. Raises `InvalidRequest` for an address or a certificate of no use."""
    _set_up_log(config.router.log_level)
    os.nice(_NICENESS)
    listening = _listen(config)
    try:
        settings = _settings(config)
        scheme = "https" if config.has_tls else "http"
        port = listening.getsockname()[1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        who = "" if config.has_password else " (no password: on this machine alone)"
        said(f"dashboard on {scheme}://{host}:{port}{who}")
        uvicorn.Server(settings).run(sockets=[listening])
    finally:
        listening.close()


def _settings(config: DashboardConfig) -> uvicorn.Config:
    settings = uvicorn.Config(
        create(config),
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=config.tls_certificate,
        ssl_keyfile=config.tls_key,
    )
    try:
        settings.load()
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise InvalidRequest(
            f"DASHBOARD_TLS_CERTIFICATE or DASHBOARD_TLS_KEY cannot be used: {reason}"
        ) from error
    return settings


def _listen(config: DashboardConfig) -> socket.socket:
    host = "127.0.0.1" if config.host == "localhost" else config.host
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # those that are accepted have it, too
    try:
        found.bind((host, config.port))
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        hints = {
            errno.EADDRINUSE: ": another program listens there",
            errno.EADDRNOTAVAIL: ": no address of ours",
        }
        hint = hints.get(error.errno or 0, f": {error.strerror}")
        raise InvalidRequest(
            f"DASHBOARD_HOST {host}, DASHBOARD_PORT {config.port} cannot be had{hint}"
        ) from error
    return found


def _set_up_log(level: str) -> None:
    """To standard error, as the router's; the router's own file is the router's alone."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("dashboard").setLevel(level)
