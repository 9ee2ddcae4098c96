"""The direction of imports: functions and edge -> ponte_aws, ponte_net -> ponte."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.corpus import ROOT

FORBIDDEN = {
    "layers/ponte/python/ponte": {
        "boto3", "botocore", "aws_lambda_powertools", "pynetdicom", "ponte_aws", "ponte_net", "render",
        "callback", "infra", "cli",
    },
    "layers/ponte/python/ponte_aws": {
        "pynetdicom", "pydicom", "numpy", "ponte_net", "render", "callback",
        "infra", "cli",
    },
    "layers/ponte/python/ponte_net": {
        "boto3", "botocore", "aws_lambda_powertools", "numpy", "ponte_aws", "router", "render", "callback",
        "infra", "cli",
    },
    "edge/watcher": {
        "boto3", "botocore", "aws_lambda_powertools", "pynetdicom", "pydicom", "ponte_aws", "ponte_net",
        "render", "callback", "infra", "cli", "router",
    },
    "functions/classify": {"callback", "render", "zip_ingest", "infra", "cli", "torch", "skimage", "scipy"},
    "functions/callback": {"render", "infra", "cli", "pydicom", "numpy"},
    "functions/render": {"callback", "zip_ingest", "infra", "cli"},
    "functions/zip_ingest": {"callback", "render", "infra", "cli", "numpy", "pynetdicom"},
    "edge/installer": {"callback", "zip_ingest", "classify", "dashboard", "infra", "cli"},
    "edge/doctor": {"render", "callback", "zip_ingest", "dashboard", "infra", "cli"},
    "edge/router": {"render", "callback", "zip_ingest", "infra", "cli"},
}  # fmt: skip


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_module_imports_against_the_direction(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    wrong = {
        str(path.relative_to(ROOT)): sorted(imported(path) & FORBIDDEN[folder])
        for path in modules
        if imported(path) & FORBIDDEN[folder]
    }
    assert wrong == {}
