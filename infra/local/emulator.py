"""AWS on this machine: ministack on a free loopback port, in a folder of its own.

What it must be told, and why: it binds every interface unless BIND_HOST says otherwise; it writes its pid
file and each function's code under TMPDIR; the functions inherit its environment, so the user's own AWS
account must not be in it.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.errors import LocalStackError
from infra.local.interrupts import held
from infra.local.process import Child, free_port

HOST = "127.0.0.1"
REGION = "us-east-1"
COMMAND = (sys.executable, "-m", "ministack")
START_S = 60
STARTS = 3
CONCURRENCY = 12
"""Invocations at a time, of all functions together: each is a process, and this is one machine."""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def safe_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what leads to a real AWS account, and with credentials that open none."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("AWS_", "MINISTACK_", "LAMBDA_", "LOCALSTACK_"))
    }
    nothing = os.devnull
    return kept | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": nothing,
        "AWS_SHARED_CREDENTIALS_FILE": nothing,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Emulator:
    """ministack while entered; `endpoint_url` is what `AWS_ENDPOINT_URL` wants."""

    def __init__(self, folder: Path, *, log_level: str = "INFO") -> None:
        self._folder = folder
        self._log_level = log_level
        self.log = folder / "emulator.log"
        self.port = 0
        self._child: Child | None = None

    @property
    def endpoint_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Start it and wait until it answers; raises `LocalStackError` with the end of its log."""
        for attempt in range(1, STARTS + 1):
            self.port = free_port()
            environment = self._environment()
            with held():
                self._child = Child(
                    "the AWS emulator", COMMAND, log=self.log, env=environment, cwd=self._folder
                )
            try:
                self._child.wait_until(self._ready, timeout_s=START_S, what="it answers")
            except LocalStackError:
                self.stop()
                if attempt == STARTS:
                    raise
            else:
                return

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()

    def _environment(self) -> dict[str, str]:
        temporary = self._folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return safe_environment(os.environ) | {
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": REGION,
            "TMPDIR": str(temporary),
            "STATE_DIR": str(temporary / "state"),
            "S3_DATA_DIR": str(temporary / "s3"),
            "DOCKER_HOST": f"unix://{temporary}/no-docker",
            "LAMBDA_ACCOUNT_CONCURRENCY": str(CONCURRENCY),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": self._log_level,
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "*",
            "no_proxy": "*",
        }

    def _ready(self) -> bool:
        """Whether it is this very process that answers, with its start-up done."""
        try:
            with _OPENER.open(f"{self.endpoint_url}/_ministack/ready", timeout=2) as answer:
                state = json.load(answer)
        except (OSError, urllib.error.URLError, ValueError):
            return False
        return bool(state.get("status") == "completed")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
