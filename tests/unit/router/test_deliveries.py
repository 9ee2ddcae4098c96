"""Who needs what is known by rows alone: over restarts, lost databases and changes of the configuration."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ponte.destination import Outcome
from router import delivery_rows
from router.database import FILE_NAME
from router.deliveries import Judge, Planner, pause_s
from router.delivery_rows import Delivery
from router.destinations import Retries, read_destinations
from router.savepoint import run_apart
from tests.factories import make_ct
from tests.told_scp import Conversation, Stored, told_scp
from tests.unit.router.forwarding import (
    all_in,
    dicom,
    forwarding,
    outstanding,
    queue,
    receive,
    recorder,
    rows,
    states,
    wait_for,
)
from tests.unit.router.store import Store

ANY = {"host": "192.0.2.1", "port": 104, "ae_title": "A", "kind": "dicom"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def planner(store: Store, *destinations: dict[str, Any], matching: Any = "all") -> Planner:
    found = read_destinations([{**ANY, **one} for one in destinations])
    made = Planner(store.committer, store.spool, store.counters, found, matching)
    made.configure()
    return made


def plan(store: Store, *destinations: dict[str, Any], matching: Any = "all") -> None:
    made = planner(store, *destinations, matching=matching)
    while made.step():
        pass


def change(store: Store, statement: str, *values: object) -> None:
    store.committer.run(lambda database: database.run(statement, values))


def test_without_destinations_everything_stays(store: Store) -> None:
    receive(store, [make_ct(1)])
    assert outstanding(store) == [True]
    plan(store)
    assert outstanding(store) == [True]


def test_what_nobody_wants_stays_and_somebody_is_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    receive(store, [make_ct(1)])
    plan(store, {"name": "mr", "rules": [{"include": {"modality": ["MR"]}}]})
    assert outstanding(store) == [True]
    assert [getattr(record, "alarm", None) for record in caplog.records] == ["UNROUTED"]


def test_rules_that_ask_for_what_only_the_file_tells(store: Store) -> None:
    receive(store, [make_ct(1, StationName="A1"), make_ct(2, BodyPartExamined="HEAD")])
    by_station = {"name": "a", "rules": [{"include": {"station": ["A*"]}}]}
    by_part = {"name": "b", "rules": [{"include": {"body_part": ["HEAD"], "description": ["canary *"]}}]}
    plan(store, by_station, by_part, {"name": "c", "rules": [{"include": {"calling_ae_title": ["MOD*"]}}]})
    assert [len(states(store, name)) for name in "abc"] == [1, 1, 2]


@pytest.mark.parametrize(
    ("state", "wants", "needed"),
    [
        ("waiting", 0, True),
        ("sending", 0, True),
        ("sent", 0, False),
        ("sent", 1, True),
        ("committed", 1, False),
        ("refused", 0, True),
        ("given_up", 0, True),
        ("skipped", 1, False),
    ],
)
def test_only_what_its_destination_confirmed_may_go(
    store: Store, state: str, wants: int, needed: bool
) -> None:
    """I4."""
    receive(store, [make_ct(1)])
    plan(store, {"name": "a"}, {"name": "b"})
    change(store, "UPDATE deliveries SET state = 'sent' WHERE destination = 'a'")
    change(
        store, "UPDATE deliveries SET state = ?, wants_commitment = ? WHERE destination = 'b'", state, wants
    )
    assert outstanding(store) == [needed]


def test_a_destination_that_is_added_gets_what_is_still_here(store: Store) -> None:
    receive(store, [make_ct(1), make_ct(2)])
    with told_scp(Conversation.serve) as scp, forwarding(store, dicom("old", scp.port)):
        wait_for(all_in(store, "old", "sent", 2), "sent")
    assert outstanding(store) == [False, False]
    receive(store, [make_ct(3)])
    made = planner(store, {"name": "old"}, {"name": "new"})
    assert outstanding(store) == [True, True, True]
    while made.step():
        pass
    assert (states(store, "new"), states(store, "old")[2:]) == (["waiting"] * 3, ["waiting"])


def test_one_that_is_taken_away_is_waited_for_no_more_and_goes_on_where_it_was_when_it_is_back(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    receive(store, [make_ct(1), make_ct(2)])
    plan(store, {"name": "a"}, {"name": "b"})
    change(store, "UPDATE deliveries SET state = 'sent' WHERE destination = 'a'")
    assert outstanding(store) == [True, True]
    plan(store, {"name": "a"})
    assert [getattr(record, "alarm", None) for record in caplog.records] == ["DESTINATION_REMOVED"]
    assert outstanding(store) == [False, False]
    assert (queue(store, "b").active, queue(store, "b").waiting) == (False, 2)
    receive(store, [make_ct(3)])
    plan(store, {"name": "a"}, {"name": "b"})
    assert outstanding(store) == [True] * 3
    assert states(store, "b") == ["waiting"] * 3


def test_where_commitment_is_not_asked_for_any_more_nothing_waits_for_it(store: Store) -> None:
    receive(store, [make_ct(1), make_ct(2)])
    plan(store, {"name": "a", "commitment": True})
    change(store, "UPDATE deliveries SET state = 'sent' WHERE number = 1")
    assert [row[0] for row in rows(store, "a", "wants_commitment")] == [1, 1]
    plan(store, {"name": "a"})
    assert [row[0] for row in rows(store, "a", "wants_commitment")] == [0, 0]
    assert outstanding(store) == [False, True]


def test_with_all_destinations_taken_away_nothing_may_go(store: Store) -> None:
    receive(store, [make_ct(1)])
    plan(store, {"name": "a"})
    plan(store)
    assert outstanding(store) == [True]


def test_what_was_removed_meanwhile_is_said_to_be_refused(store: Store) -> None:
    receive(store, [make_ct(1)])
    plan(store, {"name": "pacs"})
    store.committer.remove(make_ct(1).SOPInstanceUID)
    with told_scp(Conversation.serve) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "refused", 1), "refused")
    assert rows(store, "pacs", "detail") == [("The instance is not here any more",)]


def test_when_the_rows_were_lost_everything_is_sent_again(store: Store) -> None:
    receive(store, [make_ct(number) for number in range(3)])
    taken: list[Stored] = []
    with told_scp(recorder(taken)) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "sent", 3), "sent")
        for suffix in ("", "-wal", "-shm"):
            (store.spool.folder / f"{FILE_NAME}{suffix}").unlink(missing_ok=True)
        wait_for(lambda: len(taken) == 6, "all of them, again")
        wait_for(all_in(store, "pacs", "sent", 3), "sent again")
        assert outstanding(store) == [False] * 3


def test_a_result_for_another_instance_than_the_row_is_about_changes_nothing(store: Store) -> None:
    """Numbers begin anew where the rows were built again."""
    receive(store, [make_ct(1)])
    plan(store, {"name": "pacs"})
    (mine,) = run_apart(store.committer, lambda database: delivery_rows.claim(database, "pacs", 9, 9, 1e9))
    other = Delivery(
        **{**{name: getattr(mine, name) for name in Delivery.__slots__}, "sop_instance_uid": "1.2"}
    )
    result = Judge(Retries()).answered(other, Outcome("1.2", "stored"))
    run_apart(store.committer, lambda database: delivery_rows.settle(database, "pacs", [result]))
    assert states(store, "pacs") == ["sending"]
    result = Judge(Retries()).answered(mine, Outcome(mine.sop_instance_uid, "stored"))
    run_apart(store.committer, lambda database: delivery_rows.settle(database, "pacs", [result]))
    assert states(store, "pacs") == ["sent"]


@pytest.fixture
def delivery() -> Delivery:
    return Delivery(1, "1.2", "", "", "", "", "", 1, 0, "kept", 0, None, 0)


def test_an_instance_that_fails_for_too_long_is_given_up(delivery: Delivery) -> None:
    now = [1000.0]
    judge = Judge(Retries(give_up_after_s=600), now=lambda: now[0])
    refused = Outcome("1.2", "refused", "A700H", 0xA700, retryable=True)
    attempts, since = 0, None
    for _ in range(20):
        tried = Delivery(1, "1.2", "", "", "", "", "", 1, 0, "kept", attempts, since, 0)
        result = judge.answered(tried, refused)
        attempts, since = result.attempts, result.failing_since
        now[0] += 100
        if result.state == "given_up":
            break
    assert (result.state, result.attempts) == ("given_up", 10)
    now[0] = 1e9
    assert judge.answered(delivery, refused).state == "waiting"  # one failure is not too long


def test_pauses_double_up_to_the_longest_and_are_spread() -> None:
    retries = Retries(first_s=2, longest_s=60)
    for failures, longest in ((0, 2), (1, 4), (3, 16), (5, 60), (500, 60)):
        pauses = [pause_s(retries, failures) for _ in range(50)]
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest
        assert len(set(pauses)) > 1


def test_a_duplicate_counts_as_sent_only_where_we_may_have_sent_it(delivery: Delivery) -> None:
    judge, duplicate = Judge(Retries()), Outcome("1.2", "refused", "0111H", 0x0111)
    assert judge.answered(delivery, duplicate).state == "refused"
    unclear = Delivery(1, "1.2", "", "", "", "", "", 1, 0, "kept", 0, None, 1)
    assert judge.answered(unclear, duplicate).state == "sent"


def test_a_hundred_thousand_that_wait_cost_rows_and_no_memory(store: Store) -> None:
    """FI-26: what is next is found by an index, however much waits."""
    receive(store, [make_ct(1)])
    plan(store, {"name": "pacs"})
    many = 100_000
    copied = (
        "INSERT INTO instances SELECT ?1 + s.value, '2.25.' || s.value, sop_class_uid, transfer_syntax_uid,"
        " study_instance_uid, series_instance_uid, modality, sha256, size_bytes, dataset_start,"
        " 'x' || s.value, notes, association_id, source_ae_title, received_at, durable_at, state, NULL"
        " FROM instances, (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE"
        " value < ?2) SELECT value FROM n) s WHERE number = 1"
    )
    change(store, copied, 1, many)
    change(
        store,
        "INSERT INTO deliveries (number, destination, state, priority, part, planned_at, wants_commitment)"
        " SELECT number, 'pacs', 'waiting', 5, 0, 0, 0 FROM instances WHERE number > 1",
    )
    tracemalloc.start()
    taken = run_apart(
        store.committer, lambda database: delivery_rows.claim(database, "pacs", 64, 1 << 40, 1e10)
    )
    queued = queue(store, "pacs")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.number for one in taken] == list(range(1, 65))
    assert (queued.waiting, queued.sending) == (many + 1 - 64, 64)
    assert peak < 1 << 20
    plans = run_apart(store.committer, _plans)
    assert all("SCAN" not in step for step in plans), plans


def _plans(database: Any) -> list[str]:
    queries = [
        delivery_rows._READY.format(also="", limit=64),
        f"SELECT min(number) FROM deliveries WHERE destination = ?1 AND {delivery_rows.OPEN} AND ?2 AND ?3",
    ]
    return [
        row[3] for query in queries for row in database.run(f"EXPLAIN QUERY PLAN {query}", ("pacs", 1, 1))
    ]
