"""Association level, the receiving side: every NET-* row, on real sockets."""

from __future__ import annotations

import os
import resource
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.local.process import wait_for
from ponte_net import command, negotiation, pdu
from ponte_net.contexts import ECHO, Kind
from ponte_net.scu import Peer, Scu, TlsOptions
from router.association import AssociationLimits
from router.listener import Endpoint
from router.scp import Scp
from tests import memory_intake
from tests.authority import Authority
from tests.factories import make_ct
from tests.memory_intake import (
    CT,
    CT_EXPLICIT,
    EXPLICIT,
    LOOPBACK,
    MemoryIntake,
    RawPeer,
    Served,
    at_most,
    command_pdu,
    data_pdu,
    only,
    quick,
    served,
    store_request,
)
from tests.unit.router.store import Store, dataset_of

MR = "1.2.840.10008.5.1.4.1.1.4"
DATA = bytes(range(256)) * 300


@pytest.fixture(params=[1, 2], autouse=True)
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """All of it by one process, and by carriers."""
    monkeypatch.setattr(memory_intake, "PROCESSES", request.param)
    return int(request.param)


def echo(running: Served) -> None:
    """The service still answers."""
    Scu(Peer(LOOPBACK, running.port, "PONTE")).check()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("began", [b"", b"\1", b"\1\0\0\0\1"])
def test_who_says_nothing_is_left_at_the_deadline(began: bytes) -> None:
    """NET-01."""
    with served(**quick(handshake_s=1)) as running, RawPeer(running.port) as peer:
        peer.send(began)
        assert peer.ends() == []
        running.settled()
        echo(running)
    labels = {"listener": str(running.port), "reason": "PeerTimeout"}
    assert running.counters.value("ponte_associations_refused_total", **labels) == 1


def test_a_handshake_that_dribbles_is_left_at_the_deadline() -> None:
    """NET-02: each byte in time, the whole never."""
    with served(**quick(handshake_s=1)) as running, RawPeer(running.port) as peer:
        left = threading.Event()

        def dribble() -> None:
            for byte in peer.request():
                if left.wait(0.02):
                    return
                try:
                    peer.send(bytes([byte]))
                except OSError:
                    return

        thread = threading.Thread(target=dribble)
        thread.start()
        assert peer.ends() == []
        left.set()
        thread.join()
        echo(running)


def test_a_pdu_that_dribbles_is_aborted_at_its_deadline() -> None:
    """NET-02, after the association: nothing of the dataset is left."""
    with served(**quick(pdu_s=0.3)) as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()), data_pdu(DATA)[:100])
        assert peer.ends() == [pdu.ABORT]
        running.settled()
    assert running.intake.endings == ["timed_out"]
    assert running.intake.kept == []


def test_an_association_that_says_nothing_any_more_is_aborted() -> None:
    with served(**quick(idle_s=0.2)) as running, RawPeer(running.port) as peer:
        peer.associate()
        assert peer.ends() == [pdu.ABORT]
    assert running.intake.endings == ["timed_out"]


@pytest.mark.parametrize("header", [b"\4\0\xff\xff\xff\xff", b"\1\0\xff\xff\xff\xf0", b"\4\0\0\2\0\7"])
@pytest.mark.parametrize("associated", [False, True])
def test_a_length_that_lies_is_aborted_at_the_header(header: bytes, associated: bool) -> None:
    """NET-03, NET-04: nothing is allocated by it."""
    with served() as running, RawPeer(running.port) as peer:
        if associated:
            peer.associate()
        before = resident_bytes()
        peer.send(header, bytes(100_000))
        assert peer.ends() == [pdu.ABORT]
        running.settled()
        assert resident_bytes() - before < 5 << 20
        echo(running)


def send_for_ever(peer: RawPeer, data: bytes) -> None:
    while True:
        peer.send(data)


def test_a_dataset_without_an_end_is_cut_off() -> None:
    """NET-05: at the limit of an instance, and nothing of it is left."""
    with served(**quick(instance_bytes=1 << 20)) as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()))
        with pytest.raises(OSError):
            send_for_ever(peer, data_pdu(bytes(1 << 18), last=False))
        running.settled()
        echo(running)
    assert running.intake.kept == []
    assert running.intake.endings[0] == "aborted"


