"""The README's commands, as a new user types them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from infra.local import demo_study
from infra.local.process import free_port
from infra.local.state import StateFolder
from tests.corpus import ROOT
from tests.readme import marked
from tests.stack import clean_environment

pytestmark = pytest.mark.stack
LONGEST_S = 300


@pytest.fixture
def port() -> str:
    """A port of the test's own in the place of 9000."""
    if StateFolder().owner() is not None:
        pytest.skip("needs the local stack to be down: make down")
    return str(free_port())


def run(script: str, port: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run shell lines in the project's folder, as they stand, each of which must succeed."""
    environment = clean_environment() | {"API_PORT": port} | variables
    environment = {name: value for name, value in environment.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("127.0.0.1:9000", f"127.0.0.1:{port}")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )


def test_make_demo_writes_the_pdf_says_where_it_is_and_leaves_nothing_running(port: str) -> None:
    written = ROOT / "demo.pdf"
    written.unlink(missing_ok=True)
    done = run(marked("demo"), port)
    assert done.returncode == 0, done.stderr
    assert str(written) in done.stdout
    assert "98 pages" in done.stdout
    assert written.read_bytes().startswith(b"%PDF-")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_the_stack_goes_up_answers_and_goes_down(port: str) -> None:
    written = ROOT / "study.pdf"
    written.unlink(missing_ok=True)
    try:
        done = run(marked("stack"), port)
    finally:
        run("make down", port)
    assert done.returncode == 0, done.stderr
    assert '"status":"ok"' in done.stdout
    assert written.read_bytes().startswith(b"%PDF-")
    assert done.stdout.rstrip().endswith("down")
    written.unlink()


def test_a_laptop_needs_neither_aws_nor_the_stack(port: str, tmp_path: Path) -> None:
    study = tmp_path / "study"
    demo_study.write(study)
    image = next(path for path in sorted(study.rglob("*")) if path.is_file())
    script = marked("laptop").replace("STUDY_FOLDER", str(study)).replace("IMAGE.dcm", str(image))
    script = script.replace("study.pdf", str(tmp_path / "study.pdf")).replace(
        "image.png", str(tmp_path / "i.png")
    )
    unreachable = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "AWS_ENDPOINT_URL"), "http://127.0.0.1:9")
    done = run(script, port, PATH=os.environ["PATH"], **unreachable)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "study.pdf").read_bytes().startswith(b"%PDF-")
    assert (tmp_path / "i.png").read_bytes().startswith(b"\x89PNG")


def test_a_zip_is_gone_through_without_touching_anything(port: str, tmp_path: Path) -> None:
    study, exam = tmp_path / "study", tmp_path / "EXAM.zip"
    demo_study.write(study)
    shutil.make_archive(str(exam.with_suffix("")), "zip", study)
    done = run(marked("zips").replace("EXAM.zip", str(exam)), port, PATH=os.environ["PATH"])
    assert done.returncode == 0, done.stderr
    assert ": done: 68 accepted, " in done.stdout
    assert sorted(tmp_path.iterdir()) == [exam, study]
