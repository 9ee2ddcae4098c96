"""`.env.example` and what is made from it: every variable that anything reads is in it, and none more."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from installer import variables
from router.configfile import ENVIRONMENT, FILE_VARIABLE, load
from tests.corpus import ROOT

LISTENERS = {"HTR_IP", "SCP_PORT", "SCP_SECOND_PORT"}
OF_BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
"""Read by boto3 itself where a destination is a bucket."""
OF_TESTS = {"FAILPOINT"}
OF_OTHERS = {"PONTE_WEBHOOK_SECRET", "PATH"}
"""Of `ponte watch`, which has a file of its own; of every system."""
READERS = ("edge", "cli/router", "cli/dashboard.py")
COMPOSE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)")
NAME = re.compile(r"[A-Z][A-Z0-9_]{2,}")
ENVIRONMENTS = ("environ", "environment", "variables")


def named_in_compose() -> set[str]:
    return set(COMPOSE.findall((ROOT / "compose.yaml").read_text(encoding="utf-8")))


def read_by_code() -> set[str]:
    """Names that modules ask an environment for, and those that they list as such."""
    found: set[str] = set()
    for reader in READERS:
        path = ROOT / reader
        for module in path.rglob("*.py") if path.is_dir() else [path] if path.exists() else []:
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                found |= asked_for(node)
    return found - OF_TESTS - OF_OTHERS


def asked_for(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        return texts(node.args[:1]) if is_environment(node.func.value) else set()
    if isinstance(node, ast.Subscript):
        return texts([node.slice]) if is_environment(node.value) else set()
    if isinstance(node, ast.AnnAssign | ast.Assign):
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        if any(isinstance(one, ast.Name) and one.id == "VARIABLES" for one in targets) and node.value:
            return texts(list(ast.walk(node.value)))
    if isinstance(node, ast.keyword) and node.arg == "envvar":
        return texts([node.value])
    return set()


def is_environment(node: ast.AST) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in ENVIRONMENTS


def texts(nodes: list[ast.expr] | list[ast.AST]) -> set[str]:
    values = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {value for value in values if NAME.fullmatch(value)}


def test_the_example_has_every_variable_that_is_read_and_none_more() -> None:
    read = {FILE_VARIABLE} | set(ENVIRONMENT) | LISTENERS | OF_BOTO3 | read_by_code() | named_in_compose()
    assert set(variables.known()) == read


def test_the_defaults_are_the_router_s_own(tmp_path: Path) -> None:
    assert load(None, {}, env_file=variables.EXAMPLE) == load(None, {"HTR_IP": "0.0.0.0"})


@pytest.mark.parametrize("value", ["", "plain", "10.0.0.5", "with space", "$argon2id$v=19$m=1", "a#b", 'a"b'])
def test_a_value_comes_back_as_it_was(value: str, tmp_path: Path) -> None:
    from router.configfile import _read_env_file

    path = tmp_path / ".env"
    path.write_text(variables.filled({"DASHBOARD_PASSWORD_HASH": value}))
    assert _read_env_file(path)["DASHBOARD_PASSWORD_HASH"] == value


@pytest.mark.parametrize("value", ["it's", "a\\b", "a\nb", "a #b"])
def test_a_value_that_readers_would_disagree_on_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="expected a text"):
        variables.filled({"SCP_AET": value})


def test_a_name_that_the_example_does_not_have_is_refused() -> None:
    with pytest.raises(KeyError):
        variables.filled({"NO_SUCH": "1"})


def test_a_difference_hides_secrets() -> None:
    there = variables.filled({"ORTHANC_PASSWORD": "CANARY1", "SCP_PORT": "104"})
    lines = variables.difference(there, {"ORTHANC_PASSWORD": "CANARY2", "SCP_PORT": "4100"})
    assert lines == [
        "- SCP_PORT=104", "+ SCP_PORT=4100", "- ORTHANC_PASSWORD=********", "+ ORTHANC_PASSWORD=********"
    ]  # fmt: skip


def test_what_a_file_of_an_older_version_lacks_is_said() -> None:
    there = variables.filled({}).replace("#TARGET_PORT=4243\n", "")
    assert variables.difference(there, {}) == ["+ TARGET_PORT=4243"]
