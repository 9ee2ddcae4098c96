"""The C-STORE SCU against an SCP that answers as told, also as none should."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.local.process import free_port
from ponte.destination import Outcome, Outgoing
from ponte.errors import (
    AccessRefused,
    BadAnswer,
    DestinationRefused,
    DestinationTimeout,
    DestinationUnavailable,
    InvalidRequest,
    PonteError,
    SourceUnavailable,
)
from ponte.filemeta import IMPLEMENTATION_VERSION_NAME
from ponte_net import command, negotiation, pdu
from ponte_net.association import Patience
from ponte_net.contexts import Kind, batches
from ponte_net.scu import Peer, Scu, ScuLimits, TlsOptions, outcome_of
from tests.tls import self_signed_context
from tests.told_scp import Conversation, Stored, ToldScp, told_scp

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"
CT_EXPLICIT = Kind(CT, EXPLICIT)
FAST = ScuLimits(retries=1, backoff_s=0.001, patience=Patience(connect_s=5, acse_s=5, dimse_s=5))


def scu_of(scp: ToldScp, **options: Any) -> Scu:
    return Scu(Peer("127.0.0.1", scp.port, "TOLD"), **{"limits": FAST, **options})


def instance(number: int, size: int = 1000, kind: Kind = CT_EXPLICIT) -> Outgoing:
    """One in memory; what comes before its dataset must not be sent."""
    content = b"preamble and meta" + bytes([number % 256]) * size
    return Outgoing(f"1.2.3.{number}", content, *kind, dataset_start=17)


def dataset(number: int, size: int = 1000) -> bytes:
    return bytes([number % 256]) * size


def store(scp: ToldScp, *instances: Outgoing, **options: Any) -> list[Outcome]:
    return list(scu_of(scp, **options).store(instances or [instance(1)]))


def test_datasets_arrive_as_they_are_and_each_has_its_outcome(tmp_path: Path) -> None:
    path = tmp_path / "2.dcm"
    path.write_bytes(b"head" + dataset(2, 700_000))
    with told_scp(Conversation.serve) as scp, path.open("rb") as stream:
        from_file = Outgoing("1.2.3.2", stream, CT, EXPLICIT, dataset_start=4)
        nothing = Outgoing("1.2.3.3", b"", CT, EXPLICIT)
        outcomes = store(scp, instance(1), from_file, nothing, instance(4, 998))
    assert outcomes == [Outcome(f"1.2.3.{number}", "stored") for number in (1, 2, 3, 4)]
    assert [one.dataset for one in scp.taken] == [dataset(1), dataset(2, 700_000), b"", dataset(4, 998)]
    assert [one.command for one in scp.taken] == [
        {
            command.AFFECTED_SOP_CLASS_UID: CT,
            command.COMMAND_FIELD: command.C_STORE_RQ,
            command.MESSAGE_ID: number,
            command.PRIORITY: 0,
            command.DATA_SET_TYPE: command.DATA_SET,
            command.AFFECTED_SOP_INSTANCE_UID: f"1.2.3.{number}",
        }
        for number in (1, 2, 3, 4)
    ]
    assert len(scp.conversations) == 1


@pytest.mark.parametrize("max_pdu", [128, 4096, 4097, 131072, 0])
def test_the_peers_longest_pdu_is_kept(max_pdu: int) -> None:
    """The stub's wire refuses any PDU that is longer."""
    with told_scp(lambda one: one.serve(max_pdu=max_pdu)) as scp:
        assert [one.status for one in store(scp, instance(1, 300_002))] == ["stored"]
    assert scp.taken[0].dataset == dataset(1, 300_002)


