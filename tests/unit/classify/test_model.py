"""A model is run only when it is, byte for byte, what its manifest says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws

from classify.errors import ModelRefused, NoModel
from classify.manifest import Manifest
from classify.model import open_model
from ponte.errors import PonteError
from tests.unit.classify.models import CELLS, TARGETS, graph, manifest, manifest_json, weights, write_model

Change = Callable[[Path], object]


def image() -> np.ndarray[Any, np.dtype[np.float32]]:
    rows, columns = np.indices((224, 224), dtype=np.float32)
    return (rows * 7 + columns * 3) % 2048 - np.float32(1024)


def test_a_model_of_a_folder_answers_as_it_was_built_to(tmp_path: Path) -> None:
    answer = open_model(str(write_model(tmp_path))).run(image())

    weight, bias = weights()
    np.testing.assert_allclose(answer.logits, image().mean() * weight + bias, rtol=1e-4, atol=1e-4)
    assert answer.cam is not None
    assert answer.cam.shape == (len(TARGETS), CELLS, CELLS)


def test_without_cam_in_the_manifest_there_is_none(tmp_path: Path) -> None:
    folder = write_model(tmp_path, outputs={"logits": "logits"})

    assert open_model(str(folder)).run(image()).cam is None


def test_a_model_in_s3_is_read_beside_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="models")
        for path in tmp_path.iterdir():
            s3.put_object(Bucket="models", Key=f"chest/1/{path.name}", Body=path.read_bytes())

        assert open_model("s3://models/chest/1", lambda: s3).manifest.name == "tiny"
        with pytest.raises(NoModel):
            open_model("s3://models/chest/2", lambda: s3)


def test_nothing_configured_is_refused_by_name() -> None:
    with pytest.raises(NoModel, match="No model configured"):
        open_model("")


def _remove_graph(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def _change_a_byte(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "model.onnx").write_bytes(data)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (_remove_graph, "NO_MODEL", "model.onnx"),
        (lambda folder: (folder / "manifest.json").unlink(), "NO_MODEL", "manifest.json"),
        (_change_a_byte, "MODEL_REFUSED", "SHA-256"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "MODEL_REFUSED", "manifest"),
        (lambda folder: write_model(folder, onnx=b"not a graph"), "MODEL_REFUSED", "ONNX Runtime"),
        (lambda folder: write_model(folder, onnx=graph(size=112)), "MODEL_REFUSED", "1 x 224 x 224"),
        (lambda folder: write_model(folder, outputs={"logits": "other"}), "MODEL_REFUSED", "other"),
    ],
    ids=[
        "no_graph",
        "no_manifest",
        "changed_byte",
        "empty_manifest",
        "no_onnx",
        "other_size",
        "other_output",
    ],
)
def test_a_model_that_is_not_what_it_should_be_is_refused(
    tmp_path: Path, change: Change, code: str, words: str
) -> None:
    change(write_model(tmp_path))

    with pytest.raises(PonteError, match=words) as raised:
        open_model(str(tmp_path))
    assert raised.value.code == code


def test_an_answer_of_another_length_is_refused(tmp_path: Path) -> None:
    model = open_model(str(write_model(tmp_path, onnx=graph(labels=17))))

    with pytest.raises(ModelRefused, match="each target"):
        model.run(image())


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "ponte-classify/2"},
        {"thresholds": [0.5]},
        {"thresholds": [1.5] * len(TARGETS)},
        {"targets": ["A"] * len(TARGETS)},
        {"onnx": "../model.onnx"},
        {"onnx": "/etc/passwd"},
        {"onnx_sha256": "abc"},
        {"preprocessing": "another"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_manifest_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelRefused):
        Manifest.read(json.dumps(manifest_json(b"", **changes)).encode())


def test_models_that_may_answer_otherwise_are_not_the_same() -> None:
    thresholds = [0.5] * len(TARGETS)

    assert manifest().identity == manifest(licence="another", torch="2").identity
    assert manifest().identity != manifest(thresholds=thresholds).identity
    assert manifest().identity != manifest(onnx_sha256="0" * 64).identity
