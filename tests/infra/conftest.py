"""Synthesised templates, and layers where there are none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from infra import layers
from infra.app import synthesise
from infra.configuration import Configuration
from tests.infra.template import Template

Synthesise = Callable[..., Template]
FULL: dict[str, Any] = {
    "stage": "prod",
    "allowed_client_ips": "203.0.113.7,2001:db8::/32",
    "dicom_wado_url": "https://pacs.example/dicom-web",
    "dicom_auth_secret_arn": "arn:aws:secretsmanager:sa-east-1:123456789012:secret:pacs-AbCdEf",
    "dicom_auth_key_arn": "arn:aws:kms:sa-east-1:123456789012:key/3f0c1f5e-0000-4000-8000-000000000000",
    "api_tokens_secret_arn": "arn:aws:secretsmanager:sa-east-1:123456789012:secret:tokens-GhIjKl",
    "api_tokens_key_arn": "arn:aws:kms:sa-east-1:123456789012:key/7a1b0000-0000-4000-8000-000000000000",
    "create_log_url": "http://log.example/jobs",
    "callback_allow_origins": "https://receiver.example:8443",
    "alarm_topic_arn": "arn:aws:sns:sa-east-1:123456789012:on-call",
    "vpc_id": "vpc-0123456789abcdef0",
    "subnet_ids": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "security_group_ids": "sg-0123456789abcdef0",
}


INGESTING: dict[str, Any] = FULL | {
    "ingest_destination": "dicom://PACS@pacs.example:4242?calling=PONTE",
    "ingest_auth_secret_arn": "arn:aws:secretsmanager:sa-east-1:123456789012:secret:ingest-MnOpQr",
    "ingest_auth_key_arn": "arn:aws:kms:sa-east-1:123456789012:key/9c2d0000-0000-4000-8000-000000000000",
    "ingest_webhook_url": "https://receiver.example/archives",
    "classify": True,
    "classify_model": "s3://models/chest/1",
    "render_ingested": True,
}


@pytest.fixture(scope="session")
def stand_in_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small folders in the place of the built layers: synthesis looks at no more than their digests."""
    folder = tmp_path_factory.mktemp("layers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "BUILD", folder)
        for architecture in layers.ARCHITECTURES:
            for name in layers.NAMES:
                put_stand_in(architecture, name)
    return folder


@pytest.fixture
def stand_in_layers(stand_in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-ins, for one test."""
    monkeypatch.setattr(layers, "BUILD", stand_in_folder)


def put_stand_in(architecture: layers.Architecture, name: layers.Name) -> None:
    path = layers.path_of(architecture, name)
    (path / "python").mkdir(parents=True)
    (path / "python" / f"{name}.py").write_text(f"# {architecture}\n")
    manifest = layers.manifest_of(path, layers.inputs_digest(architecture, name))
    path.with_suffix(".json").write_text(json.dumps(asdict(manifest)))


def build_or_skip(architecture: layers.Architecture) -> None:
    """Build the real layers where they are not there; without a network the test is named as not run."""
    try:
        for name in layers.NAMES:
            layers.build(architecture, name)
    except (subprocess.CalledProcessError, layers.MissingLayersError):
        pytest.skip("needs the built layers, which cannot be fetched without a network (make layers)")


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory, stand_in_folder: Path) -> Synthesise:
    """Synthesise with some settings, over the stand-ins; answer the template."""

    def make(**settings: Any) -> Template:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(layers, "BUILD", stand_in_folder)
            template = synthesise(Configuration(**settings), tmp_path_factory.mktemp("assembly"))
        return Template.read(template)

    return make


@pytest.fixture(scope="session")
def full(synth: Synthesise) -> Template:
    """Stage prod with every setting in use."""
    return synth(**FULL)


@pytest.fixture(scope="session")
def ingesting(synth: Synthesise) -> Template:
    """Stage prod with every setting in use, those of ZIP ingest included."""
    return synth(**INGESTING)


@pytest.fixture(scope="session")
def local(synth: Synthesise) -> Template:
    """Stage local with nothing set."""
    return synth(stage="local")