def test_contexts_are_those_of_the_batch_each_with_the_syntax_of_its_files() -> None:
    kinds = [Kind(CT, EXPLICIT), Kind(CT, J2K), Kind(CT, EXPLICIT), Kind(MR, EXPLICIT)]
    with told_scp(Conversation.serve) as scp:
        store(scp, *(instance(number, kind=kind) for number, kind in enumerate(kinds)))
    asked = scp.conversations[0].asked
    assert asked is not None
    assert [(one.abstract_syntax, one.transfer_syntaxes) for one in asked.contexts] == [
        (CT, (EXPLICIT,)),
        (CT, (J2K,)),
        (MR, (EXPLICIT,)),
    ]
    assert [one.context_id for one in scp.taken] == [1, 3, 1, 5]
    assert (asked.calling_ae_title, asked.called_ae_title, asked.max_pdu) == ("PONTE", "TOLD", 131072)


def test_an_association_is_used_again_while_the_contexts_fit() -> None:
    kinds = [Kind(CT, EXPLICIT), Kind(MR, EXPLICIT), Kind(MR, EXPLICIT), Kind(CT, EXPLICIT), Kind(CT, J2K)]
    limits = ScuLimits(batch_instances=2)
    with told_scp(Conversation.serve) as scp:
        store(scp, *(instance(number, kind=kind) for number, kind in enumerate(kinds)), limits=limits)
    proposed = [[one.abstract_syntax for one in asked.contexts] for asked in requests(scp)]
    assert proposed == [[CT, MR], [CT]]


def requests(scp: ToldScp) -> list[negotiation.Request]:
    return [one.asked for one in scp.conversations if one.asked is not None]


def test_more_than_128_contexts_take_further_associations() -> None:
    kinds = [Kind(f"1.2.3.{number}", EXPLICIT) for number in range(300)]
    limits = ScuLimits(batch_instances=1000)
    with told_scp(Conversation.serve) as scp:
        sent = [instance(number, 10, kind=kind) for number, kind in enumerate(kinds)]
        assert all(outcome.stored for outcome in store(scp, *sent, limits=limits))
    assert [len(asked.contexts) for asked in requests(scp)] == [128, 128, 44]
    assert [one.dataset for one in scp.taken] == [dataset(number, 10) for number in range(300)]


def test_batches_are_cut_by_number_and_by_bytes_and_lose_nothing() -> None:
    sent = [instance(number, size) for number, size in enumerate([10, 10, 10, 500, 10, 90, 10])]
    found = [[one.dataset_bytes for one in batch] for batch in batches(iter(sent), most=2, most_bytes=100)]
    assert found == [[10, 10], [10], [500], [10, 90], [10]]


def test_instances_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def instances() -> Any:
        for number in range(6):
            taken.append(number)
            yield instance(number)

    with told_scp(Conversation.serve) as scp:
        storing = scu_of(scp, limits=ScuLimits(batch_instances=2)).store(instances())
        assert next(storing).stored
        assert len(taken) <= 3  # the batch, and the one that did not fit in
        assert all(outcome.stored for outcome in storing)


def test_a_context_that_is_rejected_refuses_its_instances_and_the_others_go_on() -> None:
    """FI-14."""
    changed = {
        3: (negotiation.TRANSFER_SYNTAXES_UNKNOWN, EXPLICIT),
        5: (negotiation.ABSTRACT_SYNTAX_UNKNOWN, J2K),
    }
    with told_scp(lambda one: one.serve(changed=changed)) as scp:
        outcomes = store(
            scp,
            instance(1),
            instance(2, kind=Kind(CT, J2K)),
            instance(3, kind=Kind(MR, J2K)),
            instance(4),
        )
    assert [outcome.status for outcome in outcomes] == ["stored", "refused", "refused", "stored"]
    words = "CT Image Storage in JPEG 2000 Image Compression (Lossless Only)"
    assert outcomes[1].detail == f"The peer does not accept {words}: transfer syntax not supported"
    assert outcomes[2].detail.endswith("SOP class not supported")
    assert not any(outcome.retryable for outcome in outcomes)
    assert len(scp.taken) == 2


