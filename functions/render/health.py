"""`/health/deep`: does everything answer that a job will need?"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import urllib3

from ponte_aws import clients
from render.messages import Check, DeepHealth
from render.settings import ApiSettings

PACS_S = 3.0


def deep_health(settings: ApiSettings) -> DeepHealth:
    """Ask table, queues and PACS; each answer with its milliseconds, each failure with its kind alone."""
    probes: dict[str, Callable[[], str | None]] = {
        "table": lambda: _table(settings.jobs_table),
        "render_queue": lambda: _queue(settings.render_queue_url),
        "callback_queue": lambda: _queue(settings.callback_queue_url),
        "pacs": lambda: _pacs(settings.dicom_wado_url),
    }
    if not settings.check_pacs:
        del probes["pacs"]
    checks = {name: _checked(probe) for name, probe in probes.items()}
    return DeepHealth(
        status="ok" if all(check.ok for check in checks.values()) else "degraded", checks=checks
    )


def _checked(probe: Callable[[], str | None]) -> Check:
    started = time.monotonic()
    try:
        detail, ok = probe(), True
    except Exception as error:  # noqa: BLE001  whatever it is, it is what the caller wants to know
        detail, ok = type(error).__name__, False
    return Check(ok=ok, ms=round((time.monotonic() - started) * 1000), detail=detail)


def _table(name: str) -> None:
    clients.jobs_table(name).get_item(Key={"job_id": "health"})


def _queue(url: str) -> str:
    answer = clients.sqs().get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return f"{answer['Attributes']['ApproximateNumberOfMessages']} waiting"


def _pacs(url: str) -> str:
    """Whether somebody answers HTTP at the PACS's address, whatever he answers: no credentials are sent."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        Path(unquote(parts.path)).stat()
        return "a folder"
    with urllib3.PoolManager(retries=False, timeout=PACS_S) as pool:
        answer = pool.request(
            "GET", f"{parts.scheme}://{parts.netloc}/", redirect=False, preload_content=False
        )
        return f"answers {answer.status}"
