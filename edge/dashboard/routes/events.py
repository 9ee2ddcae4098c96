"""Events: alarms, changes of state and what people did, the newest first."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.happenings import Happening, happenings
from dashboard.page import Entry, render, words_of

ENTRY: Final = Entry("events", "/events", "events")
KINDS: Final = ("", "alarm", "state", "action")


def page(request: Request) -> Response:
    """All of them, or of one kind."""
    router = request.app.state.config.router
    kind = request.query_params.get("kind", "")
    kind = kind if kind in KINDS else ""
    found = happenings(router.dicom_root, router.log_path, kind)
    words = words_of(request)

    def said(one: Happening) -> dict[str, Any]:
        key = f"event.{one.key}"
        advice = f"{key}.do"
        kind = "did" if one.key.startswith("action") else "alarm"
        known = f"event.{kind}.{one.name}"
        name = words(known) if words.has(known) else one.name
        return {"title": words(key, name=name), "advice": words(advice) if words.has(advice) else ""}

    return render(request, "events.html", found=found, kind=kind, kinds=KINDS, said=said)


routes = [Route("/events", page, methods=["GET"])]
