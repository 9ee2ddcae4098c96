"""Nothing goes before its destination commits to it, where that is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ponte_net import command
from router.action import read_action
from router.committing import Reports
from router.destinations import DicomNode, read_destinations
from router.savepoint import run_apart
from tests.factories import make_ct
from tests.told_scp import Conversation, Stored, told_scp
from tests.unit.router.forwarding import (
    all_in,
    dicom,
    forwarding,
    outstanding,
    receive,
    rows,
    states,
    wait_for,
)
from tests.unit.router.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


class Committer:
    """An SCP that stores, and takes requests for commitment. It reports when the test does."""

    def __init__(self, status: int = 0) -> None:
        self.status = status
        self.asked: list[tuple[str, list[str]]] = []

    def __call__(self, peer: Conversation) -> list[Stored]:
        asked = peer.accept()
        syntaxes = {one.context_id: one.transfer_syntaxes[0] for one in asked.contexts}
        taken = []
        while (stored := peer.message()) is not None:
            if stored.command[command.COMMAND_FIELD] == command.N_ACTION_RQ:
                wanted = read_action(stored.dataset, syntaxes[stored.context_id])
                if self.status == 0:
                    uids = [one.sop_instance_uid for one in wanted.references]
                    self.asked.append((wanted.transaction_uid, uids))
                stored.command[command.AFFECTED_SOP_CLASS_UID] = stored.command[
                    command.REQUESTED_SOP_CLASS_UID
                ]
                peer.answer(stored, self.status)
            else:
                taken.append(stored)
                peer.answer(stored)
        return taken


def reports(store: Store, port: int, **options: object) -> Reports:
    (node,) = read_destinations([dicom("pacs", port, **options)])
    assert isinstance(node, DicomNode)
    return Reports(store.committer, [node])


def test_what_is_committed_to_may_go_and_what_is_not_is_sent_again(store: Store) -> None:
    instances = [make_ct(number) for number in range(3)]
    first, second, third = (str(one.SOPInstanceUID) for one in instances)
    receive(store, instances)
    peer = Committer()
    with told_scp(peer) as scp, forwarding(store, dicom("pacs", scp.port, commitment=True, linger_s=0)):
        wait_for(all_in(store, "pacs", "sent", 3), "sent")
        assert outstanding(store) == [True] * 3
        wait_for(lambda: peer.asked, "the request")
        ((transaction, uids),) = peer.asked
        assert uids == [first, second, third]
        assert reports(store, scp.port).reported(transaction, [first, third], {second: 0x0112})
        wait_for(lambda: states(store, "pacs") == ["committed", "sent", "committed"], "sent again")
        assert outstanding(store) == [False, True, False]
        wait_for(lambda: len(peer.asked) == 2, "asked again")
        assert peer.asked[1][1] == [second]
        assert reports(store, scp.port).reported(peer.asked[1][0], [second], {})
    assert outstanding(store) == [False] * 3
    assert rows(store, "pacs", "committed_at") > [(0,)] * 3


def test_what_a_report_does_not_name_stays_open_and_is_asked_for_again(store: Store) -> None:
    instances = [make_ct(number) for number in range(2)]
    receive(store, instances)
    peer = Committer()
    with told_scp(peer) as scp, forwarding(store, dicom("pacs", scp.port, commitment=True, linger_s=0)):
        wait_for(lambda: peer.asked, "the request")
        assert reports(store, scp.port).reported(peer.asked[0][0], [str(instances[0].SOPInstanceUID)], {})
        assert outstanding(store) == [False, True]
        wait_for(lambda: len(peer.asked) == 2, "asked again")
    assert peer.asked[1][1] == [instances[1].SOPInstanceUID]


def test_a_report_that_nobody_asked_for_commits_to_nothing(store: Store) -> None:
    receive(store, [make_ct(1)])
    with told_scp(Conversation.serve) as scp, forwarding(store, dicom("pacs", scp.port)):
        wait_for(all_in(store, "pacs", "sent", 1), "sent")
    run_apart(
        store.committer, lambda database: database.run("UPDATE deliveries SET wants_commitment = 1").rowcount
    )
    assert not reports(store, scp.port).reported("2.25.1", [str(make_ct(1).SOPInstanceUID)], {})
    assert states(store, "pacs") == ["sent"]
    assert outstanding(store) == [True]


def test_a_request_without_an_answer_is_made_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """I3: with an alarm."""
    receive(store, [make_ct(1)])
    peer = Committer()
    options = {"commitment": True, "linger_s": 0, "commitment_timeout_s": 0.5}
    with told_scp(peer) as scp, forwarding(store, dicom("pacs", scp.port, **options)):
        wait_for(lambda: len(peer.asked) >= 2, "asked again")
    assert peer.asked[0][0] != peer.asked[1][0]
    assert "NO_COMMITMENT" in {getattr(record, "alarm", None) for record in caplog.records}
    assert outstanding(store) == [True]


def test_a_peer_that_does_not_commit_is_an_alarm_and_nothing_goes(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    receive(store, [make_ct(1)])
    peer = Committer(status=0x0110)
    with told_scp(peer) as scp, forwarding(store, dicom("pacs", scp.port, commitment=True, linger_s=0)):
        wait_for(
            lambda: "COMMITMENT_REFUSED" in {getattr(record, "alarm", None) for record in caplog.records},
            "the alarm",
        )
    assert states(store, "pacs") == ["sent"]
    assert outstanding(store) == [True]
