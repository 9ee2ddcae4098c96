"""The edge box's own lock: all that its code imports, as the tests run with it, and no tools."""

from __future__ import annotations

import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.corpus import ROOT
from tests.unit.test_imports import imported

OURS = {
    path.name
    for folder in ("", "functions", "edge", "layers/ponte/python")
    for path in (ROOT / folder).iterdir()
}
READ = (
    "edge",
    "cli/router",
    "cli/dashboard.py",
    "cli/main.py",
    "layers/ponte/python/ponte",
    "layers/ponte/python/ponte_net",
)
NOT_THERE = {
    "openjpeg",  # of pylibjpeg-openjpeg, whose metadata names another
}
TOOLS = {
    "pip",
    "setuptools",
    "pytest",
    "mypy",
    "ruff",
    "hatchling",
    "aws-cdk-lib",
    "ministack",
    "onnxruntime",
}
_LINE = re.compile(r"^([a-z0-9.-]+)==(\S+)", re.MULTILINE)


def locked(name: str) -> dict[str, str]:
    return dict(_LINE.findall((ROOT / "requirements" / name).read_text(encoding="utf-8")))


def modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


@pytest.mark.parametrize("name", READ)
def test_all_that_is_imported_is_locked(name: str) -> None:
    distributions, lock = packages_distributions(), locked("edge.txt")
    wanted = {module for path in modules(ROOT / name) for module in imported(path)}
    wanted = {
        one for one in wanted - OURS - sys.stdlib_module_names - NOT_THERE if not one.startswith("types_")
    }
    lacking = {
        one
        for one in wanted
        if not {found.lower().replace("_", "-") for found in distributions.get(one, [one])} & set(lock)
    }
    assert lacking == set()


def test_versions_are_those_of_the_tests() -> None:
    tested = locked("dev.txt")
    assert {
        name: version for name, version in locked("edge.txt").items() if tested.get(name) != version
    } == {}


def test_no_tool_is_among_them() -> None:
    assert not set(locked("edge.txt")) & TOOLS
