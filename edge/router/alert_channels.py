"""Who is told of alerts, and how: each channel in a thread of its own, so that a dead mail server delays
nothing else. What was not sent is tried again, for a day."""

from __future__ import annotations

import logging
import random
import time
from datetime import tzinfo
from typing import Final, Protocol

from ponte.errors import PermanentError, PonteError
from router.alert_memory import Memory, Waiting
from router.alert_notice import Notice
from router.alert_texts import Letter, letter
from router.config import AlertsConfig
from router.worker import Worker

log = logging.getLogger(__name__)

_FIRST_S: Final = 10.0
_LONGEST_S: Final = 900.0
_GIVE_UP_S: Final = 24 * 3600.0
_LEAST_TRIES: Final = 5
_LOOK_S: Final = 2.0
_NOT_SENT: Final = {"alarm": "ALERT_NOT_SENT"}


class Channel(Protocol):
    """One way to tell. `addressees` is who is told by it."""

    @property
    def name(self) -> str: ...
    @property
    def addressees(self) -> tuple[str, ...]: ...

    def send(self, notice: Notice, words: Letter, to: tuple[str, ...]) -> tuple[str, ...]:
        """Tell these; who of them did not get it. Raises `TransientError` and `PermanentError` where nobody
        did."""
        ...


def open_channels(config: AlertsConfig) -> list[Channel]:
    """Those that are configured: none by default."""
    from router.alert_mail import Mail
    from router.alert_webhook import Hook

    found: list[Channel] = []
    if config.email is not None:
        found.append(Mail(config.email))
    if config.webhook is not None:
        found.append(Hook(config.webhook, site=config.site))
    return found


class Teller:
    """Sends what waits for one channel, the oldest first."""

    def __init__(self, channel: Channel, memory: Memory, config: AlertsConfig, zone: tzinfo) -> None:
        self._channel = channel
        self._memory = memory
        self._config = config
        self._zone = zone
        self.worker = Worker(f"alerts-{channel.name}", self.step, idle_s=_LOOK_S)

    def step(self) -> bool:
        """Send one, where one is due."""
        waiting, now = self._memory.first(self._channel.name), time.time()
        if waiting is None or now < waiting.next_at <= now + _LONGEST_S:  # else the clock was set back
            return False
        words = letter(
            waiting.notice, language=self._config.language, site=self._config.site, zone=self._zone
        )
        try:
            left = self._channel.send(waiting.notice, words, waiting.to)
        except PonteError as error:
            self._failed(waiting, waiting.to, error.code, is_final=isinstance(error, PermanentError))
            return False
        except Exception as error:  # noqa: BLE001  a message that we cannot send must not be in the way of others
            self._failed(waiting, waiting.to, type(error).__name__, is_final=True)
            return False
        if left:
            self._failed(waiting, left, "PART", is_final=True)
            return False
        self._memory.settle(self._channel.name, waiting)
        self._log(waiting, "alert sent", logging.INFO)
        return True

    def _failed(self, waiting: Waiting, left: tuple[str, ...], code: str, *, is_final: bool) -> None:
        """Try it again later, or give it up: after a day, or soon where the receiver does not want it."""
        is_old = time.time() - waiting.notice.at >= _GIVE_UP_S
        if waiting.tries + 1 >= _LEAST_TRIES and (is_final or is_old):
            self._memory.settle(self._channel.name, waiting)
            self._log(waiting, "alert given up", logging.ERROR, **_NOT_SENT, code=code)
            return
        pause_s = min(_FIRST_S * 2 ** min(waiting.tries, 16), _LONGEST_S)
        next_at = time.time() + random.uniform(pause_s / 2, pause_s)  # noqa: S311  (keeps no secret)
        is_first = not waiting.tries
        self._memory.put_off(waiting, left, next_at)
        if is_first:
            self._log(waiting, "alert not sent", logging.ERROR, **_NOT_SENT, code=code)
        else:
            self._log(waiting, "alert not sent", logging.WARNING, code=code, failures=waiting.tries)

    def _log(self, waiting: Waiting, message: str, level: int, **extra: object) -> None:
        fields = {"channel": self._channel.name, "reason": waiting.notice.kind, **extra}
        log.log(level, message, extra=fields)
