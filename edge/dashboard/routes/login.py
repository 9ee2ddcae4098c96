"""Log in, log out, and the language."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dashboard.actions import address_of, note, safe_path
from dashboard.config import LANGUAGES
from dashboard.language import COOKIE
from dashboard.page import render, words_of
from dashboard.passwords import TooManyTries
from dashboard.shown import Shown

_YEAR_S = 365 * 86400


def form(request: Request) -> Response:
    """The page that asks for the password; who is somebody already goes on."""
    wanted = safe_path(request.query_params.get("next", "/"))
    if request.state.role is not None:
        return RedirectResponse(wanted, 303)
    return render(request, "login.html", next=wanted, wrong="")


def log_in(request: Request) -> Response:
    """A session for the right password. Who fails often waits; what is tried meanwhile is not looked at."""
    state, app = request.state, request.app.state
    wanted = safe_path(state.form.get("next", "/"))
    if not app.config.has_password:
        return RedirectResponse(wanted, 303)
    address = address_of(request)
    try:
        app.tries.take(address)
    except TooManyTries as error:
        return _too_many(request, wanted, error.wait_s)
    role = app.passwords.role_of(state.form.get("password", ""))
    if role is None:
        note(request, "login", "", "WRONG_PASSWORD")
        return render(request, "login.html", status=401, next=wanted, wrong=words_of(request)("login.wrong"))
    app.tries.forgive(address)
    state.role = role
    note(request, "login", "", "done")
    response = RedirectResponse(wanted, 303)
    _set_session(request, response, app.sessions.begin(role))
    return response


def log_out(request: Request) -> Response:
    """End the session, here and in the browser."""
    request.app.state.sessions.end(request.state.visitor)
    note(request, "logout", "", "done")
    response = RedirectResponse("/login", 303)
    response.delete_cookie(request.app.state.cookie_name, path="/", secure=request.app.state.config.has_tls)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def speak(request: Request) -> Response:
    """Remember the language that was chosen."""
    form = request.state.form
    response = RedirectResponse(safe_path(form.get("back", "/")), 303)
    if form.get("language") in LANGUAGES:
        response.set_cookie(
            COOKIE, form["language"], max_age=_YEAR_S, httponly=True, samesite="strict",
            secure=request.app.state.config.has_tls,
        )  # fmt: skip
    return response


def _too_many(request: Request, wanted: str, wait_s: int) -> Response:
    words = words_of(request)
    duration = Shown(words, request.app.state.zone, 0.0).duration(wait_s)
    response = render(
        request, "login.html", status=429, next=wanted, wrong=words("login.wait", duration=duration)
    )
    response.headers["Retry-After"] = str(wait_s)
    return response


def _set_session(request: Request, response: Response, identity: str) -> None:
    config = request.app.state.config
    response.set_cookie(
        request.app.state.cookie_name, identity, max_age=int(config.session_s), httponly=True,
        samesite="strict", secure=config.has_tls,
    )  # fmt: skip


routes = [
    Route("/login", form, methods=["GET"]),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"]),
    Route("/language", speak, methods=["POST"]),
]