def test_a_flood_of_silent_connections_keeps_nobody_out() -> None:
    """NET-06: from elsewhere, and from the very same address."""
    with served(**at_most(40, 20)) as running, ExitStack() as stack:
        for number in range(200):
            stack.enter_context(RawPeer(running.port, source=f"127.0.0.{2 + number % 4}"))
        echo(running)
        for _ in range(40):
            stack.enter_context(RawPeer(running.port))
        for _ in range(5):
            echo(running)
        assert running.scp.open_associations <= 45


def test_a_flood_of_silent_connections_keeps_nobody_out_of_tls(authority: Authority) -> None:
    """NET-06: they are silent before the handshake, or after it."""
    issued = authority.issue(LOOPBACK)
    options = TlsOptions(certificate_file=issued.certificate_file, key_file=issued.key_file)
    endpoints = [Endpoint(0, LOOPBACK, tls=options)]
    with served(endpoints=endpoints, **at_most(8, 8)) as running, ExitStack() as stack:
        for number in range(30):
            peer = stack.enter_context(RawPeer(running.port))
            if number % 2:
                with suppress(OSError, ssl.SSLError):
                    stack.enter_context(
                        client(authority, None).wrap_socket(peer.sock, server_hostname=LOOPBACK)
                    )
        for _ in range(3):
            Scu(Peer(LOOPBACK, running.port, "P"), tls_options=TlsOptions(authority.ca_file)).check()


