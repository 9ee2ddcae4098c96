"""The whole way of a model: made by torch, exported, run by ONNX Runtime, against numpy alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classify.model import open_model
from classify.pixels import read_radiograph
from tests.corpus import ROOT
from tests.integration import densenet
from tests.unit.classify.golden import radiograph
from tests.unit.classify.images import make_dx, reopened

pytestmark = pytest.mark.torch

SEED = 7
CLOSE = 1e-3  # of logits that span about ten
TOOL = ROOT / "tools" / "export_onnx.py"
SAVE = """
import sys, numpy
sys.path.insert(0, sys.argv[1])
import export_onnx
state = export_onnx.random_model(int(sys.argv[2])).state_dict()
numpy.savez(sys.argv[3], **{name: value.numpy() for name, value in state.items()})
"""
PREPARE = """
import sys, numpy
sys.path.insert(0, sys.argv[1])
import export_onnx
xrv = export_onnx.import_torchxrayvision()
values = numpy.load(sys.argv[2]).astype('float32')
image = xrv.datasets.normalize(values, 4095)[None]
numpy.save(sys.argv[3], xrv.datasets.XRayResizer(224)(xrv.datasets.XRayCenterCrop()(image))[0])
"""


def torch(*arguments: Any) -> subprocess.CompletedProcess[str]:
    command = [os.environ["PONTE_TORCH_PYTHON"], *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    done = torch(TOOL, "--random", SEED, "--cam", "--output", folder)
    assert done.returncode == 0, done.stderr
    done = torch("-c", SAVE, TOOL.parent, SEED, folder / "weights.npz")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_exported_model_answers_as_numpy_does(folder: Path) -> None:
    model = open_model(str(folder))
    weights = dict(np.load(folder / "weights.npz"))
    for bright in (False, True):
        values = radiograph((640, 511), bright=bright)
        image = read_radiograph(reopened(make_dx(values, bits=12))).model_input(224)
        answer = model.run(image)

        expected = densenet.logits(image[np.newaxis], weights)
        np.testing.assert_allclose(answer.logits, expected, rtol=0, atol=CLOSE)
        assert answer.cam is not None
        bias = weights["classifier.bias"]
        np.testing.assert_allclose(answer.cam.mean((1, 2)) + bias, answer.logits, rtol=0, atol=CLOSE)


def test_the_pixels_are_those_of_torchxrayvision_itself(tmp_path: Path) -> None:
    for number, shape in enumerate([(640, 511), (2048, 1500), (150, 131)]):
        values = radiograph(shape)
        np.save(tmp_path / "values.npy", values)
        done = torch("-c", PREPARE, TOOL.parent, tmp_path / "values.npy", tmp_path / f"{number}.npy")
        assert done.returncode == 0, done.stderr

        image = read_radiograph(reopened(make_dx(values, bits=12))).model_input(224)
        np.testing.assert_allclose(image, np.load(tmp_path / f"{number}.npy"), rtol=0, atol=1e-3)


def test_weights_of_another_digest_are_never_unpickled(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    weights = tmp_path / "weights.pt"
    # A pickle that makes a file when it is read.
    weights.write_bytes(b"cpathlib\nPath.touch\n(cpathlib\nPath\n(V" + str(trap).encode() + b"\ntRtR.")

    done = torch(TOOL, "--weights", weights, "--output", tmp_path / "model")

    assert done.returncode == 1
    assert "It was not read" in done.stderr
    assert not trap.exists()
    assert not (tmp_path / "model").exists()
