"""The layers: refused where Lambda could not run them, and equal on both architectures."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from infra import elf, layers
from render.fonts import library
from tests.infra.conftest import build_or_skip
from tests.infra.test_pruning import shared_object


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(layers, "BUILD", tmp_path)
    return tmp_path


def install_nothing(architecture: layers.Architecture, name: layers.Name, target: Path) -> None:
    """What uv would do, with one module."""
    (target / "package").mkdir(parents=True)
    (target / "package" / "__init__.py").write_text("VALUE = 1\n")


def test_a_layer_that_was_never_built_is_missing(build: Path) -> None:
    with pytest.raises(layers.MissingLayersError, match="not built: run `make layers`"):
        layers.built("arm64", "imaging")


def test_a_layer_of_other_locks_is_missing(build: Path) -> None:
    folder = layers.path_of("arm64", "imaging")
    folder.mkdir(parents=True)
    manifest = layers.manifest_of(folder, "of other locks")
    folder.with_suffix(".json").write_text(json.dumps(asdict(manifest)))
    with pytest.raises(layers.MissingLayersError, match="not that of the locks"):
        layers.built("arm64", "imaging")


def test_building_twice_gives_equal_bytes_and_the_second_time_nothing_is_done(
    build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_install", install_nothing)
    first = layers.build("arm64", "runtime")
    monkeypatch.setattr(layers, "_install", None)
    assert layers.build("arm64", "runtime") == first
    assert layers.built("arm64", "runtime") == first

    monkeypatch.setattr(layers, "_install", install_nothing)
    monkeypatch.setattr(layers, "BUILD", build / "elsewhere")
    assert layers.build("arm64", "runtime") == first


def test_the_layer_of_fonts_has_them_where_documents_look(build: Path) -> None:
    layers.build("arm64", "fonts")
    folder = layers.path_of("arm64", "fonts")
    assert Path("/opt") / layers.FONTS == library.PLACES[0]
    made = library.Library(folder / layers.FONTS)
    assert made.latin("regular").path.exists()
    assert len(list((folder / layers.FONTS).glob("LICENSE-*"))) == len(made.sources)


def test_fonts_that_were_not_made_are_a_missing_layer(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(build))
    with pytest.raises(layers.MissingLayersError, match="make setup"):
        layers.build("arm64", "fonts")


def test_nothing_is_left_of_a_build_that_failed(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise subprocess.CalledProcessError(2, "uv")

    monkeypatch.setattr(layers, "_install", fail)
    assert layers.main(["--arch", "arm64"]) == 1
    assert list((build / "arm64").iterdir()) == []


def test_byte_code_is_never_checked_against_its_source(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not layers.bytecode_magic():
        pytest.skip("needs Python 3.13, which Lambda runs")
    monkeypatch.setattr(layers, "_install", install_nothing)
    layers.build("arm64", "runtime")
    (compiled,) = layers.path_of("arm64", "runtime").rglob("*.pyc")
    flags = int.from_bytes(compiled.read_bytes()[4:8], "little")
    assert flags == 0b01  # PEP 552: by hash, and not to be checked
    assert b"/opt/python/package/__init__.py" in compiled.read_bytes()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(shared_object([]), "is for ELF machine 62; expected 183", id="another machine"),
        pytest.param(
            shared_object(["libgomp.so.1"]),
            "links to libgomp.so.1, which is not there",
            id="a missing library",
        ),
    ],
)
def test_what_lambda_could_not_load_is_refused(content: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "module.so").write_bytes(content)
    with pytest.raises(layers.RefusedLayerError, match=fault):
        layers.check(tmp_path, "arm64")


def test_too_new_a_c_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module.so").write_bytes(shared_object([]))
    found = elf.SharedObject(machine=62, needed=(), versions=frozenset({"GLIBC_2.2.5", "GLIBC_2.35"}))
    monkeypatch.setattr(elf, "read", lambda _path: found)
    with pytest.raises(layers.RefusedLayerError, match=r"needs GLIBC \(2, 35\)"):
        layers.check(tmp_path, "x86_64")


def test_names_of_architectures_and_hashes_are_no_difference(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, names in (
        (one, ["a.cpython-313-x86_64-linux-gnu.so", "p.libs/libjpeg-4aec5838.so.8.3.2", "only.py"]),
        (other, ["a.cpython-313-aarch64-linux-gnu.so", "p.libs/libjpeg-0a1b2c3d.so.8.3.2"]),
    ):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    assert layers.compare(one, other) == ["only.py"]


@pytest.fixture(scope="module")
def both() -> None:
    """Both architectures, built where they were not."""
    for architecture in layers.ARCHITECTURES:
        build_or_skip(architecture)


@pytest.mark.layers
@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("architecture", layers.ARCHITECTURES)
def test_the_layers_are_what_lambda_loads(architecture: layers.Architecture) -> None:
    for name in layers.NAMES:
        layers.check(layers.path_of(architecture, name) / "python", architecture)


@pytest.mark.layers
@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("name", layers.NAMES)
def test_both_architectures_hold_the_same(name: layers.Name) -> None:
    assert layers.compare(layers.path_of("arm64", name), layers.path_of("x86_64", name)) == []


@pytest.mark.layers
@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("architecture", layers.ARCHITECTURES)
def test_the_largest_function_fits(architecture: layers.Architecture) -> None:
    ours = sum(
        path.stat().st_size
        for folder in ("layers/ponte", "functions/render")
        for path in (layers.ROOT / folder).rglob("*")
        if path.is_file()
    )
    third_party = sum(layers.built(architecture, name).size_bytes for name in layers.NAMES)
    assert ours + third_party < layers.UNZIPPED_LIMIT