def test_a_syntax_that_was_not_proposed_is_never_sent_in() -> None:
    """FI-14: the acceptor takes the context with another transfer syntax than that of the file."""
    with told_scp(lambda one: one.serve(changed={1: (negotiation.ACCEPTED, J2K)})) as scp:
        (outcome,) = store(scp)
    assert outcome.status == "refused"
    assert scp.taken == []


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ({"sop_instance_uid": "../../x"}, "SOP Instance UID (0008,0018)"),
        ({"sop_class_uid": ""}, "SOP Class UID (0008,0016)"),
        ({"transfer_syntax_uid": "1." + "2" * 70}, "Transfer Syntax UID (0002,0010)"),
    ],
)
def test_what_has_no_uid_is_refused_before_it_is_sent(lacking: dict[str, str], words: str) -> None:
    fields: dict[str, Any] = {
        "sop_instance_uid": "1.2.3.9",
        "sop_class_uid": CT,
        "transfer_syntax_uid": EXPLICIT,
    }
    with told_scp(Conversation.serve) as scp:
        first, second = store(scp, Outgoing(content=b"x", **fields | lacking), instance(1))
    assert (first.status, first.detail) == ("refused", f"{words} is no UID; expected one")
    assert second.stored
    assert len(scp.taken) == 1


def test_no_fragment_has_an_odd_length(tmp_path: Path) -> None:
    """Peers abort for one: a deflated dataset gets its padding (PS3.5 A.5), any other is refused."""
    path = tmp_path / "deflated.dcm"
    path.write_bytes(dataset(2, 600_001))
    deflated = Kind(CT, "1.2.840.10008.1.2.1.99")
    with told_scp(Conversation.serve) as scp, path.open("rb") as stream:
        outcomes = store(
            scp,
            instance(1, 1001),
            instance(2, 1001, deflated),
            Outgoing("1.2.3.3", stream, *deflated),
            instance(4, 1002, deflated),
        )
    assert [outcome.status for outcome in outcomes] == ["refused", "stored", "stored", "stored"]
    assert "odd number of bytes" in outcomes[0].detail
    assert [one.dataset for one in scp.taken] == [
        dataset(2, 1001) + b"\0",
        dataset(2, 600_001) + b"\0",
        dataset(4, 1002),
    ]


@pytest.mark.parametrize(
    ("status", "expected", "retryable"),
    [
        (0x0000, "stored", False),
        (0xB000, "stored_with_warning", False),
        (0xB007, "stored_with_warning", False),
        (0x0107, "stored_with_warning", False),
        (0xA700, "refused", True),
        (0xA7FF, "refused", True),
        (0x0110, "refused", True),
        (0x0213, "refused", True),
        (0xA900, "refused", False),
        (0xC000, "refused", False),
        (0xC123, "refused", False),
        (0x0111, "refused", False),
        (0x0117, "refused", False),
        (0x0122, "refused", False),
        (0x0124, "refused", False),
        (0xFE00, "refused", False),
        (0xFF00, "refused", False),
        (0x1234, "refused", False),
    ],
)
def test_a_status_has_its_class(status: int, expected: str, retryable: bool) -> None:
    """FI-13: what is tried again, what goes to quarantine, what is stored with a note."""
    outcome = outcome_of("1.2.3", status)
    assert (outcome.status, outcome.retryable, outcome.reason) == (expected, retryable, status or None)
    assert f"{status:04X}H" in outcome.detail or not status


def test_each_status_is_of_its_instance_and_ends_nothing() -> None:
    """FI-13."""
    with told_scp(lambda one: one.serve(0xA700, 0xA900, 0xB000)) as scp:
        outcomes = store(scp, *(instance(number) for number in (1, 2, 3, 4)))
    assert [outcome.status for outcome in outcomes] == ["refused", "refused", "stored_with_warning", "stored"]
    assert len(scp.conversations) == 1


def abort(conversation: Conversation) -> None:
    conversation.wire.send([pdu.control(pdu.ABORT, b"\0\0\2\0")])


def release(conversation: Conversation) -> None:
    conversation.wire.send([pdu.control(pdu.RELEASE_RQ)])


def reset(conversation: Conversation) -> None:
    conversation.wire.close(at_once=True)


