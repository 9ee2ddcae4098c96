"""Server-sent events: how many there may be, for how long, and that they end with the session."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dashboard.page import problem

MOST_STREAMS: Final = 20
_LONGEST_S: Final = 3600.0
_BEAT_S: Final = 15.0

Message = tuple[str, str, str]
"""Event, id ("" for none) and data."""


def stream(
    request: Request,
    poll: Callable[[], Iterable[Message] | None],
    every_s: float,
    *,
    end: Callable[[], None] = lambda: None,
) -> Response:
    """What `poll` gives, asked again and again in a thread until it gives None, the reader is gone, an hour
    is over or the session is. `end` is called then."""
    if request.app.state.streams >= MOST_STREAMS:
        end()
        return problem(request, 503, "error.streams")
    return StreamingResponse(_messages(request, poll, every_s, end), media_type="text/event-stream")


async def _messages(
    request: Request,
    poll: Callable[[], Iterable[Message] | None],
    every_s: float,
    end: Callable[[], None],
) -> AsyncIterator[str]:
    state = request.app.state
    state.streams += 1
    until = beat = time.monotonic()
    until += _LONGEST_S
    try:
        while time.monotonic() < until and not await request.is_disconnected():
            found = await run_in_threadpool(poll) if _may_go_on(request) else None
            if found is None:
                yield encoded("over", "", "")
                return
            for message in found:
                yield encoded(*message)
                beat = time.monotonic()
            if time.monotonic() - beat > _BEAT_S:
                yield ": beat\n\n"
                beat = time.monotonic()
            await asyncio.sleep(every_s)
    finally:
        state.streams -= 1
        await run_in_threadpool(end)


def encoded(event: str, identity: str, data: str) -> str:
    """As it goes over the wire."""
    lines = "".join(f"data: {line}\n" for line in data.replace("\r", "").split("\n"))
    return f"event: {event}\n" + (f"id: {identity}\n" if identity else "") + f"{lines}\n"


def _may_go_on(request: Request) -> bool:
    state = request.app.state
    if not state.config.has_password:
        return True
    return state.sessions.role_of(request.state.visitor, touch=False) is not None
