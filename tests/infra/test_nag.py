"""cdk-nag finds nothing that has no reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra import node
from infra.app import FLAGS
from infra.configuration import Configuration
from infra.stacks import acknowledgments
from tests.infra.conftest import FULL, INGESTING


def findings(folder: Path, settings: dict[str, Any]) -> list[str]:
    """What both packs, and CloudFormation's own schemas, say of a stack."""
    node.put_on_path()
    from aws_cdk import App, Validations
    from cdk_nag import AwsSolutionsChecks, HIPAASecurityChecks

    from infra.stacks.render import RenderStack

    app = App(analytics_reporting=False, outdir=str(folder), context=FLAGS)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), HIPAASecurityChecks(app))
    RenderStack(app, configuration=Configuration(**settings))
    try:
        app.synth()
    except RuntimeError as error:  # what jsii makes of CDK's own refusal; the report has the findings
        assert "alidation" in str(error)  # noqa: PT017
    report = folder / "validation-report.json"
    if not report.exists():
        return []
    return [
        f"{violation['ruleName']}: {violation['violatingConstructs'][0].get('constructPath')}"
        for plugin in json.loads(report.read_text())["pluginReports"]
        for violation in plugin["violations"]
    ]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(FULL, id="with everything but ingest"),
        pytest.param({**INGESTING, "edge_sites": "sol,lua"}, id="with everything"),
        pytest.param(
            {**FULL, "stage": "dev", "vpc_id": "", "subnet_ids": "", "security_group_ids": ""}, id="dev"
        ),
    ],
)
def test_no_finding_stands_without_a_reason(
    settings: dict[str, Any], stand_in_layers: None, tmp_path: Path
) -> None:
    assert findings(tmp_path, settings) == []


def test_a_finding_without_a_reason_is_seen(
    stand_in_layers: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acknowledgments, "GATEWAY", {})
    assert [name.split(":")[0] for name in findings(tmp_path, FULL)] == ["AwsSolutions-APIG4"]


def test_each_reason_is_a_sentence() -> None:
    tables = (
        acknowledgments.FUNCTIONS,
        acknowledgments.GATEWAY,
        acknowledgments.SCHEDULER_ROLE,
        acknowledgments.WEBHOOK_SECRET,
        acknowledgments.TABLE,
        acknowledgments.INBOX,
        acknowledgments.INBOX_TABLE,
        acknowledgments.PDFS,
        acknowledgments.ACCESS_LOGS,
        acknowledgments.EDGE_POLICY,
    )
    for reason in (reason for table in tables for reason in table.values()):
        assert reason.endswith(".")
        assert len(reason.split()) >= 5
