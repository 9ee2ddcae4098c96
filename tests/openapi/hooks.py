"""What schemathesis is told of our API: the ids of jobs that there are, for most of its requests."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

JOBS = [job_id for job_id in os.environ.get("PONTE_JOBS", "").split(",") if job_id]


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Three in four are the id of a job in some state; the fourth is what schemathesis made up."""
    if path_parameters and "job_id" in path_parameters and JOBS:
        number = sum(str(path_parameters["job_id"]).encode(errors="replace"))
        if number % 4:
            path_parameters["job_id"] = JOBS[number % len(JOBS)]
    return path_parameters