def leave(conversation: Conversation) -> None:
    conversation.sock.close()


def breaks_off(how: Callable[[Conversation], None], *, answered: int, half: bool = False) -> Any:
    """Answers some messages, then ends the association its own way, in the midst of one if `half`."""

    def script(conversation: Conversation) -> list[Stored]:
        conversation.accept()
        taken = []
        for _ in range(answered):
            stored = conversation.message()
            assert stored is not None
            taken.append(stored)
            conversation.answer(stored)
        if half:
            conversation.wire.receive()
        else:
            conversation.message()
        how(conversation)
        return taken

    return script


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("how", [abort, release, reset, leave])
def test_what_breaks_off_goes_on_with_another_association(how: Any, half: bool) -> None:
    """FI-13: aborts mid-way; what was answered is not sent again."""
    with told_scp(breaks_off(how, answered=2, half=half), Conversation.serve) as scp:
        outcomes = store(scp, *(instance(number, 2_000_000) for number in (1, 2, 3, 4)))
    assert [outcome.stored for outcome in outcomes] == [True] * 4
    assert [one.dataset[:1] for one in scp.taken] == [bytes([number]) for number in (1, 2, 3, 4)]
    assert len(scp.conversations) == 2


@pytest.mark.parametrize("how", [abort, release, reset, leave])
def test_what_was_answered_stays_answered_when_it_breaks_off_for_good(how: Any) -> None:
    """FI-13."""
    with told_scp(breaks_off(how, answered=1), breaks_off(how, answered=0)) as scp:
        storing = scu_of(scp).store([instance(1), instance(2)])
        assert next(storing) == Outcome("1.2.3.1", "stored")
        with pytest.raises(DestinationUnavailable):
            next(storing)
    assert len(scp.conversations) == 2


def rejects(result: int, source: int, reason: int) -> Any:
    def script(conversation: Conversation) -> None:
        conversation.request()
        body = negotiation.Rejection(result, source, reason).body
        conversation.wire.send([pdu.control(pdu.ASSOCIATE_RJ, body)])

    return script


@pytest.mark.parametrize(
    ("rejection", "error", "words", "tries"),
    [
        ((1, 1, 3), AccessRefused, "calling AE title not recognised", 1),
        ((1, 1, 7), DestinationRefused, "called AE title not recognised", 1),
        ((1, 2, 2), DestinationRefused, "protocol version not supported", 1),
        ((2, 3, 2), DestinationUnavailable, "local limit exceeded", 2),
        ((1, 9, 9), DestinationRefused, "reason 9/9", 1),
    ],
)
def test_a_rejection_says_whether_to_come_again(
    rejection: tuple[int, int, int], error: type[PonteError], words: str, tries: int
) -> None:
    """FI-13: refuses."""
    with told_scp(rejects(*rejection)) as scp:
        with pytest.raises(error, match=words):
            store(scp)
        with pytest.raises(error, match=words):
            scu_of(scp).check()
    assert len(scp.conversations) == tries + 1


def answers_with(**changes: Any) -> Any:
    def script(conversation: Conversation) -> None:
        conversation.accept()
        stored = conversation.message()
        assert stored is not None
        conversation.answer(stored, **changes)
        conversation.wire.receive()

    return script


@pytest.mark.parametrize(
    "changes",
    [
        {"MESSAGE_ID_RESPONDED_TO": 2},
        {"COMMAND_FIELD": command.C_ECHO_RSP},
        {"COMMAND_FIELD": command.C_STORE_RQ},
        {"AFFECTED_SOP_INSTANCE_UID": "1.2.3.999"},
        {"context_id": 3},
    ],
)
def test_an_answer_to_something_else_counts_for_nothing(changes: dict[str, Any]) -> None:
    with told_scp(answers_with(**changes)) as scp, pytest.raises(BadAnswer):
        store(scp)


