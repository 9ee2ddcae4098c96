"""What the SCP negotiates and answers, and how it stops."""

from __future__ import annotations

import threading
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from infra.local.process import wait_for
from ponte.errors import DestinationUnavailable, InvalidRequest
from ponte_net import command, negotiation, pdu
from ponte_net.contexts import ECHO, Kind
from ponte_net.negotiation import Role
from ponte_net.scu import Peer, Scu
from router.access import STORAGE_COMMITMENT, Access, AccessRules
from router.listener import Endpoint
from router.reception import Referenced
from router.scp import Scp
from tests import memory_intake
from tests.memory_intake import (
    CT,
    CT_EXPLICIT,
    EXPLICIT,
    LOOPBACK,
    MemoryIntake,
    RawPeer,
    command_pdu,
    data_pdu,
    quick,
    served,
    store_request,
)

IMPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
COMMITMENT = Kind(STORAGE_COMMITMENT, IMPLICIT)
DATA = bytes(range(256)) * 300


@pytest.fixture(params=[1, 2], autouse=True)
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All of it by one process, and by carriers."""
    monkeypatch.setattr(memory_intake, "PROCESSES", request.param)
    return int(request.param)


@pytest.mark.parametrize(
    "sop_class",
    [
        CT,
        "1.2.840.10008.5.1.4.1.1.6",  # retired
        "1.2.840.10008.5.1.4.38.1",  # a hanging protocol
        "1.2.840.10008.5.1.4.1.1.9999",  # newer than this
        "1.3.12.2.1107.5.9.1",  # private: Siemens CSA
        "1.2.840.10008.1.1",
        STORAGE_COMMITMENT,
    ],
)
def test_whatever_can_be_stored_is_accepted(sop_class: str) -> None:
    with served() as running, RawPeer(running.port) as peer:
        kind = Kind(sop_class, EXPLICIT)
        assert kind in peer.associate(kind).contexts
        peer.release()


@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.840.10008.5.1.4.1.2.2.1",  # a query
        "1.2.840.10008.5.1.4.1.2.1.3",  # retrieval
        "1.2.840.10008.5.1.4.31",  # the worklist
        "1.2.840.10008.3.1.2.3.3",  # MPPS
        "1.2.840.10008.5.1.1.9",  # print
    ],
)
def test_what_is_no_storage_is_not(sop_class: str) -> None:
    with served() as running, RawPeer(running.port) as peer:
        kind = Kind(sop_class, EXPLICIT)
        assert peer.associate(kind).rejected == {kind: "SOP class not supported"}
        peer.release()


def test_the_dataset_is_handed_on_with_who_sent_it_and_how() -> None:
    with served(endpoints=[Endpoint(0, LOOPBACK, "ct room")]) as running:
        with RawPeer(running.port, source="127.0.0.7") as peer:
            peer.associate(CT_EXPLICIT, Kind(CT, DEFLATED), calling="CT1", called="ANY-SCP")
            peer.send(command_pdu(store_request("1.2.3"), 3), data_pdu(DATA, 3))
            answer = peer.answer()
            peer.release()
        running.settled()
    ((asked, data),) = running.intake.kept
    assert data == DATA
    assert (asked.sop_class_uid, asked.sop_instance_uid, asked.transfer_syntax_uid) == (CT, "1.2.3", DEFLATED)
    facts = asked.association
    assert (facts.calling_ae_title, facts.called_ae_title) == ("CT1", "ANY-SCP")
    assert (facts.address, facts.listener, facts.tls_subject) == ("127.0.0.7", "ct room", None)
    assert running.intake.endings == ["released"]
    assert answer == {
        command.AFFECTED_SOP_CLASS_UID: CT,
        command.COMMAND_FIELD: command.C_STORE_RSP,
        command.MESSAGE_ID_RESPONDED_TO: 1,
        command.DATA_SET_TYPE: command.NO_DATA_SET,
        command.STATUS: 0,
        command.AFFECTED_SOP_INSTANCE_UID: "1.2.3",
    }


@pytest.mark.parametrize("max_pdu", [0, 4096, 16384, 1 << 20])
def test_pdus_may_be_as_long_as_was_said(max_pdu: int) -> None:
    with served(**quick(max_pdu_bytes=max_pdu)) as running, RawPeer(running.port) as peer:
        assert peer.associate().max_pdu == max_pdu
        length = max_pdu or 3 << 20
        data = bytes(length - 6)
        peer.send(command_pdu(store_request()))
        peer.send(b"\4\0", length.to_bytes(4, "big"), (length - 4).to_bytes(4, "big"), b"\1\2", data)
        assert peer.answer()[command.STATUS] == 0
        peer.release()
    assert running.intake.datasets == [data]


def test_answers_keep_to_what_the_peer_takes_at_a_time() -> None:
    with served() as running, RawPeer(running.port) as peer:
        request = negotiation.request(calling="T", called="P", kinds=[CT_EXPLICIT], max_pdu=128)
        peer.send(request)
        assert peer.pdu()[0] == pdu.ASSOCIATE_AC
        peer.send(command_pdu(store_request("1." + "2" * 62)), data_pdu(DATA))
        bodies: list[bytes] = []
        while not bodies or not bodies[-1][5] & 2:
            bodies.append(peer.pdu()[1])
        assert len(bodies) > 1
        assert all(len(body) <= 128 for body in bodies)
        answer = command.decode(b"".join(body[6:] for body in bodies))
        assert answer[command.STATUS] == 0
        peer.release()


def test_who_takes_next_to_nothing_at_a_time_is_rejected() -> None:
    with served() as running, RawPeer(running.port) as peer:
        peer.send(negotiation.request(calling="T", called="P", kinds=[CT_EXPLICIT], max_pdu=20))
        assert peer.pdu()[0] == pdu.ASSOCIATE_RJ


@pytest.mark.parametrize(
    ("role", "answered", "accepted"),
    [
        (Role(True, True), Role(True, False), True),
        (Role(True, False), Role(True, False), True),
        (Role(False, True), Role(False, False), False),
    ],
)
def test_a_role_is_answered_as_far_as_we_can_be_in_it(role: Role, answered: Role, accepted: bool) -> None:
    """PS3.7 D.3.3.4: we are SCP, of storage and of commitment."""
    with served() as running, RawPeer(running.port) as peer:
        peer.send(peer.request(roles={CT: role, "1.2.3.4": role}))
        kind, body = peer.pdu()
        assert kind == pdu.ASSOCIATE_AC
        assert negotiation.read_request(body).roles == {CT: answered}
        assert (CT_EXPLICIT in negotiation.read_answer(body, [CT_EXPLICIT]).contexts) == accepted
        peer.release()


def test_other_negotiation_is_not_answered() -> None:
    """Asynchronous operations, user identity, extended negotiation: PS3.7 D.3.3.3, D.3.3.5, D.3.3.7."""
    further = b"\x53\0\0\4\0\5\0\5" + b"\x58\0\0\x0a\1\1\0\4user\0\0" + b"\x56\0\0\4\0\1\x31\2"
    with served() as running, RawPeer(running.port) as peer:
        whole = bytearray(peer.request())
        at = whole.index(b"\x50\0", 74)
        whole[at + 2 : at + 4] = (int.from_bytes(whole[at + 2 : at + 4], "big") + len(further)).to_bytes(
            2, "big"
        )
        peer.send(pdu.control(pdu.ASSOCIATE_RQ, bytes(whole[6:]) + further))
        kind, body = peer.pdu()
        assert kind == pdu.ASSOCIATE_AC
        items = [item for item, _ in negotiation._items(body[68:])]
        user = next(content for item, content in negotiation._items(body[68:]) if item == 0x50)
        assert items == [0x10, 0x21, 0x50]
        assert [item for item, _ in negotiation._items(user)] == [0x51, 0x52, 0x55]
        peer.release()


@pytest.mark.parametrize(
    ("change", "rejection"),
    [
        ((6, b"\0\2"), (1, 2, 2)),
        ((78, b"1.2.840.10008.3.1.1.2"), (1, 1, 2)),
    ],
)
def test_another_protocol_is_rejected(change: tuple[int, bytes], rejection: tuple[int, int, int]) -> None:
    with served() as running, RawPeer(running.port) as peer:
        whole = bytearray(peer.request())
        at, value = change
        whole[at : at + len(value)] = value
        peer.send(bytes(whole))
        assert peer.pdu() == (pdu.ASSOCIATE_RJ, bytes((0, *rejection)))


@pytest.mark.parametrize(("why", "reason"), [("disk", 2), ("queue", 1), ("stopping", 1)])
def test_when_nothing_can_be_kept_associations_are_rejected_for_now_and_echoes_are_not(
    why: str, reason: int
) -> None:
    intake = MemoryIntake(refuses=why)
    with served(intake) as running:
        Scu(Peer(LOOPBACK, running.port, "PONTE")).check()
        for kinds in ((CT_EXPLICIT,), (CT_EXPLICIT, ECHO)):
            with RawPeer(running.port) as peer:
                peer.send(peer.request(*kinds))
                assert peer.pdu() == (pdu.ASSOCIATE_RJ, bytes((0, 2, 3, reason)))
        intake.refuses = None
        with RawPeer(running.port) as peer:
            peer.associate()
            peer.release()


def action_data(references: list[tuple[str, str]], *, implicit: bool = True) -> bytes:
    dataset = Dataset()
    dataset.TransactionUID = "1.2.9"
    dataset.ReferencedSOPSequence = [Dataset() for _ in references]
    for item, (sop_class, instance) in zip(dataset.ReferencedSOPSequence, references, strict=True):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    writer = DicomIO(stream := BytesIO())
    writer.is_little_endian, writer.is_implicit_VR = True, implicit
    write_dataset(writer, dataset)
    return stream.getvalue()


def action_request(**changes: Any) -> bytes:
    elements: dict[int, Any] = {
        command.REQUESTED_SOP_CLASS_UID: STORAGE_COMMITMENT,
        command.COMMAND_FIELD: command.N_ACTION_RQ,
        command.MESSAGE_ID: 5,
        command.DATA_SET_TYPE: command.DATA_SET,
        command.REQUESTED_SOP_INSTANCE_UID: "1.2.840.10008.1.20.1.1",
        command.ACTION_TYPE_ID: 1,
    }
    elements |= {getattr(command, name): value for name, value in changes.items()}
    return command.encode({element: value for element, value in elements.items() if value is not None})


@pytest.mark.parametrize("kind", [COMMITMENT, Kind(STORAGE_COMMITMENT, EXPLICIT)])
def test_storage_commitment_is_taken_down_and_answered_at_once(kind: Kind) -> None:
    """PS3.4 J.3.2."""
    references = [(CT, f"1.2.3.{number}") for number in range(2000)]
    with served() as running, RawPeer(running.port) as peer:
        peer.associate(kind)
        data = action_data(references, implicit=kind == COMMITMENT)
        peer.send(command_pdu(action_request()), data_pdu(data))
        answer = peer.answer()
        peer.release()
    assert answer == {
        command.AFFECTED_SOP_CLASS_UID: STORAGE_COMMITMENT,
        command.COMMAND_FIELD: 0x8130,
        command.MESSAGE_ID_RESPONDED_TO: 5,
        command.DATA_SET_TYPE: command.NO_DATA_SET,
        command.STATUS: 0,
        command.AFFECTED_SOP_INSTANCE_UID: "1.2.840.10008.1.20.1.1",
        command.ACTION_TYPE_ID: 1,
    }
    assert running.intake.commitments == [("1.2.9", tuple(Referenced(*one) for one in references))]


@pytest.mark.parametrize(
    ("changes", "data", "status"),
    [
        ({"ACTION_TYPE_ID": 2}, action_data([(CT, "1.2.3")]), 0x0123),
        ({"REQUESTED_SOP_INSTANCE_UID": "1.2.3"}, action_data([(CT, "1.2.3")]), 0x0112),
        ({}, action_data([(CT, "1.2.3")])[:-3], 0x0115),
        ({}, b"noise" * 100, 0x0115),
        ({}, bytes(17 << 20), 0x0110),
    ],
)
def test_a_request_that_cannot_be_is_answered_and_not_taken_down(
    changes: dict[str, Any], data: bytes, status: int
) -> None:
    with served() as running, RawPeer(running.port) as peer:
        peer.associate(COMMITMENT)
        peer.send(command_pdu(action_request(**changes)), data_pdu(data))
        assert peer.answer()[command.STATUS] == status
        peer.release()
    assert running.intake.commitments == []


def test_an_intake_that_fails_is_no_success() -> None:
    """A bug of ours, above all: the association is aborted, and the others go on."""
    intake = MemoryIntake(fail=RuntimeError("as the test wants"))
    with served(intake) as running:
        with RawPeer(running.port) as peer:
            peer.associate()
            peer.send(command_pdu(store_request()), data_pdu(DATA))
            assert peer.ends() == [pdu.ABORT]
        running.settled()
        intake.fail = None
        with RawPeer(running.port) as peer:
            peer.associate()
            peer.send(command_pdu(store_request()), data_pdu(DATA))
            assert peer.answer()[command.STATUS] == 0
            peer.release()
    assert running.intake.endings == ["aborted", "released"]


def test_to_stop_ends_idle_associations_and_lets_the_others_finish() -> None:
    """FI-27, intake: what was begun is answered, and nobody comes in meanwhile."""
    intake = MemoryIntake(hold=threading.Event())
    with served(intake) as running, RawPeer(running.port) as idle, RawPeer(running.port) as busy:
        for peer in (idle, busy):
            peer.associate()
        busy.send(command_pdu(store_request()), data_pdu(DATA))
        port = running.port
        stopping = threading.Thread(target=running.scp.stop, args=(20,))
        stopping.start()
        assert idle.ends() == [pdu.ABORT]
        with pytest.raises(DestinationUnavailable):
            Scu(Peer(LOOPBACK, port, "PONTE")).check()
        assert intake.hold is not None
        intake.hold.set()
        assert busy.answer()[command.STATUS] == 0
        assert busy.ends() == [pdu.ABORT]
        stopping.join(20)
        assert not stopping.is_alive()
    assert intake.datasets == [DATA]
    assert intake.endings == ["drained", "drained"]


def test_to_stop_cuts_off_what_does_not_end_in_time() -> None:
    with served() as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()), data_pdu(DATA, last=False))
        wait_for(lambda: running.intake.unfinished == 1, timeout_s=20, msg="nothing arrived")
        assert running.scp.stop(0.1)
        assert peer.ends() == [pdu.ABORT]
    assert running.intake.kept == []
    assert running.intake.endings == ["drained"]


def test_to_stop_does_not_wait_for_who_never_ends() -> None:
    with served() as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()))

        def send_on() -> None:
            with suppress(OSError):
                while True:
                    peer.send(data_pdu(bytes(1 << 16), last=False))

        sending = threading.Thread(target=send_on)
        sending.start()
        wait_for(lambda: running.intake.unfinished == 1, timeout_s=20, msg="nothing arrived")
        assert running.scp.stop(0)
        sending.join(20)
        assert not sending.is_alive()
    assert running.intake.endings == ["drained"]


def test_several_listeners_are_all_or_none() -> None:
    intake = MemoryIntake()
    with served(intake, endpoints=[Endpoint(0, LOOPBACK, "a"), Endpoint(0, "127.0.0.2", "b")]) as running:
        with RawPeer(running.scp.ports[0]) as peer:
            peer.associate()
            peer.release()
        taken = running.port
        both = Scp([Endpoint(0, LOOPBACK), Endpoint(taken, LOOPBACK)], intake)
        with pytest.raises(InvalidRequest, match=f"port {taken}: Address already in use"):
            both.start()
        assert both.open_associations == 0
    assert [facts.listener for facts in intake.opened] == ["a"]


@pytest.mark.parametrize("address", ["modality", "192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_ours_is_named(address: str) -> None:
    with pytest.raises(InvalidRequest, match=address), served(endpoints=[Endpoint(0, address)]):
        pass


def test_titles_with_spaces_and_case_are_compared_as_the_standard_says() -> None:
    access = Access(AccessRules(called_ae_titles=("PONTE ",)))
    for called, expected in (("PONTE", True), ("  PONTE", True), ("ponte", False)):
        body = bytearray(negotiation.request(calling="X", called="PONTE", kinds=[CT_EXPLICIT], max_pdu=0))
        body[10:26] = called.encode().ljust(16)
        assert (access.rejection(negotiation.read_request(bytes(body[6:]))) is None) == expected


def test_no_log_has_what_a_peer_may_put_into_a_title(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"), served() as running, RawPeer(running.port) as peer:
        whole = bytearray(peer.request())
        whole[26:42] = b"BAD\r\n\x1b[31mAE".ljust(16)
        peer.send(bytes(whole))
        assert peer.pdu()[0] == pdu.ASSOCIATE_AC
        peer.release()
    assert running.intake.opened[0].calling_ae_title == "BAD???[31mAE"
    ended = next(record for record in caplog.records if record.message == "association ended")
    assert vars(ended)["calling_ae_title"] == "BAD???[31mAE"
