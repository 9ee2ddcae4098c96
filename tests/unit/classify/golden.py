"""Makes `golden.json`: what scikit-image, a package that Ponte does not have, answers for small radiographs.

Run by hand where scikit-image is installed: `python -m tests.unit.classify.golden`. It does what
TorchXRayVision 1.5.7 does in `normalize`, `XRayCenterCrop` and `XRayResizer(224)`, by the same calls.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FILE = Path(__file__).with_name("golden.json")
SIZE = 224
SHAPES = ((300, 300), (256, 320), (640, 511), (449, 673), (224, 224), (150, 131), (1000, 1201), (2048, 1500))
# Pixels of the answer that are kept: the corners, the border, and some of the middle.
POINTS = (0, 1, 2, 37, 74, 111, 112, 150, 187, 221, 222, 223)


def radiograph(shape: tuple[int, int], *, bright: bool = False) -> npt.NDArray[np.uint16]:
    """12 bits, the same on every machine: waves of several lengths, and a step."""
    rows, columns = np.indices(shape, dtype=np.int64)
    values = (rows * rows + 3 * columns * columns + rows * columns) % 4096
    values = np.where((rows // 40 + columns // 56) % 2, values, 4095 - (7 * rows + 5 * columns) % 4096)
    return (values // 8 + 3500 if bright else values).astype(np.uint16)


def _reference(values: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    resize: Any = import_module("skimage.transform").resize

    image = (2 * (values.astype(np.float32) / 4095) - 1.0) * 1024
    rows, columns = image.shape
    side = int(np.min([rows, columns]))
    top, left = rows // 2 - side // 2, columns // 2 - side // 2
    square = image[None, top : top + side, left : left + side]
    resized: Any = resize(square, (1, SIZE, SIZE), mode="constant", preserve_range=True)
    answer: npt.NDArray[np.float32] = np.asarray(resized, np.float32)[0]
    return answer


def main() -> None:
    """Write the file anew."""
    cases = [(shape, False) for shape in SHAPES] + [((500, 400), True)]
    vectors = [
        {
            "shape": shape,
            "bright": bright,
            "values": [
                round(float(value), 4)
                for value in _reference(radiograph(shape, bright=bright))[np.ix_(POINTS, POINTS)].ravel()
            ],
        }
        for shape, bright in cases
    ]
    FILE.write_text(json.dumps(vectors) + "\n")


if __name__ == "__main__":
    main()
