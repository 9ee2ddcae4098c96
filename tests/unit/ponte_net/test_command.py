"""Command sets, against those that pynetdicom writes and reads."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pynetdicom import dsutils

from ponte_net import command
from ponte_net.command import BadCommand

UIDS = st.from_regex(r"[1-9][0-9]{0,8}(\.[1-9][0-9]{0,8}){0,5}", fullmatch=True)
NUMBERS = st.integers(0, 0xFFFF)
SETS = st.fixed_dictionaries(
    {
        command.AFFECTED_SOP_CLASS_UID: UIDS,
        command.COMMAND_FIELD: NUMBERS,
        command.MESSAGE_ID: NUMBERS,
        command.DATA_SET_TYPE: NUMBERS,
    },
    optional={
        command.AFFECTED_SOP_INSTANCE_UID: UIDS,
        command.PRIORITY: NUMBERS,
        command.STATUS: NUMBERS,
        command.ERROR_COMMENT: st.from_regex(r"[A-Za-z]([A-Za-z ]{0,30}[A-Za-z])?", fullmatch=True),
    },
)
STORE = command.encode(
    {
        command.AFFECTED_SOP_CLASS_UID: "1.2.3",
        command.COMMAND_FIELD: command.C_STORE_RQ,
        command.MESSAGE_ID: 7,
        command.DATA_SET_TYPE: command.DATA_SET,
        command.AFFECTED_SOP_INSTANCE_UID: "1.2.3.4",
    }
)


@settings(deadline=None)
@given(SETS)
def test_what_is_written_is_read_by_pynetdicom_and_by_us(elements: command.CommandSet) -> None:
    encoded = command.encode(elements)
    assert command.decode(encoded) == elements
    dataset = dsutils.decode(BytesIO(encoded), True, True)
    assert dataset.CommandGroupLength == len(encoded) - 12
    assert {element.tag.element: element.value for element in dataset if element.tag.element} == elements


@settings(deadline=None)
@given(SETS)
def test_what_pynetdicom_writes_is_read(elements: command.CommandSet) -> None:
    dataset = Dataset()
    dataset.CommandGroupLength = 0
    for element, value in elements.items():
        dataset.add_new(element, _vr(element), value)
    encoded = dsutils.encode(dataset, True, True)
    assert encoded is not None
    length = (len(encoded) - 12).to_bytes(4, "little")
    assert command.decode(encoded[:8] + length + encoded[12:]) == elements


def _vr(element: int) -> str:
    if element == command.ERROR_COMMENT:
        return "LO"
    return "UI" if element in (0x0002, 0x1000) else "US"


def test_padding_of_either_kind_is_no_part_of_a_uid() -> None:
    for padding in (b"\0", b" "):
        padded = STORE.replace(b"1.2.3\0", b"1.2.3" + padding)
        assert command.decode(padded)[command.AFFECTED_SOP_CLASS_UID] == "1.2.3"


def test_elements_that_are_not_known_here_are_passed_over() -> None:
    extra = bytes.fromhex("0000 3010 02000000 4141".replace(" ", ""))
    data = STORE[12:] + extra
    assert command.decode(data) == command.decode(STORE)


@pytest.mark.parametrize(
    "data",
    [
        STORE[:-1],
        STORE[:-10],
        STORE + b"\0",
        STORE + STORE[12:],
        STORE[:8] + b"\0\0\0\0" + STORE[12:],
        STORE[:8] + b"\xff\xff\xff\xff" + STORE[12:],
        STORE[12:].replace(b"\x00\x00\x00\x01\x02\x00\x00\x00", b"\x00\x00\x00\x01\x04\x00\x00\x00"),
        STORE[12:] + b"\x08\x00\x18\x00\x02\x00\x00\x001\0",
        b"\x08\x00\x05\x00",
    ],
)
def test_lies_are_refused(data: bytes) -> None:
    """NET-10: lengths that lie, elements twice, other groups."""
    with pytest.raises(BadCommand):
        command.decode(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_read_or_refused_and_nothing_else(noise: bytes) -> None:
    with suppress(BadCommand):
        command.decode(noise)
