"""What two processes of the router say to each other, and what is no word of it."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from router import channel as module
from router.channel import LONGEST, Channel, ChannelBroken
from router.database import Instance, Study
from router.door import Door, DoorClosed
from router.messages import (
    Answer,
    Arrived,
    Associates,
    BadMessage,
    Closed,
    CommitmentAsked,
    CommitmentReported,
    Failed,
    Opened,
    Quarantined,
    Refuses,
    Settled,
    decode,
    encode,
)
from router.reception import AssociationFacts, Referenced

FACTS = AssociationFacts("a1", "CT?1", "PONTE", "192.0.2.7", "104", 1.7e9, "CN=Ω")
INSTANCE = Instance(
    "1.2.3", "1.2.4", "1.2.5", "1.2.6", "1.2.7", b"CT", bytes(range(256))[-32:], 1 << 40, 340, "", "CHARSET",
    "a1", "CT?1", 1.7e9, 1.7e9,
)  # fmt: skip
STUDY = Study("1.2.6", b"ISO_IR 192", b"\xff\x00\\", "Müller^Ω".encode(), None, b"", b"123", None)


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the bare socket at its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


@pytest.mark.parametrize(
    "message",
    [
        Refuses(),
        Associates(),
        Opened(FACTS),
        Opened(replace(FACTS, tls_subject=None)),
        Closed("a1", "timed_out", 1.5),
        Arrived("0-1", INSTANCE, STUDY, FACTS),
        Quarantined(["id", "NOT_DICOM", None, "1.2.3", "a1", 0xC000, 1.5], "1.2.6", FACTS),
        CommitmentAsked(FACTS, "1.2.9", [Referenced("1.2.4", "1.2.3")]),
        CommitmentReported("1.2.9", ["1.2.3"], [["1.2.8", 0x0112]]),  # type: ignore[list-item]
        Answer(),
        Answer("disk"),
        Answer(Settled("kept", "shard/0-1.dcm")),
        Failed(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_every_message_arrives_as_it_was(message: Any) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b'"Refuses"',
        b"{}",
        b'{"Refuses":[1]}',
        b'{"Closed":[]}',
        b'{"System":["rm"]}',
        b'{"Refuses":[],"Associates":[]}',
        b'{"bytes":"\\u0141"}',
        b'{"bytes":["a"]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_not_taken_for_one(data: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(data)


@pytest.mark.parametrize(
    "sent",
    [struct.pack(">I", 5) + b"noise", struct.pack(">I", LONGEST + 1), b"\xff\xff\xff\xff" + bytes(100)],
)
def test_noise_and_a_length_beyond_all_measure_break_the_channel(
    sent: bytes, pair: tuple[Channel, socket.socket]
) -> None:
    channel, other = pair
    other.sendall(sent)
    with pytest.raises(ChannelBroken):
        channel.heard()


def test_a_message_that_is_cut_off_is_none(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    whole = encode(Answer(Settled("kept", "shard/0-1.dcm")))
    other.sendall(struct.pack(">I", len(whole)) + whole[:-1])
    assert channel.heard() is None
    other.shutdown(socket.SHUT_WR)
    with pytest.raises(ChannelBroken, match="in a message"):
        channel.heard()


def test_a_message_in_single_bytes_is_heard_when_it_is_whole(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    whole = encode(Opened(FACTS))
    *most, last = struct.pack(">I", len(whole)) + whole
    for byte in most:
        other.sendall(bytes([byte]))
        assert channel.heard() is None
    other.sendall(bytes([last]))
    assert channel.heard() == Opened(FACTS)


def test_who_asks_hears_the_answer_and_nothing_else(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    there = Channel(other)
    there.say(Answer("queue"))
    assert channel.ask(Refuses()) == Answer("queue")
    assert there.heard() == Refuses()
    there.say(Refuses())
    with pytest.raises(ChannelBroken, match="no answer"):
        channel.ask(Refuses())
    other.close()
    with pytest.raises(ChannelBroken):
        channel.ask(Refuses())


def test_fifty_thousand_references_go_through(pair: tuple[Channel, socket.socket]) -> None:
    channel, other = pair
    references = [Referenced("1.2.840.10008.5.1.4.1.1.2", f"1.2.3.{number}") for number in range(50_000)]
    there, question = Channel(other), CommitmentAsked(FACTS, "1.2.9", references)
    asking = Thread(target=channel.say, args=(question,))
    asking.start()
    while (heard := there.heard()) is None:
        pass
    asking.join()
    assert heard == question


def test_what_is_too_long_is_not_even_sent(
    pair: tuple[Channel, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST", 50)
    with pytest.raises(ChannelBroken, match="expected 50 at most"):
        pair[0].ask(Opened(FACTS))


def test_a_door_lets_files_through_and_says_when_nothing_comes() -> None:
    ours, theirs = Door.pair()
    other = Door(theirs)
    assert other.hear(0) is None
    with open(os.devnull) as file:  # noqa: PTH123
        ours.say("connection", 0, "104", files=[file.fileno()])
    heard = other.hear(5)
    assert heard is not None
    (kind, endpoint, listener), (copy,) = heard
    os.close(copy)
    assert (kind, endpoint, listener) == ("connection", 0, "104")
    ours.close()
    with pytest.raises(DoorClosed):
        other.hear(5)
    with pytest.raises(DoorClosed):
        other.say("started", 1)
    other.close()


def test_a_door_that_takes_nothing_holds_up_nobody_who_does_not_wait() -> None:
    ours, theirs = Door.pair()

    def fill() -> None:
        while True:
            ours.say("connection", "x" * 1000, wait=False)

    with theirs, pytest.raises(DoorClosed):
        fill()
    ours.close()


def test_noise_and_long_packets_are_the_end_of_a_door() -> None:
    ours, theirs = Door.pair()
    with pytest.raises(DoorClosed, match="at most"):
        ours.say("logged", "x" * 100_000)
    theirs.send(b"noise")
    with pytest.raises(DoorClosed):
        ours.hear(5)
    theirs.send(json.dumps(["started", 1]).encode())
    assert ours.hear(5) == (["started", 1], [])
    theirs.close()
    ours.close()
