"""FS-10: the table of the policies, over both stores, and what becomes of claims."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest

from ponte.dedup import Claim, ClaimLost, Finding, Ledger, LedgerBusy, Policy, Row, Store
from ponte.errors import InvalidRequest, NotDicom
from ponte.memorystore import MemoryStore
from ponte.scan import scan
from ponte.sqlitestore import SqliteStore
from ponte_aws.ledger import DynamoStore
from tests.factories import encode, make_ct
from tests.unit.conftest import Aws

ONE, OTHER = (hashlib.sha256(name).hexdigest() for name in (b"one", b"other"))
NEW, DUPLICATE, CONFLICT = Claim(Finding.NEW), Claim(Finding.DUPLICATE), Claim(Finding.CONFLICT, True)
UID_TWIN = Claim(Finding.DUPLICATE, True)
THREADS = 8
T = TypeVar("T")


def dynamo() -> Store:
    table = boto3.resource("dynamodb").create_table(
        TableName="ledger",
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return DynamoStore(table)


@pytest.fixture(params=["sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path, aws: Aws) -> Any:
    if request.param == "dynamodb":
        yield dynamo()
        return
    opened = SqliteStore(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


def arrive(ledger: Ledger, uid: str, digest: str) -> None:
    assert ledger.claim(uid, digest, "first") == NEW
    ledger.confirm(uid, digest, "first")


@pytest.mark.parametrize(
    ("policy", "same_both", "same_uid", "same_digest"),
    [
        (Policy.UID_THEN_SHA256, DUPLICATE, CONFLICT, NEW),
        (Policy.SHA256_ONLY, DUPLICATE, NEW, DUPLICATE),
        (Policy.UID_ONLY, DUPLICATE, UID_TWIN, NEW),
    ],
)
def test_fs_10_the_table(
    policy: Policy, same_both: Claim, same_uid: Claim, same_digest: Claim, store: Store
) -> None:
    ledger = Ledger(store, policy)
    arrive(ledger, "1.2.3", ONE)
    assert ledger.claim("1.2.3", ONE, "second") == same_both
    assert ledger.claim("1.2.3", OTHER, "second") == same_uid
    assert ledger.claim("1.2.4", ONE, "second") == same_digest
    for missing in (None, ""):
        with pytest.raises(NotDicom) as caught:
            ledger.claim(missing, ONE, "second")
        assert caught.value.code == "MISSING_UID"


@pytest.mark.parametrize("after", Policy)
@pytest.mark.parametrize("before", Policy)
def test_what_is_known_stays_known_when_the_policy_changes(
    before: Policy, after: Policy, store: Store
) -> None:
    arrive(Ledger(store, before), "1.2.3", ONE)
    assert Ledger(store, after).claim("1.2.3", ONE, "second") == DUPLICATE


def test_another_preamble_is_no_other_instance(store: Store) -> None:
    data = encode(make_ct())
    ledger = Ledger(store, Policy.UID_THEN_SHA256)
    first, second = scan([data]), scan([b"MZ".ljust(128, b"x") + data[128:]])
    assert first.sop_instance_uid is not None
    arrive(ledger, first.sop_instance_uid, str(first.sha256))
    assert ledger.claim(second.sop_instance_uid, str(second.sha256), "second") == DUPLICATE


def test_what_was_never_confirmed_is_not_known(store: Store) -> None:
    now = [1000.0]
    ledger = Ledger(store, Policy.UID_THEN_SHA256, lease_s=60, now=lambda: now[0])
    assert ledger.claim("1.2.3", ONE, "first") == NEW
    assert ledger.claim("1.2.3", ONE, "second") == Claim(Finding.PENDING)
    assert ledger.claim("1.2.3", ONE, "first") == NEW  # the same again, after an interruption
    assert ledger.claim("1.2.3", OTHER, "second") == CONFLICT
    now[0] += 61
    assert ledger.claim("1.2.3", ONE, "second") == NEW
    with pytest.raises(ClaimLost):
        ledger.confirm("1.2.3", ONE, "first")
    ledger.confirm("1.2.3", ONE, "second")
    ledger.confirm("1.2.3", ONE, "second")  # told twice
    assert ledger.claim("1.2.3", ONE, "third") == DUPLICATE


def test_a_claim_that_ended_is_in_nobodys_way_whatever_the_digest(store: Store) -> None:
    now = [1000.0]
    ledger = Ledger(store, Policy.UID_THEN_SHA256, lease_s=60, now=lambda: now[0])
    assert ledger.claim("1.2.3", ONE, "died") == NEW
    now[0] += 61
    assert ledger.claim("1.2.3", OTHER, "second") == NEW


def test_destinations_in_one_store_do_not_know_of_each_other(store: Store) -> None:
    one, two = (Ledger(store, Policy.UID_THEN_SHA256, scope=scope) for scope in ("one#", "two#"))
    arrive(one, "1.2.3", ONE)
    assert two.claim("1.2.3", OTHER, "first") == NEW


def test_what_an_operator_decides_is_known_instead_of_what_was(store: Store) -> None:
    ledger = Ledger(store, Policy.UID_THEN_SHA256)
    arrive(ledger, "1.2.3", ONE)
    ledger.record("1.2.3", OTHER, "operator")
    assert ledger.claim("1.2.3", OTHER, "second") == DUPLICATE
    assert ledger.claim("1.2.3", ONE, "second") == CONFLICT


def test_a_claim_that_is_given_back_is_anybodys(store: Store) -> None:
    ledger = Ledger(store, Policy.UID_ONLY)
    assert ledger.claim("1.2.3", ONE, "first") == NEW
    ledger.release("1.2.3", ONE, "somebody else")
    assert ledger.claim("1.2.3", ONE, "second") == Claim(Finding.PENDING)
    ledger.release("1.2.3", ONE, "first")
    assert ledger.claim("1.2.3", OTHER, "second") == NEW
    ledger.confirm("1.2.3", OTHER, "second")
    ledger.release("1.2.3", OTHER, "second")
    assert ledger.claim("1.2.3", OTHER, "third") == DUPLICATE


@pytest.mark.parametrize("policy", Policy)
def test_concurrent_duplicates_become_one(policy: Policy, store: Store) -> None:
    ledger = Ledger(store, policy)
    with ThreadPoolExecutor(THREADS) as pool:
        claims = list(pool.map(lambda n: ledger.claim("1.2.3", ONE, str(n)).finding, range(4 * THREADS)))
    assert Counter(claims) == {Finding.NEW: 1, Finding.PENDING: 4 * THREADS - 1}


def test_processes_may_share_a_file(tmp_path: Path) -> None:
    """Two connections, as two processes have."""
    stores = [SqliteStore(tmp_path / "ledger") for _ in range(4)]
    ledgers = [Ledger(store, Policy.UID_ONLY) for store in stores]
    with ThreadPoolExecutor(THREADS) as pool:
        claims = list(pool.map(lambda n: ledgers[n % 4].claim("1.2.3", ONE, str(n)).finding, range(32)))
    assert Counter(claims)[Finding.NEW] == 1
    for store in stores:
        store.close()


def test_a_row_that_never_holds_still_is_a_reason_to_come_back() -> None:
    class Restless:
        def get(self, key: str) -> Row | None:
            return None

        def swap(self, key: str, before: Row | None, after: Row | None) -> bool:
            return False

        def together(self, steps: Sequence[Callable[[], T]]) -> list[T]:
            return [step() for step in steps]

    with pytest.raises(LedgerBusy):
        Ledger(Restless(), Policy.UID_ONLY).claim("1.2.3", ONE, "first")


@pytest.mark.parametrize("policy", Policy)
def test_who_confirmed_an_instance_is_told_so_when_it_asks_again(policy: Policy, store: Store) -> None:
    ledger = Ledger(store, policy)
    arrive(ledger, "1.2.3", ONE)
    assert ledger.claim("1.2.3", ONE, "first") == Claim(Finding.DONE)
    assert ledger.claim("1.2.3", ONE, "second") == DUPLICATE
    ledger.release("1.2.3", ONE, "first")
    assert ledger.claim("1.2.3", ONE, "second") == DUPLICATE


def test_steps_taken_together_are_each_as_if_alone(store: Store) -> None:
    ledger = Ledger(store, Policy.UID_THEN_SHA256)
    uids = [f"1.2.{n}" for n in range(20)]
    claims = ledger.together([partial(ledger.claim, uid, ONE, "first") for uid in [*uids, "1.2.0"]])
    assert Counter(claims) == {NEW: 21}
    ledger.together([partial(ledger.confirm, uid, ONE, "first") for uid in uids])
    again = ledger.together([partial(ledger.claim, uid, ONE, "second") for uid in uids])
    assert set(again) == {DUPLICATE}


def test_where_one_of_several_steps_fails_a_file_keeps_nothing_of_them(tmp_path: Path) -> None:
    def fail() -> None:
        raise ClaimLost("lost")

    opened = SqliteStore(tmp_path / "ledger.sqlite")
    with pytest.raises(ClaimLost):
        opened.together([lambda: opened.swap("a", None, Row(ONE)), fail])
    assert opened.get("a") is None
    opened.close()


def test_no_uid_stands_in_the_ledger(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger")
    arrive(Ledger(store, Policy.UID_ONLY), "1.2.840.99.1", ONE)
    store.close()
    assert all(b"1.2.840.99.1" not in path.read_bytes() for path in tmp_path.iterdir())


def _other_program(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE processed (uid TEXT)")
    database.close()


def _later_version(path: Path) -> None:
    SqliteStore(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_other_program, "another program"),
        (_later_version, "later version"),
        (lambda path: path.write_bytes(b"no database at all" * 100), "cannot be used"),
    ],
)
def test_a_file_that_is_no_ledger_of_ours_is_left_alone(
    make: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(InvalidRequest, match=said):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_ledger_outlives_its_process(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger")
    arrive(Ledger(store, Policy.SHA256_ONLY), "1.2.3", ONE)
    store.close()
    again = SqliteStore(tmp_path / "ledger")
    assert Ledger(again, Policy.SHA256_ONLY).claim("1.2.4", ONE, "second") == DUPLICATE
    again.close()


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_fi_28_a_clock_that_jumps_a_day_neither_loses_a_claim_nor_keeps_it_for_a_day(jump_s: float) -> None:
    moment = 1e9
    ledger = Ledger(MemoryStore(), Policy.UID_THEN_SHA256, now=lambda: moment)
    assert ledger.claim("1.2.3", "d" * 64, "first").finding is Finding.NEW
    moment += 60
    assert ledger.claim("1.2.3", "d" * 64, "second").finding is Finding.PENDING
    moment += jump_s
    ledger.confirm("1.2.3", "d" * 64, "first")
    assert ledger.claim("1.2.3", "d" * 64, "second").finding is Finding.DUPLICATE

    assert ledger.claim("1.2.4", "e" * 64, "killed").finding is Finding.NEW
    moment += jump_s
    assert ledger.claim("1.2.4", "e" * 64, "second").finding is Finding.NEW
