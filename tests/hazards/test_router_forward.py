"""What is forwarded is forwarded truly: whatever a destination does, and whenever the router dies.

HAZARDS.md FI-06, FI-13 to FI-15, FI-26, NET-15. The invariants: I1, who was told Success finds the bytes
here or delivered; I2, nothing that is not whole is sent; I3, nothing is tried for ever without an alarm; I4,
nothing may be removed before the destination has it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from ponte_net import command
from router.database import Database
from tests.corpus import ROOT
from tests.factories import make_colour, make_ct
from tests.hazards.test_router_service import datasets, outgoing, running, send
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
from tests.unit.router.store import Store, dataset_of


def alarms(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.alarm for record in caplog.records if hasattr(record, "alarm")]


def uids(taken: list[Stored]) -> list[str]:
    return [command.text_of(one.command, command.AFFECTED_SOP_INSTANCE_UID) for one in taken]


@pytest.mark.parametrize("failpoint", ["answered", "answered:3", "confirmed"])
def test_killed_after_the_answer_it_sends_again_and_loses_nothing(failpoint: str, tmp_path: Path) -> None:
    """FI-06: the destination has what the rows do not know of; once more does no harm."""
    sent = [make_ct(number, series=1) for number in range(5)]
    store = Store(tmp_path)
    receive(store, sent)
    store.close()
    taken: list[Stored] = []
    child = "tests.unit.router.forwarding_child"
    with told_scp(recorder(taken)) as scp:
        command_line = [sys.executable, "-m", child, str(tmp_path), str(scp.port)]
        environment = {**os.environ, "FAILPOINT": failpoint, "PYTHONPATH": os.pathsep.join(sys.path)}
        killed = subprocess.run(command_line, env=environment, cwd=ROOT, timeout=60, check=False)
        assert killed.returncode == 137
        store = Store(tmp_path)
        before = states(store, "pacs")
        assert "committed" not in before
        assert failpoint == "confirmed" or "sent" not in before
        assert all(need for need, state in zip(outstanding(store), before, strict=True) if state != "sent")
        with forwarding(store, dicom("pacs", scp.port)):
            wait_for(all_in(store, "pacs", "sent", 5), "all sent")
        assert outstanding(store) == [False] * 5
        store.close()
    assert set(uids(taken)) == {one.SOPInstanceUID for one in sent}
    contents = {hashlib.sha256(one.dataset).hexdigest() for one in taken}
    assert contents == {hashlib.sha256(dataset_of(one)).hexdigest() for one in sent}


def test_a_duplicate_of_what_was_sent_before_the_kill_counts_as_sent(tmp_path: Path) -> None:
    """FI-06, at a destination that says 0x0111 to what it has."""
    store = Store(tmp_path)
    receive(store, [make_ct(1)])
    with told_scp(lambda peer: peer.serve(0xA700)) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(lambda: rows(store, "pacs", "attempts") > [(0,)], "an attempt")
    assert states(store, "pacs") == ["waiting"]
    with told_scp(lambda peer: peer.serve(0x0111)) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "refused", 1), "refused: A700 was no success that could be lost")
    store.committer.run(lambda database: database.run("UPDATE deliveries SET state = 'sending'"))
    with told_scp(lambda peer: peer.serve(0x0111)) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "sent", 1), "sent")
    assert rows(store, "pacs", "status") == [(0x0111,)]
    store.close()


@pytest.mark.parametrize("is_made", [True, False])
def test_a_commit_of_which_nobody_knows_leaves_nothing_in_hand_for_good(
    is_made: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-10: the commit that took the first into hand, and one that noted what became of some, fail; whether
    they were made, SQLite does not say. All is sent without a new start, and nothing twice."""
    store = Store(tmp_path)
    receive(store, [make_ct(number) for number in range(8)])
    faults = failing_commits(monkeypatch, is_made=is_made)
    with told_scp(Conversation.serve) as scp, forwarding(store, dicom("pacs", scp.port, batch_instances=4)):
        wait_for(all_in(store, "pacs", "sent", 8), "sent")
    assert faults == ["sending", "sent"]
    assert len(scp.taken) == 8
    store.close()


def failing_commits(patch: pytest.MonkeyPatch, *, is_made: bool) -> list[str]:
    """Let the first commit fail with which a delivery is in hand, and that with which one is sent."""
    commit, faults = Database.commit, list[str]()

    def failing(database: Database) -> None:
        for state in ("sending", "sent"):
            if (
                state not in faults
                and database.run("SELECT 1 FROM deliveries WHERE state = ?", (state,)).fetchone()
            ):
                faults.append(state)
                if is_made:
                    commit(database)
                raise sqlite3.OperationalError("disk I/O error")
        commit(database)

    patch.setattr(Database, "commit", failing)
    return faults


