"""PDUs over a socket: however the bytes are cut, and whatever they say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_items import PresentationDataValueItem

from ponte_net import pdu
from ponte_net.pdu import BadPdu, Control, PeerGone, PeerTimeout, Piece, Wire

Message = tuple[int, bool, bytes]


@contextmanager
def wires(*, idle_s: float = 20, pdu_s: float = 20) -> Iterator[tuple[Wire, socket.socket]]:
    """A wire, and the raw socket at its other end."""
    near, far = socket.socketpair()
    with near, far:
        yield Wire(near, idle_s=idle_s, pdu_s=pdu_s), far


def feed(far: socket.socket, pieces: list[bytes]) -> threading.Thread:
    def send() -> None:
        for piece in pieces:
            far.sendall(piece)
        far.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


def gathered(wire: Wire) -> Iterator[Message | Control]:
    """Whole messages, until the peer is gone."""
    held = b""
    while True:
        try:
            got = wire.receive()
        except PeerGone:
            return
        if isinstance(got, Control):
            yield got
            continue
        held += bytes(got.data)
        if got.last:
            yield got.context_id, got.is_command, held
            held = b""


def p_data(*fragments: tuple[int, int, bytes]) -> bytes:
    """A P-DATA-TF PDU as pynetdicom writes it: context, control header, data."""
    whole = P_DATA_TF()
    for context_id, header, data in fragments:
        item = PresentationDataValueItem()
        item.presentation_context_id = context_id
        item.presentation_data_value = bytes([header]) + data
        whole.presentation_data_value_items.append(item)
    encoded: bytes = whole.encode()
    return encoded


@settings(max_examples=60, deadline=None)
@given(
    messages=st.lists(
        st.tuples(st.sampled_from([1, 3, 255]), st.booleans(), st.binary(max_size=3000)), max_size=5
    ),
    longest=st.sampled_from([0, 128, 129, 4096]),
    places=st.lists(st.integers(0, 1 << 20), max_size=20),
)
def test_messages_are_what_they_were_however_they_are_cut(
    messages: list[Message], longest: int, places: list[int]
) -> None:
    buffers = [
        bytes(buffer)
        for context_id, is_command, data in messages
        for buffer in pdu.fragments(context_id, data, longest, is_command=is_command)
    ]
    with wires() as (wire, far):
        wire.longest = longest or None
        thread = feed(far, cut(b"".join(buffers), places))
        assert list(gathered(wire)) == messages
        thread.join()


@settings(max_examples=30, deadline=None)
@given(places=st.lists(st.integers(0, 1 << 20), max_size=20))
def test_several_fragments_in_a_pdu_and_pdus_between_are_read(places: list[int]) -> None:
    stream = (
        p_data((1, 1, b"comm"), (1, 3, b"and"), (3, 0, b"da"))
        + p_data((3, 2, b""))
        + pdu.control(pdu.RELEASE_RQ)
    )
    with wires() as (wire, far):
        thread = feed(far, cut(stream, places))
        assert list(gathered(wire)) == [(1, True, b"command"), (3, False, b"da"), Control(5, bytes(4))]
        thread.join()


def test_a_fragment_has_the_size_that_was_agreed() -> None:
    """Even lengths (PS3.8 9.3.1), the last one apart; pynetdicom reads the same data from them."""
    data = bytes(range(256)) * 40
    for longest in (128, 129, 4096, 16384, 0):
        buffers = pdu.fragments(5, data, longest, is_command=False)
        held = b""
        for head, body in zip(buffers[::2], buffers[1::2], strict=True):
            encoded = bytes(head) + bytes(body)
            assert len(encoded) - 6 <= (longest or 1 << 30)
            read = P_DATA_TF()
            read.decode(encoded)
            (item,) = read.presentation_data_value_items
            assert item.context_id == 5
            held += (item.presentation_data_value or b"")[1:]
        assert held == data
        assert [bytes(head)[-1] for head in buffers[::2]] == [0] * (len(buffers) // 2 - 1) + [2]


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",  # the hello of TLS
        b"\xff\0\0\0\0\4\0\0\0\0",
        b"\0\0\0\0\0\4\0\0\0\0",
        b"\4\0\xff\xff\xff\xff",  # NET-03
        b"\1\0\xff\xff\xff\xf0",  # NET-04
        b"\5\0\0\0\0\5\0\0\0\0\0",
        b"\4\0\0\0\0\0",
        b"\4\0\0\0\0\4\0\0\0\2",
        b"\4\0\0\0\0\7\0\0\0\1\1\3\0",
        b"\4\0\0\0\0\7\0\0\0\4\1\3\0",
    ],
    ids=["http", "tls", "type-ff", "type-0", "p-data", "request", "release", "empty", "cut", "short", "long"],
)
def test_what_is_no_pdu_is_refused_at_its_header(stream: bytes) -> None:
    """NET-03, NET-04, NET-08: nothing is allocated by a length that is declared."""
    with wires() as (wire, far):
        wire.longest = 16384
        far.sendall(stream)
        with pytest.raises(BadPdu):
            wire.receive()


def test_fragments_without_data_may_end_a_message_and_not_go_on_for_ever() -> None:
    with wires() as (wire, far):
        thread = feed(far, [p_data((1, 2, b"")) * 2000])
        assert sum(1 for _ in gathered(wire)) == 2000
        thread.join()
    with wires() as (wire, far):
        thread = feed(far, [p_data((1, 0, b"")) * 2000])
        with pytest.raises(BadPdu):
            list(gathered(wire))
        thread.join()


def test_a_pdu_longer_than_agreed_is_refused_and_one_as_long_is_not() -> None:
    with wires() as (wire, far):
        wire.longest = 4096
        far.sendall(p_data((1, 2, bytes(4090))))
        assert isinstance(wire.receive(), Piece)
        far.sendall(p_data((1, 2, bytes(4091))))
        with pytest.raises(BadPdu, match="4097 bytes; at most 4096"):
            wire.receive()


def test_a_pdu_of_any_length_is_never_gathered() -> None:
    """Where no limit was agreed: 4 GB are declared, and what is held is a buffer."""
    with wires() as (wire, far):
        wire.longest = None
        far.sendall(b"\4\0\xff\xff\xff\xf0\xff\xff\xff\xec\1\0" + bytes(100_000))
        got = wire.receive()
        assert isinstance(got, Piece)
        assert not got.last
        assert 0 < len(got.data) <= 256 << 10


@pytest.mark.parametrize("longest", [None, 1 << 20])
def test_a_pdu_of_any_length_has_the_time_for_each_piece_of_it(
    longest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a limit was agreed it has the time for all of it: ten seconds pass before each byte."""
    now = [0.0]
    monkeypatch.setattr(pdu, "time", SimpleNamespace(monotonic=lambda: now[0]))
    with wires(pdu_s=30) as (wire, far):
        wire.longest = longest
        far.sendall(b"\4\0\0\0\0\x2e\0\0\0\x2a\1\2")
        held = b""
        with pytest.raises(PeerTimeout) if longest else nullcontext():
            for number in range(40):
                now[0] += 10
                later = threading.Timer(0.01, far.sendall, [bytes([number])])
                later.start()
                held += bytes(data_of(wire))
                later.join()
        later.join()
        assert len(held) == (3 if longest else 40)


