"""The operator's model: read, checked, and run on one core by ONNX Runtime.

Ponte brings no model and no weights. The bytes that are run are the very bytes whose SHA-256 was compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from classify import manifest
from classify.errors import ModelRefused, ModelUnavailable, NoModel
from classify.manifest import Manifest
from classify.resizing import FloatImage

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MOST_BYTES: Final = 512 << 20

Read = Callable[[str, int], bytes]
"""Name of a file beside the manifest, and how many bytes of it are read at most, to its bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`logits` has shape (targets,). `cam` is (targets, rows, columns), where the graph gives it."""

    logits: npt.NDArray[np.float32]
    cam: npt.NDArray[np.float32] | None


class Model:
    """A graph that is loaded. `run` may be called from several threads."""

    def __init__(self, said: Manifest, graph: bytes) -> None:
        """Raises `ModelRefused` where the graph is another than the manifest says."""
        found = hashlib.sha256(graph).hexdigest()
        if found != said.onnx_sha256:
            raise ModelRefused(f"The model's SHA-256 is {found}; the manifest says {said.onnx_sha256}")
        self.manifest = said
        self._wanted = [name for name in (said.outputs.logits, said.outputs.cam) if name]
        self._session = _session(graph)
        self._input = self._check_shapes()

    def run(self, image: FloatImage) -> Answer:
        """`image` is (size, size), from -1024 to 1024. Raises `ModelRefused` for an answer of no use."""
        logits, *cam = self._session.run(self._wanted, {self._input: image[np.newaxis, np.newaxis]})
        if logits.shape != (1, len(self.manifest.targets)) or not np.isfinite(logits).all():
            raise ModelRefused("The model's answer is not one finite number for each target")
        return Answer(logits[0], cam[0][0] if cam else None)

    def _check_shapes(self) -> str:
        inputs, size = self._session.get_inputs(), self.manifest.size
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or not _fits(inputs[0].shape, size):
            raise ModelRefused(f"The model does not take one float image of 1 x {size} x {size}")
        missing = set(self._wanted) - {output.name for output in self._session.get_outputs()}
        if missing:
            raise ModelRefused(f"The model has no output {', '.join(sorted(missing))}")
        return str(inputs[0].name)


def open_model(place: str, s3: Callable[[], S3Client] | None = None) -> Model:
    """The model of a folder, or of `s3://bucket/prefix`. Nothing is cached here.

    Raises `NoModel`, `ModelRefused`, `ModelUnavailable`.
    """
    if not place:
        raise NoModel("No model configured. Ponte brings none: see docs/classify.md")
    read = _from_s3(place, s3()) if place.startswith("s3://") and s3 else _from_folder(Path(place))
    said = Manifest.read(read(manifest.NAME, manifest.MOST_BYTES))
    return Model(said, read(said.onnx, MOST_BYTES))


def _from_folder(folder: Path) -> Read:
    def read(name: str, most: int) -> bytes:
        try:
            with (folder / name).open("rb") as stream:
                return _limited(stream.read(most + 1), name, most)
        except FileNotFoundError:
            raise NoModel(f"The model's folder has no {name}") from None
        except OSError as error:
            raise ModelUnavailable(f"{name} of the model cannot be read: {type(error).__name__}") from error

    return read


def _from_s3(place: str, s3: S3Client) -> Read:
    bucket, _, prefix = place.removeprefix("s3://").partition("/")

    def read(name: str, most: int) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = s3.get_object(
                Bucket=bucket, Key="/".join([*prefix.strip("/").split("/"), name]).lstrip("/")
            )
            return _limited(answer["Body"].read(most + 1), name, most)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "NoSuchBucket", "404"):
                raise NoModel(f"There is no {name} where the model should be") from None
            raise ModelUnavailable(f"{name} of the model cannot be had from S3") from error
        except BotoCoreError as error:
            raise ModelUnavailable(f"{name} of the model cannot be had from S3") from error

    return read


def _limited(data: bytes, name: str, most: int) -> bytes:
    if len(data) > most:
        raise ModelRefused(f"{name} is larger than {most} bytes")
    return data


def _session(graph: bytes) -> Any:
    """One thread: Lambda has less than two cores, and a laptop has other things to do."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # which keeps what it ever took, and gains nothing here
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelRefused(f"ONNX Runtime does not take the model: {type(error).__name__}") from error


def _fits(shape: Sequence[Any], size: int) -> bool:
    """Batch, channel, rows, columns; a dimension without a number takes any."""
    expected = (1, 1, size, size)
    return len(shape) == len(expected) and all(
        not isinstance(found, int) or found == wanted for found, wanted in zip(shape, expected, strict=True)
    )
