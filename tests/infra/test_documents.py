"""What docs/deploy.md says of settings is what there is."""

from __future__ import annotations

import re

from infra.configuration import Configuration
from infra.layers import ROOT

DEPLOY = (ROOT / "docs" / "deploy.md").read_text()


def test_every_setting_is_in_the_table_with_its_default() -> None:
    table = DEPLOY.split("## Settings")[1].split("## ")[0]
    named = set(
        re.findall(
            r"`([A-Z_]{2,})`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)
        )
    )
    assert named == {name.upper() for name in Configuration.model_fields}
    for name in ("architecture", "stage", "tz", "pdf_language", "log_level"):
        assert f"`{Configuration.model_fields[name].default}`" in table
    for name in ("render_concurrency", "worker_memory_mb", "log_retention_days", "default_max_workers"):
        assert re.search(rf"`{name.upper()}`.*\b{Configuration.model_fields[name].default}\b", table)


def test_what_was_not_run_is_said_to_be() -> None:
    assert "**Not tested**" in DEPLOY
    assert "**Not run**" in (ROOT / "docs" / "localstack.md").read_text()
