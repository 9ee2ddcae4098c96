"""The gate that every request passes: limits, the host's name, who it is, what this role may, and the headers
that every answer has.

A page that somebody adds is behind it without doing anything: all that is not in `PUBLIC` needs a session,
and each POST a token of the visitor's own and the operator's role.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import language
from dashboard.config import DashboardConfig
from dashboard.page import problem
from dashboard.sessions import Role, Sessions, is_id, new_id

log = logging.getLogger(__name__)

PUBLIC: Final = frozenset({"/login", "/language", "/livez", "/readyz", "/metrics"})
"""Paths for everybody, with `/static/`. `/metrics` looks itself at who asks."""
ANY_ROLE: Final = frozenset({"/login", "/logout", "/language"})
"""What may be POSTed without the operator's role."""
LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})

LONGEST_BODY: Final = 64 << 10
LONGEST_PATH: Final = 1024
LONGEST_QUERY: Final = 2048
LONGEST_HEADERS: Final = 16 << 10
_MOST_FIELDS = 100
_BODY_S = 10.0
_FORM = "application/x-www-form-urlencoded"

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refusal(Exception):
    """The request goes no further. `key` names the words that say why."""

    def __init__(self, status: int, key: str) -> None:
        super().__init__(key)
        self.status = status
        self.key = key


class Gate:
    """See the module."""

    def __init__(self, app: ASGIApp, config: DashboardConfig, sessions: Sessions) -> None:
        self._app = app
        self._config = config
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send, self._cookie if self._config.has_tls else self._plain_cookie)
        try:
            await self._answer(scope, receive, answer)
        except Refusal as refusal:
            await self._say(scope, receive, answer, refusal)
        except Exception as error:  # noqa: BLE001  the boundary: its text may hold anything, its type does not
            log.error("page failed", extra={"error": type(error).__name__, "how": _route(scope)})
            if not answer.begun:
                await self._say(scope, receive, answer, Refusal(500, "error.500"))

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = Headers(scope=scope)
        state = scope.setdefault("state", {})
        self._identify(headers, state)
        _check_size(scope)
        self._check_host(headers)
        path, method = scope["path"], scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            raise Refusal(405, "error.405")
        is_public = path in PUBLIC or path.startswith("/static/")
        if state["role"] is None and not is_public:
            await self._ask_to_log_in(scope, receive, answer)
            return
        if method == "POST":
            await self._check_post(scope, receive, headers, state)
        await self._app(scope, receive, answer)

    def _identify(self, headers: Headers, state: dict[str, Any]) -> None:
        """Who it is, by the cookie; who has none, or no password to know, is a visitor all the same."""
        cookies = _cookies(headers)
        known = cookies.get(self.cookie_name, "")
        state["visitor"] = known if is_id(known) else new_id()
        state["is_new"] = not is_id(known)
        touch = "text/event-stream" not in headers.get("accept", "")
        role: Role | None = "operator"
        if self._config.has_password:
            role = self._sessions.role_of(known, touch=touch) if is_id(known) else None
        state["role"] = role
        state["csrf"] = self._sessions.token(state["visitor"])
        state["form"] = {}
        state["language"] = language.chosen(
            cookies.get(language.COOKIE, ""), headers.get("accept-language", ""), self._config.language
        )

    @property
    def cookie_name(self) -> str:
        """With TLS one that no other host, and no page without TLS, can set."""
        return "__Host-ponte" if self._config.has_tls else "ponte"

    def _cookie(self, visitor: str) -> str:
        return f"{self._plain_cookie(visitor)}; Secure"

    def _plain_cookie(self, visitor: str) -> str:
        return f"{self.cookie_name}={visitor}; Path=/; HttpOnly; SameSite=Strict"

    def _check_host(self, headers: Headers) -> None:
        """Where nobody has to log in, a name that was made to point here is not answered. Where somebody has,
        the cookie is bound to the right name."""
        if not self._config.has_password and _host(headers.get("host", "")) not in LOOPBACK_NAMES:
            raise Refusal(421, "error.host")

    async def _ask_to_log_in(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if scope["method"] == "POST" or "text/event-stream" in Headers(scope=scope).get("accept", ""):
            raise Refusal(401, "error.401")
        query = scope["query_string"].decode("latin-1")
        wanted = scope["path"] + (f"?{query}" if query else "")
        response = RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
        await response(scope, receive, answer)

    async def _check_post(
        self, scope: Scope, receive: Receive, headers: Headers, state: dict[str, Any]
    ) -> None:
        origin = headers.get("origin")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(403, "error.csrf")
        if origin is not None and urlsplit(origin).netloc != headers.get("host", ""):
            raise Refusal(403, "error.csrf")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise Refusal(415, "error.415")
        state["form"] = _fields(await _body(receive))
        if not self._sessions.is_token(state["visitor"], state["form"].get("csrf", "")):
            raise Refusal(403, "error.csrf")
        if state["role"] != "operator" and scope["path"] not in ANY_ROLE:
            raise Refusal(403, "error.viewer")

    async def _say(self, scope: Scope, receive: Receive, answer: _Answer, refusal: Refusal) -> None:
        request = Request(scope, receive)
        response: Response
        if scope["path"].startswith("/static/") or refusal.status in (413, 414, 431):
            response = PlainTextResponse(refusal.key, refusal.status)
        else:
            response = problem(request, refusal.status, refusal.key)
        await response(scope, receive, answer)


class _Answer:
    """Sends, with the headers that all answers have."""

    def __init__(self, scope: Scope, send: Send, cookie: Any) -> None:
        self._scope = scope
        self._send = send
        self._cookie = cookie
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            state = self._scope.get("state", {})
            if state.get("is_new") and headers.get("content-type", "").startswith("text/html"):
                headers.append("Set-Cookie", self._cookie(state["visitor"]))
        await self._send(message)


def _check_size(scope: Scope) -> None:
    if len(scope.get("raw_path") or b"") > LONGEST_PATH or len(scope["query_string"]) > LONGEST_QUERY:
        raise Refusal(414, "error.414")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > LONGEST_HEADERS:
        raise Refusal(431, "error.431")


def _cookies(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def _host(value: str) -> str:
    """`Host` without its port."""
    try:
        return urlsplit(f"//{value}").hostname or ""
    except ValueError:
        return ""


async def _body(receive: Receive) -> bytes:
    """All of it, as long as it is short and comes soon."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "error.400")
                body += message.get("body", b"")
                if len(body) > LONGEST_BODY:
                    raise Refusal(413, "error.413")
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError as error:
        raise Refusal(408, "error.408") from error


def _fields(body: bytes) -> dict[str, str]:
    """Of a name that comes twice the last."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise Refusal(400, "error.400") from error


def _route(scope: Scope) -> str:
    """Which page it was: never the path itself, which may hold a UID."""
    return str(getattr(scope.get("endpoint"), "__module__", "no page"))
