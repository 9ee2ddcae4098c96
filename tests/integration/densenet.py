"""DenseNet-121 in numpy, as the paper has it (arXiv 1608.06993), without torch and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[np.float32]
BLOCKS = (6, 12, 24, 16)
_EPSILON = 1e-5


def maps(image: Array, weights: Mapping[str, Array]) -> Array:
    """(1, rows, columns) to the feature maps (channels, rows / 32, columns / 32), after the last ReLU."""
    x = _conv(image, weights["features.conv0.weight"], stride=2, padding=3)
    x = _pool(_relu(_norm(x, weights, "features.norm0")), 3, 2, padding=1)
    for number, layers in enumerate(BLOCKS, 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{number}.denselayer{layer}"
            y = _relu(_norm(x, weights, f"{name}.norm1"))
            y = _conv(y, weights[f"{name}.conv1.weight"])
            y = _relu(_norm(y, weights, f"{name}.norm2"))
            x = np.concatenate([x, _conv(y, weights[f"{name}.conv2.weight"], padding=1)])
        if number < len(BLOCKS):
            name = f"features.transition{number}"
            x = _conv(_relu(_norm(x, weights, f"{name}.norm")), weights[f"{name}.conv.weight"])
            x = x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2).mean((2, 4))
    return _relu(_norm(x, weights, "features.norm5"))


def logits(image: Array, weights: Mapping[str, Array]) -> Array:
    answer: Array = (
        weights["classifier.weight"] @ maps(image, weights).mean((1, 2)) + weights["classifier.bias"]
    )
    return answer


def _conv(x: Array, kernel: Array, *, stride: int = 1, padding: int = 0) -> Array:
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows: Any = sliding_window_view(padded, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    answer: Array = np.tensordot(kernel, windows, axes=((1, 2, 3), (0, 3, 4)))
    return answer


def _pool(x: Array, size: int, stride: int, *, padding: int) -> Array:
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)), constant_values=-np.inf)
    windows: Any = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    pooled: Array = windows.max((3, 4))
    return pooled


def _norm(x: Array, weights: Mapping[str, Array], name: str) -> Any:
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + _EPSILON)
    shift = weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale
    answer: Any = x * scale[:, None, None] + shift[:, None, None]
    return answer


def _relu(x: Array) -> Array:
    answer: Array = np.maximum(x, 0)
    return answer
