"""What of an installed package a Lambda layer does not carry.

A layer is limited (250 MB unzipped with all that a function has) and is read at each cold start. What is
dropped here is never imported by Ponte; the contract tests prove it by running each function from what stays.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from infra import elf

# imagecodecs links every codec it knows; DICOM has a use for these (`imcd` holds RLE).
CODECS: Final = frozenset(
    {"htj2k", "imcd", "isal", "jpeg2k", "jpeg8", "jpegls", "jpegxl", "shared", "shared_cython"}
)

# The services that boto3 is asked for. botocore describes some four hundred.
SERVICES: Final = frozenset({"dynamodb", "kms", "s3", "scheduler", "secretsmanager", "sqs", "sts"})

_FOLDERS: Final = frozenset({"__pycache__", "tests"})
_SUFFIXES: Final = frozenset({".a", ".c", ".h", ".pxd", ".pyc", ".pyi", ".pyx"})
_RECORDS: Final = frozenset({"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"})
_UNUSED: Final = (
    ".lock",
    "bin",
    # Of the sidecar only ReDoc is served; Powertools brings Swagger UI itself.
    "drf_spectacular_sidecar/static/*/swagger-ui-dist",
    "drf_spectacular_sidecar/static/*/redoc/bundles/*.map",
    "boto3/examples",
    "numpy/_core/include",
    "numpy/_pyinstaller",
    "numpy/f2py",
    "pydicom/data/charset_files",
    "pydicom/data/test_files",
    # Its extension module holds the run time itself; the library is for other languages.
    "onnxruntime/backend",
    "onnxruntime/capi/libonnxruntime.so.*",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    # Pillow's AVIF (8 MB of encoder) and Tk bindings; its plugins do without them.
    "PIL/_avif.*.so",
    "PIL/_imagingtk.*.so",
)
_CODEC: Final = re.compile(r"_(?P<name>\w+?)\.(abi3|cpython-\w+-linux-gnu)\.so")


def prune(packages: Path) -> None:
    """Remove from a folder of installed packages what a layer does not carry."""
    for path in sorted(packages.rglob("*")):
        if path.exists() and _is_baggage(path):
            _remove(path)
    for pattern in _UNUSED:
        for path in sorted(packages.glob(pattern)):
            _remove(path)
    _keep_codecs(packages / "imagecodecs")
    _keep_services(packages / "botocore" / "data")
    _keep_services(packages / "boto3" / "data")
    _keep_linked(packages)


def _is_baggage(path: Path) -> bool:
    if path.is_dir():
        return path.name in _FOLDERS
    return path.suffix in _SUFFIXES or (path.name in _RECORDS and path.parent.suffix == ".dist-info")


def _keep_codecs(package: Path) -> None:
    for path in sorted(package.glob("_*.so")):
        match = _CODEC.fullmatch(path.name)
        if match and match["name"] not in CODECS:
            path.unlink()


def _keep_services(data: Path) -> None:
    for path in sorted(data.glob("*")):
        if path.is_dir() and path.name not in SERVICES:
            _remove(path)


def _keep_linked(packages: Path) -> None:
    """Drop the bundled libraries (`*.libs`) that no remaining extension module links to, directly or not."""
    bundled = {path.name: path for path in packages.glob("*.libs/*")}
    wanted = [path for path in shared_objects(packages) if path.name not in bundled]
    linked: set[str] = set()
    while wanted:
        fresh = {name for name in elf.read(wanted.pop()).needed if name in bundled} - linked
        linked |= fresh
        wanted += [bundled[name] for name in sorted(fresh)]
    for name in sorted(bundled.keys() - linked):
        bundled[name].unlink()


def shared_objects(folder: Path) -> Iterator[Path]:
    """Every ELF object in the folder, in order of its name."""
    return (path for path in sorted(folder.rglob("*")) if is_shared_object(path))


def is_shared_object(path: Path) -> bool:
    """Whether the path is an ELF object, by its name and its first bytes."""
    return ".so" in path.name and path.is_file() and elf.is_elf(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
