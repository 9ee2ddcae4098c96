"""What stands beside a model: its labels, thresholds, digests and where it comes from."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from classify.errors import ModelRefused

NAME: Final = "manifest.json"
MOST_BYTES: Final = 1 << 20
PREPROCESSING: Final = "crop+skimage224"
"""`classify.pixels` and `classify.resizing`: the path that TorchXRayVision documents."""

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
FileName = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Threshold = Annotated[float, Field(gt=0, lt=1)]


class Outputs(BaseModel):
    """Names of the graph's outputs. `cam` is (1, labels, rows, columns), where the graph has it."""

    model_config = ConfigDict(frozen=True)

    logits: Name = "logits"
    cam: Name | None = None


class Manifest(BaseModel):
    """`manifest.json`, as `tools/export_onnx.py` writes it.

    `thresholds` are TorchXRayVision's `op_threshs`, one for each target; null where it gives none. An empty
    target is an output of the model that means nothing. What is not listed here is kept for people.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["ponte-classify/1"]
    name: Name
    version: Name
    onnx: FileName
    onnx_sha256: Sha256
    weights_sha256: Sha256 | None = None
    targets: tuple[Annotated[str, Field(max_length=64, pattern=r"^[ -~]*$")], ...] = Field(
        min_length=1, max_length=200
    )
    thresholds: tuple[Threshold | None, ...]
    size: int = Field(default=224, ge=16, le=1024)
    preprocessing: Literal["crop+skimage224"]
    outputs: Outputs = Outputs()
    torchxrayvision: Name | None = None
    torch: Name | None = None
    licence: Annotated[str, Field(max_length=1000)] = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.thresholds) != len(self.targets):
            raise ValueError(f"{len(self.targets)} targets and {len(self.thresholds)} thresholds")
        named = [target for target in self.targets if target]
        if len(set(named)) != len(named) or not named:
            raise ValueError("targets are none, or one is named twice")
        return self

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Raises `ModelRefused`."""
        if len(data) > MOST_BYTES:
            raise ModelRefused(f"The manifest is larger than {MOST_BYTES} bytes")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ModelRefused(f"The manifest is not one of ours: {place}: {first['msg']}") from error

    @property
    def identity(self) -> str:
        """The same for models that answer the same: graph, labels, thresholds, way of the pixels."""
        parts = self.model_dump(
            include={"name", "version", "onnx_sha256", "targets", "thresholds", "size", "preprocessing"}
        )
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        """What a result says of its model."""
        return self.model_dump(
            include={
                "name", "version", "onnx_sha256", "weights_sha256", "preprocessing", "torchxrayvision",
                "torch", "licence",
            }
        )  # fmt: skip
