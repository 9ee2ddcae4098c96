"""The parts together: started, watched and ended in order."""

from __future__ import annotations

import ast
import errno
import json
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ponte.errors import InvalidRequest
from router.config import DiskConfig, ListenerConfig, RouterConfig
from router.counters import Counters
from router.log import KEYS, JsonFormatter, set_up
from router.reception import SUCCESS, Asked, Intake
from router.service import Service
from tests.corpus import ROOT
from tests.factories import make_ct
from tests.unit.router import invariants
from tests.unit.router.store import FACTS, LITTLE, Store, dataset_of


class Network:
    """Stands for the associations: it stores an instance once it is started, and one more when it stops."""

    def __init__(self, intake: Intake, end: Callable[[], None], error: OSError | None) -> None:
        self.intake = intake
        self.end = end
        self.error = error
        self.statuses: list[int] = []
        self.refusals: list[str | None] = []
        self.grace_s = -1.0
        self.is_alive = True

    def start(self) -> None:
        if self.error:
            raise InvalidRequest("Cannot listen on 10.0.0.5 port 104") from self.error
        self._store(1)
        self.end()

    def stop(self, grace_s: float) -> bool:
        self.grace_s = grace_s
        self.refusals.append(self.intake.refuses_associations())
        if not self.error:
            self._store(2)
        return True

    def _store(self, number: int) -> None:
        instance = make_ct(number)
        self.intake.association_opened(FACTS)
        reception = self.intake.begin(Asked(FACTS, instance.SOPClassUID, instance.SOPInstanceUID, LITTLE))
        reception.write(dataset_of(instance))
        self.statuses.append(reception.finish())
        self.intake.association_closed(FACTS, "released")


def config(root: Path) -> RouterConfig:
    return RouterConfig(dicom_root=root, disk=DiskConfig(0, 0), listeners=(ListenerConfig(104, "10.0.0.5"),))


def run(found: RouterConfig, error: OSError | None = None) -> Network:
    networks: list[Network] = []

    def listen(_: RouterConfig, intake: Intake, counters: Counters) -> Network:
        networks.append(Network(intake, service.end, error))
        return networks[0]

    service = Service(found, listen)
    service.run()
    return networks[0]


def test_who_is_served_when_it_ends_may_finish_and_nothing_is_lost(tmp_path: Path) -> None:
    """FI-27, intake."""
    network = run(config(tmp_path))
    assert network.statuses == [SUCCESS, SUCCESS]
    assert network.refusals == ["stopping"]
    assert network.grace_s == RouterConfig().grace_s
    done = [make_ct(1), make_ct(2)]
    invariants.check(tmp_path, {one.SOPInstanceUID: dataset_of(one) for one in done})
    store = Store(tmp_path)
    rows = store.committer.run(lambda rows: rows.run("SELECT ending FROM associations").fetchall())
    assert rows == [("released",)]
    store.close()


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.EACCES, "SCP_PORT"), (errno.EADDRINUSE, "another program"), (errno.EADDRNOTAVAIL, "HTR_IP")],
)
def test_a_port_that_cannot_be_had_is_said_in_a_sentence(number: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"10.0.0.5 port 104: .*{said}"):
        run(config(tmp_path), OSError(number, os.strerror(number)))
    Store(tmp_path).close()  # the lock is free


def test_a_log_line_has_known_keys_alone() -> None:
    record = logging.makeLogRecord(
        {"msg": "instance stored", "levelname": "INFO", "status": "0000", "patient_name": "CANARY"}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("time").endswith("Z")
    assert line == {"level": "INFO", "message": "instance stored", "status": "0000"}


def test_of_an_exception_its_type_alone_is_logged() -> None:
    with pytest.raises(ValueError, match="CANARY") as bad:
        int("CANARY")
    raised = (bad.type, bad.value, bad.tb)
    record = logging.makeLogRecord({"msg": "failed", "levelname": "ERROR", "exc_info": raised})
    line = JsonFormatter().format(record)
    assert json.loads(line)["error"] == "ValueError"
    assert "CANARY" not in line


def test_warnings_say_what_is_seldom_meant() -> None:
    everywhere = replace(RouterConfig(), listeners=(ListenerConfig(11112),))
    assert ["HTR_IP" in one for one in everywhere.warnings()] == [True]


def test_the_log_knows_every_key_that_is_used() -> None:
    folders = (ROOT / "edge/router", ROOT / "layers/ponte/python/ponte_net")
    used = {
        key.value
        for folder in folders
        for path in folder.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.keyword) and call.arg == "extra" and isinstance(call.value, ast.Dict)
        for key in call.value.keys
        if isinstance(key, ast.Constant)
    }
    assert {"alarm", "association"} <= used <= set(KEYS)


def test_the_log_is_in_a_file_of_its_owner_too_and_begins_anew_when_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = RouterConfig(dicom_root=tmp_path).log_path
    assert path == tmp_path / ".spool/log/router.log"
    monkeypatch.setattr("router.log.MOST_BYTES", 2000)
    root, ours = logging.getLogger(), logging.getLogger("router")
    before, level = list(root.handlers), ours.level
    try:
        set_up("INFO", path)
        for _ in range(100):
            ours.info("instance stored", extra={"status": "0000", "patient_name": "CANARY"})
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            handler.close()
        root.handlers[:] = before
        ours.setLevel(level)
    files = sorted(path.parent.iterdir())
    assert [one.name for one in files] == ["router.log", *(f"router.log.{number}" for number in range(1, 6))]
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    lines = [json.loads(line) for one in files for line in one.read_text().splitlines()]
    assert {line["message"] for line in lines} == {"instance stored"}
    assert "CANARY" not in str(lines)


def test_a_log_file_that_cannot_be_written_is_said_and_keeps_nobody_from_receiving(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    root, before = logging.getLogger(), list(logging.getLogger().handlers)
    level = logging.getLogger("router").level
    try:
        set_up("INFO", tmp_path / "file" / "router.log")
    finally:
        root.handlers[:] = before
        logging.getLogger("router").setLevel(level)
    assert "NO_LOG_FILE" in capfd.readouterr().err
