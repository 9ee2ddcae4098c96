"""The whole system for the tests that need it: one stack a session, and what they ask of it.

Against the embedded emulator, or any other endpoint: `python -m tests -m stack --endpoint http://127.0.0.1:4566`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from infra.configuration import Configuration
from infra.local import orthanc as orthanc_program
from infra.local.options import StackOptions
from infra.local.orthanc import Orthanc
from infra.local.process import wait_for
from infra.local.receiver import Callback, Receiver
from infra.local.stack import LocalStack

FINAL = ("delivered", "failed", "expired", "cancelled")
DEAD_LOG_API = "http://127.0.0.1:9/log"
"""Nobody listens there: every test of the stack runs with its log API down, unless it says otherwise."""
RETRY_SOON = {"RETRY_BASE_SECONDS": "0", "MAX_ATTEMPTS": "2", "RETRY_SCHEDULE_SECONDS": "0,0"}


def clean_environment() -> dict[str, str]:
    """The environment without the variables that would change the stack under the tests."""
    names = {name.upper() for name in Configuration.model_fields} | {"AWS_ENDPOINT_URL"}
    return {name: value for name, value in os.environ.items() if name not in names}


@dataclass(frozen=True, slots=True)
class Api:
    """A client of the deployed API."""

    url: str

    def request(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Any request; never repeated and never redirected by itself."""
        return urllib3.request(
            method, f"{self.url}{path}", retries=False, redirect=False, timeout=60, **options
        )

    def render(self, study_instance_uid: str, callback_url: str, **fields: Any) -> dict[str, Any]:
        """POST /render, which must be accepted; returns its answer."""
        body = {"examID": 7, "pacs_studies_iuid": study_instance_uid, "UrlCallback": callback_url} | fields
        answer = self.request("POST", "/render", json=body)
        assert answer.status == 200, answer.data
        accepted: dict[str, Any] = answer.json()
        return accepted

    def job(self, job_id: str) -> dict[str, Any]:
        job: dict[str, Any] = self.request("GET", f"/jobs/{job_id}").json()
        return job

    def finished(self, job_id: str, *, timeout_s: float = 60) -> dict[str, Any]:
        """The job when it is over."""
        wait_for(
            lambda: self.job(job_id)["state"] in FINAL, timeout_s=timeout_s, msg=f"job {job_id} is not over"
        )
        return self.job(job_id)


@pytest.fixture(scope="session")
def local_stack(request: pytest.FixtureRequest) -> Iterator[LocalStack]:
    """The deployed stack, with the demo study in its Orthanc, or in a folder where none is installed."""
    options = StackOptions(
        port=0,
        receiver=True,
        endpoint_url=request.config.getoption("--endpoint"),
        environment=clean_environment() | {"CREATE_LOG_URL": DEAD_LOG_API},
        function_environment=RETRY_SOON,
    )
    with LocalStack(options) as stack:
        stack.load_demo_study()
        yield stack


@pytest.fixture(scope="session")
def api(local_stack: LocalStack) -> Api:
    return Api(local_stack.api_url)


@pytest.fixture(scope="session")
def stack_orthanc(local_stack: LocalStack) -> Orthanc:
    """The stack's Orthanc, from which its worker fetches. For tests marked `orthanc`."""
    assert local_stack.orthanc is not None
    return local_stack.orthanc


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc alone, with a password. For tests marked `orthanc`."""
    assert orthanc_program.installed()
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A callback receiver of the test's own."""
    with Receiver(tmp_path / "callbacks") as running:
        yield running


def callback_path(request: pytest.FixtureRequest) -> str:
    """A path of the stack's receiver that no other test uses."""
    return f"/callback/{request.node.name}"


def pdf_of(callback: Callback) -> bytes:
    assert callback.pdf is not None
    return callback.pdf.read_bytes()
