"""Word of each archive to an address, signed as callbacks are: totals and codes, no names.

What was not said waits on the disk.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final

import urllib3
from urllib3.exceptions import HTTPError

from ponte.errors import SecretUnusable
from ponte.signature import sign
from watcher.files import write_whole
from watcher.logfile import CONSOLE

_log = logging.getLogger(CONSOLE)
ENVIRONMENT: Final = "PONTE_WEBHOOK_SECRET"
_TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
_FIRST_S, _LONGEST_S = 5.0, 900.0
_MOST_TRIES: Final = 400
"""About four days at the longest distance."""


def read_secrets(path: Path | None) -> list[str]:
    """Those of the file, else of the environment, apart by white space; several while one is changed for
    another. Raises `SecretUnusable` for a file that has none or cannot be read."""
    if path is None:
        return os.environ.get(ENVIRONMENT, "").split()
    try:
        secrets = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnusable("the webhook's secret cannot be read") from error
    if not secrets:
        raise SecretUnusable("the webhook's secret is not in its file")
    return secrets


class Webhook:
    """Posts each message until the receiver answers 2xx; `webhook-id` is the same each time.

    The secrets are read anew for each post: one that was changed needs no new start.
    """

    def __init__(self, url: str, secret_file: Path | None, outbox: Path, stop: threading.Event) -> None:
        """Raises `SecretUnusable` where there is a secret that nothing can be signed with."""
        self._url = url
        self._secret_file = secret_file
        self._signed("", b"")
        self._outbox = outbox
        self._stop = stop
        self._wake = threading.Event()
        self._tries: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._pool = urllib3.PoolManager(maxsize=1)
        outbox.mkdir(mode=0o700, parents=True, exist_ok=True)

    def tell(self, item_id: str, report: Mapping[str, Any]) -> None:
        """Put the message in the outbox: it is not lost from then on."""
        message = {
            "type": "ingest.archive",
            "id": item_id,
            **{key: report[key] for key in ("sha256", "verdict", "reason", "arrived_at", "totals")},
        }
        write_whole(self._outbox / f"{item_id}.json", json.dumps(message).encode())
        self._wake.set()

    def run(self) -> None:
        """Until stopped."""
        while not self._stop.is_set():
            self._wake.clear()
            for path in sorted(self._outbox.glob("[!.]*.json")):
                if self._due.get(path.stem, 0.0) <= monotonic() and not self._stop.is_set():
                    self._attempt(path)
            self._wake.wait(self._next_s())

    def wake(self) -> None:
        self._wake.set()

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        """The headers of Standard Webhooks. Without a secret, id and time alone."""
        return sign(message_id, int(time.time()), [body], read_secrets(self._secret_file))

    def _attempt(self, path: Path) -> None:
        try:
            self._post(path)
        except Exception as error:  # noqa: BLE001  (the boundary: one message must not end the others)
            self._postpone(path, f"was not asked: {type(error).__name__}")

    def _post(self, path: Path) -> None:
        try:
            body = path.read_bytes()
            answer = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers={
                    "Content-Type": "application/json",
                    "User-Agent": "ponte",
                    **self._signed(path.stem, body),
                },
                timeout=_TIMEOUT,
                redirect=False,
                retries=False,
                preload_content=False,
            )
            answer.close()
            said = f"answers {answer.status}"
            taken = 200 <= answer.status < 300
        except SecretUnusable as error:
            said, taken = f"was not asked: {error.detail}", False
        except (HTTPError, OSError) as error:
            said, taken = f"cannot be reached ({type(error).__name__})", False
        if taken:
            self._forget(path)
        else:
            self._postpone(path, said)

    def _postpone(self, path: Path, said: str) -> None:
        tries = self._tries[path.stem] = self._tries.get(path.stem, 0) + 1
        if tries >= _MOST_TRIES:
            _log.error("Webhook given up for %s after %d tries: the receiver %s", path.stem, tries, said)
            self._forget(path)
            return
        longest = min(_FIRST_S * 2 ** min(tries, 16), _LONGEST_S)
        self._due[path.stem] = monotonic() + random.uniform(longest / 2, longest)  # noqa: S311
        _log.warning("Webhook not delivered for %s: the receiver %s", path.stem, said)

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._tries.pop(path.stem, None)
        self._due.pop(path.stem, None)

    def _next_s(self) -> float | None:
        return max(0.0, min(self._due.values()) - monotonic()) if self._due else None
