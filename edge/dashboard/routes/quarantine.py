"""Quarantine: what was not sent on, why, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dashboard.actions import Work, ask_router, note, operators_only, perform, safe_path
from dashboard.flash import Flash
from dashboard.page import Entry, render, words_of
from dashboard.quarantined import content_path, some, why
from dashboard.thumbs import LARGE
from ponte.errors import InvalidRequest, PonteError
from ponte.quarantine import FolderQuarantine, Kept, suffix_of
from router.views import Sender

ENTRY: Final = Entry("quarantine", "/quarantine", "quarantine")
A_PAGE: Final = 50
_MOST_START: Final = 100_000
_CHUNK: Final = 1 << 18


def page(request: Request) -> Response:
    """By reason, the newest first."""
    asked = request.query_params
    reason, start = asked.get("reason", "")[:50], _start(asked.get("start", ""))
    found = some(_root(request), reason, start, A_PAGE)
    senders = _senders(request, found.entries)
    given = {"reason": reason} if reason in found.reasons else {}
    following = f"/quarantine?{urlencode({**given, 'start': start + A_PAGE})}" if found.has_more else ""
    return render(
        request,
        "quarantine.html",
        found=found,
        senders=senders,
        reason=reason,
        next=following,
        first=f"/quarantine?{urlencode(given)}" if start else "",
        why=partial(why, words_of(request)),
        at=_at,
    )


def entry(request: Request) -> Response:
    """One entry: the reason, the picture where there can be one, and for operators the header."""
    kept = _kept(request)
    is_operator = request.state.role == "operator"
    return render(
        request,
        "quarantined.html",
        kept=kept,
        sender=_senders(request, [kept]).get(kept.record.origin),
        has_picture=_picture(request, kept) is not None,
        header=_header(request, kept) if is_operator else None,
        why=partial(why, words_of(request)),
        at=_at,
    )


def picture(request: Request) -> Response:
    """What can be drawn of it."""
    drawn = _picture(request, _kept(request))
    if drawn is None:
        raise HTTPException(404)
    return Response(drawn, media_type="image/jpeg")


def export(request: Request) -> Response:
    """Its bytes as they came, under a name of ours."""
    operators_only(request)
    kept = _kept(request)
    try:
        stream = FolderQuarantine(_root(request)).open(kept.id)
    except InvalidRequest as error:
        note(request, "export", kept.id, error.code)
        raise HTTPException(404) from error
    note(request, "export", kept.id, "done")
    name = f"{kept.record.reason.lower()}-{kept.id[:12]}{suffix_of(kept.record)}"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(Path(stream.name).stat().st_size),
    }
    return StreamingResponse(_pieces(stream), media_type="application/octet-stream", headers=headers)


def release(request: Request) -> Response:
    """Keep it after all, and forward it: the router does that, where it is whole and sound."""
    kept = _kept(request)

    def said(answer: dict[str, Any]) -> Flash:
        if answer.get("released"):
            return Flash("ok", "did.release")
        return Flash("bad", "did.release.not", {}, str(answer.get("detail", "")))

    return _done(request, "release", kept, ask_router(request, "release", said, quarantine=kept.id))


def purge_page(request: Request) -> Response:
    """What removing means, and the second step."""
    operators_only(request)
    kept = _kept(request)
    return render(request, "purge.html", kept=kept, why=partial(why, words_of(request)), at=_at)


def purge(request: Request) -> Response:
    """Remove it for good."""
    kept = _kept(request)

    def work() -> Flash:
        FolderQuarantine(_root(request)).purge(kept.id)
        return Flash("ok", "did.purge")

    return _done(request, "purge", kept, work)


def _done(request: Request, action: str, kept: Kept, work: Work) -> Response:
    back = safe_path(request.state.form.get("back", "/quarantine"))
    response = perform(request, action, kept.id, back, work)
    request.app.state.pulse.forget()
    return response


def _senders(request: Request, entries: Sequence[Kept]) -> dict[str, Sender]:
    """Who sent what, by its origin; what came otherwise has nobody."""
    origins = {kept.record.origin for kept in entries if kept.record.origin}
    try:
        with request.app.state.views() as views:
            found = {origin: views.sender(origin) for origin in origins}
    except PonteError:  # quarantine is shown without the rows, too
        return {}
    return {origin: sender for origin, sender in found.items() if sender is not None}


def _picture(request: Request, kept: Kept) -> bytes | None:
    try:
        found: bytes = request.app.state.artist.ask("picture", content_path(_root(request), kept.id), LARGE)
    except PonteError:
        return None
    return found


def _header(request: Request, kept: Kept) -> list[list[str]]:
    """Rows of tag, keyword, VR and value; none where it cannot be read."""
    try:
        path = content_path(_root(request), kept.id)
        return list(json.loads(request.app.state.artist.ask("header", path)))
    except (PonteError, ValueError):
        return []


def _at(kept: Kept) -> float | None:
    return datetime.fromisoformat(kept.kept_at).timestamp() if kept.kept_at else None


def _kept(request: Request) -> Kept:
    try:
        return FolderQuarantine(_root(request)).show(request.path_params["id"])
    except InvalidRequest as error:
        raise HTTPException(404) from error


def _root(request: Request) -> Path:
    root: Path = request.app.state.config.router.dicom_root
    return root


def _start(text: str) -> int:
    return min(int(text), _MOST_START) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(_CHUNK):
            yield piece


routes = [
    Route("/quarantine", page, methods=["GET"]),
    Route("/quarantine/{id}", entry, methods=["GET"]),
    Route("/quarantine/{id}/picture", picture, methods=["GET"]),
    Route("/quarantine/{id}/export", export, methods=["GET"]),
    Route("/quarantine/{id}/release", release, methods=["POST"]),
    Route("/quarantine/{id}/purge", purge_page, methods=["GET"]),
    Route("/quarantine/{id}/purge", purge, methods=["POST"]),
]