def test_associations_are_not_sent_away_for_newcomers() -> None:
    """NET-06: the newcomer is, with a reason to come again."""
    with served(**at_most(3, 2)) as running, ExitStack() as stack:
        peers = [stack.enter_context(RawPeer(running.port)) for _ in range(2)]
        for peer in peers:
            peer.associate()
        third = stack.enter_context(RawPeer(running.port))
        assert third.pdu() == (pdu.ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
        elsewhere = stack.enter_context(RawPeer(running.port, source="127.0.0.9"))
        elsewhere.associate()
        fifth = stack.enter_context(RawPeer(running.port, source="127.0.0.10"))
        assert fifth.pdu()[0] == pdu.ASSOCIATE_RJ
        for peer in [*peers, elsewhere]:
            peer.release()
        running.settled()
        echo(running)


@pytest.mark.parametrize(
    ("titles", "rejection"),
    [
        ({"called": "NOBODY"}, (1, 1, 7)),
        ({"called": "ponte"}, (1, 1, 7)),
        ({"calling": "STRANGER"}, (1, 1, 3)),
    ],
)
def test_an_ae_title_that_is_not_known_is_rejected(
    titles: dict[str, str], rejection: tuple[int, int, int]
) -> None:
    """NET-07."""
    rules = only(called_ae_titles=("PONTE", "OTHER"), calling_ae_titles=(" TEST ",))
    with served(**rules) as running:
        with RawPeer(running.port) as peer:
            peer.send(peer.request(**titles))
            assert peer.pdu() == (pdu.ASSOCIATE_RJ, bytes((0, *rejection)))
            assert peer.ends() == []
        with RawPeer(running.port) as peer:
            peer.associate(called="OTHER")
            peer.release()
    assert len(running.intake.opened) == 1


def test_an_address_that_is_not_in_the_list_has_no_thread() -> None:
    """NET-07."""
    with served(**only(addresses=("127.0.0.8/30", "::1"))) as running:
        for source in ("127.0.0.1", "127.0.0.12"):
            with RawPeer(running.port, source=source) as peer:
                assert peer.ends() == []
        for source in ("127.0.0.8", "127.0.0.11"):
            with RawPeer(running.port, source=source) as peer:
                peer.associate()
                peer.release()
    assert (
        running.counters.value(
            "ponte_connections_refused_total", listener=running.intake.opened[0].listener, reason="address"
        )
        == 2
    )


def test_an_ipv4_address_is_known_on_an_ipv6_socket_too() -> None:
    endpoints = [Endpoint(0, "::", name="both")]
    with served(endpoints=endpoints, **only(addresses=("127.0.0.0/24", "::1"))) as running:
        for family in (socket.AF_INET, socket.AF_INET6):
            with RawPeer(running.port, family=family) as peer:
                peer.associate()
                peer.release()
    assert [facts.address for facts in running.intake.opened] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize("address", ["10.0.0.0/33", "modality", "10.0.0"])
def test_an_address_that_is_none_lets_nobody_in(address: str) -> None:
    with pytest.raises(ValueError), served(**only(addresses=(address,))):
        pass


def request_with(change: Callable[[bytearray], None]) -> bytes:
    data = bytearray(negotiation.request(calling="TEST", called="PONTE", kinds=[CT_EXPLICIT], max_pdu=16384))
    change(data)
    data[2:6] = (len(data) - 6).to_bytes(4, "big")
    return bytes(data)


def set_item_length(data: bytearray) -> None:
    data[76:78] = b"\xff\xff"


HOSTILE = {
    "http": b"GET / HTTP/1.1\r\nHost: modality\r\n\r\n",
    "tls-hello": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "pdu-ff": b"\xff\0\0\0\0\4\0\0\0\0",
    "p-data-first": command_pdu(store_request()),
    "release-first": pdu.control(pdu.RELEASE_RQ),
    "accept-first": pdu.control(pdu.ASSOCIATE_AC, bytes(68)),
    "empty-request": b"\1\0\0\0\0\0",
    "short-request": pdu.control(pdu.ASSOCIATE_RQ, bytes(67)),
    "item-length": request_with(set_item_length),
}


@pytest.mark.parametrize("stream", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_association_is_aborted(stream: bytes) -> None:
    """NET-08. That no thread and no file is left is checked by `served`."""
    with served() as running:
        with RawPeer(running.port) as peer:
            peer.send(stream)
            assert peer.ends() == [pdu.ABORT]
        running.settled()
        echo(running)


def parts_of(request: bytes) -> tuple[bytes, bytes, bytes]:
    """The body of a request with one context: what comes before that, it, and what comes after."""
    at = request.index(b"\x20\0", 74)
    end = at + 4 + int.from_bytes(request[at + 2 : at + 4], "big")
    return request[6:at], request[at:end], request[end:]


@pytest.mark.parametrize(
    "identifiers",
    [list(range(1, 600, 2)), [2], [1, 1], [0], [1, 3, 4]],
    ids=["300", "even", "twice", "0", "mixed"],
)
def test_contexts_that_are_not_allowed_are_aborted(identifiers: list[int]) -> None:
    """NET-09."""
    with served() as running:
        with RawPeer(running.port) as peer:
            before, context, user = parts_of(peer.request())
            contexts = b"".join(context[:4] + bytes([one % 256]) + context[5:] for one in identifiers)
            peer.send(pdu.control(pdu.ASSOCIATE_RQ, before + contexts + user))
            assert peer.ends() == [pdu.ABORT]
        echo(running)


def test_no_contexts_at_all_are_an_association_that_can_do_nothing() -> None:
    """NET-09."""
    with served() as running, RawPeer(running.port) as peer:
        before, _, user = parts_of(peer.request())
        peer.send(pdu.control(pdu.ASSOCIATE_RQ, before + user))
        assert peer.pdu()[0] == pdu.ASSOCIATE_AC
        peer.release()


BROKEN_SETS = {
    "group-length": store_request()[:8] + b"\1\0\0\0" + store_request()[12:],
    "cut": store_request()[:-3],
    "no-command-field": store_request(COMMAND_FIELD=None),
    "no-message-id": store_request(MESSAGE_ID=None),
    "a-response": store_request(COMMAND_FIELD=command.C_STORE_RSP),
    "noise": bytes(range(1, 120)),
    "endless": bytes(20_000),
}


@pytest.mark.parametrize("broken", BROKEN_SETS.values(), ids=BROKEN_SETS)
def test_a_command_set_that_is_none_is_aborted(broken: bytes) -> None:
    """NET-10."""
    with served() as running:
        with RawPeer(running.port) as peer:
            peer.associate()
            peer.send(b"".join(pdu.fragments(1, broken, 16384, is_command=True)))
            assert peer.ends() == [pdu.ABORT]
        echo(running)
    assert running.intake.kept == []


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"AFFECTED_SOP_INSTANCE_UID": None}, 0xC000),
        ({"AFFECTED_SOP_CLASS_UID": None}, 0xC000),
        ({"AFFECTED_SOP_CLASS_UID": MR}, 0x0122),
        ({"COMMAND_FIELD": 0x0020}, 0x0211),
        ({"COMMAND_FIELD": command.N_ACTION_RQ}, 0x0211),
        ({"COMMAND_FIELD": command.C_ECHO_RQ}, 0x0122),
    ],
)
def test_a_command_that_cannot_be_is_answered_and_the_next_one_works(
    changes: dict[str, Any], status: int
) -> None:
    """NET-10, NET-13."""
    with served() as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request(**changes)), data_pdu(DATA))
        assert peer.answer()[command.STATUS] == status
        peer.send(command_pdu(store_request(MESSAGE_ID=2)), data_pdu(DATA))
        answer = peer.answer()
        assert (answer[command.STATUS], answer[command.MESSAGE_ID_RESPONDED_TO]) == (0, 2)
        peer.release()
    assert running.intake.datasets == [DATA]


