"""Command sets: the little datasets of group 0000 that say what a message is (PS3.7 6.3 and E).

Always Implicit VR Little Endian. Read into plain dicts, by element number: there is one for each image.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

AFFECTED_SOP_CLASS_UID: Final = 0x0002
REQUESTED_SOP_CLASS_UID: Final = 0x0003
COMMAND_FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
MESSAGE_ID_RESPONDED_TO: Final = 0x0120
PRIORITY: Final = 0x0700
DATA_SET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
ERROR_COMMENT: Final = 0x0902
AFFECTED_SOP_INSTANCE_UID: Final = 0x1000
REQUESTED_SOP_INSTANCE_UID: Final = 0x1001
EVENT_TYPE_ID: Final = 0x1002
ACTION_TYPE_ID: Final = 0x1008

C_STORE_RQ, C_STORE_RSP, C_ECHO_RQ, C_ECHO_RSP = 0x0001, 0x8001, 0x0030, 0x8030
C_CANCEL_RQ, N_EVENT_REPORT_RQ, N_ACTION_RQ = 0x0FFF, 0x0100, 0x0130
RESPONSE: Final = 0x8000
"""The bit that makes the Command Field of a request that of its response."""
NO_DATA_SET: Final = 0x0101
DATA_SET: Final = 0x0001

LONGEST: Final = 16 << 10
"""Bytes of a command set: it takes 200."""

_GROUP_LENGTH = 0x0000
_NUMBERS: Final = frozenset(
    {
        COMMAND_FIELD, MESSAGE_ID, MESSAGE_ID_RESPONDED_TO, PRIORITY, DATA_SET_TYPE, STATUS, EVENT_TYPE_ID,
        ACTION_TYPE_ID,
    }
)  # fmt: skip
_TEXTS: Final = frozenset(
    {
        AFFECTED_SOP_CLASS_UID, REQUESTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID,
        REQUESTED_SOP_INSTANCE_UID, ERROR_COMMENT,
    }
)  # fmt: skip
_ELEMENT = struct.Struct("<HHI")
_NUMBER = struct.Struct("<H")

CommandSet = dict[int, int | str]


class BadCommand(Exception):
    """The bytes are no command set."""


def encode(elements: Mapping[int, int | str]) -> bytes:
    """The command set with its Group Length (0000,0000): numbers as US, texts as UI, or LO the comment."""
    body = b"".join(_encoded(number, elements[number]) for number in sorted(elements))
    return _ELEMENT.pack(0, _GROUP_LENGTH, 4) + struct.pack("<I", len(body)) + body


def decode(data: bytes) -> CommandSet:
    """What is known here of the command set; UIDs without their padding.

    Raises `BadCommand` for what is not wholly a command set: other groups, lengths that lie, elements twice.
    """
    found: CommandSet = {}
    seen: set[int] = set()
    at = 0
    while at < len(data):
        if len(data) - at < _ELEMENT.size:
            raise BadCommand("It ends inside an element")
        group, element, length = _ELEMENT.unpack_from(data, at)
        at += _ELEMENT.size
        if group or element in seen or length > len(data) - at:
            raise BadCommand("An element is of another group, comes twice, or is longer than the set")
        seen.add(element)
        _take(found, element, data[at : at + length], left=len(data) - at - length)
        at += length
    return found


def number_of(command: Mapping[int, int | str], element: int) -> int | None:
    """The number, or None where the set has none."""
    value = command.get(element)
    return value if isinstance(value, int) else None


def text_of(command: Mapping[int, int | str], element: int) -> str:
    """The text, empty where the set has none."""
    value = command.get(element)
    return value if isinstance(value, str) else ""


def _take(found: CommandSet, element: int, value: bytes, *, left: int) -> None:
    if element in _NUMBERS:
        if len(value) != _NUMBER.size:
            raise BadCommand("A number does not have two bytes")
        found[element] = _NUMBER.unpack(value)[0]
    elif element in _TEXTS:
        found[element] = value.decode("latin-1").strip(" \0")
    elif element == _GROUP_LENGTH and (len(value) != 4 or int.from_bytes(value, "little") != left):
        raise BadCommand("The group length is not that of the set")


def _encoded(element: int, value: int | str) -> bytes:
    if isinstance(value, int):
        data = _NUMBER.pack(value)
    else:
        data = value.encode("ascii", "replace")
        data += b"" if len(data) % 2 == 0 else (b" " if element == ERROR_COMMENT else b"\0")
    return _ELEMENT.pack(0, element, len(data)) + data
