"""The API's own handler behind the local gateway, over real HTTP; its AWS is in process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from infra.local.gateway import Gateway
from infra.local.httpevent import Answer, Request, answer_of, event_of
from render import api

CONTEXT: Any = SimpleNamespace(
    function_name="api", memory_limit_in_mb=1, invoked_function_arn="arn", aws_request_id="r"
)


class HandlerBackend:
    """Calls the handler as Lambda does: one request at a time."""

    def __init__(self) -> None:
        self._alone = threading.Lock()

    def invoke(self, request: Request) -> Answer:
        with self._alone:
            return answer_of(api.handler(event_of(request), CONTEXT))

    def owns(self, location: str) -> bool:
        return False


@contextmanager
def served() -> Iterator[str]:
    """The API's address, until the block ends."""
    with Gateway("127.0.0.1", 0) as gateway:
        gateway.start(HandlerBackend())
        yield gateway.url
