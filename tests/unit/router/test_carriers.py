"""Carriers: what they ask, what becomes of it, and what follows where one is gone."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from pydicom.dataset import FileDataset

from infra.local.process import wait_for
from ponte.errors import TransientError
from ponte.quarantine import FolderQuarantine
from ponte_net import command, pdu
from router import carriers as module
from router.access import Slot
from router.carrier import DoorHandler
from router.carriers import Carriers
from router.channel import Channel
from router.committer import NotCommitted
from router.counters import Counters
from router.door import Door
from router.listener import Endpoint
from router.reception import OUT_OF_RESOURCES, PROCESSING_FAILURE, SUCCESS, Asked, Referenced
from router.remote import RemoteIntake, RemotePlace
from router.scp import ConnectionLimits
from router.spool import Spool
from router.stem import Stem
from tests.carriers import NO_LIMITS, Shared, Threads, carriers
from tests.factories import make_ct
from tests.memory_intake import LOOPBACK, RawPeer, command_pdu, data_pdu, store_request
from tests.unit.router.store import FACTS, LITTLE, Store, dataset_of


@contextmanager
def carried(root: Path, processes: int = 2, **options: Any) -> Iterator[tuple[Store, Carriers, Threads]]:
    store = Store(root)
    found = carriers(
        store.intake, (Endpoint(0, LOOPBACK, "ct"),), Shared(), root=root, processes=processes, **options
    )
    stem = found._stem
    assert isinstance(stem, Threads)
    found.start()
    try:
        yield store, found, stem
    finally:
        assert found.stop(0)
        store.close()


def sent(peer: RawPeer, instance: FileDataset) -> int:
    """The status."""
    peer.send(command_pdu(store_request(instance.SOPInstanceUID)), data_pdu(dataset_of(instance)))
    status = peer.answer()[command.STATUS]
    assert isinstance(status, int)
    return status


def end(stem: Threads, number: int) -> None:
    """As a kill does: its door is shut from within."""
    stem.doors[number]._socket.shutdown(socket.SHUT_RDWR)


def test_connections_go_where_there_are_fewest_and_places_are_those_of_all(tmp_path: Path) -> None:
    limits = ConnectionLimits(associations=3, associations_per_address=3)
    with carried(tmp_path, connections=limits) as (store, found, _):
        peers = [RawPeer(found.ports[0]) for _ in range(3)]
        for peer in peers:
            peer.associate()
        assert sorted(carrier.connections for carrier in found._carriers) == [1, 2]
        with RawPeer(found.ports[0]) as fourth:
            assert fourth.pdu() == (pdu.ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
        wait_for(lambda: len(store.intake.live.snapshot()) == 3, timeout_s=20, msg="not all are shown")
        peers[0].release()
        wait_for(lambda: found.open_associations == 2, timeout_s=20, msg="the place is not free")
        with RawPeer(found.ports[0]) as another:
            another.associate()
            another.release()
        for peer in peers:
            peer.sock.close()


def test_the_same_instance_from_two_carriers_at_once_is_kept_once(tmp_path: Path) -> None:
    """And of two contents under one UID one is kept, the other put into quarantine."""
    with carried(tmp_path) as (store, found, _):
        with RawPeer(found.ports[0]) as one, RawPeer(found.ports[0]) as other:
            one.associate()
            other.associate()
            for number in range(5):
                same = number % 2 == 0
                instances = make_ct(number), make_ct(number, size=64 if same else 32)
                assert at_once([(one, instances[0]), (other, instances[1])]) == [SUCCESS, SUCCESS]
            one.release()
            other.release()
        assert store.count() == 5
        assert store.quarantined() == ["UID_CONFLICT", "UID_CONFLICT"]
        rows = store.committer.run(lambda database: database.run("SELECT reason FROM quarantined").fetchall())
        assert rows == [("UID_CONFLICT",)] * 2


def at_once(sending: list[tuple[RawPeer, FileDataset]]) -> list[int]:
    statuses, together = [-1] * len(sending), Barrier(len(sending))

    def send(number: int, peer: RawPeer, instance: FileDataset) -> None:
        together.wait()
        statuses[number] = sent(peer, instance)

    threads = [Thread(target=send, args=(number, *one)) for number, one in enumerate(sending)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test_what_cannot_be_committed_is_no_success_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with carried(tmp_path) as (store, found, _), RawPeer(found.ports[0]) as peer:
        peer.associate()
        with monkeypatch.context() as patch:
            patch.setattr(store.spool, "_keep", lambda partials: os.fsync(-1))
            assert sent(peer, make_ct(1)) == OUT_OF_RESOURCES
        assert store.files() == []
        assert sent(peer, make_ct(1)) == SUCCESS
        peer.release()


def test_a_carrier_that_is_gone_loses_its_peers_and_another_follows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with carried(tmp_path) as (store, found, stem):
        with RawPeer(found.ports[0]) as lost, RawPeer(found.ports[0]) as other:
            lost.associate()
            other.associate()
            assert sent(lost, make_ct(1)) == SUCCESS
            end(stem, 0)
            wait_for(lambda: len(stem.doors) == 3, timeout_s=20, msg="none follows")
            assert sent(other, make_ct(2)) == SUCCESS
            other.release()
        wait_for(lambda: len(found.pids) == 2, timeout_s=20, msg="it does not start")
        assert "CARRIER_LOST" in {vars(record).get("alarm") for record in caplog.records}
        assert store.count() == 2


def test_one_that_is_killed_while_all_are_ending_did_not_end(tmp_path: Path) -> None:
    with carried(tmp_path) as (_, found, stem), RawPeer(found.ports[0]) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()), data_pdu(bytes(1000), last=False))
        ended: list[bool] = []
        stopping = Thread(target=lambda: ended.append(found.stop(20)))
        stopping.start()
        wait_for(lambda: len(found._carriers) == 1, timeout_s=20, msg="the idle one does not end")
        end(stem, 0)
        stopping.join(20)
        assert ended == [False]
        found._all_ended = True


def test_those_that_do_not_last_follow_each_other_ever_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, the next after a pause, which doubles. Meanwhile peers are told to come again."""
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 40.0)
    with carried(tmp_path, processes=1) as (_, found, stem):
        end(stem, 0)
        wait_for(lambda: len(stem.doors) == 2, timeout_s=20, msg="none follows")
        wait_for(lambda: len(found.pids) == 1, timeout_s=20, msg="it does not start")
        end(stem, 1)
        wait_for(lambda: not found.pids, timeout_s=20, msg="it is there still")
        with RawPeer(found.ports[0]) as peer:
            assert peer.pdu() == (pdu.ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
        wait_for(lambda: not found.open_associations, timeout_s=20, msg="it keeps its place")
        (due,) = found._due
        assert 20 < due - time.monotonic() <= 40
        assert found._pause_s == 60


def test_a_connection_for_which_a_carrier_has_no_file_left_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FI-12: the kernel leaves out what there is no room for; the carrier goes on."""
    with carried(tmp_path, processes=1) as (store, found, _):
        say = Door.say

        def say_less(door: Door, *packet: Any, files: Sequence[int] = (), wait: bool = True) -> None:
            say(door, *packet, files=files[:1], wait=wait)

        with monkeypatch.context() as patch:
            patch.setattr(Door, "say", say_less)
            with RawPeer(found.ports[0]) as peer:
                assert peer.ends() == []
        wait_for(lambda: not found.open_associations, timeout_s=20, msg="it keeps its place")
        with RawPeer(found.ports[0]) as peer:
            peer.associate()
            assert sent(peer, make_ct(1)) == SUCCESS
            peer.release()
        assert store.count() == 1


def test_carriers_that_cannot_start_keep_the_router_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    found = carriers(store.intake, (Endpoint(0, LOOPBACK),), Counters(), root=tmp_path)
    monkeypatch.setattr(Threads, "_run", lambda stem, door, intake_of: door.close())
    with pytest.raises(TransientError, match="do not start"):
        found.start()
    assert found.ports == []
    store.close()


def test_only_files_of_its_own_get_a_place(tmp_path: Path) -> None:
    """A carrier that names what another receives is heard no more."""
    instance = make_ct(1)
    with carried(tmp_path) as (store, found, _):
        for carrier in found._carriers:
            carrier.mark = "-another"
        with RawPeer(found.ports[0]) as peer:
            peer.associate()
            assert sent(peer, instance) == OUT_OF_RESOURCES
        assert store.count() == 0
        assert store.files() == []


def remote(root: Path) -> tuple[RemoteIntake, Channel, socket.socket]:
    """An intake whose first process is a socket of the test's."""
    ours, theirs = socket.socketpair()
    channel, spool = Channel(ours), Spool(root)
    spool.make()
    return RemoteIntake(channel, spool, FolderQuarantine(root), Counters(), NO_LIMITS), channel, theirs


@pytest.mark.parametrize(
    "answers", [b"", b'\0\0\0\x0c{"Answer":[]}', b"\0\0\0\5noise", b'\0\0\0\x0d{"Failed":[]}']
)
def test_without_word_from_the_first_process_nothing_is_a_success(answers: bytes, tmp_path: Path) -> None:
    intake, channel, other = remote(tmp_path)
    instance = make_ct(1)
    reception = intake.begin(Asked(FACTS, instance.SOPClassUID, instance.SOPInstanceUID, LITTLE))
    reception.write(dataset_of(instance))
    other.sendall(answers)
    other.shutdown(socket.SHUT_WR)
    assert reception.finish() == OUT_OF_RESOURCES
    assert list(Spool(tmp_path).incoming.iterdir()) == []
    assert intake.refuses_associations() == "stopping"
    intake.association_opened(FACTS)
    intake.association_closed(FACTS, "lost")
    assert intake.commitment_asked(FACTS, "1.2.9", [Referenced("1.2", "1.3")]) == PROCESSING_FAILURE
    assert intake.commitment_reported("1.2.9", ["1.3"], {}) == PROCESSING_FAILURE
    with other:
        slot = Slot("192.0.2.7", other)
        place = RemotePlace(channel)
        assert not place.associate(slot)
        place.give_back(slot)


def test_log_records_go_through_the_door_with_known_keys_alone(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = Door.pair()
    record = logging.LogRecord("router.intake", logging.ERROR, "", 0, "instance refused", (), None)
    record.__dict__ |= {"alarm": "QUARANTINED", "patient_name": "DOE^JANE"}
    DoorHandler(Door(theirs)).emit(record)
    heard = ours.hear(5)
    assert heard is not None
    (kind, *values), _ = heard
    with caplog.at_level("INFO"):
        module._log(*values)
    (found,) = caplog.records
    assert (kind, found.name, found.levelname, found.message) == (
        "logged", "router.intake", "ERROR", "instance refused",
    )  # fmt: skip
    assert vars(found)["alarm"] == "QUARANTINED"
    assert found.created == pytest.approx(record.created)
    assert "patient_name" not in vars(found)
    theirs.close()
    DoorHandler(ours).emit(record)  # nobody is there
    ours.close()


def test_what_was_counted_is_taken_once() -> None:
    counters = Counters()
    counters.add("a", 2, listener="104")
    counters.add("b")
    assert sorted(counters.take()) == [("a", {"listener": "104"}, 2), ("b", {}, 1)]
    assert counters.take() == []


def test_carriers_are_processes_that_say_what_they_count(tmp_path: Path) -> None:
    """Those of `ponte router run`: the stem, its carriers, their counters and their end."""
    store, counters = Store(tmp_path), Counters()
    settings = carriers(store.intake, (Endpoint(0, LOOPBACK),), counters, root=tmp_path)._settings
    found = Carriers(
        settings, store.intake, processes=2, stem=Stem(settings), connections=ConnectionLimits(),
        counters=counters,
    )  # fmt: skip
    found.start()
    pids = found.pids
    with RawPeer(found.ports[0]) as peer:
        peer.associate()
        assert sent(peer, make_ct(1)) == SUCCESS
        peer.release()
    assert found.stop(5)
    store.close()
    assert len(set(pids)) == 2
    assert not any(Path("/proc", str(pid)).exists() for pid in pids)
    assert counters.value("ponte_instances_total", settlement="kept") == 1
    assert counters.value("ponte_associations_ended_total", how="released") == 1


def test_a_committer_that_is_far_says_why_it_did_not(tmp_path: Path) -> None:
    intake, channel, other = remote(tmp_path)
    other.close()
    with pytest.raises(NotCommitted, match="gone"):
        intake.committer.close_association("a1", "lost", 0)
    channel.close()