def says(*chunks: bytes, accept: bool = True) -> Any:
    """Takes a message, then sends these bytes."""

    def script(conversation: Conversation) -> None:
        if accept:
            conversation.accept()
            conversation.message()
        else:
            conversation.request()
        conversation.wire.send(list(chunks))
        conversation.wire.receive()

    return script


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\4\0\xff\xff\xff\xff",
        b"\4\0\0\0\0\x0a\0\0\0\6\1\3ABCD",  # no command set
        b"\4\0\0\0\0\6\0\0\0\2\1\2",  # a data set before the command
        pdu.control(pdu.ASSOCIATE_RQ, bytes(68)),
        b"".join(bytes(one) for one in pdu.fragments(1, bytes(100_000), 0, is_command=True, last=False)),
    ],
    ids=["http", "length", "no-set", "data-first", "request", "endless"],
)
def test_a_hostile_answer_is_an_error_and_no_more(answer: bytes) -> None:
    with told_scp(says(answer)) as scp, pytest.raises(BadAnswer):
        store(scp)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        pdu.control(pdu.ASSOCIATE_AC, bytes(68) + b"\x21\0\xff\xff"),
        pdu.control(pdu.RELEASE_RP),
        b"\4\0\0\0\0\6\0\0\0\2\1\2",
        b"\2\0\xff\xff\xff\xff",
    ],
)
def test_who_does_not_speak_dicom_is_found_out(answer: bytes) -> None:
    with told_scp(says(answer, accept=False)) as scp, pytest.raises(BadAnswer):
        store(scp)


def test_a_peer_that_takes_a_few_bytes_at_a_time_is_refused() -> None:
    with (
        told_scp(lambda one: one.serve(max_pdu=20)) as scp,
        pytest.raises(DestinationRefused, match="20 bytes"),
    ):
        store(scp)


def silent(conversation: Conversation) -> None:
    conversation.wire.receive()
    conversation.wire.receive()


def hangs(conversation: Conversation) -> None:
    conversation.accept()
    conversation.message()
    conversation.message()


@pytest.mark.parametrize("script", [silent, hangs])
def test_a_peer_that_hangs_is_not_waited_for(script: Any) -> None:
    """FI-13: hangs, half-open. Not tried again at once: that would double the time."""
    limits = ScuLimits(retries=3, patience=Patience(acse_s=0.1, dimse_s=0.1))
    with told_scp(script) as scp, pytest.raises(DestinationTimeout):
        store(scp, limits=limits)
    assert len(scp.conversations) == 1


def test_a_slow_reader_is_left_in_time() -> None:
    """NET-15: the peer's window closes in the midst of a dataset, and stays closed."""
    limits = ScuLimits(patience=Patience(acse_s=5, dimse_s=0.2))

    def stops_reading(conversation: Conversation) -> None:
        conversation.accept()
        conversation.wire.receive()
        conversation.over.wait(20)

    slow = told_scp(stops_reading, receive_buffer=8192)
    with slow as scp, pytest.raises(DestinationTimeout, match="takes nothing"):
        store(scp, instance(1, 16 << 20), limits=limits)


def test_a_reader_that_dribbles_is_left_in_time() -> None:
    """NET-15: some bytes now and then are not enough."""
    limits = ScuLimits(patience=Patience(acse_s=5, dimse_s=0.4, slowest=64 << 20))

    def sips(conversation: Conversation) -> None:
        conversation.accept()
        conversation.sock.settimeout(20)
        while not conversation.over.wait(0.01):
            conversation.sock.recv(1000)

    with told_scp(sips, receive_buffer=8192) as scp, pytest.raises(DestinationTimeout):
        store(scp, instance(1, 16 << 20), limits=limits)


def test_nobody_there_is_said_so_after_another_try() -> None:
    port = free_port()
    with pytest.raises(DestinationUnavailable, match="cannot be reached"):
        list(Scu(Peer("127.0.0.1", port, "X"), limits=FAST).store([instance(1)]))
    with pytest.raises(DestinationUnavailable, match="resolved"):
        Scu(Peer("no-such-host.invalid", port, "X"), limits=FAST).check()


