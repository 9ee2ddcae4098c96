"""Now: is all well, and if not, what to do. Live by server-sent events, or by reloading."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.actions import ask_router, perform
from dashboard.flash import Flash
from dashboard.page import Entry, problem, render, text_of, words_of
from dashboard.shown import Shown
from dashboard.situation import Facts, Finding, judge
from dashboard.streams import Message, stream

ENTRY: Final = Entry("now", "/", "now")
_EVERY_S = 1.0


def page(request: Request) -> Response:
    """The page."""
    return render(request, "now.html", **_values(request))


def events(request: Request) -> Response:
    """A clock each second, and before it the parts of the page where they have changed."""
    last = ""

    def poll() -> list[Message]:
        nonlocal last
        parts, clock = _parts(request)
        changed = [("parts", "", parts)] if parts != last else []
        last = parts
        return [*changed, ("clock", "", clock)]

    return stream(request, poll, _EVERY_S)


def _parts(request: Request) -> tuple[str, str]:
    values = _values(request)
    facts: Facts = values["facts"]
    clock = Shown(words_of(request), request.app.state.zone, facts.at).moment(facts.at)[-8:]
    return text_of(request, "now_parts.html", **values), clock


def _values(request: Request) -> dict[str, Any]:
    app, words = request.app.state, words_of(request)
    facts = app.pulse.facts()
    verdict = judge(facts)
    shown = Shown(words, app.zone, facts.at)

    def shown_values(one: Finding) -> dict[str, Any]:
        return _in_words(one, shown, words)

    first = verdict.findings[0] if verdict.findings else None
    headline = words("now.ok")
    if first is not None:
        known = shown_values(first)
        headline = (
            words.count(first.key, first.number or 0, **known)
            if first.counts_title
            else words(first.key, **known)
        )
    return {
        "facts": facts,
        "verdict": verdict,
        "headline": headline,
        "shown_values": shown_values,
        "cause": lambda code: _cause(words, code),
    }


def _in_words(one: Finding, shown: Shown, words: Any) -> dict[str, Any]:
    """A finding's values as its texts want them."""
    values = dict(one.values)
    if "seconds" in values:
        values["duration"] = shown.duration(values.pop("seconds"))
    if "free_bytes" in values:
        days = values.pop("days_left")
        values["free"] = shown.size(values.pop("free_bytes"))
        values["days"] = "" if days is None else words("now.disk.days", days=shown.duration(days * 86400))
    if one.key == "now.part" and words.has(f"part.{values['name']}"):
        values["name"] = words(f"part.{values['name']}")
    if one.cause:
        values["cause"] = _cause(words, one.cause)
    return values


def _cause(words: Any, code: str) -> str:
    return str(words(f"cause.{code}" if words.has(f"cause.{code}") else "cause.other"))


def pause(request: Request) -> Response:
    """Send nothing more to a destination until it is resumed."""
    return _to_destination(request, "pause", lambda name, _: Flash("ok", "did.pause", {"name": name}))


def resume(request: Request) -> Response:
    """Send to it again."""
    return _to_destination(request, "resume", lambda name, _: Flash("ok", "did.resume", {"name": name}))


def retry(request: Request) -> Response:
    """Try what waits for it at once."""
    return _to_destination(request, "retry", _retried)


def _retried(name: str, said: dict[str, Any]) -> Flash:
    number = int(said.get("retried", 0))
    if not number:
        return Flash("ok", "did.retry.none", {"name": name})
    return Flash("ok", "did.retry", {"number": number, "name": name})


def _to_destination(request: Request, verb: str, said: Any) -> Response:
    name = request.state.form.get("destination", "")
    known = {one.name for one in request.app.state.config.router.destinations}
    known |= {one.name for one in request.app.state.pulse.facts().destinations}
    if name not in known:
        return problem(request, 404, "error.404")
    work = ask_router(request, verb, lambda answer: said(name, answer), destination=name)
    response = perform(request, verb, name, "/", work)
    request.app.state.pulse.forget()
    return response


routes = [
    Route("/", page, methods=["GET"]),
    Route("/now/events", events, methods=["GET"]),
    Route("/destinations/pause", pause, methods=["POST"]),
    Route("/destinations/resume", resume, methods=["POST"]),
    Route("/destinations/retry", retry, methods=["POST"]),
]
