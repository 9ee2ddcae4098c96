"""The support bundle, made while somebody waits for it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from threading import Lock
from typing import IO, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from dashboard.actions import note
from dashboard.page import problem, render
from doctor.bundle import write_bundle
from doctor.gather import gather

_CHUNK: Final = 256 << 10
_one_at_a_time = Lock()


def page(request: Request) -> Response:
    """What is in it, and what is not."""
    return render(request, "diagnostics.html")


def export(request: Request) -> Response:
    """The ZIP. One is made at a time: it looks at everything."""
    app = request.app.state
    if not _one_at_a_time.acquire(blocking=False):
        return problem(request, 503, "error.diagnostics")
    stream = tempfile.TemporaryFile()  # noqa: SIM115  closed when it was sent
    try:
        write_bundle(stream, gather(app.config.configuration, os.environ, app.config.env_file))
    except BaseException:
        stream.close()
        raise
    finally:
        _one_at_a_time.release()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    note(request, "diagnostics", "", "done")
    name = time.strftime("ponte-diagnostics-%Y%m%d-%H%M%S.zip", time.localtime())
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)}
    return StreamingResponse(_chunks(stream), media_type="application/zip", headers=headers)


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


routes = [
    Route("/diagnostics", page, methods=["GET"]),
    Route("/diagnostics", export, methods=["POST"]),
]
