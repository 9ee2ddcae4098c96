"""The socket: who may ask, what is understood, and that nothing keeps it from answering the next."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ponte.errors import InvalidRequest, PonteError, TransientError
from router.control import MOST_CONNECTIONS, MOST_QUESTION_BYTES, Control, Verb
from router.controlclient import SOCKET_NAME, NotRunning, Refused, call


def _said(**arguments: Any) -> dict[str, Any]:
    return {"said": arguments}


def _raises(error: Exception) -> Verb:
    def apply() -> dict[str, Any]:
        raise error

    return Verb(apply)


VERBS = {
    "say": Verb(_said, {"destination": str, "number": int, "force": bool}),
    "invalid": _raises(InvalidRequest("not so")),
    "refused": _raises(Refused("not done", code="NOT_SENT")),
    "later": _raises(TransientError("not now", code="STORAGE")),
    "broken": _raises(ValueError("CANARY")),
}


@contextmanager
def served(root: Path, patience_s: float = 5.0) -> Iterator[Path]:
    folder = root / ".spool"
    folder.mkdir(parents=True)
    control = Control(folder, VERBS, patience_s=patience_s)
    control.start()
    try:
        yield folder / SOCKET_NAME
        assert control.is_alive
    finally:
        assert control.stop(5)
        assert not (folder / SOCKET_NAME).exists()


def raw(path: Path, question: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(question)
        return dict(json.loads(connection.makefile().readline()))


def test_a_verb_is_answered_with_its_result(tmp_path: Path) -> None:
    with served(tmp_path) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert call(tmp_path, "say", destination="pacs", force=True) == {
            "said": {"destination": "pacs", "force": True}
        }
        assert call(tmp_path, "say", destination=None) == {"said": {}}


def test_a_path_longer_than_an_address_of_a_socket_may_be_serves(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 120)
    with served(root):
        assert call(root, "say") == {"said": {}}


def test_without_a_router_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="start it"):
        call(tmp_path, "say")
    with served(tmp_path):
        pass
    with pytest.raises(NotRunning, match="start it"):
        call(tmp_path, "say")


@pytest.mark.parametrize(
    ("verb", "kind", "code"),
    [
        ("invalid", InvalidRequest, "INVALID_REQUEST"),
        ("refused", Refused, "NOT_SENT"),
        ("later", TransientError, "STORAGE"),
    ],
)
def test_an_error_comes_back_as_what_it_was(
    verb: str, kind: type[PonteError], code: str, tmp_path: Path
) -> None:
    with served(tmp_path), pytest.raises(kind) as found:
        call(tmp_path, verb)
    assert found.value.code == code


def test_a_mistake_of_ours_is_said_without_its_text(tmp_path: Path) -> None:
    with served(tmp_path), pytest.raises(Refused, match="its log") as found:
        call(tmp_path, "broken")
    assert "CANARY" not in found.value.detail


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (b"nonsense\n", "no JSON"),
        (b"[]\n", "no object"),
        (b'{"verb": 3}\n', "no object"),
        (b"[" * 20_000 + b"\n", "no JSON"),
        (b'{"verb": "shout"}\n', "no such verb"),
        (b'{"verb": "say", "loud": true}\n', "no argument loud"),
        (b'{"verb": "say", "number": "1"}\n', "number is not a whole number"),
        (b'{"verb": "say", "number": true}\n', "number is not a whole number"),
        (b'{"verb": "say", "destination": "%s"}\n' % (b"x" * 300), "destination is not a text"),
        (b"x" * (MOST_QUESTION_BYTES + 1), "more than"),
    ],
)
def test_what_is_asked_wrongly_is_said(question: bytes, said: str, tmp_path: Path) -> None:
    with served(tmp_path) as path:
        answer = raw(path, question)
        assert (answer["ok"], answer["kind"]) == (False, "invalid")
        assert said in answer["detail"]
        assert call(tmp_path, "say") == {"said": {}}


def test_what_is_told_leaves_a_line_without_the_name_of_a_study(caplog: pytest.LogCaptureFixture) -> None:
    control = Control(Path(), {**VERBS, "tell": Verb(lambda study: {}, {"study": str})})
    control.answered(b'{"verb": "tell", "study": "1.2.826.0.1"}', 0)
    control.answered(b'{"verb": "later"}', 0)
    told = [(one.__dict__["verb"], one.__dict__["code"]) for one in caplog.records]
    assert told == [("tell", "DONE"), ("later", "STORAGE")]
    assert "1.2.826.0.1" not in str([one.__dict__ for one in caplog.records])


def test_another_user_is_not_answered(tmp_path: Path) -> None:
    control = Control(tmp_path, VERBS)
    answer = control.answered(b'{"verb": "say"}', os.geteuid() + 1)
    assert "own user" in answer["detail"]


def test_who_says_nothing_keeps_nobody_out_for_long(tmp_path: Path) -> None:
    with served(tmp_path, patience_s=2) as path:
        silent = [socket.socket(socket.AF_UNIX) for _ in range(MOST_CONNECTIONS)]
        for one in silent:
            one.connect(str(path))
        with pytest.raises(TransientError, match="Too many"):
            call(tmp_path, "say")
        for one in silent:
            one.settimeout(10)
            assert one.recv(1) == b""
            one.close()
        answer: dict[str, Any] = {}
        while not answer:
            try:
                answer = call(tmp_path, "say")
            except TransientError:
                continue
        assert answer == {"said": {}}
