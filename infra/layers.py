"""The third-party layers: `python -m infra.layers` builds them into `build/layers/<architecture>/<name>`.

Wheels are fetched for Lambda's platform by uv, from the locks, with their hashes checked: neither Docker nor
a machine of that architecture is needed. Equal locks give equal bytes. A layer that was built from the same
inputs before is left as it is.
"""

from __future__ import annotations

import argparse
import compileall
import fcntl
import hashlib
import importlib.util
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from infra import elf, pruning

Architecture = Literal["arm64", "x86_64"]
Name = Literal["imaging", "network", "runtime", "fonts", "classify"]

ARCHITECTURES: Final[tuple[Architecture, ...]] = get_args(Architecture)
NAMES: Final[tuple[Name, ...]] = get_args(Name)
ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / "build" / "layers"
FONTS: Final = Path("share", "ponte", "fonts")
"""Where `make setup` puts the fonts in the environment, and where they are in their layer."""

LAMBDA_PYTHON: Final = (3, 13)
UNZIPPED_LIMIT: Final = 250 * 1024 * 1024  # layers and function together
_PLATFORMS: Final = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
_MACHINES: Final = {"arm64": elf.AARCH64, "x86_64": elf.X86_64}
# Amazon Linux 2023, on which Lambda's python3.13 runs: glibc 2.34, and the libstdc++ of GCC 11.
_NEWEST: Final = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
_SYSTEM_LIBRARIES: Final = frozenset(
    {
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
        "librt.so.1",
        "libstdc++.so.6",
        "libz.so.1",
    }
)
_EPOCH_S: Final = 315_532_800  # 1980-01-01, the first moment that a ZIP can hold
# Fortran's 128-bit arithmetic is a library on x86_64 and part of the compiler's run time on arm64.
_ONE_SIDED: Final = re.compile(r"numpy\.libs/libquadmath-HASH\.so[.\d]*")


class MissingLayersError(RuntimeError):
    """A layer is not there, or was built from other locks than these."""


class RefusedLayerError(RuntimeError):
    """A layer was built that Lambda would not run."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was built: `inputs` is the digest of what it was made from, `content` of what came out."""

    inputs: str
    content: str
    size_bytes: int
    files: int


def path_of(architecture: Architecture, name: Name) -> Path:
    """The layer's folder: what Lambda mounts as `/opt`."""
    return BUILD / architecture / name


def built(architecture: Architecture, name: Name) -> Manifest:
    """The manifest of a layer that is built and current. Raises `MissingLayersError`."""
    try:
        manifest = Manifest(**json.loads(_manifest_path(architecture, name).read_text()))
    except FileNotFoundError:
        raise MissingLayersError(f"layer {name} for {architecture} is not built: run `make layers`") from None
    if manifest.inputs != inputs_digest(architecture, name) or not path_of(architecture, name).is_dir():
        raise MissingLayersError(
            f"layer {name} for {architecture} is not that of the locks: run `make layers`"
        )
    return manifest


