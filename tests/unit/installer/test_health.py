"""What a container's health check makes of the answers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from installer.health import dashboard_problem, main, router_problem


@contextmanager
def answering(root: Path, answer: bytes) -> Iterator[None]:
    """A router's socket, below a path that is longer than a socket's address may be."""
    folder = root / ".spool"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            listening.bind("control.sock")
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as stream:
                assert json.loads(stream.readline()) == {"verb": "status"}
                connection.sendall(answer)

        thread = Thread(target=serve)
        thread.start()
        yield
        thread.join()


def long_root(tmp_path: Path) -> Path:
    return tmp_path / ("r" * 90) / ("s" * 90)


def status(*states: str) -> bytes:
    parts = [{"name": f"part-{number}", "state": state} for number, state in enumerate(states)]
    return json.dumps({"ok": True, "result": {"parts": parts}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (status("running", "running"), ""),
        (status("running", "stopped"), ""),
        (status("running", "failed"), "failed: part-1"),
        (b'{"ok": false, "code": "X"}\n', "the router does not say how it is"),
        (b"nonsense\n", "the router does not answer (JSONDecodeError)"),
        (b"[]\n", "the router does not answer (ValueError)"),
        (b"", "the router does not answer (JSONDecodeError)"),
    ],
)
def test_a_router_is_well_by_its_own_word(answer: bytes, problem: str, tmp_path: Path) -> None:
    root = long_root(tmp_path)
    with answering(root, answer):
        assert router_problem(root) == problem


def test_a_router_that_is_not_there_is_not_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["router"], {"DICOM_ROOT": str(tmp_path)}) == 1
    assert capsys.readouterr().err == "the router does not answer (FileNotFoundError)\n"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_a_dashboard_is_well_when_it_answers() -> None:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        environment = {"DASHBOARD_PORT": str(server.server_port)}
        assert dashboard_problem(environment) == ""
        thread.join()
    assert dashboard_problem(environment).startswith("the dashboard does not answer")


def test_all_else_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 2
    assert "usage" in capsys.readouterr().err
