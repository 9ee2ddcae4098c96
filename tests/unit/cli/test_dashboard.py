"""`ponte dashboard`: what it needs before it listens, and the hash of a password."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

from argon2 import PasswordHasher

from infra.local.process import Child, answers, free_port
from tests.corpus import ROOT
from tests.tls import certificate


def environment(root: Path, **variables: str) -> dict[str, str]:
    return {**os.environ, "DICOM_ROOT": str(root), "PYTHONPATH": os.pathsep.join(sys.path), **variables}


def run(root: Path, *arguments: str, said: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", "dashboard", *arguments]
    return subprocess.run(
        command, input=said, env=environment(root, **variables), cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_a_password_becomes_a_hash_that_is_its_own(tmp_path: Path) -> None:
    done = run(tmp_path, "password", said="correct horse battery\n")
    assert done.returncode == 0
    assert PasswordHasher().verify(done.stdout.strip(), "correct horse battery")


def test_a_short_password_is_none(tmp_path: Path) -> None:
    done = run(tmp_path, "password", said="short\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected 10 at least" in done.stderr


def test_on_the_network_it_does_not_start_without_a_password(tmp_path: Path) -> None:
    """FS-09."""
    done = run(tmp_path, DASHBOARD_HOST="0.0.0.0")
    assert done.returncode == 2
    assert "DASHBOARD_PASSWORD_HASH: is not set" in done.stderr


def test_a_port_that_another_has_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = run(tmp_path, DASHBOARD_PORT=port)
    assert done.returncode == 2
    assert f"DASHBOARD_PORT {port} cannot be had: another program listens there" in done.stderr


def test_a_certificate_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    bad = str(tmp_path / "bad.pem")
    done = run(tmp_path, DASHBOARD_TLS_CERTIFICATE=bad, DASHBOARD_TLS_KEY=bad, DASHBOARD_PORT="0")
    assert done.returncode == 2
    assert "DASHBOARD_TLS_CERTIFICATE or DASHBOARD_TLS_KEY cannot be used" in done.stderr


def test_by_tls_the_page_of_a_box_without_a_router_says_so(tmp_path: Path) -> None:
    certificate(tmp_path)
    port = free_port()
    variables = environment(
        tmp_path / "root", DASHBOARD_PORT=str(port), DASHBOARD_TLS_CERTIFICATE=str(tmp_path / "cert.pem"),
        DASHBOARD_TLS_KEY=str(tmp_path / "key.pem"),
    )  # fmt: skip
    command = [sys.executable, "-m", "cli.main", "dashboard"]
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    with Child("dashboard", command, log=tmp_path / "log", env=variables, cwd=ROOT) as child:
        child.wait_until(lambda: answers(port), timeout_s=60, what="it listens")
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/", context=trusting) as answer:
            assert "__Host-ponte=" in answer.headers["Set-Cookie"]
            assert "O roteador ainda não rodou aqui" in answer.read().decode()