def test_data_where_none_was_announced_is_refused_and_aborted() -> None:
    """NET-10: Data Set Type 0101H, and a data set."""
    with served() as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request(DATA_SET_TYPE=command.NO_DATA_SET)))
        assert peer.answer()[command.STATUS] == 0xC000
        peer.send(data_pdu(DATA))
        assert peer.ends() == [pdu.ABORT]
    assert running.intake.kept == []


@pytest.mark.parametrize("second", [command_pdu(store_request()), data_pdu(DATA, context_id=3)])
def test_a_dataset_that_is_interrupted_by_another_message_is_aborted(second: bytes) -> None:
    with served() as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()), data_pdu(DATA, last=False), second)
        assert peer.ends() == [pdu.ABORT]
    assert running.intake.endings == ["aborted"]


def test_what_the_intake_refuses_is_read_and_its_status_answered() -> None:
    """NET-11: by its command; the rest of the association goes on."""
    intake = MemoryIntake(refuse_with=0x0117)
    with served(intake) as running, RawPeer(running.port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request("../../x")), data_pdu(DATA))
        assert peer.answer()[command.STATUS] == 0x0117
        intake.refuse_with, intake.refuse_after = 0xA700, 1000
        peer.send(command_pdu(store_request()), data_pdu(DATA))
        assert peer.answer()[command.STATUS] == 0xA700
        intake.refuse_after = None
        intake.refuse_with = None
        peer.send(command_pdu(store_request()), data_pdu(DATA))
        assert peer.answer()[command.STATUS] == 0
        peer.release()
    assert running.intake.datasets == [DATA]


def close(peer: RawPeer) -> None:
    peer.sock.close()


def reset(peer: RawPeer) -> None:
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.sock.close()


def abort(peer: RawPeer) -> None:
    peer.send(pdu.control(pdu.ABORT))
    assert peer.ends() == []


def release(peer: RawPeer) -> None:
    peer.send(pdu.control(pdu.RELEASE_RQ))
    assert peer.ends() == [pdu.ABORT]


@pytest.mark.parametrize(
    ("how", "ending"), [(close, "lost"), (reset, "lost"), (abort, "aborted"), (release, "aborted")]
)
@pytest.mark.parametrize("after", [50, 40_000])
def test_a_dataset_that_is_cut_leaves_nothing(
    how: Callable[[RawPeer], None], ending: str, after: int
) -> None:
    """NET-12."""
    with served() as running:
        with RawPeer(running.port) as peer:
            peer.associate()
            peer.send(command_pdu(store_request()), data_pdu(DATA[:after], last=False))
            wait_for(lambda: running.intake.unfinished == 1, timeout_s=20, msg="nothing arrived")
            how(peer)
            running.settled()
        echo(running)
    assert running.intake.kept == []
    assert running.intake.endings[0] == ending


def test_a_message_on_a_context_that_was_not_accepted_is_answered_so() -> None:
    """NET-13."""
    query = Kind("1.2.840.10008.5.1.4.1.2.2.1", EXPLICIT)
    with served() as running, RawPeer(running.port) as peer:
        answered = peer.associate(CT_EXPLICIT, query)
        assert answered.rejected == {query: "SOP class not supported"}
        for context_id in (3, 5):
            peer.send(command_pdu(store_request(), context_id), data_pdu(DATA, context_id))
            assert peer.answer()[command.STATUS] == 0x0122
        peer.send(command_pdu(store_request()), data_pdu(DATA))
        assert peer.answer()[command.STATUS] == 0
        peer.release()
    assert len(running.intake.kept) == 1


