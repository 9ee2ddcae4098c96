"""What a carrier asks the router's first process, and how that is written: JSON, with a name for each kind.

Nothing but these kinds is ever read; bytes are written as text of as many characters. Both sides are of one
version, for the one starts the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from router.committer import Settlement
from router.database import Instance, Study
from router.reception import AssociationFacts, Ending, Referenced


class BadMessage(Exception):
    """What came is no message of ours."""


@dataclass(frozen=True, slots=True)
class Refuses:
    """Why is no association to be accepted now? Answered by text, or None."""


@dataclass(frozen=True, slots=True)
class Associates:
    """The connection becomes an association, unless its place is taken already. Answered by bool."""


@dataclass(frozen=True, slots=True)
class Opened:
    """It has become one. Answered by None."""

    facts: AssociationFacts


@dataclass(frozen=True, slots=True)
class Closed:
    """It is over; answered by None when that is durable."""

    association_id: str
    how: Ending
    ended_at: float


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file in `incoming` is whole and synced, and wants its place and its row. Answered by a `Settled` when
    that is durable."""

    name: str
    instance: Instance
    study: Study
    facts: AssociationFacts


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something was put into quarantine: its row. Answered by None when that is durable."""

    row: Sequence[Any]
    study_instance_uid: str
    facts: AssociationFacts


@dataclass(frozen=True, slots=True)
class CommitmentAsked:
    """N-ACTION of Storage Commitment (PS3.4 J.3.2): answered by its status, when that is durable."""

    facts: AssociationFacts
    transaction_uid: str
    references: Sequence[Referenced]


@dataclass(frozen=True, slots=True)
class CommitmentReported:
    """N-EVENT-REPORT of Storage Commitment (PS3.4 J.3.3), with the reason of each failure: answered by bool,
    whether anybody asked for it."""

    transaction_uid: str
    committed: Sequence[str]
    failed: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of what arrived; `place` is where it is kept, empty where it is not."""

    settlement: Settlement
    place: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It is not durable, or nobody knows; the first process has said why in its log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """To a question that did not fail."""

    value: Any = None


Question = (
    Refuses | Associates | Opened | Closed | Arrived | Quarantined | CommitmentAsked | CommitmentReported
)

_KINDS: Final = {
    kind.__name__: kind
    for kind in (
        Refuses, Associates, Opened, Closed, Arrived, Quarantined, CommitmentAsked, CommitmentReported,
        Settled, Failed, Answer, Instance, Study, AssociationFacts, Referenced,
    )
}  # fmt: skip
_NAMES: Final = {kind: [one.name for one in fields(kind)] for kind in _KINDS.values()}
_BYTES: Final = "bytes"


def encode(message: Question | Answer | Failed) -> bytes:
    """As it travels."""
    return json.dumps(message, default=_plain, separators=(",", ":")).encode()


def decode(data: bytes | bytearray) -> Any:
    """The message. Raises `BadMessage`."""
    try:
        found = json.loads(data, object_hook=_whole)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadMessage(f"{len(data)} bytes that are no message") from error
    if not is_dataclass(found):
        raise BadMessage("A value that is no message")
    return found


def _plain(value: Any) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {_BYTES: value.decode("latin-1")}
    names = _NAMES[type(value)]
    return {type(value).__name__: [getattr(value, name) for name in names]}


def _whole(written: dict[str, Any]) -> Any:
    ((name, values),) = written.items()
    return values.encode("latin-1") if name == _BYTES else _KINDS[name](*values)
