"""Studies: what came, what became of it, and what can be done about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.actions import Said, ask_router, operators_only, perform
from dashboard.audit import study_key
from dashboard.flash import Flash, Level
from dashboard.page import Entry, render, words_of
from dashboard.quarantined import why
from dashboard.thumbs import LARGE, SMALL
from ponte.errors import InvalidRequest, PonteError
from router.views import SEARCH_STATES, Search, SeriesView, StudyDelivery, StudyView, Views

ENTRY: Final = Entry("studies", "/studies", "studies")
A_PAGE: Final = 50
_FOR_SERIES: Final = 6
_LOOKED_AT: Final = 400
_MOST_SERIES: Final = 60
_LONGEST_SEARCH: Final = 100


@dataclass(frozen=True, slots=True)
class Arrived:
    """How a study fares at a destination: `level` says how to show it."""

    name: str
    level: str
    done: int
    waiting: int
    failed: int
    dismissed: int = 0


def arrived(one: StudyDelivery) -> Arrived:
    """What matters first: what failed, then what waits."""
    done, failed = one.sent + one.committed + one.skipped, one.refused + one.given_up
    level = "bad" if failed else "info" if one.waiting else "warn" if one.dismissed else "ok"
    return Arrived(one.destination, level, done, one.waiting, failed, one.dismissed)


def page(request: Request) -> Response:
    """The newest first, or those that are looked for."""
    asked = request.query_params
    search = {
        name: asked.get(name, "").strip()[:_LONGEST_SEARCH]
        for name in ("text", "date_from", "date_to", "state")
    }
    if search["state"] not in SEARCH_STATES:
        search["state"] = ""
    after, wrong = asked.get("after"), ""
    studies: Sequence[StudyView] = ()
    following = None
    with request.app.state.views() as views:
        try:
            found = views.studies(Search(**search), A_PAGE, after)
            studies, following = found.studies, found.next
        except InvalidRequest as error:
            wrong = error.detail
    given = {name: value for name, value in search.items() if value}
    return render(
        request,
        "studies.html",
        studies=studies,
        arrived=arrived,
        search=search,
        states=[one for one in SEARCH_STATES if one],
        wrong=wrong,
        is_search=bool(given),
        next=f"/studies?{urlencode({**given, 'after': following})}" if following else "",
        first=f"/studies?{urlencode(given)}" if after else "",
    )


def study_page(request: Request) -> Response:
    """One study: where it is, its series, what happened, and the buttons."""
    with request.app.state.views() as views:
        study = _study(request, views)
        uid = study.study_instance_uid
        series = views.series(uid)
        values: dict[str, Any] = {
            "series": series[:_MOST_SERIES],
            "more_series": max(0, len(series) - _MOST_SERIES),
            "numbers": _shown_numbers(views, uid, series[:_MOST_SERIES]),
            "timeline": views.timeline(uid),
            "quarantined": [one for one in views.quarantined(uid) if one.is_there],
        }
    return render(
        request,
        "study.html",
        study=study,
        places=[arrived(one) for one in study.destinations],
        base=_path(uid),
        why=lambda code: why(words_of(request), code),
        **values,
    )


def delete_page(request: Request) -> Response:
    """What deleting would mean, and the second step."""
    with request.app.state.views() as views:
        study = _study(request, views)
    operators_only(request)
    places = [arrived(one) for one in study.destinations]
    unsent = max((one.waiting + one.failed + one.dismissed for one in places), default=study.kept)
    return render(request, "delete.html", study=study, base=_path(study.study_instance_uid), unsent=unsent)


def picture(request: Request) -> Response:
    """An instance that is kept, as a JPEG; what cannot be drawn is not found."""
    uid, number = request.path_params["uid"], int(request.path_params["number"])
    most = LARGE if request.path_params["size"] == "large" else SMALL
    with request.app.state.views() as views:
        found = views.instances(uid, 1, number - 1)
    if not found or found[0].number != number or found[0].state != "kept":
        raise HTTPException(404)
    try:
        drawn = request.app.state.thumbs.picture(uid, number, found[0].place, most)
    except PonteError as error:
        raise HTTPException(404) from error
    return Response(drawn, media_type="image/jpeg")


def resend(request: Request) -> Response:
    """Send a study again: to all destinations, or to one."""
    destination = request.state.form.get("destination", "")
    arguments = {"destination": destination} if destination else {}
    return _do(request, "resend", _counted("resend", "resent"), **arguments)


def retry(request: Request) -> Response:
    """Try at once what failed, and what waits."""
    return _do(request, "retry", _counted("again", "retried"))


def complete(request: Request) -> Response:
    """It is complete, though images might still come."""
    return _do(request, "complete", lambda _: Flash("ok", "did.complete"))


def prioritise(request: Request) -> Response:
    """It goes before the others."""
    return _do(request, "prioritise", _counted("prioritise", "waiting"))


def dismiss_page(request: Request) -> Response:
    """What not trying any more would mean, and the second step."""
    operators_only(request)
    with request.app.state.views() as views:
        study = _study(request, views)
    places = [one for one in map(arrived, study.destinations) if one.failed]
    return render(request, "dismiss.html", study=study, base=_path(study.study_instance_uid), places=places)


def dismiss(request: Request) -> Response:
    """Try no more what one destination has refused. It stays here."""
    destination = request.state.form.get("destination", "")
    return _do(request, "dismiss", _counted("dismiss", "dismissed"), destination=destination)


def delete(request: Request) -> Response:
    """Remove what is kept of it, for good. Only `force` removes what some destination has not had."""
    force = request.state.form.get("force") == "yes"

    def said(answer: dict[str, Any]) -> Flash:
        request.app.state.thumbs.forget(request.path_params["uid"])
        level: Level = "warn" if answer.get("files_left") else "ok"
        return Flash(level, "did.delete", {"number": int(answer.get("deleted", 0))})

    return _do(request, "delete", said, action="delete_unsent" if force else "delete", force=force)


def _do(request: Request, verb: str, said: Said, *, action: str = "", **arguments: str | bool) -> Response:
    """Ask the router to do it to this study, and come back to its page."""
    with request.app.state.views() as views:
        uid = _study(request, views).study_instance_uid
    work = ask_router(request, verb, said, study=uid, **arguments)
    response = perform(request, action or verb, study_key(uid), _path(uid), work)
    request.app.state.pulse.forget()
    return response


def _counted(key: str, name: str) -> Said:
    """Words for the number that an answer has: that nothing was done is said, too."""

    def said(answer: dict[str, Any]) -> Flash:
        number = int(answer.get(name, 0))
        return Flash("ok", f"did.{key}", {"number": number}) if number else Flash("warn", f"did.{key}.none")

    return said


def _study(request: Request, views: Views) -> StudyView:
    found = views.study(request.path_params["uid"])
    if found is None:
        raise HTTPException(404)
    return found


def _path(uid: str) -> str:
    return f"/studies/{quote(uid, safe='')}"


def _shown_numbers(views: Views, uid: str, series: Sequence[SeriesView]) -> dict[str, list[int]]:
    """For each series the numbers of some instances that are kept, evenly over those that came first."""
    kept: defaultdict[str, list[int]] = defaultdict(list)
    for one in views.instances(uid, _LOOKED_AT):
        if one.state == "kept":
            kept[one.series_instance_uid].append(one.number)
    for unseen in series:
        if unseen.kept and unseen.series_instance_uid not in kept:
            found = views.instances(uid, 1, unseen.first_number - 1)
            kept[unseen.series_instance_uid] += [one.number for one in found if one.state == "kept"]
    return {name: _evenly(numbers) for name, numbers in kept.items()}


def _evenly(numbers: Sequence[int]) -> list[int]:
    some = min(_FOR_SERIES, len(numbers))
    return [numbers[at * len(numbers) // some] for at in range(some)]


routes = [
    Route("/studies", page, methods=["GET"]),
    Route("/studies/{uid}", study_page, methods=["GET"]),
    Route("/studies/{uid}/pictures/{number:int}/{size}", picture, methods=["GET"]),
    Route("/studies/{uid}/resend", resend, methods=["POST"]),
    Route("/studies/{uid}/retry", retry, methods=["POST"]),
    Route("/studies/{uid}/dismiss", dismiss_page, methods=["GET"]),
    Route("/studies/{uid}/dismiss", dismiss, methods=["POST"]),
    Route("/studies/{uid}/complete", complete, methods=["POST"]),
    Route("/studies/{uid}/prioritise", prioritise, methods=["POST"]),
    Route("/studies/{uid}/delete", delete_page, methods=["GET"]),
    Route("/studies/{uid}/delete", delete, methods=["POST"]),
]