def test_a_class_that_is_not_in_the_list_is_not_accepted() -> None:
    """NET-13."""
    with served(**only(sop_classes=(CT,))) as running, RawPeer(running.port) as peer:
        answered = peer.associate(CT_EXPLICIT, Kind(MR, EXPLICIT), ECHO)
        assert list(answered.contexts) == [CT_EXPLICIT, ECHO]
        peer.release()


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[tuple[Store, int]]:
    """The SCP before the router's own spool, and its port."""
    store = Store(tmp_path / "dicom")
    limits = AssociationLimits(instance_bytes=1 << 20, idle_s=5, pdu_s=5)
    scp = Scp([Endpoint(0, LOOPBACK)], store.intake, limits=limits)
    scp.start()
    try:
        yield store, scp.ports[0]
    finally:
        assert scp.stop(0)
        store.close()


def nothing_is_left(store: Store) -> bool:
    return store.count() == 0 and not store.files()


@pytest.mark.parametrize("how", [close, reset, abort, release])
def test_of_a_dataset_that_is_cut_the_spool_has_no_file_and_no_row(
    spooled: tuple[Store, int], how: Callable[[RawPeer], None]
) -> None:
    """NET-12."""
    store, port = spooled
    with RawPeer(port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()), data_pdu(DATA, last=False))
        wait_for(lambda: bool(store.files()), timeout_s=20, msg="nothing arrived")
        how(peer)
        wait_for(lambda: nothing_is_left(store), timeout_s=20, msg="something is left")
    assert store.quarantined() == []


def test_of_a_dataset_without_an_end_the_spool_has_no_file_and_no_row(spooled: tuple[Store, int]) -> None:
    """NET-05."""
    store, port = spooled
    with RawPeer(port) as peer:
        peer.associate()
        peer.send(command_pdu(store_request()))
        with pytest.raises(OSError):
            send_for_ever(peer, data_pdu(bytes(1 << 18), last=False))
        wait_for(lambda: nothing_is_left(store), timeout_s=20, msg="something is left")


def test_a_uid_that_is_a_path_makes_no_file_and_one_of_another_instance_is_put_away(
    spooled: tuple[Store, int], tmp_path: Path
) -> None:
    """NET-11: 0117H for what is no UID, A900H for one that is not the dataset's (INTERFACES, C-STORE)."""
    store, port = spooled
    before = set(tmp_path.rglob("*"))
    dataset = make_ct()
    with RawPeer(port) as peer:
        peer.associate()
        for uid, status in (("../../x", 0x0117), ("1.2.3.4.5", 0xA900), (dataset.SOPInstanceUID, 0)):
            peer.send(command_pdu(store_request(uid)), data_pdu(dataset_of(dataset)))
            assert peer.answer()[command.STATUS] == status
            if status == 0x0117:
                assert set(tmp_path.rglob("*")) == before
        peer.release()
    assert store.quarantined() == ["COMMAND_MISMATCH"]
    assert store.bytes_of(dataset.SOPInstanceUID) == dataset_of(dataset)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(authority: Authority) -> Iterator[Served]:
    """Two listeners: one with TLS that asks for certificates, one without."""
    server = authority.issue("127.0.0.1")
    options = TlsOptions(authority.ca_file, server.certificate_file, server.key_file, require_client=True)
    endpoints = [Endpoint(0, LOOPBACK, "plain"), Endpoint(0, LOOPBACK, "secure", tls=options)]
    with served(endpoints=endpoints, **quick(handshake_s=3)) as running:
        yield running


def client(authority: Authority, name: str | None = "modality", *, days: int = 1) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca_file)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if name:
        issued = authority.issue(name, days=days)
        context.load_cert_chain(issued.certificate_file, issued.key_file)
    return context


def refused(running: Served, context: ssl.SSLContext) -> None:
    """The handshake fails, for the server at the latest when it has read the client's last word (TLS 1.3)."""
    opened = len(running.intake.opened)
    with RawPeer(running.scp.ports[1]) as peer:
        try:
            sock = context.wrap_socket(peer.sock, server_hostname=LOOPBACK)
        except (OSError, ssl.SSLError):
            return
        with sock:
            try:
                sock.sendall(peer.request())
                assert sock.recv(1) == b""
            except (OSError, ssl.SSLError):
                pass
    running.settled()
    assert len(running.intake.opened) == opened