@pytest.mark.parametrize(
    ("status", "state", "alarm"),
    [
        (0x0000, "sent", None),
        (0xB000, "sent", None),
        (0xA700, "waiting", "DELIVERY_FAILING"),
        (0xA900, "refused", "DELIVERY_REFUSED"),
        (0xC000, "refused", "DELIVERY_REFUSED"),
        (0x0124, "refused", "DELIVERY_REFUSED"),
    ],
)
def test_each_status_has_its_state_and_concerns_that_instance_alone(
    status: int, state: str, alarm: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FI-13: A7xx waits and is tried again, with an alarm (I3); A9xx and Cxxx are quarantined for this
    destination; Bxxx is a success with a note."""
    instances = [make_ct(number) for number in range(3)]
    odd = instances[1].SOPInstanceUID
    store = Store(tmp_path)
    receive(store, instances)

    def answer(peer: Conversation) -> list[Stored]:
        peer.accept()
        taken = []
        while (stored := peer.message()) is not None:
            taken.append(stored)
            peer.answer(stored, status if uids([stored]) == [odd] else 0)
        return taken

    with told_scp(answer) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(lambda: states(store, "pacs") == ["sent", state, "sent"], "the states")
        if alarm:
            wait_for(lambda: alarm in alarms(caplog), "the alarm")
    (row,) = rows(store, "pacs", "status", "detail", "sent_at")[1:2]
    assert row[0] == status
    assert bool(row[1]) == (status != 0)
    assert (row[2] is not None) == (state == "sent")
    assert outstanding(store) == [False, state != "sent", False]
    assert not any("CANARY" in record.getMessage() for record in caplog.records)
    store.close()


def test_what_was_refused_for_now_arrives_when_there_is_room(tmp_path: Path) -> None:
    """FI-13: A700, then A700, then Success."""
    store = Store(tmp_path)
    receive(store, [make_ct(1)])
    with (
        told_scp(lambda peer: peer.serve(0xA700), lambda peer: peer.serve(0xA701), Conversation.serve) as scp,
        forwarding(store, dicom("pacs", scp.port, linger_s=0)),
    ):
        wait_for(all_in(store, "pacs", "sent", 1), "sent")
    assert rows(store, "pacs", "attempts", "status") == [(3, 0)]
    store.close()


def test_a_peer_without_room_is_not_sent_everything_again_and_again(tmp_path: Path) -> None:
    """FI-13: where all is put off the destination gets a pause, and one instance at a time."""
    store = Store(tmp_path)
    receive(store, [make_ct(number) for number in range(20)])
    taken: list[Stored] = []

    def full(peer: Conversation) -> None:
        peer.accept()
        while (stored := peer.message()) is not None:
            taken.append(stored)
            peer.answer(stored, 0xA700)

    with told_scp(full) as scp, forwarding(store, dicom("pacs", scp.port, batch_instances=2)) as forwarder:
        wait_for(lambda: forwarder.lanes["pacs"].health.failures >= 4, "failures")
        assert len(taken) <= 2 + forwarder.lanes["pacs"].health.failures
    assert "sent" not in states(store, "pacs")
    with told_scp(Conversation.serve) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "sent", 20), "sent")
    store.close()


def abort_at_first(peer: Conversation) -> None:
    peer.accept()
    peer.message()


def refuse(peer: Conversation) -> None:
    peer.request()
    peer.sock.shutdown(2)


def hang(peer: Conversation) -> None:
    peer.accept()
    peer.message()
    peer.over.wait(30)


def half_open(peer: Conversation) -> None:
    peer.over.wait(30)


@pytest.mark.parametrize("trouble", [abort_at_first, refuse, hang, half_open])
def test_a_peer_in_trouble_gets_everything_when_it_is_well(trouble: object, tmp_path: Path) -> None:
    """FI-13: nothing counts as sent, nothing is refused; all arrives in the end."""
    store = Store(tmp_path)
    receive(store, [make_ct(number) for number in range(4)])
    with told_scp(trouble) as scp:  # type: ignore[arg-type]
        with forwarding(store, dicom("pacs", scp.port, timeout_s=0.3)) as forwarder:
            wait_for(lambda: forwarder.lanes["pacs"].health.failures >= 2, "failures")
        assert set(states(store, "pacs")) <= {"waiting", "sending"}
        assert outstanding(store) == [True] * 4
    with told_scp(Conversation.serve) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "sent", 4), "sent")
    store.close()


@pytest.mark.parametrize("poisonous", [{0}, {3}, {0, 1, 2}])
def test_an_instance_that_its_peer_cannot_survive_does_not_hold_up_the_others(
    poisonous: set[int], tmp_path: Path
) -> None:
    """FI-13: the peer aborts whenever it sees one of these."""
    instances = [make_ct(number) for number in range(6)]
    poison = {instances[number].SOPInstanceUID for number in poisonous}
    expected = ["waiting" if number in poisonous else "sent" for number in range(6)]
    store = Store(tmp_path)
    receive(store, instances)

    def die_of_it(peer: Conversation) -> None:
        peer.accept()
        while (stored := peer.message()) is not None:
            if uids([stored])[0] in poison:
                return
            peer.answer(stored)

    with told_scp(die_of_it) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(
            lambda: [one.replace("sending", "waiting") for one in states(store, "pacs")] == expected,
            "the others",
        )
    assert all(rows(store, "pacs", "attempts")[number] > (0,) for number in poisonous)
    store.close()


def test_a_context_that_is_refused_costs_only_its_own_instances(tmp_path: Path) -> None:
    """FI-14: the class of the colour picture is not accepted, in no syntax."""
    store = Store(tmp_path)
    receive(store, [make_ct(1), make_colour(1), make_ct(2)])

    def picky(peer: Conversation) -> list[Stored]:
        asked = peer.request()
        peer_accepts = {
            one.context_id: (0 if one.abstract_syntax.endswith("1.2") else 3, one.transfer_syntaxes[0])
            for one in asked.contexts
        }
        return _serve_with(peer, asked, peer_accepts)

    with told_scp(picky) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(lambda: states(store, "pacs") == ["sent", "refused", "sent"], "the states")
    assert "SOP class not supported" in rows(store, "pacs", "detail")[1][0]
    store.close()


def _serve_with(peer: Conversation, asked: object, results: dict[int, tuple[int, str]]) -> list[Stored]:
    from ponte_net import negotiation, pdu

    assert isinstance(asked, negotiation.Request)
    body = negotiation.accept(asked, results, max_pdu=16384, roles={})[6:]
    peer.wire.send([pdu.control(pdu.ASSOCIATE_AC, body)])
    peer.wire.longest = 16384
    taken = []
    while (stored := peer.message()) is not None:
        taken.append(stored)
        peer.answer(stored)
    return taken


def window_zero(peer: Conversation) -> None:
    """NET-15: it accepts, and never reads again."""
    peer.accept()
    peer.over.wait(60)


@pytest.mark.parametrize("trouble", [window_zero, half_open, None])
def test_one_that_is_dead_or_slow_holds_up_nobody_else(
    trouble: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """FI-15, NET-15: all arrives at the one that is well while the other has not taken a thing; and there is
    an alarm about that one (I3)."""
    store = Store(tmp_path)
    receive(store, [make_ct(number, size=512) for number in range(8)])
    with told_scp(trouble or half_open, receive_buffer=4096) as dead, told_scp(Conversation.serve) as alive:  # type: ignore[arg-type]
        port = dead.port if trouble else 1
        with forwarding(
            store, dicom("dead", port, timeout_s=1, concurrency=2), dicom("alive", alive.port)
        ) as forwarder:
            wait_for(all_in(store, "alive", "sent", 8), "sent")
            receive(store, [make_ct(100)])
            wait_for(all_in(store, "alive", "sent", 9), "sent, too")
            assert "sent" not in states(store, "dead")
            assert outstanding(store) == [True] * 9
            wait_for(lambda: "DESTINATION_DOWN" in alarms(caplog), "the alarm")
            assert forwarder.lanes["alive"].health.failures == 0
            assert queue(store, "dead").oldest_at is not None
    store.close()


def test_a_pause_after_failures_is_kept_and_grows_no_more_than_it_may(tmp_path: Path) -> None:
    """FI-13: a peer that refuses connections is not asked all the time."""
    store = Store(tmp_path)
    receive(store, [make_ct(1)])
    asked: list[float] = []

    def note(peer: Conversation) -> None:
        asked.append(time.monotonic())

    retry = {"first_s": 0.2, "longest_s": 0.4}
    with told_scp(note) as scp, forwarding(store, dicom("pacs", scp.port, retry=retry)):
        wait_for(lambda: len(asked) >= 7, "attempts")
    # each turn may connect twice, for the peer may have closed an association that was idle
    turns = [later - earlier for earlier, later in pairwise(asked) if later - earlier > 0.08]
    assert turns
    assert min(turns) >= 0.09
    store.close()


def test_after_days_without_a_link_the_oldest_go_first_within_their_priority(tmp_path: Path) -> None:
    """FI-26, and a queue that is rows, not memory."""
    store = Store(tmp_path)
    instances = [make_ct(number, Modality="MR" if number in (7, 9) else "CT") for number in range(12)]
    receive(store, instances)
    rules = [{"include": {"modality": ["MR"]}, "priority": 0}, {}]
    with forwarding(store, dicom("pacs", 1, rules=rules)) as forwarder:
        wait_for(lambda: forwarder.lanes["pacs"].health.failures >= 2, "failures")
    options = {"rules": rules, "batch_instances": 5}
    with told_scp(Conversation.serve) as scp, forwarding(store, dicom("pacs", scp.port, **options)):
        wait_for(all_in(store, "pacs", "sent", 12), "sent")
    expected = [instances[number].SOPInstanceUID for number in (7, 9, 0, 1, 2, 3, 4, 5, 6, 8, 10, 11)]
    assert uids(scp.taken) == expected
    store.close()


def test_told_to_stop_it_ends_what_is_in_hand_and_leaves_the_rest_for_the_next_start(tmp_path: Path) -> None:
    """FI-27, for forwarding."""
    store = Store(tmp_path)
    receive(store, [make_ct(number) for number in range(20)])
    begun = threading.Event()

    def slowly(peer: Conversation) -> list[Stored]:
        peer.accept()
        taken = []
        while (stored := peer.message()) is not None:
            begun.set()
            peer.over.wait(0.05)
            taken.append(stored)
            peer.answer(stored)
        return taken

    with told_scp(slowly) as scp:
        with forwarding(store, dicom("pacs", scp.port)) as forwarder:
            assert begun.wait(20)
            assert forwarder.stop(10)
        ended = states(store, "pacs")
        assert "sending" not in ended
        assert "waiting" in ended
        with forwarding(store, dicom("pacs", scp.port)):
            wait_for(all_in(store, "pacs", "sent", 20), "sent")
    assert len(scp.taken) == 20
    store.close()


def test_nothing_of_a_patient_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    receive(store, [make_ct(1)])
    caplog.set_level(logging.DEBUG)
    with told_scp(lambda peer: peer.serve(0xC000)) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "refused", 1), "refused")
    for record in caplog.records:
        text = f"{record.getMessage()} {record.__dict__}"
        assert "CANARY" not in text
        assert "CANARIO" not in text
    store.close()


@pytest.mark.parametrize("failpoint", ["answered:4", "confirmed", "removal-removed:3"])
def test_the_whole_router_killed_on_the_way_delivers_everything_and_only_then_lets_go(
    failpoint: str, tmp_path: Path
) -> None:
    """FI-06, FI-07, I1, I4: as a process, from the modality to the destination and off the disk."""
    root = tmp_path / "root"
    instances = [outgoing(number) for number in range(10)]
    stored: set[str] = set()
    taken: list[Stored] = []
    with told_scp(recorder(taken)) as scp:
        settings = f"studies: {{quiet_s: 1}}\ntarget: {{port: {scp.port}, ae_title: PACS}}\n"
        with running(root, failpoint=failpoint, settings=settings) as router:
            send(router.port, instances, stored)
            wait_for(lambda: not router.is_running, "its death")
            assert router.wait() == 137
        with running(root, settings=settings) as router:

            def all_is_sent() -> bool:
                send(router.port, [one for one in instances if one.sop_instance_uid not in stored], stored)
                return {*uids(taken)} == {one.sop_instance_uid for one in instances}

            wait_for(all_is_sent, "everything at the destination")
            wait_for(lambda: not list((root / ".spool/kept").rglob("*.dcm")), "nothing left here")
            wait_for(lambda: _metadata(root) == [(True, 10)], "the metadata say so")
            router.end()
            assert router.wait() == 0
    known = datasets(*instances)
    assert all(one.dataset == known[uids([one])[0]] for one in taken)


def _metadata(root: Path) -> list[tuple[bool, int]]:
    studies = json.loads((root / ".metadata.json").read_text(encoding="ascii"))
    return [(study["sent"], study["image_count"]) for study in studies.values()]
