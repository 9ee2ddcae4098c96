"""Synthesise stage `local`, only when something it is made from has changed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.configuration import Configuration
from infra.local.interrupts import held
from infra.local.process import Child

PROJECT = Path(__file__).resolve().parents[2]
ASSEMBLY = PROJECT / "cdk.out.local"
SYNTH_S = 180
INPUTS = (
    "infra",
    "functions",
    "layers/ponte",
    "cdk.json",
    "requirements",
    "layers/runtime",
    "layers/imaging",
    "layers/network",
)
AT_DEPLOY = {
    "DICOM_WADO_URL": "http://127.0.0.1:8042/dicom-web",
    "DICOM_AUTH_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:ponte-local-AAAAAA",
    "CALLBACK_ALLOW_ORIGINS": "http://127.0.0.1:1",
    "INGEST_DESTINATION": "http://127.0.0.1:8042/dicom-web",
    "INGEST_AUTH_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:ponte-local-AAAAAA",
}
"""Variables with another value at each start: stand-ins at synthesis, replaced when deployed."""


def synthesise(log_folder: Path, *, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the assembly of stage `local`, made anew only when its inputs or variables changed.

    Raises `LocalStackError` with what the CDK app said.
    """
    names = {name.upper() for name in Configuration.model_fields} - AT_DEPLOY.keys() - {"STAGE"}
    settings = {name: environment[name] for name in sorted(names) if environment.get(name)}
    ASSEMBLY.mkdir(exist_ok=True)
    with _alone(ASSEMBLY / ".lock"):
        stamp = ASSEMBLY / ".digest"
        wanted = inputs_digest(settings)
        if not stamp.exists() or stamp.read_text() != wanted or not (ASSEMBLY / "manifest.json").exists():
            stamp.unlink(missing_ok=True)
            _run(log_folder / "synth.log", environment, settings)
            stamp.write_text(wanted)
    return ASSEMBLY


def inputs_digest(settings: Mapping[str, str]) -> str:
    """Digest of the files and variables that the template is made from."""
    digest = hashlib.sha256(repr((sorted(settings.items()), sorted(AT_DEPLOY.items()), sys.version)).encode())
    for path in _input_files():
        digest.update(f"\0{path.relative_to(PROJECT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _input_files() -> Iterator[Path]:
    for name in INPUTS:
        path = PROJECT / name
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        for each in found:
            if (
                each.is_file()
                and "__pycache__" not in each.parts
                and "local" not in each.relative_to(PROJECT).parts
            ):
                yield each


def _run(log: Path, environment: Mapping[str, str], settings: Mapping[str, str]) -> None:
    known = {name.upper() for name in Configuration.model_fields}
    kept = {name: value for name, value in environment.items() if name not in known}
    command = [sys.executable, "-m", "infra.app", "--stage", "local", "--output", str(ASSEMBLY)]
    with held():
        child = Child("cdk synth", command, log=log, env={**kept, **settings, **AT_DEPLOY}, cwd=PROJECT)
    with child:
        child.finish(timeout_s=SYNTH_S)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two commands started at once synthesise one after the other."""
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
