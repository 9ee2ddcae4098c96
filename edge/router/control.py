"""The socket by which a running router is asked and told: a JSON object a line, and one line back.

`{"verb": "pause", "destination": "pacs"}` is answered with `{"ok": true, "result": {...}}`, or with
`{"ok": false, "kind": "invalid|refused|transient", "code": "..", "detail": ".."}`. Only the user whom the
router runs as, and root, may ask. What changes anything leaves a line in the log.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore, Event, Thread
from typing import Any, Final

from ponte.errors import InvalidRequest, PonteError, TransientError
from router.controlclient import SOCKET_NAME

log = logging.getLogger(__name__)

MOST_QUESTION_BYTES: Final = 64 << 10
MOST_CONNECTIONS: Final = 16
_PATIENCE_S: Final = 5.0
_LONGEST_TEXT = 256
_CREDENTIALS = struct.Struct("3i")

Argument = str | int | bool


@dataclass(frozen=True, slots=True)
class Verb:
    """What is done, and the arguments that it may have, by name and type. All may be left out as far as the
    router is concerned; `apply` says which it needs."""

    apply: Callable[..., Mapping[str, Any]]
    arguments: Mapping[str, type[Argument]] = field(default_factory=dict)
    changes: bool = True


class Control:
    """Serves the socket from `start` on, each connection in a thread."""

    def __init__(self, folder: Path, verbs: Mapping[str, Verb], *, patience_s: float = _PATIENCE_S) -> None:
        self._folder = folder
        self._verbs = verbs
        self._patience_s = patience_s
        self._stopping = Event()
        self._free = BoundedSemaphore(MOST_CONNECTIONS)
        self._socket: socket.socket | None = None
        self._thread = Thread(target=self._accept_all, name="control", daemon=True)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Listen. The caller holds the spool's lock, so that a socket which is there is nobody's."""
        self._socket = _listening(self._folder)
        self._thread.start()

    def stop(self, grace_s: float) -> bool:
        """Take no question any more; an answer that is under way is given."""
        self._stopping.set()
        if self._socket is None:
            return True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(grace_s)
        self._socket.close()
        (self._folder / SOCKET_NAME).unlink(missing_ok=True)
        return not self._thread.is_alive()

    def _accept_all(self) -> None:
        assert self._socket is not None  # noqa: S101
        while not self._stopping.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                self._stopping.wait(0.1)  # no file to spare, or the end
                continue
            if not self._free.acquire(blocking=False):
                self._send(connection, _refusal(TransientError("Too many ask at once", code="BUSY")))
                connection.close()
                continue
            Thread(target=self._serve, args=(connection,), name="control answer", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                question = _question(connection, self._patience_s)
                self._send(connection, self.answered(question, _user(connection)))
        except (OSError, _NoQuestion):
            pass  # who asked is gone
        finally:
            self._free.release()

    def _send(self, connection: socket.socket, answer: Mapping[str, Any]) -> None:
        with suppress(OSError):
            connection.settimeout(self._patience_s)
            connection.sendall(json.dumps(answer).encode() + b"\n")

    def answered(self, question: bytes, user: int) -> dict[str, Any]:
        """The answer to a line. Whatever goes wrong is an answer, too."""
        try:
            _check_user(user)
            name, arguments = _parsed(question)
            verb = self._verb(name, arguments)
        except PonteError as error:
            return _refusal(error)
        answer = _done(name, verb, arguments)
        if verb.changes:
            extra = {"verb": name, "user": user, "code": answer.get("code", "DONE"), **_shown(arguments)}
            log.warning("told by hand", extra=extra)
        return answer

    def _verb(self, name: str, arguments: Mapping[str, object]) -> Verb:
        verb = self._verbs.get(name)
        if verb is None:
            raise InvalidRequest(f"There is no such verb; expected one of {', '.join(self._verbs)}")
        for key, value in arguments.items():
            kind = verb.arguments.get(key)
            if kind is None:
                expected = ", ".join(verb.arguments) or "none"
                raise InvalidRequest(f"{name} has no argument {key:.40}; expected {expected}")
            if type(value) is not kind or (isinstance(value, str) and not 0 < len(value) <= _LONGEST_TEXT):
                raise InvalidRequest(f"{name}: {key} is not {_KINDS[kind]}")
        return verb


def study_key(study_instance_uid: str) -> str:
    """What stands for a study in logs: says whether two lines are about the same one."""
    return hashlib.sha256(study_instance_uid.encode()).hexdigest()[:32]


def _shown(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that may stand in the log."""
    shown = {name: value for name, value in arguments.items() if name in _LOGGED}
    return {**shown, "study": study_key(arguments["study"])} if "study" in arguments else shown


def _done(name: str, verb: Verb, arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"ok": True, "result": dict(verb.apply(**arguments))}
    except PonteError as error:
        return _refusal(error)
    except Exception as error:  # noqa: BLE001  the router goes on, and who asked is told
        extra = {"alarm": "CONTROL_FAILED", "verb": name, "code": type(error).__name__}
        log.error("control failed", extra=extra)
        return _refusal(PonteError("An error of the router's own; see its log"))


class _NoQuestion(Exception):
    """The connection ended without one."""


_LOGGED: Final = frozenset({"destination", "number", "part", "quarantine"})
_KINDS: Final[Mapping[type[Argument], str]] = {
    str: f"a text of 1 to {_LONGEST_TEXT} characters", int: "a whole number", bool: "true or false",
}  # fmt: skip


def _listening(folder: Path) -> socket.socket:
    """By way of the folder's descriptor: a socket's address has 107 bytes at most (unix(7)). Its mode is
    right from the start."""
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
        listener.listen(MOST_CONNECTIONS)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(descriptor)
    return listener


def _question(connection: socket.socket, patience_s: float) -> bytes:
    """A line. Raises `OSError`, where none comes in time, and `_NoQuestion`."""
    question = bytearray()
    until = time.monotonic() + patience_s
    while b"\n" not in question and len(question) <= MOST_QUESTION_BYTES:
        connection.settimeout(max(0.001, until - time.monotonic()))
        piece = connection.recv(MOST_QUESTION_BYTES)
        if not piece:
            raise _NoQuestion
        question += piece
    return bytes(question.partition(b"\n")[0])


def _user(connection: socket.socket) -> int:
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1])


def _check_user(user: int) -> None:
    if user not in (os.geteuid(), 0):
        raise InvalidRequest("Only the router's own user may ask it")


def _parsed(question: bytes) -> tuple[str, dict[str, Any]]:
    if len(question) > MOST_QUESTION_BYTES:
        raise InvalidRequest(f"The question has more than {MOST_QUESTION_BYTES} bytes")
    try:
        found = json.loads(question)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The question is no JSON") from error
    if not isinstance(found, dict) or not isinstance(found.get("verb"), str):
        raise InvalidRequest("The question is no object with a verb")
    arguments = {key: value for key, value in found.items() if key != "verb" and value is not None}
    return found["verb"], arguments


def _refusal(error: PonteError) -> dict[str, Any]:
    kind = "invalid" if isinstance(error, InvalidRequest) else "refused"
    if isinstance(error, TransientError):
        kind = "transient"
    return {"ok": False, "kind": kind, "code": error.code, "detail": error.detail}
