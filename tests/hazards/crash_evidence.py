"""What a dead router left, seen from outside: its files, and a copy of its rows, none of which is touched.

I1: what a modality saw Success for is in the spool, or at every destination, byte for byte. I2: nothing that
is not whole was sent. I3: what fails again and again, and what was refused, is an alarm in the log. I4: what
is not in the spool any more is at every destination. And: a row says `sent` of nothing that its destination
did not say that it has; nothing has two rows; a destination got nothing twice but what was in hand at a kill.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ponte.scan import scan
from router.forwarder import ALARM_ATTEMPTS
from tests.hazards.crash_peers import DUPLICATE_UID, Archive

Log = Sequence[Mapping[str, object]]
_SETTLED_BADLY = {"refused": "DELIVERY_REFUSED", "given_up": "DELIVERY_GIVEN_UP"}


@dataclass(frozen=True)
class Delivery:
    """A row: what became of an instance at a destination."""

    number: int
    uid: str
    destination: str
    state: str
    attempts: int


@dataclass
class Evidence:
    """`files` are the digests of what is kept, by UID; `receptions` how many rows each UID has."""

    files: dict[str, list[str]] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    receptions: Counter[str] = field(default_factory=Counter)
    kept_rows: Counter[str] = field(default_factory=Counter)

    def sent(self, destination: str) -> set[str]:
        """The UIDs of which a row says so."""
        return {one.uid for one in self.deliveries if (one.destination, one.state) == (destination, "sent")}

    def in_hand(self, destination: str) -> set[str]:
        return {
            one.uid for one in self.deliveries if (one.destination, one.state) == (destination, "sending")
        }


def gather(root: Path) -> Evidence:
    """Of a router that does not run."""
    found = Evidence()
    for path in (root / ".spool/kept").rglob("*.dcm"):
        verdict = scan([path.read_bytes()])
        assert verdict.accepted, "what is kept is not whole"
        assert verdict.sop_instance_uid
        assert verdict.sha256
        found.files.setdefault(verdict.sop_instance_uid, []).append(verdict.sha256)
    for uid, state in _rows(root, "SELECT sop_instance_uid, state FROM instances"):
        found.receptions[uid] += 1
        found.kept_rows[uid] += state == "kept"
    query = (
        "SELECT number, sop_instance_uid, destination, d.state, attempts"
        " FROM deliveries d JOIN instances i USING (number)"
    )
    found.deliveries = [Delivery(*row) for row in _rows(root, query)]
    return found


def _rows(root: Path, query: str) -> list[Any]:
    """Of a copy: to open the database itself would change it."""
    with tempfile.TemporaryDirectory(prefix="ponte-crash-") as folder:
        for name in ("router.db", "router.db-wal"):
            if (root / ".spool" / name).exists():
                shutil.copy(root / ".spool" / name, folder)
        with closing(sqlite3.connect(Path(folder, "router.db"))) as copy:
            return copy.execute(query).fetchall()


def check(
    found: Evidence,
    known: Mapping[str, str],
    acknowledged: Collection[str],
    archives: Mapping[str, Archive],
    log: Log,
) -> None:
    """Right after the kill, or the end. `known` are the digests of all that was sent, by UID."""
    for uid in acknowledged:
        is_here = known[uid] in found.files.get(uid, [])
        is_there = all(archive.answered(uid) for archive in archives.values())
        assert is_here or is_there, "I1, I4: an acknowledged instance is neither here nor at each destination"
    for uid, digests in found.files.items():
        assert known.get(uid) in digests, "I2: what is kept is not what was sent"
        assert set(digests) == {known[uid]}
    for name, archive in archives.items():
        ledger = list(archive.ledger)
        assert all(known.get(one.uid) == one.digest for one in ledger), "I2: what was sent on is not whole"
        has = {one.uid for one in ledger if one.status in (0, DUPLICATE_UID)}
        assert found.sent(name) <= has, "a row says sent of what the destination never said it has"
    twice = [uid for uid, count in found.kept_rows.items() if count > 1]
    assert not twice, "an instance is kept twice"
    _check_alarms(found, log)


def _check_alarms(found: Evidence, log: Log) -> None:
    """I3."""
    raised = {(line.get("alarm"), line.get("number")) for line in log}
    for one in found.deliveries:
        if one.state in _SETTLED_BADLY:
            assert (_SETTLED_BADLY[one.state], one.number) in raised, f"I3: {one.state} without an alarm"
        if one.state == "waiting" and one.attempts > ALARM_ATTEMPTS:
            assert ("DELIVERY_FAILING", one.number) in raised, "I3: tried again and again without an alarm"


def sent_again(found: Evidence, archives: Mapping[str, Archive], in_hand: Mapping[str, set[str]]) -> int:
    """How many instances destinations were given again though they had said that they have them. Each must
    have been in hand when the router was killed, or have come again after it was removed."""
    total = 0
    for name, archive in archives.items():
        for uid, receptions in found.receptions.items():
            again = len(archive.answered(uid)) - 1
            allowed = receptions - 1 + (uid in in_hand[name])
            assert again <= allowed, "sent again, and it was not in hand at the kill"
            total += max(0, again)
    return total
