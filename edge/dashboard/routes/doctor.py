"""Connections: the doctor for one or for all, whose findings arrive as they come, or by reloading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dashboard.actions import note
from dashboard.checkups import Checkup
from dashboard.flash import Flash
from dashboard.page import Entry, problem, render, text_of
from dashboard.streams import Message, stream
from doctor.plan import subjects
from doctor.steps import Step, words
from doctor.words import say
from ponte.errors import PonteError

ENTRY: Final = Entry("doctor", "/doctor", "doctor")
_EVERY_S: Final = 0.3
_KINDS: Final = ("destination", "modality", "machine")
_LEVELS: Final = {"ok": "ok", "warning": "warn", "failed": "bad", "skipped": "info"}


def page(request: Request) -> Response:
    """Whom there is to ask, the destination that is looked for first."""
    found = subjects(request.app.state.config.router)
    wanted = request.query_params.get("destination", "")
    groups = [
        (kind, sorted((one for one in found if one.kind == kind), key=lambda one: one.name != wanted))
        for kind in _KINDS
    ]
    return render(request, "doctor.html", groups=groups, wanted=wanted)


def run(request: Request) -> Response:
    """Begin, and go to where its findings are."""
    form, app = request.state.form, request.app.state
    name, stores = form.get("name", ""), form.get("store") == "yes"
    try:
        known = subjects(app.config.router, stores=stores)
        chosen = [one for one in known if name in ("", one.name)]
        if not chosen:
            return problem(request, 404, "error.404")
        begun = app.checkups.begin(chosen)
    except PonteError as error:
        note(request, "doctor", name[:80], error.code)
        app.flashes.put(
            request.state.visitor, Flash("warn", "flash.failed", {"code": error.code}, error.detail)
        )
        return RedirectResponse("/doctor", 303)
    note(request, "doctor-store" if stores else "doctor", name[:80] or "all", "done")
    return RedirectResponse(f"/doctor/runs/{begun.id}", 303)


def findings(request: Request) -> Response:
    """What was found so far."""
    found = request.app.state.checkups.get(request.path_params["run"])
    if found is None:
        return problem(request, 404, "error.checkup")
    return render(request, "doctor_run.html", run=found, **_helpers(request))


def events(request: Request) -> Response:
    """Each step as it comes: those after the last that the reader has."""
    found = request.app.state.checkups.get(request.path_params["run"])
    if found is None:
        return problem(request, 404, "error.checkup")
    known = request.headers.get("last-event-id", "") or request.query_params.get("after", "")
    sent = int(known) if known.isascii() and known.isdecimal() and len(known) < 9 else 0
    return stream(request, _Poll(request, found, sent), _EVERY_S)


class _Poll:
    def __init__(self, request: Request, run: Checkup, sent: int) -> None:
        self._request = request
        self._run = run
        self._sent = sent
        self._is_over = False

    def __call__(self) -> list[Message] | None:
        return None if self._is_over else list(self._messages())

    def _messages(self) -> Iterator[Message]:
        done = self._run.done
        for step in self._run.steps[self._sent :]:
            self._sent += 1
            at = self._run.subjects.index(step.subject)
            yield "step", str(self._sent), self._step(at, step)
        if done:
            self._is_over = True
            values = {"run": self._run, **_helpers(self._request)}
            yield "done", "", text_of(self._request, "doctor_verdict.html", **values)

    def _step(self, at: int, step: Step) -> str:
        return text_of(self._request, "doctor_step.html", at=at, step=step, **_helpers(self._request))


def _helpers(request: Request) -> dict[str, Any]:
    """What the templates say steps with."""
    language = request.state.language
    return {
        "level_of": lambda step: _LEVELS[step.found.state],
        "words_of": lambda phrases: words(phrases, language),
        "say": lambda key: say(key, language),
        "worst": _worst,
    }


def _worst(steps: list[Step]) -> str:
    """The level of all of them together."""
    states = {step.found.state for step in steps}
    return next((_LEVELS[state] for state in ("failed", "warning", "ok") if state in states), "info")


routes = [
    Route("/doctor", page, methods=["GET"]),
    Route("/doctor/run", run, methods=["POST"]),
    Route("/doctor/runs/{run}", findings, methods=["GET"]),
    Route("/doctor/runs/{run}/events", events, methods=["GET"]),
]