def build(architecture: Architecture, name: Name) -> Manifest:
    """Build one layer, or answer the one that is there.

    Raises `RefusedLayerError`, or CalledProcessError when uv cannot install the wheels.
    """
    folder = path_of(architecture, name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that build at once: the second finds it done
        try:
            return built(architecture, name)
        except MissingLayersError:
            return _build(architecture, name, folder)


def _build(architecture: Architecture, name: Name, folder: Path) -> Manifest:
    inputs = inputs_digest(architecture, name)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as scratch:
        layer = Path(scratch) / "layer"
        if name == "fonts":
            shutil.copytree(Path(sys.prefix) / FONTS, layer / FONTS)
        else:
            _put_packages(architecture, name, layer / "python")
        _fix_times(layer)
        _manifest_path(architecture, name).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        layer.rename(folder)
    manifest = manifest_of(folder, inputs)
    _manifest_path(architecture, name).write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    return manifest


def _put_packages(architecture: Architecture, name: Name, packages: Path) -> None:
    _install(architecture, name, packages)
    pruning.prune(packages)
    _compile(packages)
    check(packages, architecture)


def check(packages: Path, architecture: Architecture) -> None:
    """Refuse what Lambda could not load: another machine, too new a C library, a library that is missing."""
    objects = list(pruning.shared_objects(packages))
    there = {path.name for path in objects} | _SYSTEM_LIBRARIES
    faults = [
        f"{path.name}: {fault}" for path in objects for fault in _faults(elf.read(path), architecture, there)
    ]
    if faults:
        raise RefusedLayerError("\n".join(["Lambda would not load:", *faults]))


def _faults(
    found: elf.SharedObject, architecture: Architecture, there: frozenset[str] | set[str]
) -> list[str]:
    faults = [f"links to {name}, which is not there" for name in found.needed if name not in there]
    if found.machine != _MACHINES[architecture]:
        faults.append(f"is for ELF machine {found.machine}; expected {_MACHINES[architecture]}")
    for family, newest in _NEWEST.items():
        if found.newest(family) > newest:
            faults.append(f"needs {family} {found.newest(family)}; Lambda has {newest}")
    return faults


def compare(one: Path, other: Path) -> list[str]:
    """Files that only one of two layers has, names of architectures and hashes of libraries aside."""
    return sorted(n for n in _neutral_names(one) ^ _neutral_names(other) if not _ONE_SIDED.search(n))


def _neutral_names(folder: Path) -> set[str]:
    names = set()
    for path in folder.rglob("*"):
        if path.is_file():
            name = re.sub(r"x86_64|aarch64", "ARCH", path.relative_to(folder).as_posix())
            names.add(re.sub(r"(\.libs/[\w+.]+?(?:-[\w.]+?)?)-[0-9a-f]{8}(?=\.so)", r"\1-HASH", name))
    return names


def _manifest_path(architecture: Architecture, name: Name) -> Path:
    return BUILD / architecture / f"{name}.json"


def _lock(name: Name) -> Path:
    """What says which version of everything is in a layer. Raises `MissingLayersError`."""
    if name != "fonts":
        return ROOT / "layers" / name / "requirements.txt"
    manifest = Path(sys.prefix) / FONTS / "manifest.json"
    if not manifest.exists():
        raise MissingLayersError("the fonts are not made: run `make setup`")
    return manifest


def inputs_digest(architecture: Architecture, name: Name) -> str:
    """Digest of all that a layer is made from: the lock, this builder, the interpreter where it compiles."""
    value = hashlib.sha256(f"{architecture} {name} {bytecode_magic()!r}".encode())
    for path in (_lock(name), Path(__file__), Path(pruning.__file__)):
        value.update(path.read_bytes())
    return value.hexdigest()


def bytecode_magic() -> bytes | None:
    """What marks byte code that Lambda's interpreter reads; None when this interpreter is another."""
    return importlib.util.MAGIC_NUMBER if sys.version_info[:2] == LAMBDA_PYTHON else None


def _install(architecture: Architecture, name: Name, target: Path) -> None:
    version = ".".join(map(str, LAMBDA_PYTHON))
    command = [_uv(), "pip", "install", "--quiet", "--target", str(target), "--python-version", version]
    command += [
        "--python-platform",
        _PLATFORMS[architecture],
        "--only-binary",
        ":all:",
        "--link-mode",
        "copy",
    ]
    command += ["--require-hashes", "--no-deps", "--requirements", str(_lock(name))]
    subprocess.run(command, check=True)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise MissingLayersError(
            "uv is not installed: it comes with the development environment (`make setup`)"
        )
    return found


def _compile(packages: Path) -> None:
    """Add byte code that is never checked against its source: nobody can change that in `/opt`."""
    if bytecode_magic() is None:
        return
    compileall.compile_dir(
        packages,
        quiet=2,
        stripdir=packages,
        prependdir="/opt/python",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _fix_times(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or pruning.is_shared_object(path) else 0o644)
        os.utime(path, (_EPOCH_S, _EPOCH_S))


def manifest_of(folder: Path, inputs: str) -> Manifest:
    content = hashlib.sha256()
    sizes = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        content.update(f"{path.relative_to(folder).as_posix()} {hashlib.sha256(data).hexdigest()}\n".encode())
        sizes.append(len(data))
    return Manifest(inputs=inputs, content=content.hexdigest(), size_bytes=sum(sizes), files=len(sizes))


def _table(manifests: dict[tuple[Architecture, Name], Manifest]) -> str:
    lines = [f"{'architecture':<14}{'layer':<10}{'files':>7}{'MB':>8}"]
    for (architecture, name), manifest in manifests.items():
        size_mb = manifest.size_bytes / 1024 / 1024
        lines.append(f"{architecture:<14}{name:<10}{manifest.files:>7}{size_mb:>8.1f}")
    return "\n".join(lines)


def _check_together(manifests: dict[tuple[Architecture, Name], Manifest]) -> None:
    """Refuse what no function could carry, and architectures that differ in what they hold."""
    for architecture in {architecture for architecture, _ in manifests}:
        total = sum(m.size_bytes for (a, _), m in manifests.items() if a == architecture)
        if total > UNZIPPED_LIMIT:
            raise RefusedLayerError(f"{architecture}: {total} bytes unzipped; Lambda takes {UNZIPPED_LIMIT}")
    for name in NAMES:
        if all((architecture, name) in manifests for architecture in ARCHITECTURES):
            differing = compare(*(path_of(architecture, name) for architecture in ARCHITECTURES))
            if differing:
                raise RefusedLayerError("\n".join([f"layer {name}: only one architecture has", *differing]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Build all layers and print their sizes. Exit code 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m infra.layers", description="Build the Lambda layers.")
    parser.add_argument("--arch", choices=ARCHITECTURES, action="append", help="only this architecture")
    wanted: list[Architecture] = parser.parse_args(arguments).arch or list(ARCHITECTURES)
    try:
        manifests = {
            (architecture, name): build(architecture, name) for architecture in wanted for name in NAMES
        }
        _check_together(manifests)
    except (RefusedLayerError, MissingLayersError) as error:
        sys.stderr.write(f"ponte: {error}\n")
        return 1
    except subprocess.CalledProcessError:
        sys.stderr.write(
            "ponte: the wheels could not be installed: see the lines above. Is there a network?\n"
        )
        return 1
    sys.stdout.write(_table(manifests) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
