"""Passwords: whether one is right, and how often somebody may try."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from dashboard.config import DashboardConfig
from dashboard.sessions import Role

LONGEST: Final = 1024
"""Characters of a password that are looked at at all."""
SHORTEST: Final = 10

_ADDRESSES: Final = 1000


class TooManyTries(Exception):
    """Nobody looks at this password. `wait_s` is when to try again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__()
        self.wait_s = wait_s


class Tries:
    """Wrong passwords of the last `window_s`: so many from one address, so many in all."""

    def __init__(
        self,
        *,
        per_address: int = 5,
        in_all: int = 50,
        window_s: float = 300.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_address, self._in_all, self._window_s, self._now = per_address, in_all, window_s, now
        self._all: deque[float] = deque(maxlen=in_all)
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = Lock()

    def take(self, address: str) -> None:
        """Count a try, before it is looked at. Raises `TooManyTries`."""
        with self._lock:
            now = self._now()
            mine = self._by_address.get(address) or deque(maxlen=self._per_address)
            for tries in (mine, self._all):
                if len(tries) == tries.maxlen and now - tries[0] < self._window_s:
                    raise TooManyTries(int(self._window_s - (now - tries[0])) + 1)
            mine.append(now)
            self._all.append(now)
            self._by_address[address] = mine
            self._by_address.move_to_end(address)
            if len(self._by_address) > _ADDRESSES:
                self._by_address.popitem(last=False)

    def forgive(self, address: str) -> None:
        """Its password was right."""
        with self._lock:
            gone = len(self._by_address.pop(address, ()))
            for _ in range(min(gone, len(self._all))):
                self._all.pop()


class Passwords:
    """The two of the configuration. One is looked at at a time: it takes 64 MB."""

    def __init__(self, config: DashboardConfig) -> None:
        found: dict[Role, str] = {"operator": config.password_hash, "viewer": config.viewer_password_hash}
        self._hashes = {role: value for role, value in found.items() if value}
        self._hasher = PasswordHasher()
        self._lock = Lock()

    def role_of(self, password: str) -> Role | None:
        """Whose password it is."""
        if not 0 < len(password) <= LONGEST:
            return None
        with self._lock:
            return next((role for role, value in self._hashes.items() if self._is(value, password)), None)

    def _is(self, value: str, password: str) -> bool:
        try:
            return self._hasher.verify(value, password)
        except (VerificationError, InvalidHashError):
            return False


def hashed(password: str) -> str:
    """What the configuration holds of a password."""
    return PasswordHasher().hash(password)