class Cut(io.BytesIO):
    """A file that became shorter after its size was read."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size)[:10] if self.tell() == 0 else b""


def test_what_cannot_be_read_is_no_instance_at_the_peer() -> None:
    with told_scp(Conversation.serve) as scp, pytest.raises(SourceUnavailable):
        store(scp, Outgoing("1.2.3.1", Cut(bytes(1000)), CT, EXPLICIT))
    assert scp.taken == []


def test_the_local_port_can_be_used_again_at_once() -> None:
    port = free_port()
    with told_scp(Conversation.serve, breaks_off(abort, answered=0), Conversation.serve) as scp:
        for _ in range(3):
            assert store(scp, local_port=port)[0].stored
    assert {one.peer_port for one in scp.conversations} == {port}
    assert len(scp.conversations) == 4


def test_a_local_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken, told_scp(Conversation.serve) as scp:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DestinationUnavailable, match=f"local port {port} is not free"):
            store(scp, local_port=port)


def test_the_echo_says_what_the_peer_accepts() -> None:
    with told_scp(lambda one: one.serve(changed={5: (3, J2K)})) as scp:
        scu = scu_of(scp)
        scu.check()
        echoed = scu.echo([Kind(CT, EXPLICIT), Kind(CT, J2K)])
    assert echoed.status == 0
    assert echoed.contexts == {Kind(CT, EXPLICIT): None, Kind(CT, J2K): "SOP class not supported"}
    assert (echoed.max_pdu, echoed.implementation) == (16384, IMPLEMENTATION_VERSION_NAME)


def test_more_contexts_than_there_may_be_are_not_proposed() -> None:
    with (
        told_scp(Conversation.serve) as scp,
        pytest.raises(InvalidRequest, match="129 presentation contexts"),
    ):
        scu_of(scp).echo(Kind(f"1.2.3.{number}", EXPLICIT) for number in range(128))


def test_an_echo_that_fails_is_no_success() -> None:
    with told_scp(lambda one: one.serve(0x0211)) as scp, pytest.raises(DestinationRefused, match="0211H"):
        scu_of(scp).check()
    rejecting = told_scp(lambda one: one.serve(changed={1: (3, EXPLICIT)}))
    with rejecting as scp, pytest.raises(DestinationRefused, match="Verification"):
        scu_of(scp).check()


@pytest.mark.parametrize(
    "options",
    [
        {"calling_ae_title": ""},
        {"calling_ae_title": "SEVENTEEN-LETTERS"},
        {"calling_ae_title": "BACK\\SLASH"},
        {"calling_ae_title": "CAFÉ"},
        {"max_pdu": 10},
        {"tls_options": TlsOptions(ca_file=Path("/nowhere"))},
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Scu(Peer("127.0.0.1", 104, "PACS"), **options)
    with pytest.raises(InvalidRequest):
        Scu(Peer("127.0.0.1", 0, "PACS"))


def test_tls_checks_the_certificate_and_its_name(tmp_path: Path) -> None:
    context = self_signed_context(tmp_path)
    trusting = TlsOptions(ca_file=tmp_path / "cert.pem")
    with told_scp(Conversation.serve, tls=context) as scp:
        assert store(scp, instance(1, 3_000_000), tls_options=trusting)[0].stored
        for options in (TlsOptions(), TlsOptions(ca_file=tmp_path / "cert.pem", server_name="pacs.example")):
            with pytest.raises(DestinationRefused, match="certificate is not trusted"):
                store(scp, tls_options=options)
    assert scp.taken[0].dataset == dataset(1, 3_000_000)


def test_tls_with_who_has_none_fails_in_time(tmp_path: Path) -> None:
    self_signed_context(tmp_path)
    with (
        told_scp(lambda one: one.serve()) as scp,
        pytest.raises((DestinationRefused, DestinationUnavailable)),
    ):
        store(scp, tls_options=TlsOptions(ca_file=tmp_path / "cert.pem"))
