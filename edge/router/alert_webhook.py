"""Alerts as a POST to an address of the operator's, signed as callbacks are (Standard Webhooks).

The address is set by who runs the box, not by who sends requests: plain http on the local network is allowed.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any, Final

import urllib3
from urllib3.exceptions import HTTPError

from ponte.errors import DestinationRefused, DestinationUnavailable
from ponte.signature import sign
from router.alert_notice import Notice
from router.alert_texts import Letter
from router.config import AlertWebhookConfig

_CONNECT_S: Final = 5.0
_AGAIN: Final = frozenset({408, 425, 429})


class Hook:
    """A `Channel`. `webhook-id` is the notice's, the same in each attempt."""

    name: Final = "webhook"

    def __init__(self, config: AlertWebhookConfig, *, site: str) -> None:
        self._config = config
        self._site = site
        self._timeout = urllib3.Timeout(connect=_CONNECT_S, read=config.timeout_s)
        self._pool = urllib3.PoolManager(maxsize=1)
        self.addressees = ("receiver",)

    def send(self, notice: Notice, words: Letter, to: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        """See `Channel`. Raises `SecretUnusable` too."""
        body = json.dumps(self.body(notice, words)).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "ponte",
            **sign(notice.id, int(time.time()), [body], self._config.secret.split()),
        }
        try:
            answer = self._pool.request(
                "POST", self._config.url, body=body, headers=headers, timeout=self._timeout,
                redirect=False, retries=False, preload_content=False,
            )  # fmt: skip
            answer.close()
        except (HTTPError, OSError) as error:
            detail = f"The receiver cannot be reached ({type(error).__name__})"
            raise DestinationUnavailable(detail, code="WEBHOOK") from error
        self._judge(answer.status)
        return ()

    def body(self, notice: Notice, words: Letter) -> dict[str, Any]:
        """What is posted."""
        return {
            "type": "edge.alert",
            "id": notice.id,
            "site": self._site,
            "kind": notice.kind,
            "subject": notice.subject,
            "state": notice.state,
            "since": _when(notice.since),
            "at": _when(notice.at),
            "title": words.title,
            "text": words.text,
            "values": dict(notice.values),
        }

    def _judge(self, status: int) -> None:
        if 200 <= status < 300:
            return
        if status < 500 and status not in _AGAIN:
            raise DestinationRefused(f"The receiver answers {status}", code="WEBHOOK_REFUSED")
        raise DestinationUnavailable(f"The receiver answers {status}", code="WEBHOOK")


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
