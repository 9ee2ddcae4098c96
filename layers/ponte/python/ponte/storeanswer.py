"""What a server says of the instances that it was sent: the store response module, in JSON or XML.

PS3.18 10.5.3 and I.2; the JSON is that of PS3.18 F, the XML the Native DICOM Model of PS3.19 A.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat  # safe here: a document type is refused, so that nothing expands

from ponte.errors import BadAnswer

_REFERENCED_SOP_SEQUENCE: Final = "00081199"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_OTHER_FAILURES_SEQUENCE: Final = "0008119A"
_REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_WARNING_REASON: Final = "00081196"

Row = dict[str, Any]

_MAX_DEPTH = 32
_TAG = 8  # characters
_PROCESSING_FAILURE, _OUT_OF_RESOURCES = 0x0110, 0xA7
_FAILURES: Final = {
    0x0110: "processing failure",
    0x0111: "it has an instance of this UID already",
    0x0117: "invalid instance",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xB00E: "it has an instance of this UID already",
    0xC122: "transfer syntax not supported",
}
_FAILURE_GROUPS: Final = {
    0xA7: "out of resources",
    0xA9: "dataset does not match its SOP class",
    0xC0: "cannot understand the instance",
}
_WARNINGS: Final = {
    0xB000: "it changed attributes",
    0xB006: "it dropped elements",
    0xB007: "dataset does not match its SOP class",
}


@dataclass(frozen=True, slots=True)
class Said:
    """UIDs that the answer names, with the reason that it gives for each.

    `others` are failures of instances that it does not name; `problem` is why it could not be read.
    """

    stored: Mapping[str, int | None] = field(default_factory=dict)
    failed: Mapping[str, int | None] = field(default_factory=dict)
    others: tuple[int | None, ...] = ()
    problem: str = ""

    @property
    def says_nothing(self) -> bool:
        return not (self.stored or self.failed or self.others)

    @property
    def unnamed(self) -> str:
        """How a sentence about an instance that is not named goes on."""
        if not self.others:
            return " and does not name the instance"
        return f", names other failures ({_hex(self.others[0])}) and not the instance"


def read_answer(body: bytes) -> Said:
    """What the answer says, whatever it calls itself. Raises `BadAnswer`, which quotes nothing of it."""
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not start:
        raise BadAnswer("The answer is empty")
    rows = _from_xml(body) if start == b"<" else _from_json(body)
    stored = _reasons(rows, _REFERENCED_SOP_SEQUENCE, _WARNING_REASON)
    failed = _reasons(rows, _FAILED_SOP_SEQUENCE, _FAILURE_REASON)
    others = _reasons(rows, _OTHER_FAILURES_SEQUENCE, _FAILURE_REASON)
    return Said(
        stored={uid: reason for uid, reason in stored if uid},
        failed={uid: reason for uid, reason in failed if uid},
        others=tuple(reason for uid, reason in [*failed, *others] if not uid),
    )


def describe_failure(reason: int | None) -> str:
    """`A700H: out of resources`: a Failure Reason (0008,1197) for a person (PS3.18 I.2.2, PS3.4 B.2.3)."""
    if reason is None:
        return "The server refuses it without a reason"
    group = _FAILURE_GROUPS.get(reason >> 8 if reason < 0xC000 else reason >> 12 << 4, "")
    return _described(reason, _FAILURES.get(reason, group))


def describe_warning(reason: int) -> str:
    """Likewise for a Warning Reason (0008,1196)."""
    return _described(reason, _WARNINGS.get(reason, ""))


def is_temporary(reason: int | None) -> bool:
    """True where the same instance may be taken later: out of resources, or a failure in processing."""
    return reason is not None and (reason == _PROCESSING_FAILURE or reason >> 8 == _OUT_OF_RESOURCES)


def _described(reason: int, words: str) -> str:
    return f"{_hex(reason)}: {words}" if words else _hex(reason)


def _hex(reason: int | None) -> str:
    return "no reason given" if reason is None else f"{reason:04X}H"


def _reasons(rows: list[Row], sequence: str, reason: str) -> list[tuple[str, int | None]]:
    """Instance and reason of each item of the sequence; items within items are not looked at.

    Raises `BadAnswer` for a sequence that holds something else: it could be where a failure is named.
    """
    found = []
    for row in rows:
        element = row.get(sequence, {})
        items = element.get("Value", []) if isinstance(element, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise BadAnswer("A sequence of the answer holds something else than items")
        found += [(_uid(item), _number(item, reason)) for item in items]
    return found


def _values(row: Row, tag: str) -> list[Any]:
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _uid(item: Row) -> str:
    values = _values(item, _REFERENCED_SOP_INSTANCE_UID)
    return values[0].strip(" \0") if len(values) == 1 and isinstance(values[0], str) else ""


def _number(item: Row, tag: str) -> int | None:
    """A reason, which has 16 bits; None where there is none."""
    values = _values(item, tag)
    try:
        number = int(values[0]) if values else 0
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number <= 0xFFFF else None


def _from_json(body: bytes) -> list[Row]:
    """An object, or a list of them: servers answer with either."""
    try:
        rows = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("The answer is not JSON") from error
    rows = rows if isinstance(rows, list) else [rows]
    if not all(isinstance(row, dict) for row in rows):
        raise BadAnswer("The answer is not an object of DICOM JSON")
    return rows


def _object(pairs: list[tuple[str, Any]]) -> Row:
    """A name that comes twice could hide a failure."""
    row = {name.upper() if len(name) == _TAG else name: value for name, value in pairs}
    if len(row) != len(pairs):
        raise ValueError
    return row


def _from_xml(body: bytes) -> list[Row]:
    reader = _NativeModel()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise BadAnswer("The answer is not XML that can be read") from error
    return [reader.root]


class _NativeModel:
    """The Native DICOM Model as the rows that the JSON has. Raises `BadAnswer` for any other XML."""

    def __init__(self) -> None:
        self.root: Row = {}
        self._open: list[tuple[str, Any]] = []
        self._text = ""

    def refuse(self, *_: object) -> None:
        raise BadAnswer("The answer is not of the Native DICOM Model")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if len(self._open) > _MAX_DEPTH or (not self._open and name != "NativeDicomModel"):
            self.refuse()
        inside = self._open[-1][1] if self._open else None
        self._text = ""
        self._open.append((name, self._begin(name, attributes, inside)))

    def end(self, _: str) -> None:
        name, value = self._open.pop()
        if name == "Value" and isinstance(value, list):
            value.append(self._text.strip())

    def text(self, data: str) -> None:
        self._text += data

    def _begin(self, name: str, attributes: dict[str, str], inside: Any) -> Any:
        """What the children of this element go into: a row, or the values of an attribute."""
        if name == "NativeDicomModel" and inside is None:
            return self.root
        if name == "DicomAttribute" and isinstance(inside, dict):
            tag = attributes.get("tag", "").upper()
            if tag in inside:
                self.refuse()
            values: list[Any] = []
            inside[tag] = {"Value": values}
            return values
        if name == "Item" and isinstance(inside, list):
            item: Row = {}
            inside.append(item)
            return item
        return inside if name == "Value" else None
