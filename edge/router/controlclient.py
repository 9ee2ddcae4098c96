"""Asks the router that runs on a `DICOM_ROOT`: one question, one answer, over its socket."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any, Final

from ponte.errors import InvalidRequest, PermanentError, PonteError, TransientError
from router.spool import FOLDER_NAME

SOCKET_NAME: Final = "control.sock"
MOST_ANSWER_BYTES: Final = 16 << 20
_ANSWER_S: Final = 120.0


class NotRunning(TransientError):
    """No router answers on this `DICOM_ROOT`."""

    default_code = "NOT_RUNNING"


class Refused(PermanentError):
    """The router does not do it, and says why."""

    default_code = "REFUSED"


def call(root: Path, verb: str, *, timeout_s: float = _ANSWER_S, **arguments: Any) -> dict[str, Any]:
    """The result of a verb, once the router has done it.

    Raises `NotRunning`, `InvalidRequest` for what is asked wrongly, `Refused` for what is not done, and
    `TransientError` for what may be done later, or where nobody knows whether it was done.
    """
    question = json.dumps({"verb": verb, **arguments}).encode() + b"\n"
    answer = _parsed(_asked(root, question, timeout_s))
    if answer.get("ok") is True and isinstance(answer.get("result"), dict):
        return dict(answer["result"])
    kinds = {"invalid": InvalidRequest, "refused": Refused}
    kind: type[PonteError] = kinds.get(str(answer.get("kind")), TransientError)
    raise kind(str(answer.get("detail")), code=str(answer.get("code")))


def _asked(root: Path, question: bytes, timeout_s: float) -> bytes:
    with _connected(root) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.sendall(question)
            return _line(connection)
        except OSError as error:
            raise TransientError("The router does not answer; it may have done it", code="TIMEOUT") from error


def _connected(root: Path) -> socket.socket:
    """By way of the folder's descriptor: a socket's address has 107 bytes at most (unix(7))."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = -1
    try:
        folder = os.open(root / FOLDER_NAME, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        connection.settimeout(5.0)
        connection.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
    except PermissionError as error:
        connection.close()
        raise InvalidRequest(f"{root} is another user's: ask as the user whom the router runs as") from error
    except OSError as error:
        connection.close()
        raise NotRunning(
            f"No router runs on {root}: start it (`ponte router run`), then ask again"
        ) from error
    finally:
        if folder >= 0:
            os.close(folder)
    return connection


def _line(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n"):
        piece = connection.recv(1 << 16)
        if not piece or len(answer) + len(piece) > MOST_ANSWER_BYTES:
            raise ConnectionError
        answer += piece
    return bytes(answer)


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise TransientError("The router's answer cannot be read", code="BAD_ANSWER") from error
    return found if isinstance(found, dict) else {}
