"""The Dockerfile's own steps for the edge image, in a chroot: no Docker engine builds or runs here.

What is as in the container: the steps of stage `edge-tree` in their order, an environment of the lock alone,
user 10001 without capabilities, a tree that nobody can write to, one volume. What is not: the base image
(this machine's /usr and interpreter stand for it), `useradd`, compose's network.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.process import free_port, wait_for
from installer.plan import _hashed
from tests.corpus import ROOT
from tests.hazards.test_router_backup import archive
from tests.hazards.test_router_service import outgoing, send

pytestmark = [pytest.mark.image, pytest.mark.exhaustive]

ENTER = Path(__file__).with_name("enter.sh")
USER = "10001"
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def steps(stage: str) -> list[tuple[str, str]]:
    """Instruction and arguments, lines that go on joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    (found,) = re.findall(rf"^FROM \S+ AS {stage}\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    lines = [line for line in found.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def environment(stage: str) -> dict[str, str]:
    values = " ".join(arguments for name, arguments in steps(stage) if name == "ENV").split()
    return dict(value.split("=", 1) for value in values)


class Image:
    """A tree that is made as the image is."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        self.volume = folder / "volume"
        self.tree.mkdir()
        self.volume.mkdir(mode=0o700)
        os.chown(self.volume, int(USER), int(USER))
        prefix = str(Path(sys.base_prefix).resolve())
        for name in ("usr", "etc", "dev", "proc", "tmp", "home/dicom", "opt/ponte", prefix.lstrip("/")):
            (self.tree / name).mkdir(parents=True)
        for name, target in MERGED.items():
            (self.tree / name).symlink_to(target)
        self._prefix = prefix

    def command(self, user: str, variables: Mapping[str, str], *arguments: str) -> list[str]:
        enter = ["unshare", "--mount", str(ENTER), str(self.tree), self._prefix, str(self.volume), user]
        return [*enter, "env", "-i", *(f"{name}={value}" for name, value in variables.items()), *arguments]

    def build(self) -> None:
        """The steps of `edge-tree`; COPY takes what git has."""
        python = {"PATH": f"{self._prefix}/bin:/usr/bin:/bin", "PONTE_PYTHON": f"{self._prefix}/bin/python3"}
        index = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        for name, arguments in steps("edge-tree"):
            if name == "COPY":
                self._copy(*arguments.split())
            elif name == "RUN":
                line = ["sh", "-euc", f"cd /opt/ponte; {arguments}"]
                subprocess.run(self.command("0", python | index | {"HOME": "/tmp"}, *line), check=True)

    def _copy(self, name: str, target: str) -> None:
        listed = subprocess.run(
            ["git", "ls-files", name], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert listed.stdout, name
        for file in listed.stdout.splitlines():
            below = Path(file) if target == "./" else Path(target) / Path(file).relative_to(name)
            place = self.tree / "opt/ponte" / below
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, place)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = self.command(USER, self._variables(variables), *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    @contextmanager
    def running(self, log: Path, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        with log.open("wb") as stream:
            command = self.command(USER, self._variables(variables), *arguments)
            process = subprocess.Popen(command, stderr=stream, stdout=stream)
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait(30)

    def _variables(self, given: Mapping[str, str]) -> dict[str, str]:
        path = environment("edge")["PATH"].replace("$PATH", "/usr/bin:/bin")
        return environment("edge") | {"PATH": path, "TZ": "America/Sao_Paulo"} | dict(given)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    found = Image(tmp_path_factory.mktemp("image"))
    found.build()
    return found


def test_it_has_what_the_edge_needs_and_nothing_else(image: Image) -> None:
    installed = {path.name for path in image.tree.glob("opt/ponte/.venv/lib/python*/site-packages/*")}
    assert {"pynetdicom", "starlette", "imagecodecs"} <= installed
    assert not installed & {"pip", "pytest", "mypy", "aws_cdk", "ministack", "onnxruntime", "uv", "hatchling"}
    assert {path.name for path in (image.tree / "opt/ponte").iterdir()} == {
        ".env.example", ".venv", "cli", "edge", "functions", "layers",
    }  # fmt: skip
    done = image.run("ponte", "--version")
    assert (done.returncode, done.stdout[:5]) == (0, "Ponte"), done.stderr


def test_it_decodes_every_transfer_syntax(image: Image) -> None:
    done = image.run("ponte", "doctor", "--decoders", "--json")
    assert done.returncode == 0, done.stderr or done.stdout


def test_it_installs_and_draws_its_card(image: Image) -> None:
    done = image.run("ponte", "router", "install", "--folder", "/home/dicom/box", "--yes")
    assert done.returncode == 0, done.stderr
    card = image.run("ponte", "router", "card", "-o", "/home/dicom/card.pdf")
    assert card.returncode == 0, card.stderr
    assert (image.volume / "card.pdf").read_bytes().startswith(b"%PDF-")
    shutil.rmtree(image.volume / "box")


def test_nobody_writes_but_into_the_volume(image: Image) -> None:
    for place in ("/opt/ponte/x", "/x", "/usr/x"):
        done = image.run("sh", "-c", f"echo > {place}")
        assert "Read-only file system" in done.stderr
    assert image.run("sh", "-c", "echo > /home/dicom/x && rm /home/dicom/x && id -u").stdout.strip() == USER


def test_the_box_receives_forwards_shows_and_is_well(image: Image, tmp_path: Path) -> None:
    port, page = str(free_port()), str(free_port())
    config = image.volume / "router.yaml"
    config.write_text("disk: {associations_bytes: 0, instances_bytes: 0}\nstudies: {keep_s: 3600}\n")
    config.chmod(0o644)
    stored: set[str] = set()
    instances = [outgoing(number) for number in range(5)]
    with archive() as (scp, given):
        told = {
            "SCP_PORT": port, "TARGET_HOST": "127.0.0.1", "TARGET_PORT": str(scp.port),
            "ROUTER_CONFIG": "/home/dicom/router.yaml",
        }  # fmt: skip
        shown = told | {
            "DASHBOARD_HOST": "0.0.0.0", "DASHBOARD_PORT": page, "DASHBOARD_PASSWORD_HASH": _hashed("a word"),
        }  # fmt: skip
        with (
            image.running(tmp_path / "router.log", "ponte", "router", "run", **told) as router,
            image.running(tmp_path / "page.log", "ponte", "dashboard", **shown) as dashboard,
        ):
            well = ("python", "-m", "installer.health")
            wait_for(lambda: image.run(*well, "router", **told).returncode == 0, timeout_s=60, msg="not well")
            wait_for(
                lambda: image.run(*well, "dashboard", **shown).returncode == 0, timeout_s=60, msg="no page"
            )
            send(int(port), instances, stored)
            assert len(stored) == 5
            wait_for(lambda: len(given) == 5, timeout_s=60, msg="nothing is forwarded")
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/", timeout=30) as answer:
                assert "/login" in answer.url
            dashboard.terminate()
            assert dashboard.wait(60) in (
                0,
                -signal.SIGTERM,
            )  # its server ends by the signal that it was sent
            router.terminate()
            assert router.wait(60) == 0, (tmp_path / "router.log").read_text()
    done = image.run(*well, "router", **told)
    assert (done.returncode, done.stderr.startswith("the router does not answer")) == (1, True)
    assert {path.stat().st_uid for path in image.volume.rglob("*") if path != config} == {int(USER)}
