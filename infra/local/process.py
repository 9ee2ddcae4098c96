"""Child processes that never outlive us, and ports to start them on."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.local.errors import LocalStackError
from infra.local.interrupts import held

GUARDIAN = Path(__file__).with_name("guardian.py")
POLL_S = 0.02
LOG_TAIL_BYTES = 2_000
_FREE_PORTS = (15_000, 32_000)


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nothing listens on now; whoever takes it should be ready to try another.

    Below those that systems hand out for outgoing connections, so that none of these takes it meanwhile.
    """
    while True:
        port = random.randrange(*_FREE_PORTS)  # noqa: S311  (keeps no secret)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def wait_for(check: Callable[[], bool], *, timeout_s: float, msg: str) -> None:
    """Poll until `check` is true; raises `LocalStackError` with `msg` when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            raise LocalStackError(f"{msg} (waited {timeout_s:g} s)")
        time.sleep(POLL_S)


class Child:
    """A command in a session of its own, with a log file, that ends when we do, whatever ends us.

    The process that we start is the guardian (see there); the command and all that it starts are one process
    group under it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace_s: float = 3.0,
    ) -> None:
        self.name = name
        self.log = log
        self._grace_s = grace_s
        reading, self._lifeline = os.pipe()
        guardian = [sys.executable, "-I", "-S", str(GUARDIAN), str(reading), str(grace_s)]
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [*guardian, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env) if env is not None else None,
                    cwd=cwd,
                    pass_fds=(reading,),
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(reading)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_until(self, check: Callable[[], bool], *, timeout_s: float, what: str) -> None:
        """Poll until `check` is true.

        Raises `LocalStackError`, with the end of the log, when the process ends first or the time is over.
        """
        deadline = time.monotonic() + timeout_s
        while not check():
            if not self.running:
                raise LocalStackError(f"{self.name} stopped before {what}{self.log_tail()}")
            if time.monotonic() > deadline:
                raise LocalStackError(f"{self.name}: no {what} within {timeout_s:g} s{self.log_tail()}")
            time.sleep(POLL_S)

    def finish(self, *, timeout_s: float) -> None:
        """Wait for the command to end by itself; raises `LocalStackError` unless it ended well."""
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise LocalStackError(f"{self.name} takes more than {timeout_s:g} s{self.log_tail()}") from None
        if code:
            raise LocalStackError(f"{self.name} failed with exit code {code}{self.log_tail()}")

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not within its grace; done when it is gone."""
        with held():
            if self.running:
                self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(self._grace_s + 2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1

    def log_tail(self) -> str:
        """The last lines of the log as an appendix to an error's text; nothing when the log is empty."""
        if not self.log.exists():
            return ""
        text = self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"; its last lines:\n{text}" if text else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
