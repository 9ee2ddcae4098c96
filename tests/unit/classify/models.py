"""Models of a few kilobytes, built without torch: they mean nothing, and answer something."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classify.findings import CODES
from classify.manifest import Manifest

TARGETS = tuple(CODES)
THRESHOLDS = tuple(0.05 + 0.01 * number for number in range(len(TARGETS)))
CELLS = 7


def weights() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Of one mean of the image for each label, and the bias."""
    numbers = np.arange(len(TARGETS))
    return ((numbers - 8) / 1024).astype(np.float32), (numbers / 4 - 4).astype(np.float32)


def graph(*, size: int = 224, labels: int = len(TARGETS)) -> bytes:
    """Means of cells, times a weight for each label: `cam`; their mean, plus a bias: `logits`."""
    from onnx import TensorProto, helper, numpy_helper

    weight, bias = weights()
    cell = size // CELLS
    nodes = [
        helper.make_node(
            "AveragePool", ["image"], ["cells"], kernel_shape=[cell, cell], strides=[cell, cell]
        ),
        helper.make_node("Conv", ["cells", "weight"], ["cam"]),
        helper.make_node("GlobalAveragePool", ["cam"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Add", ["flat", "bias"], ["logits"]),
    ]
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, size, size])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels]),
            helper.make_tensor_value_info("cam", TensorProto.FLOAT, ["batch", labels, CELLS, CELLS]),
        ],
        [
            numpy_helper.from_array(weight[:labels].reshape(-1, 1, 1, 1), "weight"),
            numpy_helper.from_array(bias[:labels], "bias"),
        ],
    )
    opset = [helper.make_opsetid("", 17)]
    serialised: bytes = helper.make_model(made, opset_imports=opset, ir_version=8).SerializeToString()
    return serialised


def manifest_json(graph_bytes: bytes, /, **changes: Any) -> dict[str, Any]:
    return {
        "format": "ponte-classify/1",
        "name": "tiny",
        "version": "1",
        "onnx": "model.onnx",
        "onnx_sha256": hashlib.sha256(graph_bytes).hexdigest(),
        "targets": TARGETS,
        "thresholds": THRESHOLDS,
        "preprocessing": "crop+skimage224",
        "outputs": {"logits": "logits", "cam": "cam"},
        "torchxrayvision": "1.5.7",
        "licence": "none: it is a test's",
    } | changes


def manifest(**changes: Any) -> Manifest:
    return Manifest.read(json.dumps(manifest_json(b"", **changes)).encode())


def write_model(folder: Path, *, onnx: bytes | None = None, **changes: Any) -> Path:
    """A folder as `--model` takes it."""
    onnx = graph() if onnx is None else onnx
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "manifest.json").write_text(json.dumps(manifest_json(onnx, **changes)))
    return folder