def data_of(wire: Wire) -> memoryview:
    got = wire.receive()
    assert isinstance(got, Piece)
    return got.data


@pytest.mark.parametrize(("began", "words"), [(b"", "fell silent"), (b"\4\0\0", "fell silent")])
def test_who_says_nothing_or_not_enough_is_not_waited_for(began: bytes, words: str) -> None:
    """NET-01, NET-02."""
    with wires(idle_s=0.05, pdu_s=0.05) as (wire, far):
        far.sendall(began)
        with pytest.raises(PeerTimeout, match=words):
            wire.receive()


def test_bytes_that_dribble_do_not_lengthen_the_time_for_a_pdu() -> None:
    """NET-02: each byte comes well before the limit, the PDU does not."""
    with wires(idle_s=20, pdu_s=0.3) as (wire, far):
        done = threading.Event()

        def dribble() -> None:
            for byte in p_data((1, 2, bytes(1000))):
                if done.wait(0.02):
                    return
                far.sendall(bytes([byte]))

        thread = threading.Thread(target=dribble)
        thread.start()
        with pytest.raises(PeerTimeout):
            list(gathered(wire))
        done.set()
        thread.join()


def test_until_is_the_end_whatever_else_is_allowed() -> None:
    with wires() as (wire, _):
        wire.until = 1.0  # long ago
        with pytest.raises(PeerTimeout):
            wire.receive()


def test_a_peer_that_takes_nothing_is_not_waited_for() -> None:
    """NET-15, on the wire."""
    with wires(idle_s=0.05) as (wire, far):
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(PeerTimeout, match="takes nothing"):
            wire.send(pdu.fragments(1, bytes(8 << 20), 16384, is_command=False))


def test_thousands_of_buffers_go_out_whole() -> None:
    data = bytes(range(256)) * 4000
    with wires() as (wire, far):
        held = bytearray()

        def drain() -> None:
            while chunk := far.recv(1 << 16):
                held.extend(chunk)

        thread = threading.Thread(target=drain)
        thread.start()
        buffers = pdu.fragments(1, data, 256, is_command=False)
        assert len(buffers) > 4096
        wire.send(buffers)
        wire.close()
        thread.join()
        assert bytes(held) == b"".join(buffers)


def test_a_peer_that_is_gone_is_said_to_be_gone() -> None:
    with wires() as (wire, far):
        far.close()
        with pytest.raises(PeerGone):
            wire.receive()
        with pytest.raises(PeerGone):
            wire.send([bytes(1 << 20)] * 10)
