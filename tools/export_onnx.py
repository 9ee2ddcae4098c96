"""Make the model that `ponte classify` runs from TorchXRayVision's weights, which you download yourself.

Runs in an environment of its own (docs/classify.md):

    python3 -m venv export && export/bin/pip install --require-hashes -r requirements/export_onnx.txt
    export/bin/python tools/export_onnx.py --weights WEIGHTS.pt --cam --output model

The weights are a pickle, which can run any code when it is read: its SHA-256 is compared before that.
Not a medical device; the licence of the weights, and of what they were trained on, is yours to check.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "densenet121-res224-all"
WEIGHTS_SHA256 = "56524913dd16a906422e8d8b66a7a5c46be1d82eb7ac012d8103776f1aa68899"
ADDRESS = (
    "https://github.com/mlmed/torchxrayvision/releases/download/v1/"
    "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt"
)
LICENCE = (
    "torchxrayvision.models is Apache-2.0. The weights were trained on NIH, PadChest, CheXpert, MIMIC-CXR, "
    "OpenI and RSNA data, some of which have research-only terms; the paper (arXiv 2111.00595) says NOT FOR "
    "MEDICAL USE. Whether you may use them is for your own lawyer."
)
SIZE = 224
OPSET = 17


class RefusedWeightsError(ValueError):
    """The file is not the one whose digest was published."""


def import_torchxrayvision() -> Any:
    """The package. A torchvision for another torch breaks it, and nothing of that is needed."""
    import torch

    try:
        import torchxrayvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchxrayvision
    return torchxrayvision


def published_model(path: Path, sha256: str) -> Any:
    """The network with the weights of the file. Raises `RefusedWeightsError` before anything is unpickled."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise RefusedWeightsError(f"{path} has SHA-256 {found}; expected {sha256}. It was not read.")
    import torch

    xrv = import_torchxrayvision()
    pickled = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    network = xrv.models.DenseNet(weights=None, num_classes=len(xrv.models.model_urls["all"]["labels"]))
    for module in pickled.modules():  # of older versions of torch, as TorchXRayVision itself mends them
        if not hasattr(module, "_non_persistent_buffers_set"):
            module._non_persistent_buffers_set = set()  # noqa: SLF001
    network.load_state_dict(pickled.state_dict())
    return network.eval()


def random_model(seed: int) -> Any:
    """A network of random weights whose answers are spread out: for tests, and for nothing else."""
    import torch

    xrv = import_torchxrayvision()
    torch.manual_seed(seed)
    network = xrv.models.DenseNet(weights=None, num_classes=len(xrv.models.model_urls["all"]["labels"]))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    sample = (torch.rand(4, 1, SIZE, SIZE) * 2 - 1) * 1024
    with torch.no_grad():
        network.train()
        network.features(sample)
        network.eval()
        features = network.features(sample).relu().mean((2, 3))
        answers = features @ network.classifier.weight.T
        scale = 1.5 / answers.std()
        network.classifier.weight *= scale
        network.classifier.bias.copy_(-2.5 - answers.mean(0) * scale)
    return network


def exported(network: Any, *, cam: bool) -> bytes:
    """The graph: `image` (N, 1, 224, 224) to `logits`, with `cam` also to the map whose means they are."""
    import torch

    class Graph(torch.nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.features = network.features
            self.weight, self.bias = network.classifier.weight, network.classifier.bias

        def forward(self, image: Any) -> Any:
            maps = torch.relu(self.features(image))
            if not cam:
                return maps.mean((2, 3)) @ self.weight.T + self.bias
            cells = torch.nn.functional.conv2d(maps, self.weight[:, :, None, None])
            return cells.mean((2, 3)) + self.bias, cells

    names = ["logits", "cam"] if cam else ["logits"]
    out = io.BytesIO()
    torch.onnx.export(
        Graph().eval(),
        (torch.zeros(1, 1, SIZE, SIZE),),
        out,
        input_names=["image"],
        output_names=names,
        dynamic_axes={name: {0: "batch"} for name in ["image", *names]},
        opset_version=OPSET,
        dynamo=False,
    )
    return out.getvalue()


def manifest(graph: bytes, *, cam: bool, weights_sha256: str | None, random: bool) -> dict[str, Any]:
    """What `classify.manifest` reads."""
    import torch

    xrv = import_torchxrayvision()
    published = xrv.models.model_urls["all"]
    return {
        "format": "ponte-classify/1",
        "name": f"{NAME}-RANDOM" if random else NAME,
        "version": f"xrv-{xrv.__version__}",
        "onnx": "model.onnx",
        "onnx_sha256": hashlib.sha256(graph).hexdigest(),
        "weights_sha256": weights_sha256,
        "targets": published["labels"],
        "thresholds": published["op_threshs"],
        "size": SIZE,
        "preprocessing": "crop+skimage224",
        "outputs": {"logits": "logits", "cam": "cam" if cam else None},
        "torchxrayvision": xrv.__version__,
        "torch": torch.__version__,
        "opset": OPSET,
        "licence": "random weights, of no meaning: for tests" if random else LICENCE,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", type=Path, metavar="FILE", help=f"downloaded from {ADDRESS}")
    source.add_argument("--random", type=int, metavar="SEED", help="random weights, for tests")
    parser.add_argument("--sha256", default=WEIGHTS_SHA256, help="of the weights, where they are others")
    parser.add_argument("--cam", action="store_true", help="also give the saliency map")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    asked = parser.parse_args(arguments)
    try:
        network = (
            random_model(asked.random)
            if asked.weights is None
            else published_model(asked.weights, asked.sha256)
        )
    except (RefusedWeightsError, OSError) as error:
        sys.stderr.write(f"export_onnx: {error}\n")
        return 1
    graph = exported(network, cam=asked.cam)
    said = manifest(
        graph,
        cam=asked.cam,
        weights_sha256=asked.sha256 if asked.weights else None,
        random=asked.weights is None,
    )
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / said["onnx"]).write_bytes(graph)
    (asked.output / "manifest.json").write_text(json.dumps(said, indent=1) + "\n")
    sys.stdout.write(
        f"{asked.output}: {len(graph)} bytes, SHA-256 {said['onnx_sha256']}\n{said['licence']}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
