"""docs/monitoring.md says what there is: each metric, each alert, each setting."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from router.alert_notice import KINDS
from router.config import AlertsConfig, CloudWatchConfig, EmailConfig
from router.configfile import load
from router.counters import Counters
from tests.corpus import ROOT
from tests.unit.router.test_cloudwatch import Box
from tests.unit.router.test_metrics import Queue, Said, read, status

TEXT = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def metrics(root: Path) -> set[str]:
    """Names as they are scraped, of a box that has done something."""
    counters = Counters()
    counters.add("ponte_cstore_total", status="0000", calling_ae="CT1")
    counters.add("ponte_received_bytes_total", 5)
    counters.add("ponte_forward_total", destination="pacs", result="sent")
    counters.add("ponte_forwarded_bytes_total", 5, destination="pacs")
    counters.add("ponte_quarantine_total", reason="NO_PIXEL_DATA")
    counters.observe("ponte_store_seconds", 0.1, (1.0,))
    (root / ".spool").mkdir()
    (root / ".spool/alerts.json").write_text(
        '{"book": {"alerts": [{"kind": "DISK_LOW", "subject": "", "since": 1, "told_at": 1}], "growths": []}}'
    )
    return set(read(status(counters), Said(1.0, [Queue("pacs")]), root))


def test_each_metric_is_named_and_each_that_is_named_is_there(tmp_path: Path) -> None:
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics(tmp_path)}
    assert there == set(re.findall(r"`(ponte_\w+)`", TEXT.split("## Metrics")[1].split("```")[0]))


def test_the_rules_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    rules = yaml.safe_load(BLOCKS[2])["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"ponte_\w+", rule["expr"])}
    assert asked <= metrics(tmp_path)
    assert yaml.safe_load(BLOCKS[1])["scrape_configs"]


def test_each_alert_has_its_line() -> None:
    table = TEXT.split("| kind |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)) == set(KINDS)


def test_the_settings_shown_are_all_that_there_are_with_their_defaults(tmp_path: Path) -> None:
    for name in ("mail.password", "alerts.secret"):
        (tmp_path / name).write_text("whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5")
    text = (BLOCKS[0] + BLOCKS[3]).replace("/etc/ponte/", f"{tmp_path}/")
    (tmp_path / "router.yaml").write_text(text, encoding="utf-8")
    found, default = load(tmp_path / "router.yaml", {}), AlertsConfig()
    for name in ("language", "unforwarded_s", "disk_days", "certificate_days", "remind_s", "every_s"):
        assert getattr(found.alerts, name) == getattr(default, name)
    shown = yaml.safe_load(BLOCKS[0])["alerts"]
    assert shown.keys() == set(AlertsConfig.__slots__)
    assert {name.removesuffix("_file") for name in shown["email"]} == {
        name.removesuffix("_file") for name in EmailConfig.__slots__
    }
    assert found.cloudwatch == CloudWatchConfig("sol", region="sa-east-1")


def test_what_cloudwatch_is_told_is_listed(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.told.step()
    for name in {one["MetricName"] for one in box.aws.calls[0][1]}:
        assert f"`{name}`" in TEXT.split("## CloudWatch")[1]
