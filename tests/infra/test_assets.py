"""What each function ships: its own folder under its own name, and nothing that belongs to another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.constructs import function
from tests.infra.conftest import Synthesise
from tests.infra.template import Template


def code_key(template: Template, name: str) -> str:
    return str(template.function(name)["Code"]["S3Key"])


@pytest.mark.parametrize(
    ("name", "package"), [("Api", "render"), ("Worker", "render"), ("Callback", "callback")]
)
def test_an_asset_holds_the_package_under_its_own_name(local: Template, name: str, package: str) -> None:
    asset = local.asset(name)
    assert [path.name for path in asset.iterdir()] == [package]
    source = function.FUNCTIONS / package
    expected = {p.relative_to(source) for p in source.rglob("*") if p.is_file() and p.suffix != ".pyc"}
    assert {p.relative_to(asset / package) for p in asset.rglob("*") if p.is_file()} == expected


def test_the_layer_holds_our_packages_where_python_looks_for_them(local: Template) -> None:
    layer = local.layer_assets("Api")[0]
    assert (layer / "python" / "ponte" / "__init__.py").is_file()
    assert (layer / "python" / "ponte_aws" / "__init__.py").is_file()
    assert not list(layer.rglob("*.pyc"))


def test_editing_one_function_never_deploys_another(
    synth: Synthesise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "functions"
    shutil.copytree(function.FUNCTIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(function, "FUNCTIONS", copy)
    before = synth(stage="local")
    (copy / "callback" / "settings.py").write_text("# edited\n")
    after = synth(stage="local")
    assert code_key(before, "Api") == code_key(after, "Api")
    assert code_key(before, "Worker") == code_key(after, "Worker")
    assert code_key(before, "Callback") != code_key(after, "Callback")


def test_byte_code_beside_a_source_never_deploys_it_again(
    synth: Synthesise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "functions"
    shutil.copytree(function.FUNCTIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(function, "FUNCTIONS", copy)
    before = synth(stage="local")
    (copy / "render" / "__pycache__").mkdir()
    (copy / "render" / "__pycache__" / "api.cpython-313.pyc").write_bytes(b"\0")
    after = synth(stage="local")
    assert code_key(before, "Api") == code_key(after, "Api")
