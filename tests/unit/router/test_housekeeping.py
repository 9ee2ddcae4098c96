"""All of it together, in its threads, on a store that receives meanwhile."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from infra.local.process import wait_for
from router.config import StudiesConfig
from router.database import Database
from router.housekeeping import Housekeeping, SteadyClock
from router.metadata import FILE_NAME
from router.removal import Outstanding
from router.views import Search, Views
from tests.factories import make_ct, uid
from tests.unit.router.organised import ZONE
from tests.unit.router.store import Store
from tests.unit.router.test_adoption import old_file

QUICK = StudiesConfig(quiet_s=0.1)


def keep_house(store: Store, outstanding: Outstanding = lambda *_: True) -> Housekeeping:
    found = Housekeeping(
        store.spool, store.committer, store.quarantine, store.counters, outstanding, zone=ZONE, config=QUICK
    )
    found.prepare()
    found.start()
    return found


def entries(root: Path) -> dict[str, Any]:
    try:
        found = json.loads((root / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return {}
    assert isinstance(found, dict)
    return found


def test_studies_come_are_adopted_organised_and_sent_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FS-04 in small: what was there before, and what comes meanwhile, by several associations."""
    caplog.set_level(logging.DEBUG)
    for number in range(20):
        old_file(tmp_path, make_ct(number, size=4, StudyInstanceUID=uid("old")))
    store = Store(tmp_path)
    gone: set[int] = set()

    def outstanding(database: Database, number: int) -> bool:
        return number not in gone

    housekeeping = keep_house(store, outstanding)

    def send(series: int) -> None:
        for number in range(10):
            instance = make_ct(number, size=4, series=series, StudyInstanceUID=uid("new"))
            assert store.send(instance) == 0

    threads = [Thread(target=send, args=(series,)) for series in (5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.committer.run(lambda database: database.close_association("association-1", "released", 1.0))
    wait_for(
        lambda: (
            {entry["image_count"] for entry in entries(tmp_path).values()} == {20}
            and len(entries(tmp_path)) == 2
        ),
        timeout_s=30,
        msg="not all were organised",
    )
    assert len(list(tmp_path.glob("2*/CT.*.dcm"))) == 40
    gone |= set(range(1, 100))
    wait_for(
        lambda: all(entry["sent"] for entry in entries(tmp_path).values()),
        timeout_s=30,
        msg="they were not noted as sent",
    )
    wait_for(lambda: not list(tmp_path.glob("2*")), timeout_s=30, msg="the folders are still there")
    assert housekeeping.stop(20)
    assert store.files() == []
    store.close()
    assert "CANAR" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_nothing_goes_where_nothing_forwards(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.send(make_ct())
    housekeeping = keep_house(store)
    wait_for(lambda: bool(list(tmp_path.glob("2*/CT.*.dcm"))), timeout_s=30, msg="it was not organised")
    store.committer.run(lambda database: database.close_association("association-1", "released", 1.0))
    wait_for(
        lambda: store.counters.value("ponte_studies_completed_total", by="association") == 1,
        timeout_s=30,
        msg="not done",
    )
    assert housekeeping.stop(20)
    assert store.count() == 1
    store.close()


def test_the_steady_clock_follows_no_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """FI-28."""
    clock = SteadyClock()
    before = clock()
    monkeypatch.setattr("time.time", lambda: before + 86_400)
    assert clock() - before < 3600


def test_studies_of_before_are_described_in_the_background_and_a_key_is_made(tmp_path: Path) -> None:
    """What an update left to be read is found after a while, and no start waits for it."""
    store = Store(tmp_path)
    assert store.send(make_ct(1)) == 0
    store.committer.run(lambda database: database.run("INSERT INTO positions VALUES ('organised', 1)"))
    housekeeping = keep_house(store)

    def found() -> bool:
        with Views(tmp_path) as views:
            return bool(views.studies(Search(patient_name="canario"), 1).studies)

    wait_for(found, timeout_s=30, msg="the study was not described")
    assert housekeeping.stop(30)
    store.close()
    assert (tmp_path / ".spool/receipt.key").exists()


def test_a_key_that_cannot_be_used_is_an_alarm_and_no_reason_not_to_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    (tmp_path / ".spool/receipt.key").write_bytes(b"")
    housekeeping = keep_house(store)
    assert housekeeping.stop(30)
    store.close()
    assert "RECEIPT_KEY" in [getattr(record, "alarm", "") for record in caplog.records]