def test_tls_lets_in_who_has_a_certificate(secure: Served, authority: Authority) -> None:
    """NET-14."""
    ours = authority.issue("modality")
    options = TlsOptions(authority.ca_file, ours.certificate_file, ours.key_file)
    Scu(Peer(LOOPBACK, secure.scp.ports[1], "PONTE"), tls_options=options).check()
    secure.settled()
    (facts,) = secure.intake.opened
    assert (facts.listener, facts.tls_subject) == ("secure", "commonName=modality")


def test_tls_refuses_everybody_else_and_keeps_on_accepting(
    secure: Served, authority: Authority, tmp_path: Path
) -> None:
    """NET-14: no certificate, an expired one, one of another authority, TLS 1.1, no TLS at all."""
    with RawPeer(secure.scp.ports[1]) as silent, RawPeer(secure.scp.ports[1]) as plain:
        plain.send(plain.request())
        stranger = Authority(tmp_path).issue("modality")
        foreign = client(authority, None)
        foreign.load_cert_chain(stranger.certificate_file, stranger.key_file)
        old = client(authority)
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        for context in (client(authority, None), client(authority, days=-1), foreign, old):
            refused(secure, context)
        test_tls_lets_in_who_has_a_certificate(secure, authority)
        assert silent.ends() == []
    with RawPeer(secure.scp.ports[0]) as peer:
        peer.associate()
        peer.release()


def test_without_files_connections_are_refused_and_later_ones_served() -> None:
    """FI-12, at the door: it neither spins nor stays closed."""
    with served(**quick(handshake_s=1)) as running, ExitStack() as stack:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        here = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        peers = [socket.socket() for _ in range(5)]
        for one in peers:
            stack.enter_context(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (here + 5, hard))
        try:
            for one in peers:
                one.settimeout(20)
                one.connect((LOOPBACK, running.port))
            for one in peers:
                assert one.recv(1) == b""
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        echo(running)


@settings(max_examples=25, deadline=None)
@given(places=st.lists(st.integers(0, 1 << 20), max_size=30), size=st.sampled_from([128, 4096, 16384]))
def test_an_association_is_the_same_however_its_bytes_are_cut(places: list[int], size: int) -> None:
    """PDUs replayed in random splits, down to single bytes."""
    whole = negotiation.request(calling="TEST", called="PONTE", kinds=[CT_EXPLICIT, ECHO], max_pdu=16384)
    asked: command.CommandSet = {
        command.AFFECTED_SOP_CLASS_UID: ECHO.sop_class_uid,
        command.COMMAND_FIELD: command.C_ECHO_RQ,
        command.MESSAGE_ID: 9,
        command.DATA_SET_TYPE: command.NO_DATA_SET,
    }
    whole += (
        command_pdu(store_request()) + data_pdu(DATA, longest=size) + command_pdu(command.encode(asked), 3)
    )
    whole += pdu.control(pdu.RELEASE_RQ)
    ends = sorted({place % len(whole) for place in places} | {0, len(whole)})
    with served() as running, RawPeer(running.port) as peer:
        for start, end in pairwise(ends):
            peer.send(whole[start:end])
        kinds = [peer.pdu()[0]]
        answers = [peer.answer(), peer.answer()]
        assert [answer[command.STATUS] for answer in answers] == [0, 0]
        assert [*kinds, *peer.ends()] == [pdu.ASSOCIATE_AC, pdu.RELEASE_RP]
        running.settled()
        assert running.intake.datasets == [DATA]
        assert running.intake.endings == ["released"]


def test_a_whole_association_a_byte_at_a_time() -> None:
    whole = negotiation.request(calling="TEST", called="PONTE", kinds=[CT_EXPLICIT], max_pdu=16384)
    whole += command_pdu(store_request()) + data_pdu(DATA[:500], longest=128) + pdu.control(pdu.RELEASE_RQ)
    with served() as running, RawPeer(running.port) as peer:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in whole:
            peer.send(bytes([byte]))
        assert peer.ends() == [pdu.ASSOCIATE_AC, pdu.P_DATA, pdu.RELEASE_RP]
    assert running.intake.datasets == [DATA[:500]]
