"""Who is logged in: kept in this process's memory, so that a restart logs everybody out."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal

Role = Literal["viewer", "operator"]

MOST_SESSIONS: Final = 200
_ID_BYTES = 32


@dataclass(slots=True)
class _Session:
    role: Role
    began: float
    seen: float


class Sessions:
    """The sessions. An id is known here by its digest alone. `now` is a clock that never goes back."""

    def __init__(self, idle_s: float, longest_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._now = now
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._lock = Lock()
        self._key = secrets.token_bytes(_ID_BYTES)

    def begin(self, role: Role) -> str:
        """A new id. Where there are too many sessions, the one that began first ends."""
        identity = new_id()
        with self._lock:
            while len(self._sessions) >= MOST_SESSIONS:
                self._sessions.popitem(last=False)
            self._sessions[_digest(identity)] = _Session(role, self._now(), self._now())
        return identity

    def role_of(self, identity: str, *, touch: bool = True) -> Role | None:
        """The role of a session that goes on, None for any other id. Without `touch` it is not used by that:
        a page that refreshes itself keeps nobody logged in."""
        with self._lock:
            session = self._sessions.get(_digest(identity))
            if session is None:
                return None
            now = self._now()
            if now - session.seen > self._idle_s or now - session.began > self._longest_s:
                del self._sessions[_digest(identity)]
                return None
            if touch:
                session.seen = now
            return session.role

    def end(self, identity: str) -> None:
        """Log out."""
        with self._lock:
            self._sessions.pop(_digest(identity), None)

    def token(self, identity: str) -> str:
        """What a form of this visitor carries, and no other site can know."""
        return hmac.new(self._key, identity.encode(), hashlib.sha256).hexdigest()

    def is_token(self, identity: str, token: str) -> bool:
        """True for the token of this visitor."""
        return hmac.compare_digest(self.token(identity).encode(), token.encode())


def new_id() -> str:
    """What nobody can guess."""
    return secrets.token_urlsafe(_ID_BYTES)


def is_id(text: str) -> bool:
    """True for what may be an id of ours, by its form."""
    return len(text) == 43 and text.isascii() and text.replace("-", "a").replace("_", "a").isalnum()


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()
