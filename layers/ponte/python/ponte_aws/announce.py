"""Tell of a job's change of state: a metric always, the operator's log API where there is one.

The row is written before; whatever happens here never touches the job.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

from ponte_aws.jobs import Announce, State

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

NAMESPACE = "Ponte"


def announcer(sqs: SQSClient, report_queue_url: str) -> Announce:
    """Make what `Jobs` calls at each change. Without a queue it only counts."""

    def announce(job_id: str, state: State, at: str) -> None:
        count_metric("JobState", 1, State=state.value)
        if not report_queue_url:
            return
        try:
            body = json.dumps({"job_id": job_id, "state": state.value, "at": at})
            sqs.send_message(QueueUrl=report_queue_url, MessageBody=body)
        except Exception as error:  # noqa: BLE001  the boundary to an optional service: counted, never raised
            count_metric("ReportsDropped", 1)
            logger.warning("report not queued", extra={"job_id": job_id, "error_type": type(error).__name__})

    return announce


def count_metric(name: str, value: float, *, unit: str = "Count", **dimensions: str) -> None:
    """Write one metric in CloudWatch's embedded format: a line of standard output, no call."""
    metric = {
        "Namespace": NAMESPACE,
        "Dimensions": [sorted(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit}],
    }
    line = {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]},
        **dimensions,
        name: value,
    }
    print(json.dumps(line), flush=True)
